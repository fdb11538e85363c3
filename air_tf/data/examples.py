"""Lists of bytes in a `tf.train.Example`, without an object for each entry.

The published sets of scenes hold an entry for each value of an image, a million
for one of CLEVR's: TensorFlow's parser takes 57 ms for these, this 2.

A message is a sequence of fields: a varint, number << 3 | type, and then the
value; of type 2, its length and so many bytes, which may be a message again.
"""

from collections.abc import Iterator

import numpy as np

__all__ = ['lists_of_bytes']

_NESTED = 2  # Type of text, of bytes and of messages.
_BYTES_OF = {1: 8, 5: 4}  # Of the types of fixed length; 0 is a varint.
_ONE_BYTE = b'\x0a\x01'  # Before an entry of one byte: field 1, type 2; length.


def lists_of_bytes(example: bytes) -> dict[str, np.ndarray]:
  """Returns the bytes of each feature that is a list of bytes, joined.

  Args:
    example: a `tf.train.Example`, serialised.

  Returns:
    uint8 arrays by the names of the features; empty, of those of numbers.

  Raises:
    ValueError: if it is none.
  """
  found = {}
  for features in _nested(example, 1):
    for entry in _nested(features, 1):
      name = b''.join(_nested(entry, 1)).decode()
      found[name] = np.concatenate([np.zeros(0, np.uint8), *(
          _joined(values) for feature in _nested(entry, 2)
          for values in _nested(feature, 1))])
  return found


def _joined(values: memoryview) -> np.ndarray:
  """Returns the entries of a list of bytes, joined."""
  array = np.frombuffer(values, np.uint8)
  if len(array) % 3 == 0 and all(
      (array[i::3] == byte).all() for i, byte in enumerate(_ONE_BYTE)):
    return array[2::3]
  return np.frombuffer(b''.join(_nested(values, 1)), np.uint8)


def _nested(message: bytes | memoryview, number: int) -> Iterator[memoryview]:
  """Yields the values of the fields of a number that are nested."""
  message, position = memoryview(message), 0
  while position < len(message):
    tag, position = _varint(message, position)
    if tag & 7 == _NESTED:
      length, position = _varint(message, position)
    elif tag & 7 in _BYTES_OF:
      length = _BYTES_OF[tag & 7]
    elif tag & 7 == 0:
      (_, position), length = _varint(message, position), 0
    else:
      raise ValueError(f'a field of type {tag & 7} in a message')
    if position + length > len(message):
      raise ValueError(f'a field of {length:,} bytes, beyond its message')
    if tag == number << 3 | _NESTED:
      yield message[position:position + length]
    position += length


def _varint(message: memoryview, position: int) -> tuple[int, int]:
  """Returns a number of seven bits a byte, and the position behind it."""
  value = 0
  for shift in range(0, 64, 7):
    if position >= len(message):
      break
    byte = message[position]
    position += 1
    value |= (byte & 127) << shift
    if byte < 128:
      return value, position
  raise ValueError('a number that does not end')

"""Tests of examples.py against TensorFlow's own messages."""

import numpy as np
import pytest
import tensorflow as tf

from air_tf.data import examples


def example(**features):
  kinds = {bytes: ('bytes_list', tf.train.BytesList),
           float: ('float_list', tf.train.FloatList),
           int: ('int64_list', tf.train.Int64List)}
  made = {}
  for name, values in features.items():
    field, kind = kinds[type(values[0])]
    made[name] = tf.train.Feature(**{field: kind(value=values)})
  return tf.train.Example(features=tf.train.Features(
      feature=made)).SerializeToString()


def bytes_of(text):
  return [bytes([x]) for x in text]


# One byte each; of all lengths, none and more than 127 among them; and one of
# three bytes that looks like an entry of one byte.
LISTS = {'image': bytes_of(bytes(range(256)) * 3), 'mask': [b'ab', b'', b'c'],
         'long': [b'x' * 300, b'y'], 'tricky': [b'\x0a\x01\x05'],
         'other': [b'x\x0azz'], 'z' * 200: [b'\x0a', b'\x01']}


def test_lists_of_bytes_are_joined():
  found = examples.lists_of_bytes(example(
      **LISTS, x=[1., 2.], color=[3, -4, 2**60]))
  assert set(found) == {*LISTS, 'x', 'color'}
  for name, values in LISTS.items():
    assert found[name].dtype == np.uint8
    assert found[name].tobytes() == b''.join(values)


def test_fields_of_other_types_are_passed_over():
  # Varint, eight bytes and four bytes, of numbers that an Example lacks.
  extra = b'\x38\xac\x02' + b'\x41' + bytes(8) + b'\x4d' + bytes(4)
  found = examples.lists_of_bytes(
      extra + example(mask=LISTS['mask']) + extra)
  assert found['mask'].tobytes() == b'abc'


def test_an_example_without_features_has_none():
  assert examples.lists_of_bytes(b'') == {}


@pytest.mark.parametrize('data', [
    b'\x0a', b'\x0a\x05abc', b'\x0a\x01', b'\x80' * 11, b'\x0f', b'\x0b\x00',
    b'\x0a\xff\xff\xff\xff\xff\xff\xff\xff\x7f', b'\x09\x00'])
def test_what_is_no_message_is_an_error(data):
  with pytest.raises(ValueError):
    examples.lists_of_bytes(data)


def test_damaged_messages_raise_nothing_but_value_errors():
  whole = np.frombuffer(example(**LISTS, x=[1.]), np.uint8)
  rng = np.random.default_rng(0)
  refused = 0
  for _ in range(500):
    damaged = whole.copy()
    damaged[rng.integers(len(whole), size=3)] = rng.integers(256, size=3)
    try:
      examples.lists_of_bytes(damaged[:rng.integers(len(whole))].tobytes())
    except ValueError:
      refused += 1
  assert refused > 300

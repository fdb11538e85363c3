"""Sets of digits in four IDX files: MNIST's and EMNIST's names, torchvision's.

Shapes: D digit images of 28 x 28 pixels.
"""

from collections.abc import Iterator
import gzip
import math
import os
import re
import struct
from typing import BinaryIO
import zlib

import numpy as np

from air_tf import errors
from air_tf.data import npz
from air_tf.data import untrusted

__all__ = ['read_set']

# `emnist-letters-train-images-idx3-ubyte.gz`: set, split, content.
_NAME = re.compile(
    r'(?P<set>.*?)(train|t10k|test)-(images|labels)[-.]idx[13]-ubyte(\.gz)?')
_SPLITS = ('train',), ('t10k', 'test')


def read_set(path: str) -> Iterator[np.ndarray]:
  """Yields training images and labels, then those for tests.

  Args:
    path: of a folder, or of one of the files; see `mnist.load_idx`.

  Yields:
    uint8 [D, 28, 28] or other images, and uint8 [D].

  Raises:
    errors.UserError: if a file is missing, damaged, or something else.
  """
  folder, prefix = _find_set(path)
  # EMNIST's files hold columns where others hold rows.
  on_their_side = prefix.startswith('emnist')
  for names in _SPLITS:
    for content, rank in (('images', 3), ('labels', 1)):
      array = _read(_path(path, folder, [
          f'{prefix}{name}-{content}' for name in names], rank), rank)
      yield array.swapaxes(1, 2) if on_their_side and rank == 3 else array


def _find_set(path: str) -> tuple[str, str]:
  """Returns the folder of a set, and what its names begin with."""
  if not os.path.isdir(path):
    match = _NAME.fullmatch(os.path.basename(path))
    return os.path.dirname(path) or '.', match['set'] if match else ''
  for folder in (path, os.path.join(path, 'raw'), *_raw_folders(path)):
    found = _sets(folder)
    if len(found) > 1:
      raise errors.UserError(
          f'--digits={path}: found several sets, {", ".join(sorted(found))}; '
          'expected one: name one of its files instead of the folder.')
    if found:
      return folder, found.pop()
  return path, ''


def _raw_folders(path: str) -> list[str]:
  """Returns the folders `*/raw`; several are an error."""
  folders = sorted(
      raw for name in os.listdir(path)
      if _sets(raw := os.path.join(path, name, 'raw')))
  if len(folders) > 1:
    raise errors.UserError(
        f'--digits={path}: found several sets, {", ".join(folders)}; expected '
        'one of them to be named.')
  return folders


def _sets(folder: str) -> set[str]:
  try:
    names = os.listdir(folder)
  except OSError:
    return set()
  return {match['set'] for match in map(_NAME.fullmatch, names) if match}


def _path(given: str, folder: str, names: list[str], rank: int) -> str:
  """Returns the path of the first of some files that is there."""
  names = [f'{name}{mark}idx{rank}-ubyte{end}' for name in names
           for mark in '-.' for end in ('', '.gz')]
  for path in (os.path.join(folder, name) for name in names):
    if os.path.isfile(path):
      return path
  raise errors.UserError(
      f'--digits={given}: holds no {names[0].partition("-idx")[0]} file; '
      f'expected one of {", ".join(names)}.')


def _read(path: str, rank: int) -> np.ndarray:
  """Returns the uint8 array of `rank` axes in an IDX file.

  The format: two zero bytes, 8 for unsigned bytes, the number of axes; then the
  axes' sizes as big-endian 32-bit integers; then the bytes, last axis fastest.
  """
  try:
    with open(path, 'rb') as raw:
      gzipped = raw.read(2) == b'\x1f\x8b'
      raw.seek(0)
      return _array(path, gzip.GzipFile(fileobj=raw) if gzipped else raw,
                        rank)
  except (OSError, EOFError, zlib.error) as error:
    raise errors.UserError(
        f'{path}: cannot be read ({errors.one_line(error)}); fetch it again.'
    ) from error


def _array(path: str, file: BinaryIO, rank: int) -> np.ndarray:
  """Reads as many bytes as the header states, which must be all there are."""
  magic, start = bytes([0, 0, 8, rank]), 4 + 4 * rank
  header = file.read(start)
  npz.require(header[:4] == magic, path, 'magic number',
              header[:4].hex() or 'nothing',
              f'{magic.hex()}, uint8 of rank {rank}')
  npz.require(len(header) == start, path, 'header', f'{len(header)} bytes',
              f'{start}; fetch the file again')
  shape = struct.unpack(f'>{rank}I', header[4:])
  size = math.prod(shape)
  untrusted.check_memory(size, path, 'header', f'the shape {list(shape)}')
  # Reading makes room for all that is asked for; gzip cannot hold more.
  data = file.read(min(size, 1_032 * os.path.getsize(path)))
  more = file.read(1)  # Not all of the rest: of a bomb, that is gigabytes.
  npz.require(len(data) == size and not more, path, 'data',
              f'{len(data) + len(more)} bytes' + (' or more' if more else ''),
              f'{size}, for the shape {list(shape)} in its header; fetch the '
              'file again')
  return np.frombuffer(data, np.uint8).reshape(shape)

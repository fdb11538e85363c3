"""MNIST and what is laid out like it: by Keras, .npz, or four IDX files.

Shapes: D digit images of 28 x 28 pixels.
"""

import gzip
import math
import os
import struct
from typing import BinaryIO
import zlib

import numpy as np

from air_tf import errors
from air_tf.data import digits as digits_lib
from air_tf.data import npz
from air_tf.data import plausibility
from air_tf.data import untrusted

__all__ = ['download', 'load_idx', 'load_npz']


def download() -> digits_lib.Digits:
  """Returns the digits that keras.datasets downloads, once.

  Raises:
    errors.UserError: if that fails.
  """
  try:
    import keras  # Only here: it brings all of TensorFlow.
    (x_train, y_train), (x_test, y_test) = keras.datasets.mnist.load_data()
  except Exception as error:  # Keras raises a bare `Exception`.
    raise errors.UserError(
        f'--digits=mnist: cannot be downloaded ({errors.one_line(error)}); '
        'give the path of an `mnist.npz` or of a folder with the four IDX '
        'files, or --digits=embedded.') from error
  return _checked('--digits=mnist', x_train, y_train, x_test, y_test)


def load_npz(path: str) -> digits_lib.Digits:
  """Returns the digits in an .npz file in the layout of Keras.

  Raises:
    errors.UserError: if it is missing, damaged, or holds something else.
  """
  keys = ('x_train', 'y_train', 'x_test', 'y_test')
  arrays = npz.read_npz(path, required=keys)
  return _checked(path, *(arrays[key] for key in keys))


def load_idx(folder: str) -> digits_lib.Digits:
  """Returns the digits in a folder with four IDX files, or these gzipped.

  Raises:
    errors.UserError: if one is missing, damaged, or something else.
  """
  return _checked(
      folder, _read_idx(folder, 'train-images', rank=3),
      _read_idx(folder, 'train-labels', rank=1),
      _read_idx(folder, 't10k-images', rank=3),
      _read_idx(folder, 't10k-labels', rank=1))


def _checked(source, x_train, y_train, x_test, y_test) -> digits_lib.Digits:
  """Returns `Digits`, or raises `UserError` naming the array that is wrong."""
  for split, images, labels in (
      ('train', x_train, y_train), ('test', x_test, y_test)):
    npz.require(images.dtype == np.uint8 and images.shape[1:] == (28, 28)
                and len(images), source, f'{split} images',
                npz.describe(images), 'uint8 [D, 28, 28], at least one')
    npz.require(images.max() != 1, source, f'{split} images',
                'uint8 from 0 to 1, all but black',
                'uint8 in 0...255; multiply by 255')
    npz.require(np.issubdtype(labels.dtype, np.integer)
                and labels.shape == images.shape[:1], source,
                f'{split} labels', npz.describe(labels),
                f'integers [{len(images)}], one an image')
    npz.require(labels.min() >= 0 and labels.max() < 2**31, source,
                f'{split} labels', f'from {labels.min()} to {labels.max()}',
                '0 ... 2**31 - 1')
  _warn(source, x_train, x_test)
  return digits_lib.Digits(x_train, y_train.astype(np.int32),
                           x_test, y_test.astype(np.int32))


def _warn(source: str, train: np.ndarray, test: np.ndarray) -> None:
  """Warns of digits that are hardly meant to be these."""
  suspicions = [
      *plausibility.image_suspicions('train images', train),
      *plausibility.image_suspicions('test images', test)]
  share = plausibility.share_of_copies(test, train)
  if share:
    suspicions.append(f'{share:.0%} of the test images are training images too')
  plausibility.warn(source, suspicions)


def _read_idx(folder: str, name: str, rank: int) -> np.ndarray:
  """Returns the uint8 array of `rank` axes in the IDX file `name` of `folder`.

  The format: two zero bytes, 8 for unsigned bytes, the number of axes; then the
  axes' sizes as big-endian 32-bit integers; then the bytes, last axis fastest.
  """
  path = _idx_path(folder, name, rank)
  try:
    with open(path, 'rb') as raw:
      gzipped = raw.read(2) == b'\x1f\x8b'
      raw.seek(0)
      return _idx_array(path, gzip.GzipFile(fileobj=raw) if gzipped else raw,
                        rank)
  except (OSError, EOFError, zlib.error) as error:
    raise errors.UserError(
        f'{path}: cannot be read ({errors.one_line(error)}); fetch it again.'
    ) from error


def _idx_array(path: str, file: BinaryIO, rank: int) -> np.ndarray:
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


def _idx_path(folder: str, name: str, rank: int) -> str:
  names = [f'{name}{mark}idx{rank}-ubyte{end}'
           for mark in '-.' for end in ('', '.gz')]
  for path in (os.path.join(folder, name) for name in names):
    if os.path.isfile(path):
      return path
  raise errors.UserError(
      f'--digits={folder}: holds no {name} file; expected one of '
      f'{", ".join(names)}.')

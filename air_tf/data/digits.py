"""Single objects for composed scenes, digits and others, by their source.

The sources are described in data/README.md. All objects are called digits.

Shapes: D digit images of 28 x 28 pixels.
"""

import gzip
import math
import os
import struct
from typing import BinaryIO
from typing import NamedTuple
import zlib

import numpy as np
from PIL import Image

from air_tf import errors
from air_tf.data import npz
from air_tf.data import omniglot
from air_tf.data import plausibility
from air_tf.data import sprites
from air_tf.data import untrusted

__all__ = ['Digits', 'load']

_NUM_EMBEDDED_TEST = 360  # A fifth of the 1,797, rounded up.
_NUM_SPRITES, _NUM_TEST_SPRITES = 6_000, 1_000  # The first ones are for tests.


class Digits(NamedTuple):
  """Single digits, ink bright on black, split so that no image is in both."""
  train_images: np.ndarray  # [D, 28, 28], or [D, 28, 28, 3] in colour; uint8.
  train_labels: np.ndarray  # [D] int32.
  test_images: np.ndarray   # [D', 28, 28], or [D', 28, 28, 3]; uint8.
  test_labels: np.ndarray   # [D'] int32.


def load(source: str) -> Digits:
  """Returns the digits that `--digits=source` names.

  Args:
    source: 'embedded' (scikit-learn's handwriting), 'mnist' (by keras.datasets,
      downloaded once), 'sprites' (coloured shapes, made here), or the path of
      an `mnist.npz` in the Keras layout, or of a folder with the four IDX files
      or with Omniglot's two zip files.

  Raises:
    errors.UserError: if there is no such source, or its files are damaged.
  """
  if source == 'embedded':
    return _embedded_digits()
  if source == 'mnist':
    return _downloaded_digits()
  if source == 'sprites':
    return _sprites()
  if os.path.isdir(source) and omniglot.holds(source):
    return _omniglot(source)
  if os.path.isdir(source):
    return _checked_digits(
        source, _read_idx(source, 'train-images', rank=3),
        _read_idx(source, 'train-labels', rank=1),
        _read_idx(source, 't10k-images', rank=3),
        _read_idx(source, 't10k-labels', rank=1))
  if source.endswith('.zip'):
    raise errors.UserError(
        f'--digits={source}: a zip file; expected the folder that holds '
        f"Omniglot's {omniglot.TRAIN} and {omniglot.TEST}.")
  if os.path.exists(source):
    untrusted.check_file(source, 'an `mnist.npz`, or a folder')
    keys = ('x_train', 'y_train', 'x_test', 'y_test')  # The Keras layout.
    arrays = npz.read_npz(source, required=keys)
    return _checked_digits(source, *(arrays[key] for key in keys))
  raise errors.UserError(
      f"--digits={source}: no such file or folder; expected 'embedded', "
      "'mnist', 'sprites', an `mnist.npz`, or a folder with the four IDX files "
      "or with Omniglot's two zip files.")


def _embedded_digits() -> Digits:
  from sklearn import datasets as sklearn_datasets  # A second to import.
  bunch = sklearn_datasets.load_digits()
  images = np.zeros([len(bunch.images), 28, 28], np.uint8)
  images[:, 4:24, 4:24] = [_enlarged(image) for image in bunch.images]
  labels = bunch.target.astype(np.int32)
  # RandomState: numpy has frozen its stream, so the split holds for good.
  order = np.random.RandomState(0).permutation(len(images))
  test, train = np.split(order, [_NUM_EMBEDDED_TEST])
  return Digits(images[train], labels[train], images[test], labels[test])


def _enlarged(image: np.ndarray) -> np.ndarray:
  """Returns [20, 20] uint8, MNIST's size of a digit, from [8, 8] in 0...16."""
  large = np.asarray(Image.fromarray(image.astype(np.float32)).resize(
      (20, 20), Image.Resampling.BICUBIC))
  # Fainter than one grey level of the original is the filter's, not the pen's;
  # left in, it would widen the box around the ink.
  large = np.where(large < 1., 0., np.minimum(large, 16.))
  return np.round(large * (255. / 16.)).astype(np.uint8)


def _sprites() -> Digits:
  images, labels = sprites.make(_NUM_SPRITES, seed=0)
  test, train = np.split(np.arange(_NUM_SPRITES), [_NUM_TEST_SPRITES])
  return Digits(images[train], labels[train], images[test], labels[test])


def _omniglot(folder: str) -> Digits:
  train_images, train_labels = omniglot.read(
      os.path.join(folder, omniglot.TRAIN))
  test_images, test_labels = omniglot.read(os.path.join(folder, omniglot.TEST))
  # Other characters than in training, so other labels too.
  test_labels = test_labels + train_labels.max() + 1
  return Digits(train_images, train_labels, test_images, test_labels)


def _downloaded_digits() -> Digits:
  try:
    import keras  # Only here: it brings all of TensorFlow.
    (x_train, y_train), (x_test, y_test) = keras.datasets.mnist.load_data()
  except Exception as error:  # Keras raises a bare `Exception`.
    raise errors.UserError(
        f'--digits=mnist: cannot be downloaded ({errors.one_line(error)}); '
        'give the path of an `mnist.npz` or of a folder with the four IDX '
        'files, or --digits=embedded.') from error
  return _checked_digits('--digits=mnist', x_train, y_train, x_test, y_test)


def _checked_digits(source, x_train, y_train, x_test, y_test) -> Digits:
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
  return Digits(x_train, y_train.astype(np.int32),
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

"""MNIST and what is laid out like it: by Keras, .npz, or four IDX files.

Shapes: D digit images of 28 x 28 pixels.
"""

import numpy as np

from air_tf import errors
from air_tf.data import digits as digits_lib
from air_tf.data import idx
from air_tf.data import npz
from air_tf.data import plausibility

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


def load_idx(path: str) -> digits_lib.Digits:
  """Returns the digits in four IDX files, or these gzipped.

  Args:
    path: of a folder with them, under MNIST's or EMNIST's names; of a folder in
      torchvision's layout, as `data` with `data/MNIST/raw`; of any of the four
      files, which tells EMNIST's splits apart.

  Returns:
    The digits; EMNIST's images, which are stored on their side, upright.

  Raises:
    errors.UserError: if a file is missing, damaged, or something else.
  """
  return _checked(path, *idx.read_set(path))


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

"""Omniglot's two zip files: handwritten characters of fifty alphabets.

What is in them is described in data/README.md.

Shapes: D characters of 28 x 28 pixels.
"""

import io
import os
import warnings
import zipfile

import numpy as np
from PIL import Image

from air_tf import errors
from air_tf.data import digits as digits_lib
from air_tf.data import npz
from air_tf.data import untrusted

__all__ = ['TEST', 'TRAIN', 'load', 'read']

TRAIN, TEST = 'images_background.zip', 'images_evaluation.zip'
_SIZE = (105, 105)  # Of an image in the zip files, pixels.
_MAX_BYTES = 1 << 16  # Of an image file: those of Omniglot take 300 at most.
_SIDE = 28  # Of MNIST's frame, so that --digit_scale means the same.


def load(folder: str) -> digits_lib.Digits:
  """Returns the characters in a folder with both files.

  Raises:
    errors.UserError: if one is missing, damaged, or another.
  """
  if os.path.isfile(folder):
    raise errors.UserError(
        f'--digits={folder}: found a zip file; expected the folder that holds '
        f'{TRAIN} and {TEST} of Omniglot.')
  train_images, train_labels = read(os.path.join(folder, TRAIN))
  test_images, test_labels = read(os.path.join(folder, TEST))
  # Other characters than in training, so other labels too.
  test_labels = test_labels + train_labels.max() + 1
  return digits_lib.Digits(
      train_images, train_labels, test_images, test_labels)


def read(path: str) -> tuple[np.ndarray, np.ndarray]:
  """Returns the characters in one of the zip files, and which they are.

  Shrunk to 28 x 28, bright on black, the brightest pixel of each white: a pen's
  stroke, three pixels of 105 wide, would be grey otherwise.

  Returns:
    Images uint8 [D, 28, 28]; labels int32 [D], the number of the folder that
    the image is in, in the order of their names.

  Raises:
    errors.UserError: if the file is missing, damaged, or another.
  """
  untrusted.check_file(path, f'{TRAIN} and {TEST} in one folder')
  try:
    with zipfile.ZipFile(path) as archive:
      names = sorted(x for x in archive.namelist() if x.endswith('.png')
                     and not x.startswith('__MACOSX/'))
      npz.require(names, path, 'characters', 'no .png file',
                    'one at least, as alphabet/character/image.png')
      images = np.stack([
          _character(path, name, _member(path, archive, name))
          for name in names])
  except errors.UserError:
    raise
  except Exception as error:  # Damaged bytes raise nearly anything.
    raise errors.UserError(
        f'{path}: not a zip file of Omniglot, or damaged '
        f'({errors.one_line(error)}); fetch it again.') from error
  _, labels = np.unique(
      [os.path.dirname(name) for name in names], return_inverse=True)
  return images, labels.astype(np.int32)


def _member(path: str, archive: zipfile.ZipFile, name: str) -> bytes:
  """Returns the bytes of an image file, if they are as few as they should be.

  Opened by its name, a member is read up to the size that the archive states.
  """
  entry = archive.getinfo(name)
  untrusted.check_member(path, archive, entry)
  npz.require(entry.file_size <= _MAX_BYTES, path, untrusted.printable(name),
              f'{entry.file_size:,} bytes', f'at most {_MAX_BYTES:,}')
  return archive.read(entry)


def _character(path: str, name: str, data: bytes) -> np.ndarray:
  """Returns [28, 28] from the bytes of a PNG file, black ink on white."""
  name = untrusted.printable(name)
  with warnings.catch_warnings():
    # Its size is compared below, before a pixel is decoded.
    warnings.simplefilter('ignore')
    picture = Image.open(io.BytesIO(data), formats=['PNG'])
  with picture:
    npz.require(
        picture.size == _SIZE and picture.mode in ('1', 'L'), path, name,
        f'{picture.size[1]} x {picture.size[0]} pixels, {picture.mode}',
        f'{_SIZE[1]} x {_SIZE[0]}, black and white')
    ink = Image.fromarray(255 - np.asarray(picture.convert('L')))
  small = np.asarray(ink.resize((_SIDE, _SIDE), Image.Resampling.BILINEAR))
  npz.require(small.any(), path, name, 'no ink', 'black ink on white')
  return np.round(small * (255. / small.max())).astype(np.uint8)

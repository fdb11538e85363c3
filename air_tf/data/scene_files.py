"""Scene files: scenes in an .npz archive, written whole and read with care.

The format is described in data/README.md.

Shapes: N scenes of H x W pixels, grey or of 3 channels, with at most M objects
each.
"""

import numpy as np

from air_tf import files
from air_tf.data import npz
from air_tf.data import scenes as scenes_lib

__all__ = ['read', 'write']


def read(path: str) -> scenes_lib.Scenes:
  """Returns the scenes in the scene file `path`, checked.

  Images may also be floats in 0...1; they come back as uint8. They may come
  back as a `np.memmap`; see `npz.read_npz`.

  Raises:
    errors.UserError: if the file is missing, damaged, or not a scene file; the
      text names the file, the key, what was found and what is wanted.
  """
  optional = ('counts', 'boxes', 'labels')
  arrays = npz.read_npz(path, required=('images',), optional=optional)
  images = _checked_images(path, arrays['images'])
  counts, boxes, labels = (arrays.get(key) for key in optional)
  if counts is not None:
    counts = _checked_integers(path, 'counts', counts, [len(images)], lower=0)
  if boxes is not None:
    npz.require(np.issubdtype(boxes.dtype, np.floating) and boxes.ndim == 3
                  and boxes.shape[::2] == (len(images), 4), path, 'boxes',
                  npz.describe(boxes), f'float32 [{len(images)}, M, 4]')
    boxes = boxes.astype(np.float32)
    _check_padding(path, 'boxes', ~np.isnan(boxes).any(axis=2), counts, 'NaN')
  if labels is not None:
    slots = 'M' if boxes is None else boxes.shape[1]
    labels = _checked_integers(
        path, 'labels', labels, [len(images), slots], lower=-1)
    _check_padding(path, 'labels', labels >= 0, counts, '-1')
  return scenes_lib.Scenes(images, counts, boxes, labels)


def write(path: str, scenes: scenes_lib.Scenes) -> None:
  """Writes a scene file, whole or not at all; makes its folder.

  Raises:
    errors.UserError: if it cannot be written.
  """
  files.write_npz(path, {
      key: array for key, array in scenes._asdict().items()
      if array is not None})


def _checked_images(path: str, images: np.ndarray) -> np.ndarray:
  """Returns uint8 [N, H, W] or [N, H, W, 3], or raises `UserError`."""
  found = npz.describe(images)
  wanted = 'uint8 [N, H, W] or [N, H, W, 3], 0...255'
  npz.require(images.ndim == 3 or (images.ndim == 4 and images.shape[3] == 3),
                path, 'images', found, wanted)
  npz.require(images.size, path, 'images', found, 'at least one image')
  npz.require(images.shape[1] == images.shape[2], path, 'images', found,
                'H = W: images must be square; pad them with black')
  floats = np.issubdtype(images.dtype, np.floating)
  npz.require(floats or images.dtype == np.uint8, path, 'images', found,
                f'{wanted}, or floats in 0...1')
  npz.require(not (floats and isinstance(images, np.memmap)), path, 'images',
                found, f'{wanted}: so large a file is not read into memory')
  low, high = images.min(), images.max()
  if floats:  # Not `not (low < 0 or high > 1)`: NaN has to fail.
    npz.require(low >= 0 and high <= 1, path, 'images',
                  f'{images.dtype} from {low:g} to {high:g}',
                  'floats in 0...1, or uint8 in 0...255; divide by the largest '
                  'value that a pixel can have')
    return np.round(images * np.float32(255)).astype(np.uint8)
  npz.require(high != 1, path, 'images', 'uint8 from 0 to 1, all but black',
                'uint8 in 0...255; multiply by 255')
  return images


def _checked_integers(path, key, array, shape, lower: int) -> np.ndarray:
  """Returns `array` as int32 of `shape` ('M' fits any size), or raises."""
  fits = array.ndim == len(shape) and all(
      want in ('M', size) for size, want in zip(array.shape, shape, strict=True)
  )
  npz.require(fits and np.issubdtype(array.dtype, np.integer), path, key,
                npz.describe(array), f'int32 [{", ".join(map(str, shape))}]')
  npz.require(
      not array.size or (array.min() >= lower and array.max() < 2**31),
      path, key, 'numbers out of range', f'{lower} ... 2**31 - 1')
  return array.astype(np.int32)


def _check_padding(path, key, present, counts, padding: str) -> None:
  """Raises if `present` [N, M] does not have `counts` [N] rows each."""
  if counts is None:
    return
  wrong = np.flatnonzero(present.sum(axis=1) != counts)
  if wrong.size:
    index = wrong[0]
    npz.require(False, path, key,
                  f'{present[index].sum()} objects in scene {index}',
                  f'{counts[index]}, as in `counts`, and the rest {padding}')

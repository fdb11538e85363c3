"""Scene files: scenes in an .npz archive, written whole and read with care.

The format is described in data/README.md.

Shapes: N scenes of H x W pixels, grey or of 3 channels, with at most M objects
each.
"""

import numpy as np

from air_tf import files
from air_tf.data import masks as masks_lib
from air_tf.data import npz
from air_tf.data import scenes as scenes_lib
from air_tf.data import stacks
from air_tf.data import untrusted
from air_tf.data import value_range as value_range_lib

__all__ = ['PUBLISHED', 'read', 'write']

_BOX = '(y, x, height, width) in pixels'
# Suffixes of files that `published` reads.
PUBLISHED = '.tfrecord', '.tfrecords', '.h5', '.hdf5'
_LARGEST = 10  # A box may reach beyond the image, by so many of its sides.


def read(path: str, value_range: value_range_lib.ValueRange
         = value_range_lib.BY_TYPE, side: int = 128) -> scenes_lib.Scenes:
  """Returns the scenes in the scene file `path`, checked.

  What cannot be is refused; what is only unlikely is for `plausibility`.
  Of published sets (TFRecords, HDF5) these are the first scenes, see
  `published.read`. Images may be of any layout and type that `stacks` knows;
  they come back as uint8, and perhaps as a `np.memmap`; see `npz.read_npz`.

  Args:
    path: of the file.
    value_range: which of its values become black and white.
    side: of CLEVR's images, as for `published.read`.

  Raises:
    errors.UserError: if the file is missing, damaged, or not a scene file; the
      text names the file, the key, what was found and what is expected.
  """
  if path.lower().endswith(PUBLISHED):
    from air_tf.data import published  # It takes TensorFlow.
    return published.read(path, side=side)
  optional = ('counts', 'boxes', 'labels', 'masks')
  arrays = npz.read_npz(path, required=('images',), optional=optional)
  images = _checked_images(path, arrays['images'], value_range)
  counts, boxes, labels, masks = (arrays.get(key) for key in optional)
  if counts is not None:
    counts = _checked_counts(path, counts, images)
  if boxes is not None:
    boxes = _checked_boxes(path, boxes, images)
    _check_padding(path, 'boxes', ~np.isnan(boxes[..., 0]), counts, 'NaN')
  if labels is not None:
    labels = _checked_labels(path, labels, boxes, counts, len(images))
  scenes = scenes_lib.Scenes(images, counts, boxes, labels)
  if masks is not None:
    scenes = scenes._replace(masks=_checked_masks(path, masks, scenes))
  return scenes


def write(path: str, scenes: scenes_lib.Scenes) -> None:
  """Writes a scene file, whole or not at all; makes its folder.

  Raises:
    errors.UserError: if it cannot be written.
  """
  files.write_npz(path, {
      key: array for key, array in scenes._asdict().items()
      if array is not None})


def _checked_images(path: str, images: np.ndarray,
                    value_range: value_range_lib.ValueRange) -> np.ndarray:
  """Returns uint8 [N, H, W] or [N, H, W, 3], or raises `UserError`."""
  found = npz.describe(images)
  layout = stacks.layout(images.shape, images.dtype)
  npz.require(layout, path, 'images', found, stacks.EXPECTED)
  identity = value_range.is_identity(images.dtype)
  npz.require(not isinstance(images, np.memmap) or identity, path, 'images',
              found, 'uint8 whose values are kept (--range=0,255, no --invert '
              'nor --contrast): so large a file is not read into memory')
  images = layout.images(images)
  npz.require(images.shape[1] == images.shape[2], path, 'images', found,
              'H = W: images must be square; pad them with black')
  npz.require(images.dtype != np.uint8 or value_range.low is not None
              or images.max() != 1, path, 'images',
              'uint8 from 0 to 1, all but black',
              'uint8 in 0...255; multiply by 255, or give --range=0,1')
  return images if identity else value_range.apply_all(
      images, f'{untrusted.printable(path)}: images')


def _checked_counts(path, counts: np.ndarray, images: np.ndarray) -> np.ndarray:
  """Returns int32 [N], or raises."""
  counts = _checked_integers(path, 'counts', counts, [len(images)], lower=0)
  pixels = images.shape[1] * images.shape[2]
  npz.require(counts.max() <= pixels, path, 'counts',
              f'{counts.max():,} objects in scene {counts.argmax()}',
              f'at most {pixels:,}, its pixels')
  return counts


def _checked_boxes(path, boxes: np.ndarray, images: np.ndarray) -> np.ndarray:
  """Returns float32 [N, M, 4], rows of boxes or of NaN, or raises."""
  num_scenes, height, width = images.shape[:3]
  npz.require(np.issubdtype(boxes.dtype, np.floating) and boxes.ndim == 3
              and boxes.shape[::2] == (num_scenes, 4), path, 'boxes',
              npz.describe(boxes), f'float32 [{num_scenes}, M, 4]')
  missing = np.isnan(boxes)
  with np.errstate(over='ignore'):  # Becomes infinite, and is refused.
    boxes = boxes.astype(np.float32)
  y, x, h, w = np.moveaxis(np.where(missing, 1., boxes), -1, 0)
  infinite = np.isinf(boxes).any(axis=2)
  for wrong, expected in (
      (missing.any(axis=2) & ~missing.all(axis=2),
       f'{_BOX}, or four times NaN in a row without an object'),
      (infinite, f'{_BOX}, all finite'),
      (~missing.all(axis=2) & ((h <= 0.) | (w <= 0.)),
       f'{_BOX}, the last two above 0; and NaN in rows without an object'),
      (~missing.all(axis=2) & (
          (y >= height) | (x >= width) | (y + h <= 0.) | (x + w <= 0.)),
       f'{_BOX}, some part of it inside the {height} x {width} image'),
      (~missing.all(axis=2) & (
          (h > _LARGEST * height) | (w > _LARGEST * width)),
       f'{_BOX}, no more than {_LARGEST} times the {height} x {width} image')):
    _refuse_first(path, boxes, wrong, expected)
  return boxes


def _refuse_first(path, boxes, wrong: np.ndarray, expected: str) -> None:
  """Raises about the first box of which `wrong` [N, M] is true, if any."""
  if wrong.any():
    scene, row = np.argwhere(wrong)[0]
    values = ', '.join(f'{x:g}' for x in boxes[scene, row])
    npz.require(False, path, 'boxes', f'({values}) in row {row} of scene '
                f'{scene}, the first of {wrong.sum():,} such boxes', expected)


def _checked_labels(path, labels, boxes, counts, num_scenes) -> np.ndarray:
  """Returns int32 [N, M], -1 where there is no object, or raises."""
  slots = 'M' if boxes is None else boxes.shape[1]
  labels = _checked_integers(
      path, 'labels', labels, [num_scenes, slots], lower=-1)
  _check_padding(path, 'labels', labels >= 0, counts, '-1')
  if boxes is not None:
    wrong = (labels >= 0) != ~np.isnan(boxes[..., 0])
    if wrong.any():
      scene, row = np.argwhere(wrong)[0]
      npz.require(False, path, 'labels',
                  f'{labels[scene, row]} in row {row} of scene {scene}',
                  'labels in the order of `boxes`, and -1 just where these are '
                  'NaN')
  return labels


def _checked_masks(path, masks: np.ndarray,
                   scenes: scenes_lib.Scenes) -> np.ndarray:
  """Returns uint8 [N, H, W], or raises."""
  shape = scenes.images.shape[:3]
  npz.require(np.issubdtype(masks.dtype, np.integer) and masks.shape == shape,
              path, 'masks', npz.describe(masks), f'uint8 {list(shape)}')
  npz.require(masks.min() >= 0 and masks.max() <= masks_lib.MOST, path, 'masks',
              f'numbers out of range, from {masks.min()} to {masks.max()}',
              f'0 ... {masks_lib.MOST}')
  masks = masks.astype(np.uint8, copy=False)
  for scene, mask in enumerate(masks):
    allowed = np.zeros(masks_lib.MOST + 1, bool)
    allowed[0] = True
    allowed[1:][_rows_of_objects(scenes, scene)] = True
    wrong = mask[~allowed[mask]]
    npz.require(not wrong.size, path, 'masks',
                f'{wrong[:1].sum()} in scene {scene}, which has no such object',
                '0 on the ground, and k on the object of row k - 1 in `boxes` '
                'and `labels`, at most `counts`')
  return masks


def _rows_of_objects(scenes: scenes_lib.Scenes, scene: int) -> np.ndarray:
  """Returns the rows below 255 where a scene can have objects."""
  rows = np.arange(masks_lib.MOST)
  if scenes.boxes is not None:
    rows = np.flatnonzero(~np.isnan(scenes.boxes[scene, :, 0]))
  elif scenes.labels is not None:
    rows = np.flatnonzero(scenes.labels[scene] >= 0)
  elif scenes.counts is not None:
    rows = rows[:scenes.counts[scene]]
  return rows[rows < masks_lib.MOST]


def _checked_integers(path, key, array, shape, lower: int) -> np.ndarray:
  """Returns `array` as int32 of `shape` ('M' fits any size), or raises."""
  fits = array.ndim == len(shape) and all(
      expected in ('M', size)
      for size, expected in zip(array.shape, shape, strict=True))
  npz.require(fits and np.issubdtype(array.dtype, np.integer), path, key,
              npz.describe(array), f'int32 [{", ".join(map(str, shape))}]')
  if array.size:
    low, high = array.min(), array.max()
    npz.require(low >= lower and high < 2**31, path, key,
                f'numbers out of range, from {low} to {high}',
                f'{lower} ... 2**31 - 1')
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

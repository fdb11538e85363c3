"""Published sets of scenes with masks: Multi-dSprites, Tetrominoes, CLEVR.

Read as they are distributed: TFRecords of google-deepmind/
multi_object_datasets, HDF5 of addtt/object-centric-library.

Letters: `N` scenes of `[H, W]` pixels, at most `M` objects in each.
"""

from collections.abc import Iterator
import math
import pathlib

import numpy as np
from scipy import ndimage
import tensorflow as tf

from air_tf import errors
from air_tf import progress
from air_tf.data import hdf5
from air_tf.data import masks as masks_lib
from air_tf.data import scene_files
from air_tf.data import scenes as scenes_lib
from air_tf.data import tfrecords
from air_tf.data import untrusted

__all__ = ['EVALUATED', 'hold_out', 'knows', 'read']

EVALUATED = 320  # Scenes that published results are of.
_READERS = {'.tfrecord': tfrecords.stream, '.tfrecords': tfrecords.stream,
            '.h5': hdf5.stream, '.hdf5': hdf5.stream}
assert set(_READERS) == set(scene_files.PUBLISHED)
# Of CLEVR's 240 x 320 pixels: rows and columns that IODINE and others take.
_CLEVR, _CROP = (240, 320), (slice(29, 221), slice(64, 256))


def knows(path: str) -> bool:
  """Whether the name of a file is that of a published set."""
  return pathlib.Path(path).suffix.lower() in _READERS


def read(path: str, num_scenes: int = EVALUATED, side: int = 128,
         max_objects: int = 0) -> scenes_lib.Scenes:
  """Returns the first scenes of a file, with counts, boxes and masks.

  An object counts if any pixel of it is visible; boxes are around what is.

  Args:
    path: of the file.
    num_scenes: N, at most; those left out do not count.
    side: of CLEVR's images: the usual crop of 192 x 192 pixels is resized to so
      many (bilinear, masks by the nearest pixel). Others keep their size.
    max_objects: scenes of more are left out, before they are cropped; 0 keeps
      all.

  Raises:
    errors.UserError: if the file is missing or damaged, holds no such scenes,
      or so many do not fit into memory.
  """
  untrusted.check_file(path, 'TFRecords or HDF5 of scenes')
  try:
    stream = _READERS[pathlib.Path(path).suffix.lower()](path)
    shape = (side, side, 3) if stream.shape[:2] == _CLEVR else stream.shape
    untrusted.require(shape[0] == shape[1], path, 'image',
                      f'{shape[0]} x {shape[1]} pixels', 'square images')
    images, masks = _arrays(path, num_scenes, shape)
    number = 0
    for image, mask in _kept(stream, side, max_objects):
      images[number], masks[number] = image, mask
      number += 1
      if number == num_scenes:
        break
  except errors.UserError:
    raise
  except Exception as error:  # Of TensorFlow, protobuf or HDF5.
    raise errors.UserError(
        f'{untrusted.printable(path)}: no TFRecords or HDF5 of scenes, or '
        f'damaged ({errors.one_line(error)}); fetch it again.') from error
  untrusted.require(number, path, 'scenes',
                    f'none of at most --max_objects={max_objects}', 'some')
  images, masks = images[:number], masks[:number]
  progress.status(
      f'{untrusted.printable(path)}: {number:,} scenes of {shape[0]} x '
      f'{shape[1]} pixels, {(images.nbytes + masks.nbytes) / 2**20:,.0f} MiB.')
  return _described(images, masks)


def hold_out(scenes: scenes_lib.Scenes, num_train: int
             ) -> tuple[scenes_lib.Scenes, scenes_lib.Scenes]:
  """Returns (training, held-out): the first 320 are held out.

  Training scenes come without masks, which only evaluation needs.

  Args:
    scenes: the first of a set.
    num_train: how many are to be trained on. If there are not so many beside
      320, a tenth is held out, and at most 320.
  """
  number = EVALUATED
  if len(scenes.images) < num_train + EVALUATED:
    number = min(EVALUATED, max(1, len(scenes.images) // 10))
  test = scenes.select(slice(number))
  train = scenes._replace(masks=None).select(slice(number, None))
  return train, test._replace(masks=test.masks.copy())


def _arrays(path: str, number: int, shape: tuple[int, int, int]
            ) -> tuple[np.ndarray, np.ndarray]:
  """Returns empty images `[N, H, W]` or `[N, H, W, 3]`, and empty masks."""
  size = [number, *(shape if shape[2] == 3 else shape[:2])]
  untrusted.check_memory(
      math.prod(size) + number * shape[0] * shape[1], path, 'image',
      f'up to {number:,} scenes (--num_train_scenes) of {list(shape)}')
  return np.empty(size, np.uint8), np.empty(size[:3], np.uint8)


def _kept(stream: tfrecords.Stream, side: int, max_objects: int
          ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
  """Yields images `[H, W]` or `[H, W, 3]` and their masks `[H, W]`."""
  dataset = stream.dataset
  if max_objects:
    dataset = dataset.filter(lambda image, mask: tf.size(tf.unique(
        tf.boolean_mask(mask, mask >= stream.grounds)).y) <= max_objects)
  if stream.shape[:2] == _CLEVR:
    dataset = dataset.map(lambda image, mask: _cropped(image, mask, side),
                          tf.data.AUTOTUNE)
  for image, mask in dataset.as_numpy_iterator():
    objects = np.unique(mask)
    objects = objects[objects >= stream.grounds].astype(np.int64)
    yield (image if image.shape[2] == 3 else image[..., 0],
           masks_lib.relabel(mask, objects - 1))


def _cropped(image: tf.Tensor, mask: tf.Tensor, side: int
             ) -> tuple[tf.Tensor, tf.Tensor]:
  """Returns the usual part of one of CLEVR's images, and of its mask."""
  image = tf.image.resize(image[_CROP], [side, side])
  mask = tf.image.resize(mask[_CROP][..., tf.newaxis], [side, side], 'nearest')
  return tf.cast(tf.round(image), tf.uint8), mask[..., 0]


def _described(images: np.ndarray, masks: np.ndarray) -> scenes_lib.Scenes:
  """Returns scenes with what masks say of counts and boxes."""
  counts = masks.max(axis=(1, 2)).astype(np.int32)
  boxes = np.full([len(masks), max(1, counts.max()), 4], np.nan, np.float32)
  for n, mask in enumerate(masks):
    for k, (rows, columns) in enumerate(ndimage.find_objects(mask)):
      boxes[n, k] = (rows.start, columns.start, rows.stop - rows.start,
                     columns.stop - columns.start)
  return scenes_lib.Scenes(images, counts, boxes, None, masks)

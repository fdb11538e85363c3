"""Scenes in the TFRecords of google-deepmind/multi_object_datasets, streamed.

A record is a `tf.train.Example`: `image` and `mask` are lists of bytes, one for
each value, and there are properties of the objects, which are not read.

Letters: `[H, W, C]` image, `K` masks of a scene, those of the ground included.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from air_tf.data import examples
from air_tf.data import untrusted

__all__ = ['Stream', 'stream']

# Of the images in the published files, by the number of their values.
_SHAPES = {64 * 64: (64, 64, 1),           # Multi-dSprites, binarized.
           64 * 64 * 3: (64, 64, 3),       # Multi-dSprites, Objects Room.
           35 * 35 * 3: (35, 35, 3),       # Tetrominoes.
           240 * 320 * 3: (240, 320, 3)}   # CLEVR.
_GROUNDS_OF_A_ROOM = 4  # Sky, floor and two walls come first; else one mask.


class Stream(NamedTuple):
  """Scenes of a file, one at a time, in its order."""
  shape: tuple[int, int, int]  # [H, W, C].
  grounds: int                 # The first masks, which are of no object.
  # Pairs of uint8 [H, W, C] and uint8 [H, W], from 0 to K - 1.
  dataset: tf.data.Dataset


def stream(path: str) -> Stream:
  """Opens a file of TFRecords, gzipped or not; reads its first record.

  Args:
    path: of the file.

  Raises:
    errors.UserError: if it holds no such scenes.
    ValueError: if the first record is no `tf.train.Example`.
    tf.errors.OpError: if the file is damaged; `dataset` may raise it, too.
  """
  with open(path, 'rb') as file:
    zipped = file.read(2) == b'\x1f\x8b'
  records = tf.data.TFRecordDataset(path, 'GZIP' if zipped else '')
  first = next(iter(records.take(1).as_numpy_iterator()), None)
  untrusted.require(first is not None, path, 'records', 'none', 'at least one')
  features = examples.lists_of_bytes(first)
  shape = _shape(path, features)
  # Multi-dSprites, which has orientations of objects, is [H, W, K], all others
  # are [K, H, W].
  axis = 2 if 'orientation' in features else 0

  def decode(record: bytes) -> tuple[np.ndarray, np.ndarray]:
    values = examples.lists_of_bytes(record)
    mask = values['mask'].reshape(
        [*shape[:2], -1] if axis else [-1, *shape[:2]])
    return values['image'].reshape(shape), mask.argmax(axis).astype(np.uint8)

  def shaped(record: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    image, mask = tf.numpy_function(decode, [record], [tf.uint8, tf.uint8])
    return tf.ensure_shape(image, shape), tf.ensure_shape(mask, shape[:2])

  return Stream(
      shape, 1 if 'visibility' in features else _GROUNDS_OF_A_ROOM,
      records.map(shaped, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE))


def _shape(path: str, features: dict[str, np.ndarray]) -> tuple[int, int, int]:
  """Returns [H, W, C] of the images of a file, of which these are the first."""
  for key in ('image', 'mask'):
    untrusted.require(
        len(features.get(key, ())), path, key, 'only ' + ', '.join(
            sorted(map(untrusted.printable, features))),
        'a list of bytes, as in google-deepmind/multi_object_datasets')
  size, mask_size = len(features['image']), len(features['mask'])
  untrusted.require(size in _SHAPES, path, 'image', f'{size:,} bytes',
                    ' or '.join(f'{n:,}' for n in _SHAPES))
  height, width, _ = _SHAPES[size]
  untrusted.require(
      mask_size % (height * width) == 0, path, 'mask', f'{mask_size:,} bytes',
      f'a multiple of {height} x {width}')
  return _SHAPES[size]

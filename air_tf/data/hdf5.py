"""Scenes in the HDF5 files of addtt/object-centric-library, streamed.

They hold `image` uint8 [N, H, W, C] and `mask` [N, H, W, 1], whose each pixel
is, and properties of the objects, which are not read.

Letters: `N` scenes, `[H, W, C]` image, `K` masks of a scene.
"""

from collections.abc import Iterator
import os

import h5py
import numpy as np
import tensorflow as tf

from air_tf.data import npz
from air_tf.data import tfrecords
from air_tf.data import untrusted

__all__ = ['stream']

_GROUNDS = {'objects_room': 4}  # By a part of the name of a file; else 1.
_CHUNK = 64  # Scenes that are read at a time.


def stream(path: str) -> tfrecords.Stream:
  """Opens a file and checks what it says of its arrays.

  Args:
    path: of the file.

  Raises:
    errors.UserError: if it holds no such scenes.
    OSError: if it is damaged; `dataset` may raise it, as another error.
  """
  with h5py.File(path, 'r') as file:
    image, mask = (_array(path, file, key) for key in ('image', 'mask'))
    shape = image.shape[1:]
    untrusted.require(
        image.dtype == np.uint8 and image.ndim == 4 and shape[2] in (1, 3)
        and len(image), path, 'image', npz.describe(image),
        'uint8 [N, H, W, 3] or [N, H, W, 1]')
    untrusted.require(
        mask.dtype.kind in 'iu' and mask.shape == (*image.shape[:3], 1), path,
        'mask', npz.describe(mask), f'uint8 {[*image.shape[:3], 1]}')
  name = os.path.basename(path)
  dataset = tf.data.Dataset.from_generator(
      lambda: _chunks(path), output_signature=(
          tf.TensorSpec([None, *shape], tf.uint8),
          tf.TensorSpec([None, *shape[:2]], tf.uint8)))
  return tfrecords.Stream(
      shape, next((n for part, n in _GROUNDS.items() if part in name), 1),
      dataset.prefetch(1).unbatch())


def _array(path: str, file: h5py.File, key: str) -> h5py.Dataset:
  """Returns an array that is in the file itself, not one that it points to."""
  untrusted.require(
      isinstance(file.get(key, getlink=True), h5py.HardLink)
      and isinstance(file[key], h5py.Dataset), path, key,
      f'only {", ".join(sorted(map(untrusted.printable, file)))}',
      'an array, as in the files of addtt/object-centric-library')
  array = file[key]
  untrusted.require(not array.external and not array.is_virtual, path, key,
                    'an array in other files', 'one in this file')
  return array


def _chunks(path: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
  with h5py.File(path, 'r') as file:
    for start in range(0, len(file['image']), _CHUNK):
      part = slice(start, start + _CHUNK)
      mask = file['mask'][part, ..., 0].clip(0, 255)
      yield file['image'][part], mask.astype(np.uint8)

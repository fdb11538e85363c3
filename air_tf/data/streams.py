"""Scenes as TensorFlow takes them: float pixels, and streams from disk.

Scenes that stay on disk are read by `tf.data`, a batch ahead of its use.
Letters: `N` scenes, `B` batch, `[H, W]` image.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

__all__ = ['MappedImages', 'batches', 'to_pixels']


class MappedImages:
  """Some rows of an array in a file, read when they are asked for.

  Attributes:
    shape: `(N, H, W)`.
    dtype: uint8.
  """
  dtype = np.dtype(np.uint8)

  def __init__(self, array: np.memmap, rows: np.ndarray):
    """Takes uint8 `[M, H, W]` and the N rows of it that are meant, int."""
    self._array, self._rows = array, rows
    self.shape = (len(rows), *array.shape[1:])

  def __len__(self) -> int:
    """N."""
    return len(self._rows)

  def __getitem__(self, which: slice | np.ndarray) -> np.ndarray:
    """Reads the images of a slice, or of an array of indices."""
    return np.asarray(self._array[self._rows[which]])

  def __array__(self, dtype: np.dtype | None = None,
                copy: bool | None = None) -> np.ndarray:
    """Reads all images, for `np.asarray`."""
    return np.asarray(self[:], dtype)


def batches(images: MappedImages,
            sample_indices: Callable[[tf.Tensor], tf.Tensor],
            first: int) -> tf.data.Dataset:
  """Endless batches of images, one for each iteration.

  Args:
    images: uint8 `[N, H, W]`.
    sample_indices: from the number of an iteration, int64 `[]`, to indices
      `[B]`.
    first: the iteration of the first batch.

  Returns:
    uint8 `[B, H, W]`, what `tf.gather(images, sample_indices(iteration))` would
    return if the images were in memory.
  """
  def read(iteration):
    indices = sample_indices(iteration)
    batch = tf.numpy_function(images.__getitem__, [indices], tf.uint8)
    return tf.ensure_shape(batch, [*indices.shape, *images.shape[1:]])

  return tf.data.Dataset.counter(first).map(read).prefetch(tf.data.AUTOTUNE)


def to_pixels(images: tf.Tensor) -> tf.Tensor:
  """Maps uint8 0 ... 255 to float32 0 ... 1, of any shape."""
  return tf.cast(images, tf.float32) / 255.

"""The ground of one colour: the most frequent one of each image.

Objects may be brighter or darker than it, or have another colour, and may cover
most of the image, as long as no colour of theirs covers more than the ground's.

Letters: `B` batch, `[H, W]` image, `P` pixels that are compared, `C` channels.
"""

import numpy as np
import tensorflow as tf

__all__ = ['estimate']

_SIDE = 12  # Rows and columns of pixels that are compared with each other.
_WIDTH = .05  # Of the kernel, in units of a pixel: noise is narrower.


def estimate(images: tf.Tensor) -> tf.Tensor:
  """Estimates the ground of objects of other colours.

  The mode of a kernel density in colour space, first among P pixels on a grid,
  then the mean of all pixels near it. Even colours are found exactly.

  Args:
    images: float `[B, H, W]`, pixels in 0 ... 1, or `[B, H, W, C]`. H and W
      must be known.

  Returns:
    The ground, of the shape of `images`, without a gradient.
  """
  images = tf.stop_gradient(images)
  height, width, *channels = images.shape[1:]
  colours = tf.reshape(images, [-1, height * width, *(channels or [1])])
  some = tf.gather(colours, _grid(height, width), axis=1)  # [B, P, C]
  density = tf.reduce_sum(_kernel(some, some), axis=1)
  mode = tf.gather(some, tf.argmax(density, axis=1), batch_dims=1)
  weights = _kernel(colours, mode[:, tf.newaxis])  # [B, H W, 1]
  mean = (tf.reduce_sum(weights * colours, axis=1)
          / tf.reduce_sum(weights, axis=1))
  return tf.reshape(
      mean, [-1, 1, 1, *channels]) + tf.zeros_like(images)


def _kernel(left: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
  """Nearness `[B, P, Q]` of colours `[B, P, C]` and `[B, Q, C]`, 0 ... 1."""
  squared = sum(
      tf.square(left[:, :, tf.newaxis, c] - right[:, tf.newaxis, :, c])
      for c in range(left.shape[-1]))  # Without an axis of C in memory.
  return tf.exp(squared / (-2. * _WIDTH**2))


def _grid(height: int, width: int) -> np.ndarray:
  """Returns the indices `[P]` of pixels on a grid, of flat images."""
  rows, columns = ((np.arange(min(side, _SIDE)) * side + side // 2)
                   // min(side, _SIDE) for side in (height, width))
  return (rows[:, np.newaxis] * width + columns).ravel()

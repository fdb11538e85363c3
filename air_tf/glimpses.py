"""Glimpses: square parts of images, read and written by bilinear sampling.

Letters: `B` batch, `[H, W]` image, `[h, w]` glimpse. Both have a last axis of
channels in colour.
"""

import math

import tensorflow as tf

from air_tf import boxes as boxes_lib

__all__ = ['boxes', 'centres', 'contrast', 'read', 'tight_boxes', 'write']

_SMALLEST_SCALE = .01


def read(images: tf.Tensor, where: tf.Tensor, size: int) -> tf.Tensor:
  """Reads a square glimpse from each image by bilinear sampling.

  Scale and shift act on each axis alone, so bilinear sampling is separable:

      glimpse = A_y @ image @ A_x^T,   A[i, j] = max(0, 1 - |pos[i] - j|)

  with pos[i] the position of glimpse pixel i on the image's axis, in pixels.
  This is exact, with zeros outside the image, and costs two small matrix
  products. Channels are further rows.

  Args:
    images: `[B, H, W]`.
    where: `[B, 3]`, (scale, shift_x, shift_y): glimpse side over image side,
      and glimpse centre in half image sides from the middle.
    size: side of the glimpse in pixels, h = w.

  Returns:
    `[B, size, size]`.
  """
  height, width, *channels = images.shape[1:]
  scale, shift_x, shift_y = tf.unstack(where, axis=-1)
  rows = _weights(_to_image(size, scale, shift_y, height), height)
  columns = _weights(_to_image(size, scale, shift_x, width), width)
  # (A_x @ image^T)^T: in this order no product of the gradient reads an image
  # column by column, which saves a fifth of the time of both passes.
  num_channels = math.prod(channels)
  first = [0, *range(3, len(images.shape)), 1, 2]  # Channels before rows.
  planes = tf.reshape(
      tf.transpose(images, first), [-1, num_channels * height, width])
  across = tf.reshape(tf.matmul(columns, planes, transpose_b=True),
                      [-1, size * num_channels, height])
  glimpses = tf.matmul(rows, across, transpose_b=True)
  return tf.reshape(glimpses, [-1, size, size, *channels])


def write(glimpses: tf.Tensor, where: tf.Tensor, height: int,
          width: int) -> tf.Tensor:
  """Writes each glimpse to a black image: `read` with the inverse map.

  Args:
    glimpses: `[B, h, w]`.
    where: `[B, 3]`, as in `read`.
    height: `H`, of the image.
    width: `W`.

  Returns:
    `[B, height, width]`, zero where no glimpse reaches.
  """
  glimpse_height, glimpse_width, *channels = glimpses.shape[1:]
  scale, shift_x, shift_y = tf.unstack(where, axis=-1)
  rows = _weights(
      _to_glimpse(height, scale, shift_y, glimpse_height), glimpse_height)
  columns = _weights(
      _to_glimpse(width, scale, shift_x, glimpse_width), glimpse_width)
  # Channels go with the rows in the first product and with the columns in the
  # second, so that no tensor as large as the image has to be transposed.
  num_channels = math.prod(channels)
  swap = [0, 1, *range(3, len(glimpses.shape)), 2]
  lines = tf.reshape(tf.transpose(glimpses, swap),
                     [-1, glimpse_height * num_channels, glimpse_width])
  across = tf.reshape(tf.matmul(lines, columns, transpose_b=True),
                      [-1, glimpse_height, *channels, width])
  across = tf.reshape(tf.transpose(across, swap),
                      [-1, glimpse_height, width * num_channels])
  return tf.reshape(rows @ across, [-1, height, width, *channels])


def boxes(where: tf.Tensor, height: int, width: int) -> tf.Tensor:
  """Glimpse boxes in pixels.

  Args:
    where: `[..., 3]`, (scale, shift_x, shift_y).
    height: `H`, of the image.
    width: `W`.

  Returns:
    `[..., 4]`, (y, x, height, width); a box may reach over the image's edge.
  """
  scale, shift_x, shift_y = tf.unstack(where, axis=-1)
  box_height, box_width = scale * height, scale * width
  centre_y = (shift_y + 1.) * height / 2.
  centre_x = (shift_x + 1.) * width / 2.
  return tf.stack([centre_y - box_height / 2., centre_x - box_width / 2.,
                   box_height, box_width], axis=-1)


def contrast(glimpses: tf.Tensor, alphas: tf.Tensor, background: tf.Tensor,
             where: tf.Tensor) -> tf.Tensor:
  """How far each glimpse is from the background that it covers.

  Opacity alone does not tell: where a glimpse has the colour of the background,
  any opacity looks the same.

  Args:
    glimpses: `[N, T, h, w]`, colours premultiplied by opacity.
    alphas: `[N, T, h, w]`, their opacity.
    background: `[N, H, W]`.
    where: `[N, T, 3]`, as in `read`.

  Returns:
    `[N, T, h, w]`, |y - a b|.
  """
  num_steps, size = where.shape[1], alphas.shape[-1]
  covered = read(tf.repeat(background, num_steps, axis=0),
                 tf.reshape(where, [-1, where.shape[-1]]), size)
  covered = tf.reshape(covered, [-1, num_steps, *covered.shape[1:]])
  if len(covered.shape) > len(alphas.shape):
    alphas = alphas[..., tf.newaxis]
  return tf.abs(glimpses - alphas * covered)


def tight_boxes(glimpses: tf.Tensor, boxes: tf.Tensor) -> tf.Tensor:
  """Boxes in pixels that are tight around the ink of decoded glimpses.

  A glimpse has a margin around its object. Ink is what is at least a quarter
  as bright as the brightest pixel of the glimpse.

  Args:
    glimpses: `[N, T, h, w]`, decoded; their contrast, where they have an
      opacity.
    boxes: `[N, T, 4]`, (y, x, height, width) of the glimpses.

  Returns:
    `[N, T, 4]`. The box of a glimpse without ink is the whole glimpse.
  """
  glimpses = tf.convert_to_tensor(glimpses)
  if glimpses.shape.rank == 5:  # In colour, as bright as the brightest channel.
    glimpses = tf.reduce_max(glimpses, axis=-1)
  ink = glimpses >= boxes_lib.INK_THRESHOLD * tf.reduce_max(
      glimpses, axis=[2, 3], keepdims=True)
  top, height = _extent(tf.reduce_any(ink, axis=3), boxes.dtype)
  left, width = _extent(tf.reduce_any(ink, axis=2), boxes.dtype)
  y, x, box_height, box_width = tf.unstack(boxes, axis=-1)
  return tf.stack([y + top * box_height, x + left * box_width,
                   height * box_height, width * box_width], axis=-1)


def centres(size: int) -> tf.Tensor:
  """Centres `[size]` of the pixels of an axis that spans -1 ... 1."""
  return (2. * tf.range(size, dtype=tf.float32) + 1.) / size - 1.


def _extent(ink: tf.Tensor, dtype: tf.DType) -> tuple[tf.Tensor, tf.Tensor]:
  """Start and length of ink along the last axis, as fractions of its size."""
  size = ink.shape[-1]
  ink = tf.cast(ink, tf.int32)
  first = tf.argmax(ink, axis=-1, output_type=tf.int32)
  after = tf.argmax(tf.reverse(ink, [-1]), axis=-1, output_type=tf.int32)
  return (tf.cast(first, dtype) / size,
          tf.cast(size - after - first, dtype) / size)


def _to_image(size, scale, shift, image_size) -> tf.Tensor:
  """Positions `[B, size]` of glimpse pixels on the image's axis, in pixels."""
  position = (scale[:, tf.newaxis] * centres(size) + shift[:, tf.newaxis])
  return (position + 1.) * image_size / 2. - .5


def _to_glimpse(size, scale, shift, glimpse_size) -> tf.Tensor:
  """Positions `[B, size]` of image pixels on the glimpse's axis, in pixels."""
  # A smaller glimpse covers no pixel, and 1 / scale^2 in the gradient, times a
  # weight of 0, would be NaN.
  scale = tf.maximum(scale, _SMALLEST_SCALE)[:, tf.newaxis]
  position = (centres(size) - shift[:, tf.newaxis]) / scale
  return (position + 1.) * glimpse_size / 2. - .5


def _weights(positions: tf.Tensor, size: int) -> tf.Tensor:
  """Bilinear weights `[B, P, size]` of positions `[B, P]` on an axis."""
  pixels = tf.range(size, dtype=tf.float32)
  return tf.maximum(0., 1. - tf.abs(positions[..., tf.newaxis] - pixels))

"""Networks and glimpses that know nothing of AIR.

Letters: `B` batch, `[H, W]` image, `[h, w]` glimpse, `D` size of an input,
`Z` size of a latent. Images and glimpses in colour have a last axis of `C`
channels.
"""

from collections.abc import Callable
from collections.abc import Sequence
import math
from typing import NamedTuple

import sonnet as snt
import tensorflow as tf

__all__ = [
    'Baseline',
    'ConvEncoder',
    'Decoder',
    'DiagonalGaussian',
    'GaussianEstimator',
    'LSTM',
    'LSTMState',
    'StepsPredictor',
    'boxes',
    'encoder',
    'read',
    'write',
]

_SMALLEST_SCALE = .01


def encoder(hidden_size: int, name: str) -> Callable[[tf.Tensor], tf.Tensor]:
  """Returns the blog's MLP: two hidden layers, ELU, also after the second.

  It maps `[B, D]` to `[B, hidden_size]`.
  """
  return snt.nets.MLP([hidden_size] * 2, activation=tf.nn.elu,
                      activate_final=True, name=name)


class ConvEncoder(snt.Module):
  """Two convolutions that stride over the image, then `encoder`.

  16 filters of 8 x 8 pixels, 4 apart, then 16 of 4 x 4, 2 apart, rectified:
  the layers of Mnih et al. 2013, "Playing Atari with Deep Reinforcement
  Learning", the second half as wide. What one place teaches about objects that
  touch holds at all places, where an MLP has to learn each place by itself.
  """

  LAYERS = (16, 8, 4), (16, 4, 2)  # Filters, their side, stride.

  def __init__(self, hidden_size: int, name: str | None = None):
    """Makes the encoder, with `hidden_size` units in its last two layers."""
    super().__init__(name=name)
    self._convolutions = [
        snt.Conv2D(filters, side, stride, padding='VALID', name=f'conv_{i}')
        for i, (filters, side, stride) in enumerate(self.LAYERS)]
    self._mlp = encoder(hidden_size, name='mlp')

  def __call__(self, images: tf.Tensor) -> tf.Tensor:
    """Maps `[B, H, W]` to `[B, hidden_size]`; H and W must be known."""
    x = tf.reshape(
        images, [-1, *images.shape[1:3], math.prod(images.shape[3:])])
    for (_, side, stride), layer in zip(
        self.LAYERS, self._convolutions, strict=True):
      # With this margin pixels at the edge are seen as often as those in the
      # middle. XLA's own (`SAME`) takes twice the time on processors.
      margin = [side - stride] * 2
      x = tf.nn.relu(layer(tf.pad(x, [[0, 0], margin, margin, [0, 0]])))
    return self._mlp(snt.flatten(x))


class DiagonalGaussian(NamedTuple):
  """Parameters of a Gaussian with independent entries."""
  mean: tf.Tensor    # [..., Z]
  stddev: tf.Tensor  # [..., Z], above 0.


class GaussianEstimator(snt.Module):
  """MLP from features to the mean and standard deviation of a Gaussian.

  The output layer starts small and its biases are given, so that training
  starts from a known distribution: the blog names this initialisation as
  one of three that decide whether AIR trains.
  """

  def __init__(self, size: int, hidden_size: int, mean_init=0.,
               stddev_init: float = 1., name: str | None = None):
    """Makes the estimator.

    Args:
      size: `Z`, entries of the Gaussian.
      hidden_size: units of each of the two hidden layers.
      mean_init: initial mean, a float or `[Z]`.
      stddev_init: initial standard deviation.
      name: name of the module.
    """
    super().__init__(name=name)
    self._hidden = encoder(hidden_size, name='hidden')
    small = snt.initializers.TruncatedNormal(stddev=.01)
    # One product for both: twelve small ones fewer an iteration.
    self._both = snt.Linear(2 * size, w_init=small, name='mean_and_stddev')
    self._mean_init = tf.constant(mean_init, tf.float32)
    self._stddev_init = tf.math.log(tf.math.expm1(stddev_init))

  def __call__(self, inputs: tf.Tensor) -> DiagonalGaussian:
    """Maps `[B, D]` to a Gaussian over `[B, Z]`."""
    mean, stddev = tf.split(self._both(self._hidden(inputs)), 2, axis=-1)
    return DiagonalGaussian(
        mean=mean + self._mean_init,
        stddev=tf.nn.softplus(stddev + self._stddev_init))


class LSTMState(NamedTuple):
  """State of an LSTM of U units."""
  hidden: tf.Tensor  # [B, U]
  cell: tf.Tensor    # [B, U]


class LSTM(snt.Module):
  """LSTM whose input is split into a fixed part and a part of each step.

      gates = W_d drive + b  +  W_s [hidden, inputs]

  The first half is computed once for all steps (`drive`), which saves a
  third of the products of AIR's loop, where most of the input is the image.
  Otherwise Jozefowicz et al. 2015, with the forget gate's bias at 1, as
  `snt.LSTM`.
  """

  def __init__(self, size: int, name: str | None = None):
    super().__init__(name=name)
    self._fixed = snt.Linear(4 * size, name='fixed')
    self._step = snt.Linear(4 * size, with_bias=False, name='step')

  def drive(self, features: tf.Tensor) -> tf.Tensor:
    """Maps the fixed input `[B, D]` to its share of the gates `[B, 4 U]`."""
    return self._fixed(features)

  def __call__(self, drive: tf.Tensor, inputs: tf.Tensor,
               state: LSTMState) -> LSTMState:
    """Takes one step: `drive` `[B, 4 U]`, `inputs` `[B, D']`, state of U.

    The output of the LSTM is the new state's `hidden`.
    """
    gates = drive + self._step(tf.concat([state.hidden, inputs], axis=-1))
    i, f, g, o = tf.split(gates, 4, axis=-1)
    cell = (tf.sigmoid(f + 1.) * state.cell + tf.sigmoid(i) * tf.tanh(g))
    return LSTMState(hidden=tf.sigmoid(o) * tf.tanh(cell), cell=cell)


class StepsPredictor(snt.Module):
  """MLP 128-64 from the hidden state to the log-odds of a further step."""

  def __init__(self, bias: float, name: str | None = None):
    super().__init__(name=name)
    self._mlp = snt.nets.MLP([128, 64, 1], activation=tf.nn.elu, name='mlp')
    self._bias = bias

  def __call__(self, hidden: tf.Tensor) -> tf.Tensor:
    """Maps `[B, D]` to log-odds `[B]`."""
    return tf.squeeze(self._mlp(hidden), axis=-1) + self._bias


class Decoder(snt.Module):
  """MLP from an appearance code to the pixels of a glimpse, each in 0 ... 1."""

  def __init__(self, glimpse_shape: Sequence[int], hidden_size: int,
               bias: float, name: str | None = None):
    super().__init__(name=name)
    self._glimpse_shape = glimpse_shape
    self._bias = bias
    self._hidden = encoder(hidden_size, name='hidden')
    self._pixels = snt.Linear(math.prod(glimpse_shape), name='pixels')

  def __call__(self, what: tf.Tensor) -> tf.Tensor:
    """Maps `[B, Z]` to `[B, h, w]`."""
    logits = self._pixels(self._hidden(what)) + self._bias
    return tf.reshape(tf.sigmoid(logits), [-1, *self._glimpse_shape])


class Baseline(snt.Module):
  """MLP 256-128 that predicts one number an example (blog)."""

  def __init__(self, name: str | None = None):
    super().__init__(name=name)
    self._mlp = snt.nets.MLP([256, 128, 1], activation=tf.nn.elu, name='mlp')

  def __call__(self, *inputs: tf.Tensor) -> tf.Tensor:
    """Maps tensors `[B, ...]`, flattened and joined, to `[B]`."""
    flat = tf.concat([snt.flatten(x) for x in inputs], axis=-1)
    return tf.squeeze(self._mlp(flat), axis=-1)


def read(images: tf.Tensor, where: tf.Tensor, size: int) -> tf.Tensor:
  """Cuts a square glimpse out of each image by bilinear sampling.

  Scale and shift act on each axis alone, so bilinear sampling is separable:

      glimpse = A_y @ image @ A_x^T,   A[i, j] = max(0, 1 - |pos[i] - j|)

  with pos[i] the place of glimpse pixel i on the image's axis, in pixels. This
  is exact, with zeros outside the image, and two small matrix products, where
  channels are further rows.

  Args:
    images: `[B, H, W]`.
    where: `[B, 3]`, (scale, shift_x, shift_y): glimpse side over image side,
      and glimpse centre in half image sides from the middle.
    size: side of the glimpse in pixels, h = w.

  Returns:
    `[B, size, size]`.
  """
  height, width, *colours = images.shape[1:]
  scale, shift_x, shift_y = tf.unstack(where, axis=-1)
  rows = _weights(_to_image(size, scale, shift_y, height), height)
  columns = _weights(_to_image(size, scale, shift_x, width), width)
  # (A_x @ image^T)^T: in this order no product of the gradient reads an image
  # across its rows, a fifth of the time of both passes.
  channels = math.prod(colours)
  first = [0, *range(3, len(images.shape)), 1, 2]  # Channels before rows.
  planes = tf.reshape(
      tf.transpose(images, first), [-1, channels * height, width])
  across = tf.reshape(tf.matmul(columns, planes, transpose_b=True),
                      [-1, size * channels, height])
  glimpses = tf.matmul(rows, across, transpose_b=True)
  return tf.reshape(glimpses, [-1, size, size, *colours])


def write(glimpses: tf.Tensor, where: tf.Tensor, height: int,
          width: int) -> tf.Tensor:
  """Pastes each glimpse into a black image: `read` with the inverse map.

  Args:
    glimpses: `[B, h, w]`.
    where: `[B, 3]`, as in `read`.
    height: `H`, of the image.
    width: `W`.

  Returns:
    `[B, height, width]`, zero where no glimpse reaches.
  """
  glimpse_height, glimpse_width, *colours = glimpses.shape[1:]
  scale, shift_x, shift_y = tf.unstack(where, axis=-1)
  rows = _weights(
      _to_glimpse(height, scale, shift_y, glimpse_height), glimpse_height)
  columns = _weights(
      _to_glimpse(width, scale, shift_x, glimpse_width), glimpse_width)
  # Channels go with the rows in one product, with the columns in the other: so
  # what has to be transposed is as small as a glimpse, or between the two.
  channels = math.prod(colours)
  swap = [0, 1, *range(3, len(glimpses.shape)), 2]
  lines = tf.reshape(tf.transpose(glimpses, swap),
                     [-1, glimpse_height * channels, glimpse_width])
  across = tf.reshape(tf.matmul(lines, columns, transpose_b=True),
                      [-1, glimpse_height, *colours, width])
  across = tf.reshape(tf.transpose(across, swap),
                      [-1, glimpse_height, width * channels])
  return tf.reshape(rows @ across, [-1, height, width, *colours])


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


def _centres(size: int) -> tf.Tensor:
  """Pixel centres `[size]` of an axis that spans -1 ... 1."""
  return (2. * tf.range(size, dtype=tf.float32) + 1.) / size - 1.


def _to_image(size, scale, shift, image_size) -> tf.Tensor:
  """Positions `[B, size]` of glimpse pixels on the image's axis, in pixels."""
  position = (scale[:, tf.newaxis] * _centres(size) + shift[:, tf.newaxis])
  return (position + 1.) * image_size / 2. - .5


def _to_glimpse(size, scale, shift, glimpse_size) -> tf.Tensor:
  """Positions `[B, size]` of image pixels on the glimpse's axis, in pixels."""
  # Below a hundredth of the image nothing is seen, and 1 / scale^2 in the
  # gradient, times a weight of 0, would soon be NaN.
  scale = tf.maximum(scale, _SMALLEST_SCALE)[:, tf.newaxis]
  position = (_centres(size) - shift[:, tf.newaxis]) / scale
  return (position + 1.) * glimpse_size / 2. - .5


def _weights(positions: tf.Tensor, size: int) -> tf.Tensor:
  """Bilinear weights `[B, P, size]` of positions `[B, P]` on an axis."""
  pixels = tf.range(size, dtype=tf.float32)
  return tf.maximum(0., 1. - tf.abs(positions[..., tf.newaxis] - pixels))

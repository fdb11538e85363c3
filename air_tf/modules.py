"""Networks that know nothing of AIR.

Letters: `B` batch, `[H, W]` image, `[h, w]` glimpse, `[m, k]` a map of places
in the image, `F` its features, `D` size of an input, `Z` size of a latent.
Images and glimpses in colour have a last axis of `C` channels.
"""

from collections.abc import Callable
from collections.abc import Sequence
import math
from typing import NamedTuple

import numpy as np
import sonnet as snt
import tensorflow as tf

from air_tf import glimpses

__all__ = [
    'Baseline',
    'ConvEncoder',
    'Decoder',
    'DiagonalGaussian',
    'Found',
    'GaussianEstimator',
    'LSTM',
    'LSTMState',
    'Search',
    'StepsPredictor',
    'encoder',
    'sample',
]


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

  LAYERS = (16, 4), (16, 2)  # Filters, stride; their side is twice that.

  def __init__(self, hidden_size: int, name: str | None = None):
    """Makes the encoder, with `hidden_size` units in its last two layers."""
    super().__init__(name=name)
    self._convolutions = [
        _Convolution(*layer, name=f'conv_{i}')
        for i, layer in enumerate(self.LAYERS)]
    self._mlp = encoder(hidden_size, name='mlp')

  def __call__(self, images: tf.Tensor) -> tf.Tensor:
    """Maps `[B, H, W, ...]` to `[B, hidden_size]`."""
    return self.summarise(self.features(images))

  def features(self, images: tf.Tensor) -> tf.Tensor:
    """Maps `[B, H, W, ...]` to what is seen at each place, `[B, m, k, F]`.

    All axes but the first must be known; those after W are channels.
    """
    x = tf.reshape(
        images, [-1, *images.shape[1:3], math.prod(images.shape[3:])])
    for layer in self._convolutions:
      x = tf.nn.relu(layer(x))
    return x

  def summarise(self, features: tf.Tensor) -> tf.Tensor:
    """Maps features `[B, m, k, F]` to `[B, hidden_size]`."""
    return self._mlp(snt.flatten(features))


class _Convolution(snt.Module):
  """Filters of 2 S x 2 S pixels, S apart, with a margin of S.

  With that margin pixels at the edge are seen as often as those in the middle.
  It is computed as what it also is, filters of 2 x 2 blocks of S x S pixels,
  one block apart, for which XLA takes some 40 % less time on processors.
  """

  def __init__(self, filters: int, stride: int, name: str | None = None):
    super().__init__(name=name)
    self._filters, self._stride = filters, stride

  def __call__(self, x: tf.Tensor) -> tf.Tensor:
    """Maps `[B, H, W, C]` to `[B, H // S + 1, W // S + 1, filters]`."""
    stride = self._stride
    _, height, width, channels = x.shape
    self._make_weights(channels)
    whole = lambda size: (size // stride + 2) * stride
    x = tf.pad(x, [[0, 0], [stride] * 2, [stride] * 2, [0, 0]])
    blocks = tf.nn.space_to_depth(x[:, :whole(height), :whole(width)], stride)
    w = tf.reshape(
        self.w, [2, stride, 2, stride, channels, self._filters])
    w = tf.reshape(tf.transpose(w, [0, 2, 1, 3, 4, 5]),
                   [2, 2, blocks.shape[-1], self._filters])
    return tf.nn.conv2d(blocks, w, strides=1, padding='VALID') + self.b

  @snt.once
  def _make_weights(self, channels: int) -> None:
    shape = [2 * self._stride, 2 * self._stride, channels, self._filters]
    init = snt.initializers.TruncatedNormal(
        stddev=1. / math.sqrt(math.prod(shape[:-1])))
    self.w = tf.Variable(init(shape, tf.float32), name='w')
    self.b = tf.Variable(tf.zeros([self._filters]), name='b')


class Found(NamedTuple):
  """What a search of a map found."""
  place: tf.Tensor     # [B, 2], (x, y), in half maps from the middle, -1 ... 1.
  features: tf.Tensor  # [B, F], what is seen there.


class Search(snt.Module):
  """Looks for one thing in a map of features: additive attention, decided.

      weights = softmax of v . elu(K features + Q query) + tanh(M query)

  Both results are means under the weights of the place with the largest one
  and its eight neighbours, so that of two things one is found, never the empty
  middle between them. All places share K: what an object looks like is learnt
  once, not for each place it can be at. M has a row a place: the query, which
  knows the whole image, can point, too. That tips the balance among things and
  is bounded, lest steps rest in a corner while there is something to be found.

  Which place becomes the largest is learnt from the features: their gradient is
  that of the mean over all places (straight-through). The gradient of the place
  stays among the nine: what a small move there would bring says nothing of
  places far away, and to extend it to them draws the search into the corners.

  Source: Bahdanau et al. 2015, "Neural Machine Translation by Jointly Learning
  to Align and Translate"; the mean place as in Finn et al. 2016, "Deep Spatial
  Autoencoders for Visuomotor Learning"; straight-through: Bengio et al. 2013,
  "Estimating or Propagating Gradients Through Stochastic Neurons".
  """

  UNITS = 32

  def __init__(self, name: str | None = None):
    super().__init__(name=name)
    self._keys = snt.Linear(self.UNITS, name='keys')
    self._query = snt.Linear(self.UNITS, with_bias=False, name='query')
    # Small: the first weights are about even, and none is decided for long.
    self._score = snt.Linear(
        1, with_bias=False, name='score',
        w_init=snt.initializers.TruncatedNormal(stddev=.1))
    self._point: snt.Linear | None = None  # Its size is that of the first map.

  def __call__(self, features: tf.Tensor, query: tf.Tensor) -> Found:
    """Searches.

    Args:
      features: `[B, m, k, F]`; m, k and F must be known, and in all calls the
        same.
      query: `[B, D]`, what is looked for.
    """
    _, rows, columns, size = features.shape
    self._make_point(rows * columns)
    flat = tf.reshape(features, [-1, rows * columns, size])
    units = tf.nn.elu(
        self._keys(flat) + self._query(query)[:, tf.newaxis])
    weights = tf.nn.softmax(
        self._score(units) + tf.tanh(self._point(query))[..., tf.newaxis],
        axis=1)  # [B, m k, 1]
    decided = _around_largest(weights, rows, columns)
    x, y = tf.meshgrid(glimpses.centres(columns), glimpses.centres(rows))
    places = tf.reshape(tf.stack([x, y], axis=-1), [rows * columns, 2])
    seen, anywhere = (
        tf.reduce_sum(w * flat, axis=1) for w in (decided, weights))
    return Found(
        place=tf.reduce_sum(decided * places, axis=1),
        features=anywhere + tf.stop_gradient(seen - anywhere))

  @snt.once
  def _make_point(self, num_places: int) -> None:
    self._point = snt.Linear(
        num_places, with_bias=False, name='point',
        w_init=snt.initializers.TruncatedNormal(stddev=.01))


def _around_largest(weights: tf.Tensor, rows: int, columns: int) -> tf.Tensor:
  """Keeps the largest of `[B, m k, 1]` and its neighbours, to a sum of 1."""
  row, column = np.divmod(np.arange(rows * columns), columns)
  apart = lambda at: np.abs(at[:, np.newaxis] - at)
  near = np.maximum(apart(row), apart(column)) <= 1  # [m k, m k]
  largest = tf.argmax(weights[..., 0], axis=1)
  kept = weights * tf.gather(
      tf.constant(near, weights.dtype), largest)[..., tf.newaxis]
  return kept / tf.reduce_sum(kept, axis=1, keepdims=True)


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
               stddev_init: float = 1., pace: float = 1.,
               name: str | None = None):
    """Makes the estimator.

    Args:
      size: `Z`, entries of the Gaussian.
      hidden_size: units of each of the two hidden layers.
      mean_init: initial mean, a float or `[Z]`.
      stddev_init: initial standard deviation.
      pace: of what the output layer learns, as a share of the usual; what it
        gives at first is the same.
      name: name of the module.
    """
    super().__init__(name=name)
    self._hidden = encoder(hidden_size, name='hidden')
    small = snt.initializers.TruncatedNormal(stddev=.01 / pace)
    # One product for both: twelve small ones fewer an iteration.
    self._both = snt.Linear(2 * size, w_init=small, name='mean_and_stddev')
    self._pace = pace
    self._mean_init = tf.constant(mean_init, tf.float32)
    self._stddev_init = tf.math.log(tf.math.expm1(stddev_init))

  def __call__(self, inputs: tf.Tensor) -> DiagonalGaussian:
    """Maps `[B, D]` to a Gaussian over `[B, Z]`."""
    mean, stddev = tf.split(
        self._pace * self._both(self._hidden(inputs)), 2, axis=-1)
    return DiagonalGaussian(
        mean=mean + self._mean_init,
        stddev=tf.nn.softplus(stddev + self._stddev_init))


def sample(posterior: DiagonalGaussian, noise: tf.Tensor,
           reparameterise: bool = True) -> tf.Tensor:
  """Draws from a Gaussian, given standard normal numbers.

  Args:
    posterior: over `[..., Z]`.
    noise: `[..., Z]`; zeros give the mean.
    reparameterise: whether gradients flow through the sample; without it, it
      is a constant.
  """
  drawn = posterior.mean + posterior.stddev * noise
  return drawn if reparameterise else tf.stop_gradient(drawn)


class LSTMState(NamedTuple):
  """State of an LSTM of U units."""
  hidden: tf.Tensor  # [B, U]
  cell: tf.Tensor    # [B, U]


class LSTM(snt.Module):
  """LSTM whose input is split into a fixed part and a part of each step.

      gates = W_d gate_inputs + b  +  W_s [hidden, inputs]

  The first half is computed once for all steps (`gate_inputs`), which saves a
  third of the products of AIR's loop, where most of the input is the image.
  Otherwise Jozefowicz et al. 2015, with the forget gate's bias at 1, as
  `snt.LSTM`.
  """

  def __init__(self, size: int, name: str | None = None):
    super().__init__(name=name)
    self._fixed = snt.Linear(4 * size, name='fixed')
    self._step = snt.Linear(4 * size, with_bias=False, name='step')

  def gate_inputs(self, features: tf.Tensor) -> tf.Tensor:
    """Maps the fixed input `[B, D]` to its share of the gates `[B, 4 U]`."""
    return self._fixed(features)

  def __call__(self, gate_inputs: tf.Tensor, inputs: tf.Tensor,
               state: LSTMState) -> LSTMState:
    """Takes one step: `gate_inputs` `[B, 4 U]`, `inputs` `[B, D']`, state of U.

    The output of the LSTM is the new state's `hidden`.
    """
    gates = gate_inputs + self._step(tf.concat([state.hidden, inputs], axis=-1))
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

"""Networks that do not depend on the rest of AIR.

Letters: `B` batch, `[h, w]` glimpse, `D` size of an input, `Z` size of a
latent, `U` units of the LSTM. Glimpses in colour have a last axis of channels.
"""

from collections.abc import Callable
from collections.abc import Sequence
import math
from typing import NamedTuple

import numpy as np
import sonnet as snt
import tensorflow as tf
import tensorflow_probability as tfp

from air_tf import convolutions

__all__ = [
    'Baseline',
    'Decoder',
    'DiagonalGaussian',
    'GaussianEstimator',
    'LSTM',
    'LSTMState',
    'PositiveScalar',
    'StencilDecoder',
    'StepsPredictor',
    'encoder',
    'sample',
]

tfd = tfp.distributions


def encoder(hidden_size: int, name: str) -> Callable[[tf.Tensor], tf.Tensor]:
  """Returns the blog's MLP: two hidden layers, ELU, also after the second.

  It maps `[B, D]` to `[B, hidden_size]`.
  """
  return snt.nets.MLP([hidden_size] * 2, activation=tf.nn.elu,
                      activate_final=True, name=name)


class DiagonalGaussian(NamedTuple):
  """Parameters of a Gaussian with independent entries."""
  mean: tf.Tensor    # [..., Z]
  stddev: tf.Tensor  # [..., Z], above 0.

  def distribution(self) -> tfd.Distribution:
    """Returns it as a distribution of batch shape `[...]`, event `[Z]`."""
    return tfd.Independent(tfd.Normal(self.mean, self.stddev), 1)


class GaussianEstimator(snt.Module):
  """MLP from features to the mean and standard deviation of a Gaussian.

  The output layer starts small and its biases are given, so that training
  starts from a known distribution: the blog names this initialisation as
  one of three that decide whether AIR trains.
  """

  def __init__(self, size: int, hidden_size: int,
               mean_init: float | Sequence[float] = 0.,
               stddev_init: float = 1., output_scale: float = 1.,
               output_lr_scale: float = 1., name: str | None = None):
    """Makes the estimator.

    Args:
      size: `Z`, entries of the Gaussian.
      hidden_size: units of each of the two hidden layers.
      mean_init: initial mean, a float or `[Z]`.
      stddev_init: initial standard deviation.
      output_scale: factor on the initial weights of the output layer.
      output_lr_scale: factor on the speed at which Adam changes the output. The
        initial output does not depend on it: the weights are larger by the
        inverse factor, and the output is scaled down.
      name: name of the module.
    """
    super().__init__(name=name)
    self._hidden = encoder(hidden_size, name='hidden')
    # One product for both saves twelve small products per iteration.
    self._both = snt.Linear(
        2 * size, name='mean_and_stddev', w_init=_ScaledNormal(
            output_scale, stddev=.01 / output_lr_scale))
    self._output_lr_scale = output_lr_scale
    self._mean_init = tf.constant(mean_init, tf.float32)
    self._stddev_init = tf.math.log(tf.math.expm1(stddev_init))

  def __call__(self, inputs: tf.Tensor) -> DiagonalGaussian:
    """Maps `[B, D]` to a Gaussian over `[B, Z]`."""
    outputs = self._output_lr_scale * self._both(self._hidden(inputs))
    mean, stddev = tf.split(outputs, 2, axis=-1)
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
  """LSTM whose input is split into a fixed part and one for each step.

      gates = W_d gate_inputs + b  +  W_s [hidden, inputs]

  The first half is computed once for all steps (`gate_inputs`), which saves a
  third of the products of AIR's loop, where most of the input is the image.
  Otherwise as `snt.LSTM` (Jozefowicz et al. 2015), with a forget bias of 1.
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

  def __init__(self, bias: float, output_scale: float = 1.,
               name: str | None = None):
    """Makes the predictor.

    Args:
      bias: initial log-odds, added to what the MLP gives.
      output_scale: factor on the initial weights of the output layer.
      name: name of the module.
    """
    super().__init__(name=name)
    self._mlp = snt.nets.MLP(
        [128, 64, 1], activation=tf.nn.elu, name='mlp',
        w_init=_ScaledNormal(output_scale, output_size=1))
    self._bias = bias

  def __call__(self, hidden: tf.Tensor) -> tf.Tensor:
    """Maps `[B, D]` to log-odds `[B]`."""
    return tf.squeeze(self._mlp(hidden), axis=-1) + self._bias


class Decoder(snt.Module):
  """MLP from an appearance code to the pixels of a glimpse, each in 0 ... 1."""

  def __init__(self, glimpse_shape: Sequence[int], hidden_size: int,
               bias: float | np.ndarray, output_scale: float = 1.,
               convolutional: bool = False, name: str | None = None):
    """Makes the decoder.

    Args:
      glimpse_shape: `[h, w, ...]`.
      hidden_size: units of each of the two hidden layers.
      bias: initial logit of every pixel, or of each, flat; added to the output
        layer's.
      output_scale: factor on the initial weights of the output layer.
      convolutional: whether the pixels come from `convolutions.GlimpsePixels`
        instead of a linear layer.
      name: name of the module.
    """
    super().__init__(name=name)
    self._glimpse_shape = glimpse_shape
    self._bias = bias
    self._hidden = encoder(hidden_size, name='hidden')
    self._pixels = (
        convolutions.GlimpsePixels(glimpse_shape, output_scale, name='pixels')
        if convolutional else
        snt.Linear(math.prod(glimpse_shape), name='pixels',
                   w_init=_ScaledNormal(output_scale)))

  def __call__(self, what: tf.Tensor) -> tf.Tensor:
    """Maps `[B, Z]` to `[B, h, w]`."""
    return tf.sigmoid(self._logits(what))

  def _logits(self, what: tf.Tensor) -> tf.Tensor:
    logits = self._pixels(self._hidden(what)) + self._bias
    return tf.reshape(logits, [-1, *self._glimpse_shape])


class StencilDecoder(Decoder):
  """MLP from an appearance code to one colour, and where it is opaque.

  Opacities are given as logits, for these can be interpolated without blurring
  outlines, as a texture of signed distances can (Green 2007, "Improved
  Alpha-Tested Magnification for Vector Textures and Special Effects").
  """

  def __init__(self, glimpse_shape: Sequence[int], hidden_size: int,
               bias: float, output_scale: float = 1., name: str | None = None):
    """Makes the decoder.

    Args:
      glimpse_shape: `[h, w]`, or `[h, w, C]` in colour.
      hidden_size: as in `Decoder`.
      bias: initial logit of every opacity; colours start half bright.
      output_scale: as in `Decoder`.
      name: name of the module.
    """
    size, channels = glimpse_shape[:2], math.prod(glimpse_shape[2:])
    num_pixels = math.prod(size)
    super().__init__(
        [channels + num_pixels], hidden_size,
        np.float32([0.] * channels + [bias] * num_pixels), output_scale,
        name=name)
    self._size, self._channels = size, channels

  def __call__(self, what: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Maps `[B, Z]` to colours `[B, C]` and logits of opacities `[B, h, w]`."""
    colours, logits = tf.split(
        self._logits(what), [self._channels, -1], axis=-1)
    return tf.sigmoid(colours), tf.reshape(logits, [-1, *self._size])


class PositiveScalar(snt.Module):
  """A number above 0 that is learnt, as the exponential of a variable.

  Sums over pixels make its gradient thousands of times as large as others,
  which clipping would then drown. It is scaled down; Adam's steps are the same.
  """

  _SPEED, _GRADIENT = 4., 1e-4

  def __init__(self, initial: float, name: str | None = None):
    super().__init__(name=name)
    self._initial = initial
    self._log = tf.Variable(0., name='log')

  def __call__(self) -> tf.Tensor:
    """Returns the number, `[]`."""
    scaled = self._GRADIENT * self._log
    log = scaled + tf.stop_gradient(self._log - scaled)
    return self._initial * tf.exp(self._SPEED * log)


class Baseline(snt.Module):
  """MLP 256-128 that predicts one number for each example (blog)."""

  def __init__(self, name: str | None = None):
    super().__init__(name=name)
    self._mlp = snt.nets.MLP([256, 128, 1], activation=tf.nn.elu, name='mlp')

  def __call__(self, *inputs: tf.Tensor) -> tf.Tensor:
    """Maps tensors `[B, ...]`, flattened and joined, to `[B]`."""
    flat = tf.concat([snt.flatten(x) for x in inputs], axis=-1)
    return tf.squeeze(self._mlp(flat), axis=-1)


class _ScaledNormal(snt.initializers.Initializer):
  """Sonnet's truncated normal for weights `[D, size]`, times a factor."""

  def __init__(self, scale: float, stddev: float | None = None,
               output_size: int | None = None):
    """Makes the initialiser.

    Args:
      scale: the factor.
      stddev: before the factor; 1 / sqrt(D), if None.
      output_size: where one initialiser serves several layers, the output size
        of those that the factor applies to; all, if None.
    """
    self._scale, self._stddev = scale, stddev
    self._output_size = output_size

  def __call__(self, shape: Sequence[int], dtype: tf.DType) -> tf.Tensor:
    """Draws weights."""
    stddev = self._stddev or 1. / math.sqrt(shape[0])
    weights = snt.initializers.TruncatedNormal(stddev=stddev)(shape, dtype)
    scaled = self._output_size in (None, shape[1])
    return self._scale * weights if scaled else weights

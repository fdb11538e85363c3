"""Encoders of whole images.

A further one is a class here with `__call__` and `pairs`, a line in `_REGISTRY`
and its name in `config.IMAGE_ENCODERS`.

AIR encodes an image once. In DAIR each step encodes a pair: the residual, that
is the image minus what the steps before explained, and what they explained, as
two channels of one image.

Letters: `B` batch, `[H, W]` image, `[m, k]` a map of places in the image, `F`
its features. Images in colour have a last axis of channels.
"""

from collections.abc import Callable
from collections.abc import Sequence
import math
from typing import NamedTuple

import sonnet as snt
import tensorflow as tf

from air_tf import config as config_lib
from air_tf import modules

__all__ = ['ConvEncoder', 'Encoding', 'GlimpseConvolutions', 'MLPEncoder',
           'Pair', 'make']


class Pair(NamedTuple):
  """What a step of DAIR sees: the residual is their difference."""
  images: tf.Tensor            # [B, H, W]
  explained: tf.Tensor | None  # [B, H, W]; None before the first step.

  def stack(self) -> tf.Tensor:
    """Returns residual and explained, `[B, H, W, 2]`."""
    explained = (tf.zeros_like(self.images) if self.explained is None
                 else self.explained)
    return tf.stack([self.images - explained, explained], axis=-1)


class Encoding(NamedTuple):
  """What an encoder makes of images."""
  summary: tf.Tensor          # [B, hidden_size]
  features: tf.Tensor | None  # [B, m, k, F], of each place; None of an MLP.


# From what is explained of the images, or None, to the encoding of the pair.
EncodePair = Callable[[tf.Tensor | None], Encoding]


class MLPEncoder(snt.nets.MLP):
  """The blog's encoder: two hidden layers, ELU, also after the second."""

  def __init__(self, hidden_size: int, name: str | None = None):
    super().__init__([hidden_size] * 2, activation=tf.nn.elu,
                     activate_final=True, name=name)

  def __call__(self, images: tf.Tensor) -> Encoding:
    """Encodes images `[B, H, W, ...]`."""
    return Encoding(
        summary=super().__call__(snt.flatten(images)), features=None)

  def pairs(self, images: tf.Tensor) -> EncodePair:
    """As `ConvEncoder.pairs`."""
    return lambda explained: self(Pair(images, explained).stack())


class ConvEncoder(snt.Module):
  """Two strided convolutions, then the blog's MLP.

  16 filters of 8 x 8 pixels, 4 apart, then 16 of 4 x 4, 2 apart, rectified:
  the layers of Mnih et al. 2013, "Playing Atari with Deep Reinforcement
  Learning", with half the filters in the second. What is learnt about touching
  objects is shared by all places; an MLP has to learn it for each place.
  """

  LAYERS = (16, 4), (16, 2)  # Filters, stride; their side is twice that.

  def __init__(self, hidden_size: int, name: str | None = None):
    """Makes the encoder, with `hidden_size` units in its last two layers."""
    super().__init__(name=name)
    self._convolutions = _convolutions(self.LAYERS)
    self._mlp = modules.encoder(hidden_size, name='mlp')

  def __call__(self, images: tf.Tensor) -> Encoding:
    """Encodes images `[B, H, W, ...]`."""
    return self._encode(self._convolutions[0](_channels(images)))

  def pairs(self, images: tf.Tensor) -> EncodePair:
    """Returns the encoder of pairs with these images `[B, H, W]`.

    The first layer is linear: its share of the images is computed once, for all
    steps, and with weights u of the residual and v of what is explained

        u * (images - explained) + v * explained
          = u * images + (v - u) * explained

    Returns:
      Called with `[B, H, W]`, what is explained of the images, or with None if
      that is nothing, returns the encoding.
    """
    first = self._convolutions[0]
    images = _channels(images)
    of_residual, of_explained = first.make_weights_of_pairs(images.shape[-1])
    start = first.convolve(images, of_residual) + first.b

    def encode(explained: tf.Tensor | None) -> Encoding:
      if explained is None:
        return self._encode(start)
      return self._encode(start + first.convolve(
          _channels(explained), of_explained - of_residual))

    return encode

  def _encode(self, x: tf.Tensor) -> Encoding:
    """Encodes what the first layer returns."""
    features = tf.nn.relu(x)
    for layer in self._convolutions[1:]:
      features = tf.nn.relu(layer(features))
    return Encoding(
        summary=self._mlp(snt.flatten(features)), features=features)


class GlimpseConvolutions(snt.Module):
  """What comes before the blog's MLP in a convolutional encoder of glimpses.

  16 filters of 4 x 4 pixels, 2 apart, then 32 of the same size, rectified. In
  an autoencoder of single objects the MLP alone is slow to learn outlines of
  different colours: ELU is nearly linear where training starts (BUILD_NOTES).
  """

  LAYERS = (16, 2), (32, 2)  # As in `ConvEncoder`.

  def __init__(self, name: str | None = None):
    super().__init__(name=name)
    self._convolutions = _convolutions(self.LAYERS)

  def __call__(self, glimpses: tf.Tensor) -> tf.Tensor:
    """Maps `[B, h, w, ...]` to features `[B, D]`."""
    features = _channels(glimpses)
    for layer in self._convolutions:
      features = tf.nn.relu(layer(features))
    return snt.flatten(features)


def _convolutions(
    layers: Sequence[tuple[int, int]]) -> list['_Convolution']:
  """Makes convolutions of given filters and strides."""
  return [_Convolution(*layer, name=f'conv_{i}')
          for i, layer in enumerate(layers)]


def _channels(images: tf.Tensor) -> tf.Tensor:
  """Maps `[B, H, W, ...]` to `[B, H, W, C]`."""
  return tf.reshape(
      images, [-1, *images.shape[1:3], math.prod(images.shape[3:])])


class _Convolution(snt.Module):
  """Convolution of kernel 2 S and stride S, padded by S.

  With this padding, pixels at the edge contribute to as many outputs as those
  in the middle. Computed after space-to-depth, as a 2 x 2 convolution of stride
  1 over blocks of S x S pixels, for which XLA takes some 40 % less time on CPU.
  TensorFlow's own kernel of space-to-depth takes five times as long as the
  transpose below.
  """

  def __init__(self, filters: int, stride: int, name: str | None = None):
    super().__init__(name=name)
    self._filters, self._stride = filters, stride

  def __call__(self, x: tf.Tensor) -> tf.Tensor:
    """Maps `[B, H, W, C]` to `[B, H // S + 1, W // S + 1, filters]`."""
    self._make_weights(x.shape[-1])
    return self.convolve(x, self.w) + self.b

  def make_weights_of_pairs(self, channels: int) -> list[tf.Tensor]:
    """Returns the weights of each image of a pair, with C channels each."""
    self._make_weights(2 * channels)
    side = 2 * self._stride
    return tf.unstack(tf.reshape(
        self.w, [side, side, channels, 2, self._filters]), axis=3)

  def convolve(self, x: tf.Tensor, w: tf.Tensor) -> tf.Tensor:
    """Convolves `[B, H, W, C]` with weights `[2 S, 2 S, C, filters]`."""
    stride = self._stride
    _, height, width, channels = x.shape
    rows, columns = height // stride + 2, width // stride + 2  # Of blocks.
    x = tf.pad(x, [[0, 0], [stride, (rows - 1) * stride - height],
                   [stride, (columns - 1) * stride - width], [0, 0]])
    depth = stride**2 * channels
    # [B, rows, S, columns, S, C], each block's pixels moved to the end.
    blocks = tf.reshape(
        tf.transpose(
            tf.reshape(x, [-1, rows, stride, columns, stride, channels]),
            [0, 1, 3, 2, 4, 5]), [-1, rows, columns, depth])
    w = tf.reshape(
        tf.transpose(
            tf.reshape(
                w, [2, stride, 2, stride, channels, self._filters]),
            [0, 2, 1, 3, 4, 5]), [2, 2, depth, self._filters])
    return tf.nn.conv2d(blocks, w, strides=1, padding='VALID')

  @snt.once
  def _make_weights(self, channels: int) -> None:
    shape = [2 * self._stride, 2 * self._stride, channels, self._filters]
    init = snt.initializers.TruncatedNormal(
        stddev=1. / math.sqrt(math.prod(shape[:-1])))
    self.w = tf.Variable(init(shape, tf.float32), name='w')
    self.b = tf.Variable(tf.zeros([self._filters]), name='b')


_REGISTRY = {'search': ConvEncoder, 'conv': ConvEncoder, 'mlp': MLPEncoder}
assert tuple(_REGISTRY) == config_lib.IMAGE_ENCODERS


def make(kind: str, hidden_size: int, name: str) -> snt.Module:
  """Returns a new encoder.

  Args:
    kind: one of `config.IMAGE_ENCODERS`.
    hidden_size: units of its hidden layers and of `Encoding.summary`.
    name: of the module.
  """
  return _REGISTRY[kind](hidden_size, name=name)

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
from typing import NamedTuple

import sonnet as snt
import tensorflow as tf

from air_tf import config as config_lib
from air_tf import convolutions
from air_tf import modules

__all__ = ['ConvEncoder', 'Encoding', 'MLPEncoder', 'Pair', 'make']


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
    self._convolutions = convolutions.make(self.LAYERS)
    self._mlp = modules.encoder(hidden_size, name='mlp')

  def __call__(self, images: tf.Tensor) -> Encoding:
    """Encodes images `[B, H, W, ...]`."""
    return self._encode(self._convolutions[0](convolutions.to_channels(images)))

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
    images = convolutions.to_channels(images)
    of_residual, of_explained = first.make_weights_of_pairs(images.shape[-1])
    start = first.convolve(images, of_residual) + first.b

    def encode(explained: tf.Tensor | None) -> Encoding:
      if explained is None:
        return self._encode(start)
      return self._encode(start + first.convolve(
          convolutions.to_channels(explained), of_explained - of_residual))

    return encode

  def _encode(self, x: tf.Tensor) -> Encoding:
    """Encodes what the first layer returns."""
    features = tf.nn.relu(x)
    for layer in self._convolutions[1:]:
      features = tf.nn.relu(layer(features))
    return Encoding(
        summary=self._mlp(snt.flatten(features)), features=features)


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

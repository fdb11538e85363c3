"""Codes of whole images, learnt without labels, to compare AIR's with.

A plain variational autoencoder, with the MLPs that AIR has for glimpses, and a
convolutional autoencoder. Neither knows of objects. Both are trained with
Keras.

Letters: `N` images, `[H, W]` image, `Z` size of a code. Images in colour have a
last axis of 3 channels.
"""

from collections.abc import Callable
import math

import keras
from keras import layers
import numpy as np

__all__ = ['Encode', 'autoencoder', 'convolutions', 'vae']

Encode = Callable[[np.ndarray], np.ndarray]  # Images [N, H, W] to codes [N, Z].

_CODE = 100  # Z: as much as AIR has for two objects.
_HIDDEN = 256  # Units of a layer, as in AIR.
# Filters of 3 x 3 pixels, the first of 5 x 5; each layer halves the image.
_FILTERS = 16, 32, 64
_BATCH, _UPDATES, _LEARNING_RATE = 128, 10_000, 1e-3


def vae(images: np.ndarray, pixel_stddev: float, seed: int) -> Encode:
  """Trains a variational autoencoder.

  Source: Kingma and Welling 2014, "Auto-Encoding Variational Bayes".

  Args:
    images: uint8 `[N, H, W]`.
    pixel_stddev: of a pixel, of 0 ... 1, under the decoder's image.
    seed: of weights, batches and samples.

  Returns:
    The mean of the code of each image.
  """
  keras.utils.set_random_seed(seed)
  shape = images.shape[1:]
  hidden = lambda: [layers.Dense(_HIDDEN, activation='elu') for _ in range(2)]
  inputs = keras.Input(shape)
  features = _chain([layers.Rescaling(1. / 255.), layers.Flatten(), *hidden()],
                    inputs)
  mean = layers.Dense(_CODE)(features)
  log_stddev = layers.Dense(_CODE)(features)
  outputs = _chain(
      [*hidden(), layers.Dense(math.prod(shape), activation='sigmoid'),
       layers.Reshape(shape)], _Sampler()(mean, log_stddev))
  return _train(inputs, mean, outputs, images, pixel_stddev)


def autoencoder(images: np.ndarray, seed: int) -> Encode:
  """Trains a convolutional autoencoder on the squared error of its output.

  Args:
    images: uint8 `[N, H, W]`.
    seed: of weights and batches.

  Returns:
    The code of each image.
  """
  keras.utils.set_random_seed(seed)
  shape = images.shape[1:]
  height, width, channels = (*shape, 1)[:3]
  halves = 2**len(_FILTERS)
  small = [math.ceil(size / halves) for size in (height, width)]
  grow = [layers.Conv2DTranspose(number, 3, strides=2, padding='same',
                                 activation='relu')
          for number in _FILTERS[-2::-1]]
  inputs = keras.Input(shape)
  code = layers.Dense(_CODE)(_chain(
      [*convolutions(shape), layers.Dense(_HIDDEN, activation='relu')], inputs))
  outputs = _chain(
      [layers.Dense(_HIDDEN, activation='relu'),
       layers.Dense(math.prod(small) * _FILTERS[-1], activation='relu'),
       layers.Reshape([*small, _FILTERS[-1]]), *grow,
       layers.Conv2DTranspose(channels, 5, strides=2, padding='same',
                              activation='sigmoid'),
       layers.Cropping2D([(0, halves * small[0] - height),
                          (0, halves * small[1] - width)]),
       layers.Reshape(shape)], code)
  return _train(inputs, code, outputs, images, pixel_stddev=1.)


def convolutions(shape: tuple[int, ...]) -> list:
  """Returns Keras's layers from uint8 images to flat features.

  Args:
    shape: of an image, `[H, W]` or `[H, W, 3]`.
  """
  return [layers.Rescaling(1. / 255.), layers.Reshape((*shape, 1)[:3]),
          *[layers.Conv2D(number, 3 if i else 5, strides=2, padding='same',
                          activation='relu')
            for i, number in enumerate(_FILTERS)],
          layers.Flatten()]


def _chain(parts: list, x):
  for layer in parts:
    x = layer(x)
  return x


class _Sampler(layers.Layer):
  """Draws a code and adds its KL divergence from N(0, 1) to the loss."""

  def __init__(self) -> None:
    super().__init__()
    self._seeds = keras.random.SeedGenerator()

  def call(self, mean, log_stddev):
    stddev = keras.ops.exp(log_stddev)
    self.add_loss(keras.ops.mean(keras.ops.sum(
        (mean**2 + stddev**2 - 1.) / 2. - log_stddev, axis=1)))
    return mean + stddev * keras.random.normal(
        keras.ops.shape(mean), seed=self._seeds)


def _train(inputs, code, outputs, images: np.ndarray,
           pixel_stddev: float) -> Encode:
  """Trains outputs to be the images; returns what makes codes of images."""
  def negative_log_likelihood(x, y):
    error = keras.ops.square(keras.ops.cast(x, 'float32') / 255. - y)
    axes = tuple(range(1, len(images.shape)))
    return keras.ops.sum(error, axis=axes) / (2. * pixel_stddev**2)

  model = keras.Model(inputs, outputs)
  model.compile(keras.optimizers.Adam(_LEARNING_RATE), negative_log_likelihood,
                jit_compile=False)  # Its own kernels convolve faster on CPUs.
  epochs = math.ceil(_UPDATES * _BATCH / len(images))
  model.fit(images, images, batch_size=_BATCH, epochs=epochs, verbose=0)
  encoder = keras.Model(inputs, code)
  return lambda x: encoder.predict(x, batch_size=500, verbose=0)

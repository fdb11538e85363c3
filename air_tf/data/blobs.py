"""Blobs: textured ellipses of light, as nuclei or galaxies, drawn here.

Shapes: D blobs of 28 x 28 pixels. As MNIST's digits, they take at most 20 of
them.
"""

import numpy as np

from air_tf.data import digits as digits_lib

__all__ = ['load', 'make']

_NUM_BLOBS, _NUM_TEST = 6_000, 1_000  # The first ones are for tests.

_SIDE = 28  # Of MNIST's frame, so that --digit_scale means the same.
_RADII = 5., 9.  # Pixels, the longer half axis.
_ROUNDNESS = .6, 1.  # The shorter half axis over the longer.
_BRIGHTNESS = .18, .9  # A factor of five.
_TEXTURE = .25  # Standard deviation of the light within a blob, over its mean.
_GRAIN = 4  # Pixels from one independent value of the texture to the next.


def load() -> digits_lib.Digits:
  """Returns the blobs of all runs."""
  return digits_lib.split(*make(_NUM_BLOBS, seed=0), _NUM_TEST)


def make(num_blobs: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
  """Returns images uint8 [D, 28, 28] and labels int32 [D], all random.

  The longer half axis, the ratio of the two and the angle are uniform; the
  logarithm of the brightness is. Labels are 0 for the dimmer half of that range
  and 1 for the brighter. Equal seeds give equal blobs, with any numpy.
  """
  rng = np.random.RandomState(seed)  # numpy has frozen its stream.
  longer = rng.uniform(*_RADII, num_blobs)
  shorter = longer * rng.uniform(*_ROUNDNESS, num_blobs)
  angles = rng.uniform(0., np.pi, num_blobs)
  level = rng.uniform(0., 1., num_blobs)
  brightness = _BRIGHTNESS[0] * (_BRIGHTNESS[1] / _BRIGHTNESS[0]) ** level
  light = brightness[:, np.newaxis, np.newaxis] * _textures(rng, num_blobs)
  images = np.clip(light, .3 * _BRIGHTNESS[0], 1.) * _coverage(
      longer, shorter, angles)
  return (np.round(255. * images).astype(np.uint8),
          (level >= .5).astype(np.int32))


def _textures(rng: np.random.RandomState, num_blobs: int) -> np.ndarray:
  """Returns [D, 28, 28], 1 on average: random values, linear in between."""
  knots = rng.standard_normal([num_blobs, *[_SIDE // _GRAIN + 1] * 2])
  position = np.arange(_SIDE)[:, np.newaxis] / _GRAIN
  weights = np.maximum(
      0., 1. - np.abs(position - np.arange(_SIDE // _GRAIN + 1)))
  return 1. + _TEXTURE * (weights @ knots @ weights.T)


def _coverage(longer, shorter, angles) -> np.ndarray:
  """Returns how much of each pixel an ellipse covers, [D, 28, 28] in 0...1."""
  x = np.arange(_SIDE) - (_SIDE - 1) / 2
  y = x[:, np.newaxis]
  longer, shorter, angles = (
      values[:, np.newaxis, np.newaxis] for values in (longer, shorter, angles))
  u = (x * np.cos(angles) + y * np.sin(angles)) / longer
  v = (y * np.cos(angles) - x * np.sin(angles)) / shorter
  # Near the outline, r - 1 times the half axis is the distance from it.
  return np.clip(.5 - (np.hypot(u, v) - 1.) * np.sqrt(longer * shorter), 0., 1.)

"""Sprites: shapes of one bright colour each, drawn here.

Shapes: D sprites of 28 x 28 pixels. As MNIST's digits, they take at most 20 of
them, so that as many fit into a scene.
"""

import colorsys

import numpy as np

from air_tf.data import digits as digits_lib

__all__ = ['SHAPES', 'load', 'make']

_NUM_SPRITES, _NUM_TEST = 6_000, 1_000  # The first ones are for tests.

_SIDE = 28  # Of MNIST's frame, so that --digit_scale means the same.


def _disc(u, v):
  return np.hypot(u, v) - 9.


def _square(u, v):
  return np.maximum(np.abs(u), np.abs(v)) - 6.5


def _triangle(u, v):
  """Equilateral: 4.7 pixels from its middle to each of the three sides."""
  angles = np.pi * np.array([1, 5, 9]) / 6
  return np.max([u * np.cos(a) + v * np.sin(a) for a in angles], axis=0) - 4.7


def _cross(u, v):
  u, v = np.abs(u), np.abs(v)
  return np.minimum(np.maximum(u - 9., v - 3.), np.maximum(u - 3., v - 9.))


# By label. From coordinates (pixels from the middle) to the distance from the
# outline (pixels, negative inside; near the outline is near enough).
SHAPES = (_disc, _square, _triangle, _cross)


def load() -> digits_lib.Digits:
  """Returns the sprites of all runs."""
  return digits_lib.split(*make(_NUM_SPRITES, seed=0), _NUM_TEST)


def make(num_sprites: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
  """Returns images uint8 [D, 28, 28, 3] and labels int32 [D], all random.

  Shape, angle, and the colour's hue are uniform; saturation and value are
  uniform from .7 to 1. Equal seeds give equal sprites, with any numpy.
  """
  rng = np.random.RandomState(seed)  # numpy has frozen its stream.
  labels = rng.randint(len(SHAPES), size=num_sprites).astype(np.int32)
  angles = rng.uniform(0., 2. * np.pi, num_sprites)
  hues = rng.uniform(0., 1., num_sprites)
  saturations, values = rng.uniform(.7, 1., [2, num_sprites])
  rgb = np.array([colorsys.hsv_to_rgb(*hsv) for hsv in zip(
      hues, saturations, values, strict=True)])  # [D, 3]
  coverage = np.stack([
      _coverage(SHAPES[label], angle)
      for label, angle in zip(labels, angles, strict=True)])  # [D, 28, 28]
  images = coverage[..., np.newaxis] * rgb[:, np.newaxis, np.newaxis]
  return np.round(255. * images).astype(np.uint8), labels


def _coverage(shape, angle: float) -> np.ndarray:
  """Returns how much of each pixel a shape covers, [28, 28] in 0...1."""
  x = np.arange(_SIDE) - (_SIDE - 1) / 2
  y = x[:, np.newaxis]
  u = x * np.cos(angle) + y * np.sin(angle)
  v = y * np.cos(angle) - x * np.sin(angle)
  # A straight edge through a pixel, `d` from its middle, covers about .5 - d.
  return np.clip(.5 - shape(u, v), 0., 1.)

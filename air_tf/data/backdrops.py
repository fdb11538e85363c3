"""Backdrops, behind the objects of a scene: lines, clouds, clutter, colours.

Shapes: N scenes of H x W pixels, grey, or coloured with a last axis of size 3;
D digit images. All but `colour` are grey in coloured scenes too.
"""

from collections.abc import Callable

import numpy as np

__all__ = ['KINDS']

_PERIODS = (5, 15)  # Pixels from one line of a grid to the next, ends included.
_CLOUD = 4.  # Pixels, standard deviation of the blur that makes a texture.
_PIECE = 8  # Pixels, side of a piece of clutter (Mnih et al. 2014).
_AREA_OF_PIECE = 600  # Pixels of canvas for each: 4 pieces on 50 x 50.
_CHUNK = 1_000  # Scenes at a time, where there are floats for each pixel.

# Draws into black `images` [N, H, W] or [N, H, W, 3], in place, no pixel above
# `level` (0 to 1); `digits` are what clutter is made of.
Draw = Callable[[np.random.Generator, np.ndarray, float, np.ndarray], None]


def _black(rng, images, level, digits):
  """Leaves the scenes black."""


def _grey(rng, images, level, digits):
  """One grey for each scene, uniform from 0 to `level`."""
  del digits
  shade = rng.integers(
      round(255 * level), size=[len(images), 1, 1], dtype=np.uint8,
      endpoint=True)
  images[:] = _in_colour(shade, images)


def _colour(rng, images, level, digits):
  """One colour for each scene, its channels uniform from 0 to `level`."""
  del digits
  images[:] = rng.integers(
      round(255 * level), size=[len(images), 1, 1, *images.shape[3:]],
      dtype=np.uint8, endpoint=True)


def _noise(rng, images, level, digits):
  """Pixels that are independent and uniform from 0 to `level`."""
  del digits
  noise = rng.integers(
      round(255 * level), size=images.shape[:3], dtype=np.uint8, endpoint=True)
  images[:] = _in_colour(noise, images)


def _grid(rng, images, level, digits):
  """Lines, a pixel wide, across and down, equally far apart.

  Uniform in each scene: phase and period of either direction, and brightness,
  from half of `level` to all of it.
  """
  del digits
  num_scenes, height, width = images.shape[:3]
  brightness = rng.uniform(level / 2, level, size=num_scenes)
  across, down = (_combs(rng, num_scenes, size) for size in (height, width))
  lines = across[:, :, np.newaxis] | down[:, np.newaxis]  # [N, H, W]
  bytes_ = np.round(255 * brightness).astype(np.uint8)
  images[:] = _in_colour(lines * bytes_[:, np.newaxis, np.newaxis], images)


def _combs(rng, num_scenes: int, size: int) -> np.ndarray:
  """Returns bool [N, size], True at every period-th place."""
  period = rng.integers(*_PERIODS, size=[num_scenes, 1], endpoint=True)
  return (np.arange(size) + rng.integers(period)) % period == 0


def _texture(rng, images, level, digits):
  """Clouds: blurred Gaussian noise, stretched from 0 to `level`."""
  del digits
  num_scenes, height, width = images.shape[:3]
  across, down = _blur(height), _blur(width)
  for start in range(0, num_scenes, _CHUNK):
    part = images[start:start + _CHUNK]
    noise = rng.standard_normal(
        [len(part), across.shape[1], down.shape[1]], np.float32)
    clouds = across @ noise @ down.T
    clouds -= clouds.min(axis=(1, 2), keepdims=True)
    clouds *= 255 * level / clouds.max(axis=(1, 2), keepdims=True)
    part[:] = _in_colour(np.round(clouds).astype(np.uint8), images)


def _blur(size: int) -> np.ndarray:
  """Returns the matrix [size, K] that blurs K points of noise into pixels.

  The points stand a standard deviation apart, up to three outside the image: as
  close as makes the result smooth and equally varied everywhere.
  """
  points = np.arange(-3 * _CLOUD, size + 3 * _CLOUD, _CLOUD)
  distances = (np.arange(size)[:, np.newaxis] - points) / _CLOUD
  return np.exp(-.5 * distances**2).astype(np.float32)


def _clutter(rng, images, level, digits):
  """Pieces of digits at random places, as in cluttered MNIST, dimmed."""
  num_scenes, height, width = images.shape[:3]
  scene = np.arange(num_scenes)[:, np.newaxis, np.newaxis]
  window = np.arange(_PIECE)
  for _ in range(max(1, round(height * width / _AREA_OF_PIECE))):
    rows, columns = (
        (rng.integers(side - _PIECE, size=[num_scenes, 1], endpoint=True)
         + window) for side in (height, width))
    place = scene, rows[:, :, np.newaxis], columns[:, np.newaxis]
    piece = _pieces(rng, digits, num_scenes) * level
    images[place] = np.maximum(
        images[place], np.round(piece).astype(np.uint8))


def _pieces(rng, digits, number: int) -> np.ndarray:
  """Returns windows of random digits, each around some pixel of ink.

  They are uint8 [number, _PIECE, _PIECE], or coloured as the digits are.
  """
  half = _PIECE // 2
  margins = [(0, 0), (half, half), (half, half)] + [(0, 0)] * (digits.ndim - 3)
  chosen = digits[rng.integers(len(digits), size=number)]
  ink = chosen if chosen.ndim == 3 else chosen.max(axis=-1)
  # The largest of random numbers where there is ink: some pixel of it.
  chances = rng.random(ink.shape, np.float32) * (ink > 0)
  pixel = chances.reshape([number, -1]).argmax(axis=1)
  y, x = np.unravel_index(pixel, ink.shape[1:])
  window = np.arange(_PIECE)
  return np.pad(chosen, margins)[
      np.arange(number)[:, np.newaxis, np.newaxis],
      (y[:, np.newaxis] + window)[:, :, np.newaxis],
      (x[:, np.newaxis] + window)[:, np.newaxis]]


def _in_colour(grey: np.ndarray, images: np.ndarray) -> np.ndarray:
  """Returns `grey` [N, H, W] with an axis for colours if `images` has one."""
  return grey if images.ndim == 3 else grey[..., np.newaxis]


KINDS: dict[str, Draw] = {
    'black': _black, 'noise': _noise, 'grid': _grid, 'texture': _texture,
    'clutter': _clutter, 'grey': _grey, 'colour': _colour}

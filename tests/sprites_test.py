"""Tests of sprites.py: shapes in colour."""

import colorsys

import numpy as np

from air_tf.data import sprites

IMAGES, LABELS = sprites.make(2_000, seed=0)


def test_areas_are_those_of_geometry():
  """Of each shape, from its anti-aliased pixels, at all angles.

  Disc: pi 9^2 = 254.5. Square: 13^2 = 169. Triangle with 4.7 from the middle to
  a side: 3 sqrt(3) 4.7^2 = 114.8. Cross: 2 bars of 18 x 6, less the middle that
  they share, 2 * 108 - 36 = 180.
  """
  levels = IMAGES.max(axis=3)  # The colour's value times what is covered.
  coverage = levels / levels.max(axis=(1, 2), keepdims=True)
  areas = coverage.sum(axis=(1, 2))
  for label, area in enumerate([254.5, 169., 114.8, 180.]):
    np.testing.assert_allclose(areas[LABELS == label], area, rtol=.02)


def test_sprites_take_the_middle_20_pixels_and_fill_them():
  ink = IMAGES.any(axis=3)
  assert ink[:, 4:24, 4:24].sum() == ink.sum()
  assert ink[:, 4].any() and ink[:, 23].any()
  assert ink[:, :, 4].any() and ink[:, :, 23].any()
  weights = IMAGES.max(axis=3).astype(float)
  weights /= weights.sum(axis=(1, 2), keepdims=True)
  middles = np.stack([weights.sum(axis) @ np.arange(28) for axis in (1, 2)])
  np.testing.assert_allclose(middles, 13.5, atol=.1)


def test_a_sprite_has_one_saturated_colour():
  """Pixels that are covered whole are equal, and bright; others are dimmer."""
  for image in IMAGES[:200]:
    whole = image[13, 13]  # The middle, which every shape covers.
    _, saturation, value = colorsys.rgb_to_hsv(*whole / 255.)
    assert saturation > .69 and value > .69
    coverage = image.max(axis=2) / whole.max()
    np.testing.assert_allclose(
        image, coverage[..., np.newaxis] * whole, atol=2.)


def test_hues_and_shapes_are_spread_evenly():
  """Each of 4 shapes x 6 hues: 2,000 / 24 = 83 expected, standard deviation 9.

  The sprites are fixed. The bounds are 5 standard deviations off: a hue or a
  shape that is missing, or half as likely, fails.
  """
  hues = [colorsys.rgb_to_hsv(*image[13, 13] / 255.)[0] for image in IMAGES]
  cells = np.bincount(6 * LABELS + np.floor(6 * np.array(hues)).astype(int),
                      minlength=24)
  assert len(cells) == 24 and cells.min() > 83 - 45 and cells.max() < 83 + 45


def test_angles_differ():
  squares = IMAGES[LABELS == 1].any(axis=3)
  widths = squares.any(axis=1).sum(axis=1)
  assert widths.min() <= 14 and widths.max() >= 18  # 13, and 13 sqrt(2).


def test_equal_seeds_equal_sprites():
  again, labels = sprites.make(2_000, seed=0)
  np.testing.assert_array_equal(again, IMAGES)
  np.testing.assert_array_equal(labels, LABELS)
  assert (sprites.make(2_000, seed=1)[0] != IMAGES).any()

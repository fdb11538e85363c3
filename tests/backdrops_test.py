"""Tests of backdrops.py: what stands behind objects."""

import hashlib

import numpy as np
import pytest
from scipy import stats

from air_tf import scene_options
from air_tf.data import backdrops

GREY = [kind for kind in backdrops.KINDS if kind not in ('clutter', 'colour')]
PLAIN = 'grey', 'colour'


def some_digits(num_digits=5, colour=False):
  """Returns rings of ink, each of a brightness of its own."""
  digits = np.zeros([num_digits, 28, 28], np.uint8)
  for k, digit in enumerate(digits):
    digit[5:20, 8:18] = 255 - k
    digit[8:17, 11:15] = 0
  if colour:
    return np.stack([digits, digits // 2, digits // 3], axis=-1)
  return digits


def draw(kind, num_scenes=300, level=.4, size=50, colour=False, seed=0,
         digits=None):
  images = np.zeros([num_scenes, size, size] + [3] * colour, np.uint8)
  digits = some_digits(colour=colour) if digits is None else digits
  backdrops.KINDS[kind](np.random.default_rng(seed), images, level, digits)
  return images


def test_every_kind_is_offered():
  assert tuple(backdrops.KINDS) == scene_options.BACKDROPS


@pytest.mark.parametrize('colour', [False, True])
@pytest.mark.parametrize('kind', backdrops.KINDS)
@pytest.mark.parametrize('level', [0., .4, 1.])
def test_level_is_the_brightest_value(kind, level, colour):
  # Enough scenes that one of 256 values surely occurs.
  brightest = draw(kind, 3_000 if kind in PLAIN else 300, level=level, size=10,
                   colour=colour).max()
  assert brightest == (0 if kind == 'black' else round(255 * level))


@pytest.mark.parametrize('kind', backdrops.KINDS)
def test_backdrops_never_change(kind):
  # Whoever changes these values changes what runs are trained and tested on,
  # and has to raise `datasets._CACHE_VERSION`. With this seed no pixel of the
  # texture is within .004 of where it would be rounded to another value: other
  # processors, which add float32 in another order, draw the same.
  drawn = (draw(kind, 3, size=16, colour=colour, seed=66)
           for colour in (False, True))
  digest = hashlib.sha256(b''.join(images.tobytes() for images in drawn))
  assert digest.hexdigest()[:16] == DIGESTS[kind]


DIGESTS = {
    'black': 'e80232b4d18d0bb7', 'noise': 'bd898699e790273d',
    'grid': '8b89c47615b0a01d', 'texture': 'abba7462ca2a8063',
    'clutter': '72de0cf61bada0b6', 'grey': 'ac2dead559638ffd',
    'colour': '94f0925931868465'}


@pytest.mark.parametrize('kind', GREY)
def test_backdrops_are_grey_in_coloured_scenes(kind):
  grey, coloured = draw(kind), draw(kind, colour=True)
  np.testing.assert_array_equal(coloured, np.stack([grey] * 3, axis=-1))


@pytest.mark.parametrize(
    'kind', [k for k in backdrops.KINDS if k not in ('black', *PLAIN)])
def test_scenes_and_seeds_differ(kind):
  # Grids have few parameters, and may be equal once in a while.
  first, other = draw(kind, 1_100), draw(kind, 1_100, seed=1)
  assert len(np.unique(first, axis=0)) > 1_080
  assert (first != other).any((1, 2)).sum() > 1_080
  np.testing.assert_array_equal(first, draw(kind, 1_100))


@pytest.mark.parametrize('kind, colour, channels', [
    ('grey', False, 1), ('grey', True, 1), ('colour', False, 1),
    ('colour', True, 3)])
def test_plain_grounds_are_one_uniform_colour_a_scene(kind, colour, channels):
  images = draw(kind, 2_000, level=1., size=8, colour=colour)
  images = images.reshape(2_000, 64, -1)
  assert (images == images[:, :1]).all()
  shades = images[:, 0]
  assert len(np.unique(shades, axis=0)) > (250 if channels == 1 else 1_990)
  for channel in shades.T:
    # Correct code fails once in 10^6.
    assert stats.kstest((channel + .5) / 256., 'uniform').pvalue > 1e-6
  correlation = np.corrcoef(shades.T) if colour else None
  assert not colour or (abs(correlation[0, 1]) < .15) == (channels == 3)


def test_noise_is_uniform_and_independent():
  """Chi-square over 103 values, 750,000 pixels.

  Right code fails once in 10^9 (chi-square 205). An end of the range that is
  half as likely adds 750,000 / 103 / 4 = 1,800 to an expected 102 +- 14.
  Correlations of neighbours in y, x and from scene to scene have standard
  deviation 1 / sqrt(750,000) = .0012; those of .01 are seen.
  """
  noise = draw('noise', 300, level=.4)
  observed = np.bincount(noise.ravel(), minlength=103)
  assert len(observed) == 103
  expected = noise.size / 103
  assert (np.sum((observed - expected)**2 / expected)
          < stats.chi2.isf(1e-9, 102))
  centred = noise - noise.mean()
  for axis in range(3):
    product = centred * np.roll(centred, 1, axis)
    assert abs(product.mean()) < .01 * centred.var()


def test_grids_are_lines_of_one_period_across_and_one_down():
  periods, phases, levels = [], [], []
  for image in draw('grid', 2_000, level=1., size=64):
    rows, columns = image.min(axis=1), image.min(axis=0)
    np.testing.assert_array_equal(
        image, np.maximum(rows[:, np.newaxis], columns))
    levels.append(image.max())
    assert set(np.unique(image)) == {0, image.max()}
    for line in rows, columns:
      places = np.flatnonzero(line)
      gaps = set(np.diff(places))
      assert len(gaps) == 1
      periods += gaps
      phases.append(places[0] / (periods[-1] - 1))
  assert min(phases) == 0. and max(phases) == 1.
  # 4,000 draws of 11 periods, 364 +- 18 of each: five standard deviations.
  counts = np.bincount(periods, minlength=16)[5:]
  assert len(counts) == 11 and np.all(abs(counts - 364) < 90)
  # Across and down are drawn apart: correlation 0 +- .02.
  assert abs(np.corrcoef(periods[::2], periods[1::2])[0, 1]) < .1
  assert 127 <= min(levels) < 132 and 251 < max(levels) <= 255
  assert abs(np.mean(levels) - 191) < 5


def test_textures_are_smooth_and_fill_the_range():
  clouds = draw('texture', 1_500, level=.8)
  np.testing.assert_array_equal(clouds.min((1, 2)), 0)
  np.testing.assert_array_equal(clouds.max((1, 2)), 204)
  steps = np.abs(np.diff(clouds.astype(int), axis=2))
  assert steps.max() < 45  # Of 204, from one pixel to the next.


def test_textures_are_blurred_noise_everywhere_alike():
  """White noise blurred by a Gaussian s has correlation exp(-d^2 / (4 s^2)).

  s = 4 pixels: .985 at d = 1, .21 at 10. Stretching each image changes that a
  little; the tolerance, .04, is above that and above the error of 1,500 images.
  """
  clouds = draw('texture', 1_500, level=.8).astype(float)
  clouds -= clouds.mean()
  variance = clouds.var()
  for distance in 1, 4, 10:
    expected = np.exp(-distance**2 / 64)
    for a, b in ((clouds[:, distance:], clouds[:, :-distance]),
                 (clouds[:, :, distance:], clouds[:, :, :-distance])):
      assert abs((a * b).mean() / variance - expected) < .04
  # As varied at the borders as in the middle.
  by_place = clouds.var(axis=0) / variance
  for border in by_place[0], by_place[-1], by_place[:, 0], by_place[:, -1]:
    assert abs(border.mean() - 1.) < .1


def test_clutter_has_a_piece_for_600_pixels():
  """A digit of one pixel makes pieces with that pixel in their middle.

  Pieces lie inside the canvas, so the pixel is at 4 ... size - 4. Of 4 pieces a
  few fall on one another.
  """
  digits = np.zeros([1, 28, 28], np.uint8)
  digits[0, 27, 0] = 200  # In a corner, where the piece reaches beyond.
  pixels = draw('clutter', 2_000, level=.5, size=50, digits=digits)
  assert set(np.unique(pixels)) == {0, 100}
  counts = (pixels > 0).sum((1, 2))
  assert counts.max() == 4 and counts.mean() > 3.99
  _, y, x = np.nonzero(pixels)
  for place in y, x:
    assert (place.min(), place.max()) == (4, 46)
    # 8,000 on 43 places, 186 +- 14 each: six standard deviations.
    assert np.all(abs(np.bincount(place)[4:] - 186) < 84)
  large = draw('clutter', 50, level=.5, size=100, digits=digits)
  assert (large > 0).sum((1, 2)).max() == 17  # 10,000 / 600.


@pytest.mark.parametrize('colour', [False, True])
def test_clutter_is_made_of_pieces_of_digits(colour):
  """On a canvas for one piece, each can be found in a digit, as it is there."""
  digits = some_digits(colour=colour)
  padded = np.pad(digits, [(0, 0), (4, 4), (4, 4)] + [(0, 0)] * colour)
  known = {digit[y:y + 8, x:x + 8].tobytes()
           for digit in padded for y in range(29) for x in range(29)}
  pieces = draw('clutter', 500, level=1., size=8, colour=colour, digits=digits)
  assert pieces.any(axis=tuple(range(1, pieces.ndim))).all()
  assert {piece.tobytes() for piece in pieces} <= known
  # Five digits, each as likely as the others: 100 +- 9 of 500.
  brightest = pieces.reshape([500, -1]).max(axis=1)
  assert np.all(abs(np.bincount(255 - brightest, minlength=5) - 100) < 50)
  assert len(np.unique(pieces, axis=0)) > 150  # Of some 400 that there are.

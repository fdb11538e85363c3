"""Tests of object_size.py: sizes are read off the pictures."""

import numpy as np
import pytest

from air_tf import config as config_lib
from air_tf import errors
from air_tf import object_size
from air_tf import progress


def _discs(diameters, side=64, seed=0, slope=0.):
  """Returns uint8 [N, side, side], one disc each, on a slope with noise."""
  rng = np.random.default_rng(seed)
  y, x = np.mgrid[:side, :side]
  images = []
  for diameter in diameters:
    cy, cx = rng.uniform(side / 3, 2 * side / 3, 2)
    disc = np.clip(diameter / 2 - np.hypot(y - cy, x - cx) + .5, 0., 1.)
    level = rng.uniform(.3, .7)
    images.append(level * disc + slope * (x / side)**2 + .02
                  + .01 * rng.standard_normal([side, side]))
  return np.round(255 * np.clip(images, 0., 1.)).astype(np.uint8)


@pytest.mark.parametrize('diameter', [8., 14., 24.])
def test_diameter_of_discs(diameter):
  size = object_size.measure(_discs([diameter] * 30, slope=.2))
  assert abs(size.median / diameter - 1.) < .2
  assert .9 <= size.per_image < 1.5


def test_spread_is_that_of_the_sizes():
  rng = np.random.default_rng(1)
  logs = rng.normal(np.log(14.), .3, 80)
  size = object_size.measure(_discs(np.exp(logs)))
  assert .15 < size.spread < .45
  assert object_size.measure(_discs([14.] * 40)).spread < .15


def test_resolved_once_and_said(monkeypatch):
  said = []
  monkeypatch.setattr(progress, 'status', said.append)
  config = config_lib.Config(object_size=0., canvas_size=64)
  resolved = object_size.with_measured_size(config, _discs([14.] * 30))
  assert 18. < resolved.object_size < 25.  # 1.5 diameters.
  assert resolved.scale_prior_stddev == .15
  assert f'--object_size={resolved.object_size:g} ' in said[0]
  assert object_size.with_measured_size(resolved, None) is resolved


@pytest.mark.parametrize('median, spread, widest, glimpse, stddev', [
    # 1.5 * 14 = 21 pixels; .3 / (1 - 21 / 64) = .4465.
    (14., .3, .9, 21., .45),
    (14., .3, .4, 21., .4),  # Not wider than was asked for,
    (14., .01, .9, 21., .15),  # and not narrower than can be measured.
    (50., .3, 9., 57.6, 3.)])  # Nine tenths of an image at most.
def test_glimpse_and_prior_of_a_size_by_hand(
    median, spread, widest, glimpse, stddev, monkeypatch):
  monkeypatch.setattr(object_size, 'measure', lambda images:
                      object_size.ObjectSize(median, spread, 1.))
  resolved = object_size.with_measured_size(
      config_lib.Config(object_size=0., canvas_size=64,
                        scale_prior_stddev=widest),
      np.zeros([2, 64, 64], np.uint8))
  assert resolved.object_size == glimpse
  assert resolved.scale_prior_stddev == stddev


def test_spread_is_that_of_a_normal_distribution_with_these_quartiles(
    monkeypatch):
  # Which lie 1.35 standard deviations apart; here at 1 and 3.
  monkeypatch.setattr(object_size, '_blobs', lambda pixels, diameters:
                      np.exp([4., 1., 0., 3., 2.]))
  size = object_size.measure(np.zeros([4, 16, 16], np.uint8))
  assert size.median == pytest.approx(np.exp(2.))
  assert size.spread == pytest.approx(2. / 1.35)


def test_colour_is_taken_by_its_brightest_channel():
  grey = _discs([14.] * 20)
  colour = np.stack([grey, grey // 4, grey * 0], axis=-1)
  assert object_size.measure(colour) == object_size.measure(grey)


def test_nothing_to_measure_is_an_error():
  black = np.zeros([3, 50, 50], np.uint8)
  assert object_size.measure(black) is None
  with pytest.raises(errors.UserError, match='found nothing in the images'):
    object_size.with_measured_size(config_lib.Config(object_size=0.), black)


def test_a_model_needs_a_size():
  with pytest.raises(errors.UserError, match='--object_size=0'):
    _ = config_lib.Config(object_size=0.).scale_prior_mean

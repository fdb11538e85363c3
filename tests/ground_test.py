"""Tests of ground.py: uneven light is followed, objects are not."""

import numpy as np
import pytest
import tensorflow as tf

from air_tf import ground
from air_tf.data import micrographs


def _slopes(side, seed, number=8):
  """Returns [N, side, side], polynomials of second order in .05 ... .35."""
  rng = np.random.default_rng(seed)
  x = np.linspace(-1., 1., side)
  y = x[:, np.newaxis]
  terms = np.stack(np.broadcast_arrays(x, y, x * y, x**2, y**2))
  slopes = np.tensordot(rng.standard_normal([number, 5]), terms, axes=1)
  slopes -= slopes.min(axis=(1, 2), keepdims=True)
  slopes /= slopes.max(axis=(1, 2), keepdims=True)
  return (.05 + .3 * slopes).astype(np.float32)


@pytest.mark.parametrize('side', [9, 50, 64])
def test_a_slope_is_followed_exactly(side):
  slopes = _slopes(side, seed=1)
  np.testing.assert_allclose(ground.estimate(tf.constant(slopes)), slopes,
                             atol=2e-3)


def test_objects_on_half_of_the_pixels_do_not_lift_it():
  slopes = _slopes(50, seed=2)
  noise = .02 * np.random.default_rng(3).standard_normal(slopes.shape)
  images = slopes + noise
  y, x = np.mgrid[:50, :50]
  for cy, cx, level in ((12, 12, .2), (14, 38, .6), (38, 20, 1.)):
    images[:, np.hypot(y - cy, x - cx) < 10] += level
  images[:, 40:, 40:] += .3  # 1,000 of 2,500 pixels.
  found = ground.estimate(tf.constant(images, tf.float32))
  np.testing.assert_allclose(found, slopes, atol=.02)
  assert np.sqrt(np.mean((found - slopes)**2)) < .006


def test_of_blobs_it_is_the_ground_that_was_drawn(monkeypatch):
  grounds, draw = [], micrographs._ground
  def noted(*args):
    grounds.append(draw(*args))
    return grounds[-1]
  monkeypatch.setattr(micrographs, '_ground', noted)
  y, x = np.mgrid[:28, :28] - 13.5
  disc = np.where(np.hypot(y, x) < 8., 120, 0).astype(np.uint8)
  scenes = micrographs.compose(
      disc[np.newaxis], [0], num_scenes=60, canvas_size=50, counts=(0, 1, 2, 4),
      seed=0)
  error = ground.estimate(tf.constant(scenes.images / np.float32(255.))
                          ) - np.concatenate(grounds)
  # Where the ground is at black, noise is cut off and its mean is above 0.
  assert np.sqrt(np.mean(error**2)) < .006


def test_black_is_black_and_colours_have_their_own():
  assert not np.any(ground.estimate(tf.zeros([2, 50, 50])))
  slopes = _slopes(20, seed=4, number=6).reshape([2, 3, 20, 20])
  colour = slopes.transpose([0, 2, 3, 1])
  np.testing.assert_allclose(ground.estimate(tf.constant(colour)), colour,
                             atol=2e-3)


def test_it_has_no_gradient():
  images = tf.constant(_slopes(20, seed=5))
  with tf.GradientTape() as tape:
    tape.watch(images)
    total = tf.reduce_sum(ground.estimate(images))
  assert tape.gradient(total, images) is None


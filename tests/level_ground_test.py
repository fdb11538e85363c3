"""Tests of level_ground.py."""

import numpy as np
import pytest
import tensorflow as tf

from air_tf import level_ground


def scenes(channels, noise=0., seed=0):
  """Images with a ground that covers 40 %, and five objects of 12 % each."""
  rng = np.random.default_rng(seed)
  ground = rng.random([6, *([channels] if channels > 1 else [])])
  images = np.empty([6, 30, 40, *ground.shape[1:]])
  for image, colour in zip(images, ground, strict=True):
    image[:] = colour
    for k in range(5):  # Darker and brighter ones, none like the ground.
      other = (colour + .15 + .14 * k) % 1.
      image[:18, 8 * k:8 * k + 8] = other
  images += noise * rng.standard_normal(images.shape)
  return images.astype(np.float32), ground


@pytest.mark.parametrize('channels', [1, 3])
def test_an_even_ground_is_found_exactly(channels):
  images, ground = scenes(channels)
  found = level_ground.estimate(tf.constant(images)).numpy()
  assert found.shape == images.shape
  np.testing.assert_array_equal(np.ptp(found, axis=(1, 2)), 0.)
  np.testing.assert_allclose(found[:, 0, 0], ground, atol=.004)


def test_noise_is_averaged():
  images, ground = scenes(3, noise=.02)
  found = level_ground.estimate(tf.constant(images)).numpy()
  np.testing.assert_allclose(found[:, 0, 0], ground, atol=.01)


def test_it_has_no_gradient():
  images = tf.constant(scenes(1)[0])
  with tf.GradientTape() as tape:
    tape.watch(images)
    ground = tf.reduce_sum(level_ground.estimate(images))
  assert tape.gradient(ground, images) is None

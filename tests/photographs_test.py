"""Tests of the model's options for photographs: ground, learnt deviation."""

import functools

import numpy as np
import pytest
import tensorflow as tf
import tiny

from air_tf import config as config_lib
from air_tf import errors
from air_tf import explain as explain_lib
from air_tf import ground
from air_tf import model as model_lib
from air_tf import prior

SEED = np.array([1, 2])


@functools.cache
def num_steps_prior():
  return prior.truncated_geometric(np.log(.1), 3)


def _images():
  """A slope, with a bright square in each image."""
  slope = np.linspace(.1, .3, 16, dtype=np.float32)
  images = np.tile(slope, [3, 16, 1])
  images[:, 4:9, 5:10] += .5
  return tf.constant(images)


@pytest.mark.parametrize('changes', [{}, tiny.DAIR])
def test_ground_is_subtracted_and_free(changes):
  with_ground = model_lib.AIRModel(tiny.config(ground=True, **changes))
  without = model_lib.AIRModel(tiny.config(**changes))
  for model in with_ground, without:
    tiny.fill(model.trainable_variables)
  images = _images()
  expected = ground.estimate(images)
  inference = with_ground.infer(images, seed=SEED)
  np.testing.assert_array_equal(inference.canvases[:, 0], expected)
  # All else is what the model makes of the image minus its ground.
  other = without.infer(images - expected, seed=SEED)
  np.testing.assert_allclose(inference.where, other.where, atol=1e-5)
  np.testing.assert_allclose(
      inference.canvases - expected[:, tf.newaxis], other.canvases, atol=1e-5)
  terms = with_ground.elbo_terms(images, inference, num_steps_prior())
  same = without.elbo_terms(images - expected, other, num_steps_prior())
  np.testing.assert_allclose(
      terms.log_likelihood, same.log_likelihood, rtol=1e-4)
  assert terms.kl_background == 0.
  seen = explain_lib.explain(with_ground, images)
  np.testing.assert_array_equal(seen.background, expected)


def test_ground_has_no_weights():
  count = lambda **changes: len(
      model_lib.AIRModel(tiny.config(**changes)).trainable_variables)
  assert count(ground=True) == count()
  assert count(pixel_stddev=0.) == count() + 1


def test_ground_and_background_exclude_each_other():
  with pytest.raises(errors.UserError, match='--ground=True: expected one of'):
    config_lib.Config(ground=True, background=True)


def test_learnt_deviation_moves_towards_the_residual():
  """Its gradient is that of the sum over pixels, scaled down."""
  model = model_lib.AIRModel(tiny.config(pixel_stddev=0.))
  variable, = model.variable_groups()['pixel_stddev']
  np.testing.assert_allclose(model.pixel_stddev, .3, rtol=1e-6)
  images = _images()
  inference = model.infer(images)
  with tf.GradientTape() as tape:
    terms = model.elbo_terms(images, inference, num_steps_prior())
    loss = tf.reduce_mean(terms.log_likelihood)
  squares = np.sum((images[:, tf.newaxis] - inference.canvases)**2, (2, 3))
  # d/d(log s) of log N(r; 0, s) is r^2 / s^2 - 1; log s = log .3 + 4 variable.
  expected = 1e-4 * 4. * np.mean(squares / .09 - 256.)
  np.testing.assert_allclose(tape.gradient(loss, variable), expected, rtol=1e-3)
  variable.assign(-.25)
  np.testing.assert_allclose(model.pixel_stddev, .3 * np.exp(-1.), rtol=1e-6)
  given = model_lib.AIRModel(tiny.config(pixel_stddev=.3 * float(np.exp(-1.))))
  found, expected = (
      x.elbo_terms(images, inference, num_steps_prior()).log_likelihood
      for x in (model, given))
  np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_learnt_deviation_is_trained():
  trainer = tiny.trainer(pixel_stddev=0.)
  with tiny.eagerly():
    trainer.train(tiny.scenes().images, 1)
  variable, = trainer.model.variable_groups()['pixel_stddev']
  assert np.isfinite(variable.numpy()) and variable.numpy() != 0.

import functools

import numpy as np
import pytest
from scipy import special
from scipy import stats
import stat_util
import tensorflow as tf
import tiny

from air_tf import elbo as elbo_lib
from air_tf import model as model_lib
from air_tf import prior


@functools.cache
def num_steps_prior():
  return prior.truncated_geometric(np.log(.4), 3)


@pytest.fixture(scope='module')
def model():
  # Noise and a posterior so broad that weights vary little, and the mean of
  # some thousands is known well.
  model = model_lib.AIRModel(tiny.config(
      pixel_stddev=4., where_stddev_init=1.2, scale_prior_stddev=1.))
  model.infer(tiny.images())
  tiny.fill(model.trainable_variables)
  return model


def weights(model, images, seed):
  sample = model.infer(images, seed=tf.constant(seed))
  terms = model.elbo_terms(images, sample, num_steps_prior())
  return sample, elbo_lib.marginal_log_weight(terms).numpy()


def test_weights_are_the_sum_over_all_counts(model):
  # Each term by SciPy, with n = 0 ... 3 objects.
  images = tiny.images(3)
  sample, found = weights(model, images, (1, 2))
  config = model.config
  terms = []
  for n in range(4):
    term = num_steps_prior().log_prob([n]).numpy() + stats.norm.logpdf(
        images, sample.canvases[:, n], config.pixel_stddev).sum((1, 2))
    for t in range(n):
      q, value = sample.what_posterior, sample.what[:, t]
      term += (stats.norm.logpdf(value) - stats.norm.logpdf(
          value, q.mean[:, t], q.stddev[:, t])).sum(-1)
      q, value = sample.where_posterior, sample.where_logits[:, t]
      mean = [config.scale_prior_mean, 0., 0.]
      stddev = [config.scale_prior_stddev] + [config.shift_prior_stddev] * 2
      term += (stats.norm.logpdf(value, mean, stddev) - stats.norm.logpdf(
          value, q.mean[:, t], q.stddev[:, t])).sum(-1)
    terms.append(term)
  np.testing.assert_allclose(
      found, special.logsumexp(terms, axis=0), rtol=1e-5)


@pytest.mark.slow
def test_mean_weight_is_the_likelihood(model):
  # E[w] = p(x), and p(x) = sum_n p(n) E[p(x | n objects from the prior)]: two
  # routes that share only the decoder. Right code fails once in 1.7 million,
  # and a p(x) off by 6 % is seen.
  copies, parts = 4_000, 8  # All at once would take gigabytes.
  image = tiny.images(1)
  images = tf.repeat(image, copies, axis=0)
  found = np.concatenate([
      weights(model, images, (part, 1))[1] for part in range(parts)])
  counts = tf.constant(np.repeat(np.arange(4), copies))
  density = np.stack([
      stats.norm.logpdf(
          image, model.sample_prior(counts, tf.constant([part, 6]), 16, 16),
          model.config.pixel_stddev).sum((1, 2)).reshape([4, copies])
      for part in range(parts)], axis=1).reshape([4, -1])
  offset = density.max()
  expected = np.exp(density - offset).mean(axis=1)
  expected = expected @ num_steps_prior().prob(range(4)).numpy()
  stat_util.assert_mean_matches(
      np.exp(found - offset) / expected, 1., resolution=.06)


def test_bound_by_hand_and_no_overflow():
  found = elbo_lib.importance_bound(
      np.log([[1., 2.], [3., 2.]]) - [[2_000.], [2_000.]])
  np.testing.assert_allclose(found, np.log([2., 2.]) - 2_000.)


def test_bound_rises_with_the_number_of_samples(model):
  images = tiny.images(4)
  drawn = np.stack([weights(model, images, (k, 0))[1] for k in range(8)])
  alone = drawn.mean(axis=0)  # The mean bound at K = 1, of the same samples.
  assert np.all(elbo_lib.importance_bound(drawn) > alone)
  assert np.all(elbo_lib.importance_bound(drawn[:1]) == drawn[0])

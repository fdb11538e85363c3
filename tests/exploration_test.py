import math

import numpy as np
import pytest
import tensorflow as tf

from air_tf import prior
from air_tf.estimators import exploration


def random_logits(*shape):
  return tf.random.stateless_normal(shape, seed=[0, 1]) * 2.


def test_floor_mixes_a_uniform_count():
  log_pmf = prior.NumStepsDistribution(random_logits(5, 3)).log_pmf()
  mixed = tf.exp(exploration.mix_with_uniform(log_pmf, .6))
  np.testing.assert_allclose(mixed, .4 * tf.exp(log_pmf) + .15, rtol=1e-5)
  np.testing.assert_allclose(
      exploration.mix_with_uniform(log_pmf, 1.), np.full([5, 4], -math.log(4)),
      rtol=1e-5)


@pytest.mark.parametrize('value', [0., 100., -100.])
def test_no_exploration_changes_neither_value_nor_gradient(value):
  logits = tf.Variable(tf.fill([3], value))
  with tf.GradientTape(persistent=True) as tape:
    log_pmf = prior.NumStepsDistribution(logits).log_pmf()
    explored = exploration.mix_with_uniform(log_pmf, tf.constant(0.))
  np.testing.assert_allclose(explored, log_pmf, rtol=1e-6)
  np.testing.assert_allclose(
      tape.gradient(explored, logits), tape.gradient(log_pmf, logits),
      rtol=1e-6)


def test_prefixes_share_by_hand():
  q = np.array([.1, .2, .3, .4])
  shared = exploration.smooth_over_prefixes(
      tf.constant(np.log(q), tf.float32), .6)
  third = .4 / 3.
  np.testing.assert_allclose(tf.exp(shared), .4 * q + .6 * np.array(
      [.1, .2 + .15 + third, .15 + third, third]), rtol=1e-5)
  log_q = prior.NumStepsDistribution(random_logits(5, 3)).log_pmf()
  assert exploration.smooth_over_prefixes(log_q, 0.) is log_q


def test_what_prefixes_get_has_no_gradient():
  logits = tf.Variable(random_logits(5, 3))
  f = tf.constant([3., -1., 2., 5.])
  with tf.GradientTape(persistent=True) as tape:
    log_q = prior.NumStepsDistribution(logits).log_pmf()
    of_q, of_shared = (
        tf.reduce_sum(tf.exp(x) * f)
        for x in (log_q, exploration.smooth_over_prefixes(log_q, .6)))
  np.testing.assert_allclose(
      tape.gradient(of_shared, logits), .4 * tape.gradient(of_q, logits),
      rtol=1e-4, atol=1e-6)

import math

import numpy as np
import pytest
import stat_util
import tensorflow as tf
import tensorflow_probability as tfp

from air_tf import prior

tfd = tfp.distributions


def logit(p):
  p = np.asarray(p, np.float64)
  return (np.log(p) - np.log1p(-p)).astype(np.float32)


def random_logits(*shape):
  return tf.random.stateless_normal(shape, seed=[0, 1]) * 2.


def test_pmf_worked_by_hand():
  # P(0) = 1 - .5            = .5
  # P(1) = .5 * (1 - .25)    = .375
  # P(2) = .5 * .25          = .125, the last count: no stop is needed.
  q = prior.NumStepsDistribution(logit([.5, .25]))
  np.testing.assert_allclose(q.prob([0, 1, 2]), [.5, .375, .125], rtol=1e-6)
  np.testing.assert_allclose(tf.exp(q.log_pmf()), [.5, .375, .125], rtol=1e-6)


def test_moments_worked_by_hand():
  # With the three probabilities above: mean .375 + .25 = .625;
  # variance .375 + 4 * .125 - .625^2; entropy -sum p log p; mode 0.
  q = prior.NumStepsDistribution(logit([.5, .25]))
  p = np.array([.5, .375, .125])
  np.testing.assert_allclose(q.mean(), .625, rtol=1e-6)
  np.testing.assert_allclose(q.variance(), .875 - .625**2, rtol=1e-6)
  np.testing.assert_allclose(q.entropy(), -np.sum(p * np.log(p)), rtol=1e-6)
  assert q.mode().numpy() == 0


def test_mode_is_the_likeliest_count_and_not_a_local_one():
  # P = (.4, .6 * .1, .54): the last count wins though step 2 is likely.
  q = prior.NumStepsDistribution(logit([[.6, .9], [.9, .2]]))
  np.testing.assert_array_equal(q.mode(), [2, 1])


@pytest.mark.parametrize('max_steps', [1, 2, 5])
def test_pmf_by_enumerating_all_walks(max_steps):
  logits = random_logits(4, max_steps)
  go = tf.sigmoid(logits).numpy().astype(np.float64)
  expected = np.zeros([4, max_steps + 1])
  for coins in np.ndindex(*[2] * max_steps):  # All 2^T sequences of coins.
    chance = np.prod(np.where(coins, go, 1. - go), axis=-1)
    first_stop = coins.index(0) if 0 in coins else max_steps
    expected[:, first_stop] += chance
  log_pmf = prior.NumStepsDistribution(logits).log_pmf()
  np.testing.assert_allclose(tf.exp(log_pmf), expected, rtol=1e-5)
  np.testing.assert_allclose(tf.reduce_sum(tf.exp(log_pmf), -1), 1., rtol=1e-6)


def test_agrees_with_stopping_ratio_logistic():
  logits = random_logits(7, 3)
  q = prior.NumStepsDistribution(logits)
  oracle = tfd.StoppingRatioLogistic(cutpoints=-logits, loc=0.)
  np.testing.assert_allclose(
      q.log_pmf(), oracle.categorical_log_probs(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('value', [100., -100.])
def test_finite_when_saturated(value):
  logits = tf.Variable(tf.fill([3], value))
  with tf.GradientTape() as tape:
    q = prior.NumStepsDistribution(logits)
    log_pmf = q.log_pmf()
  assert np.all(np.isfinite(log_pmf)) and np.all(log_pmf >= -301.)
  jacobian = tape.jacobian(log_pmf, logits).numpy()
  assert np.all(np.abs(jacobian) <= 1.)
  np.testing.assert_allclose(q.entropy(), 0., atol=1e-6)
  assert q.mode().numpy() == (3 if value > 0. else 0)
  np.testing.assert_array_equal(
      q.sample(5, seed=[0, 0]), [3 if value > 0 else 0] * 5)


def test_samples_follow_the_pmf():
  # Sees a probability that is off by .01; see `stat_util` for false alarms.
  q = prior.NumStepsDistribution(logit([.7, .4, .5]))
  counts = q.sample(300_000, seed=[1, 0]).numpy()
  stat_util.assert_mean_matches(
      counts[:, np.newaxis] == np.arange(4), tf.exp(q.log_pmf()).numpy(), .01)


def test_samples_of_a_batch_are_independent():
  # Correlation of two rows with equal logits; sees .02 of a variance of .6.
  q = prior.NumStepsDistribution(logit([[.7, .4, .5]] * 2))
  counts = q.sample(300_000, seed=[2, 0]).numpy() - q.mean().numpy()
  stat_util.assert_mean_matches(counts[:, 0] * counts[:, 1], 0., .03)


def test_sampling_repeats_by_seed():
  q = prior.NumStepsDistribution(random_logits(50, 3))
  np.testing.assert_array_equal(q.sample(seed=[3, 0]), q.sample(seed=[3, 0]))
  assert np.any(q.sample(seed=[3, 0]) != q.sample(seed=[4, 0]))


def test_outside_the_support():
  q = prior.NumStepsDistribution(random_logits(3))
  np.testing.assert_array_equal(q.log_prob([-1, 4]), [-np.inf, -np.inf])
  np.testing.assert_array_equal(q.prob([-1, 4]), [0., 0.])


@pytest.mark.parametrize('value', [-1., 4., 1.5])
def test_validate_args_refuses_what_is_not_a_count(value):
  q = prior.NumStepsDistribution(random_logits(3), validate_args=True)
  with pytest.raises(tf.errors.InvalidArgumentError, match='whole number'):
    q.log_prob(value)
  assert np.isfinite(q.log_prob(3.))


@pytest.mark.parametrize('logits', [1., np.zeros([2, 0])])
def test_refuses_logits_without_a_step_axis(logits):
  with pytest.raises(ValueError, match='last axis of known size'):
    prior.NumStepsDistribution(tf.constant(logits, tf.float32))


def test_double_precision():
  logits = np.array([[.4, -.3]])
  single, double = (prior.NumStepsDistribution(tf.constant(logits, dtype))
                    for dtype in (tf.float32, tf.float64))
  for name in 'log_pmf', 'mean', 'variance', 'mode':
    np.testing.assert_allclose(
        getattr(double, name)(), getattr(single, name)(), rtol=1e-5)
  assert double.log_pmf().dtype == tf.float64
  assert double.sample(3, seed=1).shape == [3, 1]


def test_shapes_and_broadcasting():
  q = prior.NumStepsDistribution(random_logits(4, 1, 3))
  assert q.batch_shape == [4, 1] and q.event_shape == []
  assert q.log_pmf().shape == [4, 1, 4]
  assert q.sample(6, seed=[0, 0]).shape == [6, 4, 1]
  assert q.log_prob(tf.zeros([4, 5], tf.int32)).shape == [4, 5]
  assert q.mean().shape == q.entropy().shape == q.mode().shape == [4, 1]
  assert q.max_steps == 3


def test_works_inside_a_compiled_function_of_unknown_batch():
  @tf.function(input_signature=[tf.TensorSpec([None, 3])])
  def log_prob_of_mode(logits):
    q = prior.NumStepsDistribution(logits)
    return q.log_prob(q.mode())
  logits = random_logits(5, 3)
  np.testing.assert_allclose(
      log_prob_of_mode(logits),
      np.max(prior.NumStepsDistribution(logits).log_pmf(), -1), rtol=1e-6)


def test_kl_against_enumeration_and_of_itself():
  q = prior.NumStepsDistribution(random_logits(6, 3))
  p = prior.NumStepsDistribution(tf.constant([.3, -1., .2]))
  expected = np.sum(np.exp(q.log_pmf()) * (q.log_pmf() - p.log_pmf()), -1)
  np.testing.assert_allclose(tfd.kl_divergence(q, p), expected, rtol=1e-5)
  np.testing.assert_allclose(tfd.kl_divergence(q, q), 0., atol=1e-6)
  assert tfd.kl_divergence(q, p).shape == [6]


def test_kl_by_sampling():
  # Sees an error of .03 nats in a divergence of about half a nat.
  q = prior.NumStepsDistribution(logit([.7, .4, .5]))
  p = prior.NumStepsDistribution(logit([.4, .6, .2]))
  n = q.sample(200_000, seed=[5, 0])
  stat_util.assert_mean_matches(
      q.log_prob(n) - p.log_prob(n), tfd.kl_divergence(q, p).numpy(), .03)


def test_kl_refuses_other_counts():
  with pytest.raises(ValueError, match='max_steps=3 and the other 2'):
    tfd.kl_divergence(prior.NumStepsDistribution(tf.zeros([3])),
                      prior.NumStepsDistribution(tf.zeros([2])))


@pytest.mark.parametrize('success', [.5, 1e-5, 1. - 1e-15])
def test_truncated_geometric_is_normalised_powers(success):
  log_pmf = prior.truncated_geometric(math.log(success), 3).log_pmf()
  powers = success ** np.arange(4.)
  np.testing.assert_allclose(
      log_pmf, np.log(powers / powers.sum()), rtol=1e-5, atol=1e-6)


def test_kl_to_the_truncated_geometric():
  # q is certain of 2 and p is (1, s, s^2, s^3) / sum: KL = -log p(2).
  q = prior.NumStepsDistribution([60., 60., -60.])
  s = 1e-5
  kl = tfd.kl_divergence(q, prior.truncated_geometric(math.log(s), 3))
  np.testing.assert_allclose(kl, -2 * math.log(s) + math.log1p(s), rtol=1e-5)


def test_score_function_gradient_is_unbiased():
  # grad E_q[f(n)] two ways: by summing over all counts, and as the mean of
  # f(n) * grad log q(n) over samples, one row of the Jacobian per sample.
  f = tf.constant([3., -1., 0., 2.])
  logits = tf.Variable([.4, -.8, .2])
  with tf.GradientTape(persistent=True) as tape:
    log_pmf = prior.NumStepsDistribution(logits).log_pmf()
    exact = tf.reduce_sum(tf.exp(log_pmf) * f)
  score = tape.jacobian(log_pmf, logits)
  n = prior.NumStepsDistribution(logits).sample(200_000, seed=[0, 0])
  estimates = tf.gather(f, n)[:, tf.newaxis] * tf.gather(score, n)
  stat_util.assert_mean_matches(
      estimates, tape.gradient(exact, logits).numpy(), resolution=.05)


def test_survival_by_hand():
  survival = prior.step_probs([[.5, .375, .125]])
  np.testing.assert_allclose(survival, [[.5, .125]], rtol=1e-6)


def test_cdf_and_survival_function_by_hand():
  # P(0) = .5, P(1) = .375, P(2) = .125, and nothing between whole numbers.
  q = prior.NumStepsDistribution(logit([.5, .25]))
  value = [-1., -.1, 0., .9, 1., 1.5, 2., 7.]
  cdf = [0., 0., .5, .5, .875, .875, 1., 1.]
  np.testing.assert_allclose(q.cdf(value), cdf, rtol=1e-6)
  np.testing.assert_allclose(
      q.survival_function(value), 1. - np.array(cdf), rtol=1e-6)
  with np.errstate(divide='ignore'):
    np.testing.assert_allclose(q.log_cdf(value), np.log(cdf), atol=1e-6)
    np.testing.assert_allclose(
        q.log_survival_function(value), np.log1p(-np.array(cdf)), rtol=1e-5)


def test_quantile_by_hand():
  q = prior.NumStepsDistribution(logit([.5, .25]))  # CDF: .5, .875, 1.
  np.testing.assert_array_equal(
      q.quantile([0., .4, .6, .8, .9, 1.]), [0, 0, 1, 1, 2, 2])


def test_cdf_and_survival_function_are_sums_of_the_pmf():
  q = prior.NumStepsDistribution(random_logits(7, 4))
  pmf = np.exp(q.log_pmf())
  counts = np.arange(5)[:, np.newaxis]  # Broadcast against the batch.
  np.testing.assert_allclose(
      q.cdf(counts), np.cumsum(pmf, axis=1).T, rtol=1e-5)
  above = [pmf[:, n + 1:].sum(axis=1) for n in range(5)]
  np.testing.assert_allclose(q.survival_function(counts), above, rtol=1e-5)
  np.testing.assert_allclose(  # P(n >= t) = P(n > t - 1).
      prior.step_probs(pmf), np.transpose(above[:-1]), rtol=1e-5)
  # Anywhere between P(n <= k - 1) and P(n <= k); at the ends rounding decides.
  np.testing.assert_array_equal(
      q.quantile(.5 * (q.cdf(counts - 1) + q.cdf(counts))),
      np.tile(counts, [1, 7]))


@pytest.mark.parametrize('sign', [1., -1.])
def test_tails_are_exact_when_saturated(sign):
  # Far beyond what 1 - cdf could resolve: each step has log-probability -60
  # of going ahead (sign = -1) or of stopping there.
  logits = tf.Variable([60. * sign] * 3)
  with tf.GradientTape(persistent=True) as tape:
    q = prior.NumStepsDistribution(logits)
    tails = (q.log_cdf([0., 1., 2.]) if sign > 0.
             else q.log_survival_function([0., 1., 2.]))
  # log P(n <= 1) = -60 + log 2 where two stops are as likely, and log 3 on.
  expected = (np.log([1., 2., 3.]) - 60. if sign > 0.
              else [-60., -120., -180.])
  np.testing.assert_allclose(tails, expected, rtol=1e-6)
  assert np.all(np.isfinite(tape.jacobian(tails, logits)))
  np.testing.assert_array_equal(
      q.quantile([.01, .99, 1.]), [3] * 3 if sign > 0. else [0] * 3)


def test_it_crosses_the_border_of_a_compiled_function():
  @tf.function
  def mix(q, value):
    half = prior.NumStepsDistribution(.5 * q.step_logits, validate_args=True)
    return half, q.cdf(value), q.survival_function(value), q.quantile(.7)

  for seed in range(2):
    logits = tf.random.stateless_normal([5, 3], seed=[seed, 1])
    q = prior.NumStepsDistribution(logits)
    half, cdf, survival, quantile = mix(q, tf.constant(1.))
    assert isinstance(half, prior.NumStepsDistribution)
    assert half.validate_args and half.max_steps == 3
    np.testing.assert_allclose(half.step_logits, .5 * logits)
    np.testing.assert_allclose(cdf, q.cdf(1.), rtol=1e-6)
    np.testing.assert_allclose(survival, q.survival_function(1.), rtol=1e-6)
    np.testing.assert_array_equal(quantile, q.quantile(.7))
  assert mix.experimental_get_tracing_count() == 1

import sys

import numpy as np
import pytest
import stat_util
import tensorflow as tf

from air_tf import estimators
from air_tf import model as model_lib
from air_tf import prior

# Likelihoods of 0 ... 3 objects, and KLs of steps 1 ... 3, in nats.
LOG_LIKELIHOOD = [-3., 1., 2., .5]
KL_WHAT = [.3, .6, .2]
KL_WHERE = [.4, .1, .7]
LOGITS = [.4, -.3, .2]
LOG_PRIOR = prior.truncated_geometric(np.log(.3), 3).log_pmf()


def leaves(copies):
  """What a gradient can reach, once for each of `copies` equal examples."""
  tile = lambda x: tf.Variable(tf.tile(tf.constant([x]), [copies, 1]))
  return {'logits': tile(LOGITS), 'log_likelihood': tile(LOG_LIKELIHOOD),
          'kl_what': tile(KL_WHAT), 'kl_where': tile(KL_WHERE)}


def batch(leaf, exploration=0., seed=(1, 2)):
  copies = leaf['logits'].shape[0]
  posterior = prior.NumStepsDistribution(leaf['logits'])
  what = tf.ones([copies, 3, 2])
  return estimators.Batch(
      images=tf.ones([copies, 4, 4]),
      inference=model_lib.Inference(
          num_steps=posterior, where_posterior=None, where_logits=None,
          where=what, what_posterior=None, what=what, glimpses=None,
          canvases=None),
      terms=model_lib.ElboTerms(
          log_likelihood=tf.identity(leaf['log_likelihood']),
          kl_what=tf.identity(leaf['kl_what']),
          kl_where=tf.identity(leaf['kl_where']),
          log_posterior=posterior.log_pmf(), log_prior=LOG_PRIOR),
      exploration=tf.constant(exploration), seed=tf.constant(seed))


def gradients(estimator, copies=1, exploration=0., seed=(1, 2)):
  """Gradients of the loss of each copy: a dictionary of `[copies, ...]`."""
  leaf = leaves(copies)
  with tf.GradientTape() as tape:
    loss = estimator(batch(leaf, exploration, seed)).loss
  found = tape.gradient(loss, leaf)
  # The loss is a mean over copies; an unused leaf has gradient 0.
  return {name: np.zeros(leaf[name].shape) if g is None
          else tf.convert_to_tensor(g).numpy() * copies
          for name, g in found.items()}


@pytest.mark.parametrize('exploration', [0., .6])
def test_marginal_is_the_sum_over_all_counts(exploration):
  # By enumeration: the mean, over n ~ q_eps, of the ELBO with n objects.
  estimate = estimators.marginal(batch(leaves(1), exploration))
  q = np.exp(prior.NumStepsDistribution(LOGITS).log_pmf())
  q = (1. - exploration) * q + exploration / 4.
  kl = np.cumsum([0.] + list(np.add(KL_WHAT, KL_WHERE)))
  expected = np.sum(q * (
      LOG_LIKELIHOOD - kl - np.log(q) + LOG_PRIOR.numpy()))
  np.testing.assert_allclose(estimate.elbo.elbo, [expected], rtol=1e-5)
  np.testing.assert_allclose(estimate.loss, -expected, rtol=1e-5)


def test_terms_add_up_to_the_elbo():
  elbo = estimators.marginal(batch(leaves(1), .3)).elbo
  np.testing.assert_allclose(
      elbo.elbo, elbo.reconstruction - elbo.kl_what - elbo.kl_where
      - elbo.kl_num_steps, rtol=1e-6)


@pytest.mark.parametrize('exploration', [0., .6])
@pytest.mark.parametrize('name', ['reinforce', 'nvil'])
def test_mean_of_the_score_function_is_the_marginal_gradient(name, exploration):
  # 200,000 independent samples of n; sees a bias of .06 in any of the 13
  # entries, of gradients between .1 and 1; see `stat_util` for false alarms.
  # NVIL: of its untrained baseline, the same for all n but for its inputs,
  # which are made equal here, so it is unbiased.
  estimator = estimators.make(name)
  if name == 'nvil':
    estimator._baseline = lambda *inputs: tf.fill([200_000], .8)
  exact = gradients(estimators.marginal, 1, exploration)
  sampled = gradients(estimator, 200_000, exploration)
  for leaf, expected in exact.items():
    stat_util.assert_mean_matches(sampled[leaf], expected[0], resolution=.06)


@pytest.mark.parametrize('exploration', [0., .6])
def test_responsibilities_by_hand(exploration):
  # r(n) ~ p(n) exp(L(n) - KLs of the first n steps), normalised.
  kl = np.cumsum([0.] + list(np.add(KL_WHAT, KL_WHERE)))
  r = np.exp(LOG_PRIOR.numpy() + LOG_LIKELIHOOD - kl)
  r /= r.sum()
  weights = (1. - exploration) * r + exploration / 4.
  found = gradients(estimators.responsibilities, 1, exploration)
  np.testing.assert_allclose(found['log_likelihood'][0], -weights, rtol=1e-4)
  for name in 'kl_what', 'kl_where':  # Step t counts where n >= t.
    np.testing.assert_allclose(
        found[name][0], np.cumsum(weights[::-1])[::-1][1:], rtol=1e-4)
  logits = tf.Variable([LOGITS])
  with tf.GradientTape() as tape:
    cross_entropy = -tf.reduce_sum(
        r * prior.NumStepsDistribution(logits).log_pmf())
  np.testing.assert_allclose(
      found['logits'], tape.gradient(cross_entropy, logits), rtol=1e-4)


def test_responsibilities_free_a_locked_count_and_marginal_does_not(
    monkeypatch):
  monkeypatch.setattr(
      sys.modules[__name__], 'LOGITS', [30., 30., 30.])  # Locked to 3.
  strength = lambda estimator: np.max(np.abs(gradients(estimator)['logits']))
  assert strength(estimators.marginal) < 1e-6
  assert strength(estimators.responsibilities) > .1


def test_blogs_baseline_that_sees_n_is_biased():
  # A baseline equal to the likelihood of the count drawn leaves nothing of the
  # score function: the mean gradient of the logits is off by all of it.
  nvil = estimators.NVIL()
  def all_knowing(images, what, where, presence, logits):
    del images, what, where, logits
    counts = tf.cast(tf.reduce_sum(presence, axis=-1), tf.int32)
    return tf.gather(tf.constant(LOG_LIKELIHOOD), counts)
  nvil._baseline = all_knowing
  exact = gradients(estimators.marginal)['logits'][0]
  sampled = gradients(nvil, 10_000)['logits'].mean(axis=0)
  assert np.max(np.abs(sampled - exact)) > .2


def test_trained_baseline_lowers_the_variance():
  nvil = estimators.NVIL()
  nvil(batch(leaves(1)))
  optimizer = tf.keras.optimizers.SGD(.01)
  for i in range(100):
    leaf = leaves(100)
    with tf.GradientTape() as tape:
      # Likelihoods of an image, hundreds of nats below 0.
      leaf['log_likelihood'].assign_sub(tf.fill([100, 4], 20.))
      estimate = nvil(batch(leaf, seed=(3, i)))
    grads = tape.gradient(estimate.auxiliary_loss, nvil.trainable_variables)
    optimizer.apply_gradients(
        zip([tf.clip_by_norm(g, 1.) for g in grads], nvil.trainable_variables))
  def variance(estimator):
    leaf = leaves(2_000)
    leaf['log_likelihood'].assign_sub(tf.fill([2_000, 4], 20.))
    with tf.GradientTape() as tape:
      loss = estimator(batch(leaf)).loss
    return np.var(tape.gradient(loss, leaf['logits']).numpy() * 2_000, axis=0)
  assert np.all(variance(nvil) < .2 * variance(estimators.reinforce))


def test_baseline_trains_on_its_own_loss_only():
  nvil = estimators.NVIL()
  leaf = leaves(5)
  nvil(batch(leaf))
  with tf.GradientTape(persistent=True) as tape:
    estimate = nvil(batch(leaf))
  assert all(g is None for g in tape.gradient(
      estimate.loss, nvil.trainable_variables))
  assert all(g is None for g in tape.gradient(
      estimate.auxiliary_loss, list(leaf.values())))
  assert all(np.any(g) for g in tape.gradient(
      estimate.auxiliary_loss, nvil.trainable_variables))


def test_importance_weight_is_what_the_score_is_multiplied_by():
  metrics = estimators.reinforce(batch(leaves(1000))).metrics
  counts = estimators._sample(batch(leaves(1000))).counts.numpy()
  weights = np.asarray(LOG_LIKELIHOOD)[counts]
  np.testing.assert_allclose(
      metrics['importance_weight/mean'], weights.mean(), rtol=1e-4)
  np.testing.assert_allclose(
      metrics['importance_weight/variance'], weights.var(), rtol=1e-3)


def test_sampled_counts_follow_the_explored_posterior():
  # Sees a probability that is off by .01.
  leaf = leaves(300_000)
  counts = estimators._sample(batch(leaf, exploration=.5)).counts.numpy()
  q = np.exp(prior.NumStepsDistribution(LOGITS).log_pmf())
  stat_util.assert_mean_matches(
      counts[:, np.newaxis] == np.arange(4), .5 * q + .125, .01)


def test_unknown_estimator_is_named_with_those_that_exist():
  with pytest.raises(ValueError, match="'nvli'; there are marginal"):
    estimators.make('nvli')

import functools
import sys

import numpy as np
import pytest
import stat_util
import tensorflow as tf

from air_tf import config as config_lib
from air_tf import elbo as elbo_lib
from air_tf import estimators
from air_tf import model as model_lib
from air_tf import prior
from air_tf.estimators import base
from air_tf.estimators import exploration as exploration_lib
from air_tf.estimators import relaxed
from air_tf.estimators import score_function

# A white image of 1 x 4 pixels, and what its three objects add to each pixel.
IMAGE = np.ones([1, 4], np.float32)
OBJECTS = np.array([[[.9, .1, 0., .2]], [[0., .6, .3, 0.]],
                    [[.1, .1, .3, .4]]], np.float32)
STDDEV = .5
# Likelihoods of 0 ... 3 objects, and KLs of steps 1 ... 3, in nats.
LOG_LIKELIHOOD = np.float32([
    np.sum(-.5 * ((IMAGE - OBJECTS[:n].sum(axis=0)) / STDDEV)**2
           - np.log(STDDEV) - .5 * np.log(2. * np.pi)) for n in range(4)])
KL_WHAT = [.3, .6, .2]
KL_WHERE = [.4, .1, .7]
LOG_RATIO = [-.9, -.4, -1.1]  # At one sample, log p / q of where and what.
LOGITS = [.4, -.3, .2]


@functools.cache
def log_prior():
  return prior.truncated_geometric(np.log(.3), 3).log_pmf()


@functools.cache
def marginal():
  return estimators.make('marginal')


@functools.cache
def model():
  """Nothing of it is asked but the likelihood of pixels."""
  return model_lib.AIRModel(config_lib.Config(pixel_stddev=STDDEV))


# With and without an exploration floor and shares of prefixes.
FLOORS = pytest.mark.parametrize('exploration, share', [(0., 0.), (.6, .5)])


def leaves(copies, particles=1):
  """What a gradient can reach, once for each of `copies` equal examples.

  The particles of an example differ, in their likelihoods and log ratios.
  """
  def tile(x, spread=0.):
    rows = [tf.tile(tf.constant([x], tf.float32) + k * spread, [copies, 1])
            for k in range(particles)]
    return tf.Variable(tf.concat(rows, axis=0))
  return {'logits': tile(LOGITS, .1),
          'log_likelihood': tile(LOG_LIKELIHOOD, np.array([0., .7, -.4, .3])),
          'log_ratio': tile(LOG_RATIO, .2), 'kl_what': tile(KL_WHAT),
          'kl_where': tile(KL_WHERE)}


def batch(leaf, exploration=0., seed=(1, 2), particles=1, background=0.,
          share=0., **of_background):
  rows = leaf['logits'].shape[0]
  posterior = prior.NumStepsDistribution(leaf['logits'])
  tile = lambda x: tf.tile(x[np.newaxis], [rows] + x.ndim * [1])
  what = tf.ones([rows, 3, 2])
  canvases = background + np.cumsum(
      np.concatenate([0. * OBJECTS[:1], OBJECTS]), axis=0)
  return estimators.EstimatorInputs(
      model=model(), images=tile(IMAGE),
      inference=model_lib.Inference(
          num_steps_posterior=posterior, where_posterior=None, where=what,
          where_logits=None, what_posterior=None, what=what, glimpses=None,
          canvases=tile(canvases)),
      terms=elbo_lib.ElboTerms(
          log_likelihood=tf.identity(leaf['log_likelihood']),
          kl_what=tf.identity(leaf['kl_what']),
          kl_where=tf.identity(leaf['kl_where']),
          log_ratio=tf.identity(leaf['log_ratio']),
          log_posterior=posterior.log_pmf(), log_prior=log_prior(),
          **of_background),
      exploration=tf.constant(exploration), seed=tf.constant(seed),
      num_particles=particles, prefix_share=share)


def exploration_log_pmf(q, exploration, share):
  """Of q(n), n = 0 ... 3: what is sampled or summed in its place."""
  prefixes = [[1., 0., 0., 0.], [0., 1., 0., 0.], [0., .5, .5, 0.],
              [0., 1. / 3., 1. / 3., 1. / 3.]]
  q = (1. - share) * q + share * np.asarray(q) @ prefixes
  return (1. - exploration) * q + exploration / 4.


def gradients(estimator, copies=1, exploration=0., seed=(1, 2), particles=1,
              share=0.):
  """Gradients of the loss of each copy: a dictionary of `[copies, K, ...]`.

  Without the axis of particles if there is one.
  """
  leaf = leaves(copies, particles)
  with tf.GradientTape() as tape:
    loss = estimator(
        batch(leaf, exploration, seed, particles, share=share)).loss
  found = tape.gradient(loss, leaf)
  def each(name, gradient):
    # The loss is a mean over copies; an unused leaf has gradient 0.
    gradient = (np.zeros(leaf[name].shape) if gradient is None
                else tf.convert_to_tensor(gradient).numpy() * copies)
    gradient = gradient.reshape(particles, copies, -1).swapaxes(0, 1)
    return gradient[:, 0] if particles == 1 else gradient
  return {name: each(name, gradient) for name, gradient in found.items()}


def many_gradients(name, exploration, **options):
  """Gradients of 200,000 copies, in parts that fit into memory.

  With exploration their variance is so small that a quarter of them will do.
  """
  estimator = estimators.make(name)
  parts = [gradients(estimator, 50_000, exploration, (part, 2), **options)
           for part in range(1 if exploration else 4)]
  return {leaf: np.concatenate([part[leaf] for part in parts])
          for leaf in parts[0]}


@FLOORS
def test_marginal_is_the_sum_over_all_counts(exploration, share):
  # By enumeration: the mean, over n ~ q_eps, of the ELBO with n objects.
  estimate = marginal()(batch(leaves(1), exploration, share=share))
  q = exploration_log_pmf(np.exp(prior.NumStepsDistribution(LOGITS).log_pmf()),
               exploration, share)
  kl = np.cumsum([0.] + list(np.add(KL_WHAT, KL_WHERE)))
  expected = np.sum(q * (
      LOG_LIKELIHOOD - kl - np.log(q) + log_prior().numpy()))
  np.testing.assert_allclose(estimate.elbo.elbo, [expected], rtol=1e-5)
  np.testing.assert_allclose(estimate.loss, -expected, rtol=1e-5)


@pytest.mark.parametrize('name', config_lib.ESTIMATORS)
def test_a_gradient_of_the_loss_outside_its_tape_is_the_same(name):
  # `loss` is a sum: added up on demand, outside, it would be on no tape.
  particles = config_lib.ESTIMATORS[name].usual_particles
  leaf, estimator = leaves(2, particles), estimators.make(name)
  with tf.GradientTape(persistent=True) as tape:
    estimate = estimator(batch(leaf, .3, particles=particles))
    parts = estimate.pathwise_loss + estimate.score_loss
  outside = tape.gradient(estimate.loss, leaf['logits'])
  assert np.any(outside != 0.)
  np.testing.assert_array_equal(outside, tape.gradient(parts, leaf['logits']))


def test_terms_add_up_to_the_elbo():
  elbo = marginal()(
      batch(leaves(1), .3, kl_background=tf.constant([2.5]))).elbo
  np.testing.assert_allclose(
      elbo.elbo, elbo.log_likelihood - elbo.kl_what - elbo.kl_where
      - elbo.kl_num_steps - 2.5, rtol=1e-6)


def test_a_background_is_a_part_of_every_weight():
  weights = lambda **of_background: elbo_lib.log_weights(
      batch(leaves(2), **of_background).terms, tf.zeros([2, 4])).numpy()
  ratio = tf.constant([.7, -.3])
  np.testing.assert_allclose(
      weights(log_ratio_background=ratio) - weights(),
      np.tile(ratio[:, np.newaxis], [1, 4]), rtol=1e-5)


@FLOORS
@pytest.mark.parametrize(
    'name', ['reinforce', 'nvil_per_step', 'mvd', 'rebar'])
def test_mean_gradient_is_the_sum_over_all_counts(name, exploration, share):
  # Up to 200,000 independent samples of n; sees a bias of .1 in any of the 13
  # entries, of gradients between .1 and 2; see `stat_util` for false alarms.
  exact = gradients(marginal(), 1, exploration, share=share)
  sampled = many_gradients(name, exploration, share=share)
  for leaf, expected in exact.items():
    stat_util.assert_mean_matches(sampled[leaf], expected[0], resolution=.1)


@pytest.mark.parametrize('name', ['reinforce', 'nvil_per_step', 'vimco'])
@FLOORS
@pytest.mark.slow
def test_mean_gradient_of_two_particles_is_the_sum_over_all_pairs(
    name, exploration, share):
  # As above, of the importance-weighted bound: 26 entries and 6 log ratios.
  exact = gradients(
      marginal(), 1, exploration, particles=2, share=share)
  sampled = many_gradients(name, exploration, particles=2, share=share)
  for leaf, expected in exact.items():
    stat_util.assert_mean_matches(sampled[leaf], expected[0], resolution=.1)


def test_two_particles_by_hand():
  # sum over n_1, n_2 of q_1(n_1) q_2(n_2) log((w_1(n_1) + w_2(n_2)) / 2).
  leaf = leaves(1, 2)
  estimate = marginal()(batch(leaf, .3, particles=2))
  total = 0.
  q, w = [], []
  for k in range(2):
    log_q = prior.NumStepsDistribution(leaf['logits'][k]).log_pmf().numpy()
    q.append(.7 * np.exp(log_q) + .3 / 4.)
    ratio = np.cumsum(np.append(0., leaf['log_ratio'][k].numpy()))
    w.append(np.exp(leaf['log_likelihood'][k].numpy() + ratio
                    + log_prior().numpy()) / q[k])
  for first in range(4):
    for second in range(4):
      total += q[0][first] * q[1][second] * np.log(
          .5 * (w[0][first] + w[1][second]))
  np.testing.assert_allclose(estimate.loss, -total, rtol=1e-5)
  np.testing.assert_allclose(
      estimate.metrics['importance_weighted_bound'], total, rtol=1e-5)


def test_vimco_has_less_variance_than_reinforce():
  variance = lambda estimator: gradients(
      estimator, 20_000, particles=2)['logits'].var(axis=0)
  assert np.all(variance(estimators.make('vimco')) < .5 * variance(
      estimators.make('reinforce')))


def test_coupled_and_relaxed_estimators_have_less_variance_than_reinforce():
  # Summed over the steps: REBAR keeps the scores of steps that are not reached.
  variance = lambda name: np.sum(
      gradients(estimators.make(name), 20_000)['logits'].var(axis=0))
  for name in 'mvd', 'rebar':
    assert variance(name) < .3 * variance('reinforce'), name


@pytest.mark.slow
def test_rebar_learns_its_control_variate():
  # From eta = 0, plain REINFORCE, towards less variance.
  rebar = relaxed.Rebar()
  rebar._eta.assign([0.])
  variance = lambda: gradients(rebar, 20_000)['logits'].var(axis=0).sum()
  before = variance()
  for i in range(60):
    with tf.GradientTape() as tape:
      loss = rebar(batch(leaves(500), seed=(3, i))).auxiliary_loss
    for variable, gradient in zip(
        rebar.trainable_variables,
        tape.gradient(loss, rebar.trainable_variables)):
      variable.assign_sub(.05 * tf.sign(gradient))
  assert rebar._eta.numpy()[0] > .3
  assert variance() < .7 * before


@pytest.mark.parametrize('background', [0., .3])
def test_quadratic_likelihood_is_that_of_the_canvas(background):
  inputs = batch(leaves(2), background=background)
  likelihood = model().quadratic_likelihood(inputs.images, inputs.inference)
  s = np.array([[1., 1., 0.], [.3, .9, .2]], np.float32)
  canvases = background + np.einsum('rt,thw->rhw', s, OBJECTS)
  expected = np.sum(-.5 * ((IMAGE - canvases) / STDDEV)**2 - np.log(STDDEV)
                    - .5 * np.log(2. * np.pi), axis=(1, 2))
  np.testing.assert_allclose(likelihood(tf.constant(s)), expected, rtol=1e-5)


@pytest.mark.parametrize('exploration', [0., .6])
def test_concrete_is_binary_at_low_temperature(exploration):
  # Then its reconstruction has the mean of L(n) under q: sees a bias of .1.
  concrete = relaxed.Concrete(temperature=1e-4)
  estimate = concrete(batch(leaves(100_000), exploration))
  exact = marginal()(batch(leaves(1), exploration))
  stat_util.assert_mean_matches(
      estimate.elbo.log_likelihood, exact.elbo.log_likelihood[0], .1)


def test_concrete_follows_its_own_relaxed_function():
  # One row, its noise fixed: by finite differences of its value. Biased
  # against `marginal`, as its docstring says.
  concrete = relaxed.Concrete(temperature=1.)
  def loss(logits):
    leaf = leaves(1)
    leaf['logits'].assign(logits)
    return float(concrete(batch(leaf, .1, seed=(1, 4))).loss)
  found = gradients(concrete, 1, .1, seed=(1, 4))['logits'][0]
  for t in range(3):
    step = 1e-2 * np.eye(3)[t:t + 1]
    difference = (loss(LOGITS + step) - loss(LOGITS - step)) / 2e-2
    np.testing.assert_allclose(found[t], difference, atol=2e-3)
  bias = gradients(concrete, 50_000)['logits'].mean(axis=0) - gradients(
      marginal())['logits'][0]
  assert np.max(np.abs(bias)) > .1


def test_concrete_stops_where_absences_add_up_to_one():
  concrete = relaxed.Concrete(temperature=1e-4)
  leaf = leaves(1)
  leaf['logits'].assign([[-20., 20., 20.]])  # Nothing after a first stop.
  np.testing.assert_allclose(
      concrete(batch(leaf)).elbo.log_likelihood, [LOG_LIKELIHOOD[0]], rtol=1e-5)


def test_wake_wake_by_hand():
  # v_k = w_k / sum_j w_j; d loss / d log-likelihood of the counts drawn is
  # -v_k, and the logits follow -v_k log q(n_k).
  particles = 3
  leaf = leaves(1, particles)
  counts = base.sample_counts(batch(leaf, .3, particles=particles)).counts
  found = gradients(estimators.make('rws'), 1, .3, particles=particles)
  log_w = []
  for k, n in enumerate(counts.numpy()):
    log_q = exploration_lib.mix_with_uniform(
        prior.NumStepsDistribution(leaf['logits'][k]).log_pmf(), .3).numpy()
    log_w.append(
        leaf['log_likelihood'][k, n] + np.sum(leaf['log_ratio'][k, :n])
        + log_prior()[n] - log_q[n])
  v = np.exp(log_w) / np.sum(np.exp(log_w))
  for k, n in enumerate(counts.numpy()):
    np.testing.assert_allclose(
        found['log_likelihood'][0, k], -v[k] * np.eye(4)[n], atol=1e-5)
    np.testing.assert_allclose(  # Of -log q(z), up to what is constant.
        found['log_ratio'][0, k], v[k] * (np.arange(3) < n), atol=1e-5)
    logits = tf.Variable(leaf['logits'][k])
    with tf.GradientTape() as tape:
      log_q = prior.NumStepsDistribution(logits).log_pmf()[n]
    np.testing.assert_allclose(
        found['logits'][0, k], -v[k] * tape.gradient(log_q, logits), atol=1e-5)


@pytest.mark.parametrize('particles', [2, 5])
def test_vimco_by_hand(particles):
  # L = log mean_j w_j; without particle k, log w_k is the mean of the others.
  # L falls by w_k / sum_j w_j as log q(n_k) rises, beside the score function.
  leaf = leaves(1, particles)
  counts = base.sample_counts(
      batch(leaf, .3, particles=particles)).counts.numpy()
  assert len(set(counts)) > 1
  found = gradients(estimators.make('vimco'), 1, .3, particles=particles)
  log_w, slopes = [], []
  for k, n in enumerate(counts):
    logits = tf.Variable(leaf['logits'][k])
    with tf.GradientTape() as tape:
      log_q = exploration_lib.mix_with_uniform(
          prior.NumStepsDistribution(logits).log_pmf(), .3)[n]
    slopes.append(tape.gradient(log_q, logits))
    log_w.append(
        leaf['log_likelihood'][k, n] + np.sum(leaf['log_ratio'][k, :n])
        + log_prior()[n] - log_q)
  bound = lambda log_w: np.log(np.mean(np.exp(log_w)))
  for k, slope in enumerate(slopes):
    others = np.delete(log_w, k)
    share = np.exp(log_w[k]) / np.sum(np.exp(log_w))
    signal = bound(log_w) - bound([*others, np.mean(others)])
    np.testing.assert_allclose(
        found['logits'][0, k], -(signal - share) * slope, atol=1e-5)


@FLOORS
def test_responsibilities_by_hand(exploration, share):
  # r(n) ~ p(n) exp(L(n) - KLs of the first n steps), normalised.
  kl = np.cumsum([0.] + list(np.add(KL_WHAT, KL_WHERE)))
  r = np.exp(log_prior().numpy() + LOG_LIKELIHOOD - kl)
  r /= r.sum()
  weights = exploration_log_pmf(r, exploration, share)
  found = gradients(
      estimators.make('responsibilities'), 1, exploration, share=share)
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


def test_responsibilities_free_a_collapsed_count_and_marginal_does_not(
    monkeypatch):
  monkeypatch.setattr(
      sys.modules[__name__], 'LOGITS', [30., 30., 30.])  # Collapsed to 3.
  strength = lambda estimator: np.max(np.abs(gradients(estimator)['logits']))
  assert strength(marginal()) < 1e-6
  assert strength(estimators.make('responsibilities')) > .1


def test_blogs_baseline_that_sees_n_is_biased():
  # A baseline equal to the likelihood of the count drawn leaves nothing of the
  # score function: the mean gradient of the logits is off by all of it.
  nvil = score_function.NVIL()
  def all_knowing(images, what, where, presence, logits):
    del images, what, where, logits
    counts = tf.cast(tf.reduce_sum(presence, axis=-1), tf.int32)
    return tf.gather(tf.constant(LOG_LIKELIHOOD), counts)
  nvil._baseline = all_knowing
  exact = gradients(marginal())['logits'][0]
  sampled = gradients(nvil, 10_000)['logits'].mean(axis=0)
  assert np.max(np.abs(sampled - exact)) > .2


def test_baseline_of_a_step_cannot_see_its_decision():
  # Of two batches that differ in the latents of step 2 and in the counts, the
  # baselines of decisions 1 and 2 are equal, and that of decision 3 is not.
  per_step = score_function.NVILPerStep()
  def baselines(change, seed):
    rows = batch(leaves(4), seed=seed)
    what = rows.inference.what + change * np.eye(3)[1][:, np.newaxis]
    seen = []
    network = per_step._baseline
    def spy(*inputs):
      seen.append(network(*inputs))
      return seen[-1]
    per_step._baseline = spy
    per_step(rows._replace(inference=rows.inference._replace(
        what=tf.cast(what, tf.float32))))
    per_step._baseline = network
    return np.stack(seen)
  first, second = baselines(0., (1, 2)), baselines(1., (5, 6))
  np.testing.assert_array_equal(first[:2], second[:2])
  assert np.all(first[2] != second[2])


def test_moving_signal_centres_and_scales():
  # Signals are L(n) - b; after the statistics are moved fully, the score is
  # multiplied by (signal - mean) / max(1, stddev).
  nvil, plain = score_function.NVIL(moving=True), score_function.NVIL()
  for one in nvil, plain:
    one._baseline = lambda *inputs: tf.zeros([inputs[0].shape[0]])
  nvil._mean.assign(-3.)
  nvil._variance.assign(4.)
  rows = batch(leaves(1_000))
  sampled = base.sample_counts(rows)
  np.testing.assert_allclose(nvil(rows).score_loss, -np.mean(
      (sampled.log_likelihood + 3.) / 2. * sampled.log_prob), rtol=1e-4)
  nvil._variance.assign(.25)  # Never enlarged.
  np.testing.assert_allclose(nvil(rows).score_loss, -np.mean(
      (sampled.log_likelihood + 3.) * sampled.log_prob), rtol=1e-4)
  nvil.update_statistics(nvil(rows).metrics)
  signal = np.asarray(sampled.log_likelihood)
  np.testing.assert_allclose(
      nvil._mean, .8 * -3. + .2 * signal.mean(), rtol=1e-4)
  np.testing.assert_allclose(
      nvil._variance, .8 * .25 + .2 * signal.var(), rtol=1e-3)
  plain.update_statistics(plain(rows).metrics)  # Nothing to move.


def test_decisions_multiply_to_the_distribution():
  log_q = exploration_lib.mix_with_uniform(
      prior.NumStepsDistribution([[40., -35., .2]]).log_pmf(), 0.)
  log_continue, log_stop = base.continuation_log_probs(log_q)
  np.testing.assert_allclose(log_continue + 0. * log_stop, tf.math.log_sigmoid(
      [[40., -35., .2]]), rtol=1e-4, atol=1e-6)
  np.testing.assert_allclose(log_stop, tf.math.log_sigmoid(
      [[-40., 35., -.2]]), rtol=1e-4, atol=1e-6)


@pytest.mark.slow
def test_trained_baseline_lowers_the_variance():
  nvil = score_function.NVIL()
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
  assert np.all(variance(nvil) < .2 * variance(estimators.make('reinforce')))


def test_baseline_trains_on_its_own_loss_only():
  nvil = score_function.NVIL()
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
  metrics = estimators.make('reinforce')(batch(leaves(1000))).metrics
  counts = base.sample_counts(batch(leaves(1000))).counts.numpy()
  weights = np.asarray(LOG_LIKELIHOOD)[counts]
  np.testing.assert_allclose(
      metrics['learning_signal/mean'], weights.mean(), rtol=1e-4)
  np.testing.assert_allclose(
      metrics['learning_signal/variance'], weights.var(), rtol=1e-3)


def test_sampled_counts_follow_the_explored_posterior():
  # Sees a probability that is off by .01.
  leaf = leaves(300_000)
  counts = base.sample_counts(
      batch(leaf, exploration=.5, share=.4)).counts.numpy()
  q = np.exp(prior.NumStepsDistribution(LOGITS).log_pmf())
  stat_util.assert_mean_matches(
      counts[:, np.newaxis] == np.arange(4), exploration_log_pmf(q, .5, .4),
      .01)


def test_unknown_estimator_is_named_with_those_that_exist():
  with pytest.raises(ValueError, match="'nvli'; there are marginal"):
    estimators.make('nvli')

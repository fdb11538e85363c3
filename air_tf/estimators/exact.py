"""Estimators that sum over all counts and draw none.

Letters as in the package's docstring.
"""

import itertools

import numpy as np
import tensorflow as tf

from air_tf import elbo as elbo_lib
from air_tf.estimators import base

__all__ = ['Marginal', 'Responsibilities']


class Marginal(base.Estimator):
  """Sums n out exactly: plain backpropagation, no score function.

      sum_n q(n) L(n), all T + 1 likelihoods from one pass

  Unbiased, without variance from n. Cost: T + 1 pixel likelihoods; the pass
  itself costs as much as with a sampled n. q is q_eps in all three terms, still
  a valid posterior.

  With K particles, the sum runs over all (T + 1)^K combinations of their
  counts: sum_{n_1 ... n_K} prod_k q_k(n_k) log mean_k w_k(n_k). Cost: K
  passes; the sum itself is over scalars, not images, and negligible.

  Source: the design of this project; enumeration of AIR's counts is also in
  Le et al. 2019, "Revisiting Reweighted Wake-Sleep" (as a reference gradient).
  """

  def __call__(self, inputs: base.EstimatorInputs) -> base.Estimate:
    """Returns the estimate."""
    log_q = inputs.exploration_log_pmf()
    elbo = elbo_lib.expected_elbo(inputs.terms, log_q)
    if inputs.num_particles == 1:
      objective, metrics = elbo.elbo, {}
    else:
      objective = _expected_bound(inputs, log_q)
      metrics = {'importance_weighted_bound': tf.reduce_mean(objective)}
    return base.Estimate.make(
        elbo=elbo, pathwise_loss=-tf.reduce_mean(objective), metrics=metrics)


class Responsibilities(base.Estimator):
  """Trains q(n) towards the exact posterior over counts, by cross-entropy.

  Given the samples of one pass, the best posterior over n has a closed form:

      r(n) ~ p(n) exp(L(n) - sum_{t <= n} (KL_what[t] + KL_where[t]))

  All but q(n) maximises sum_n r_eps(n) (L(n) - KLs), with r held constant and
  r_eps made of r as q_eps is of q; q(n) maximises sum_n r(n) log q(n). The
  gradient r - q of the latter does not vanish when q has collapsed to a wrong
  count, unlike that of `marginal`.

  Biased: where `marginal` follows the ELBO, q(n) follows the mean of r over
  samples, which is broader than the ELBO's optimum. Cost: as `marginal`.

  Source: the design of this project; a wake-phase update of q (Bornschein and
  Bengio 2015, "Reweighted Wake-Sleep") with the counts enumerated.
  """

  def __call__(self, inputs: base.EstimatorInputs) -> base.Estimate:
    """Returns the estimate."""
    terms = inputs.terms
    score = terms.log_likelihood - terms.cumulative_kl
    log_r = tf.stop_gradient(tf.nn.log_softmax(terms.log_prior + score))
    weights = tf.exp(inputs.exploration_log_pmf(log_r))
    objective = tf.reduce_sum(
        weights * score + tf.exp(log_r) * terms.log_posterior, axis=-1)
    return base.Estimate.make(
        elbo=elbo_lib.expected_elbo(terms, terms.log_posterior),
        pathwise_loss=-tf.reduce_mean(objective))


def _expected_bound(inputs: base.EstimatorInputs,
                    log_q: tf.Tensor) -> tf.Tensor:
  """E log mean_k w_k(n_k) over independent counts, exactly, `[B]`."""
  num_counts = log_q.shape[-1]
  ways = np.array(list(itertools.product(
      range(num_counts), repeat=inputs.num_particles)))  # [ways, K]
  def spread(x):  # [R, T + 1] to [K, B, ways].
    return tf.stack([
        tf.gather(x_k, ways[:, k], axis=-1)
        for k, x_k in enumerate(tf.unstack(base.by_particle(inputs, x)))])
  log_prob = tf.reduce_sum(spread(log_q), axis=0)
  log_w = spread(elbo_lib.log_weights(inputs.terms, log_q))
  return tf.reduce_sum(
      tf.exp(log_prob) * elbo_lib.importance_bound(log_w), axis=-1)

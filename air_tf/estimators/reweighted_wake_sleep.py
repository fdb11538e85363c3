"""Reweighted wake-sleep, with both phases awake.

Letters as in the package's docstring.
"""

import tensorflow as tf

from air_tf import elbo as elbo_lib
from air_tf.estimators import base

__all__ = ['ReweightedWakeSleep']


class ReweightedWakeSleep(base.Estimator):
  """Trains p and q by two losses, on K weighted explanations of each image.

      n_k, z_k ~ q,   v_k = w_k / sum_j w_j   (constants)
      p maximises  sum_k v_k log p(x, n_k, z_k)   (wake phase of the model)
      q maximises  sum_k v_k log q(n_k, z_k)      (wake phase of the posterior)

  No reparameterisation and no score function of a likelihood: the samples are
  constants (`reparameterise=False`), so that one sum of the two trains both,
  the decoder by the first and everything else by the second. Under the
  exploration floor counts are drawn and weighted by q_eps, while q itself is
  trained ("defensive" importance sampling in Le et al.).

  Both gradients are biased by O(1 / K), because the weights are
  self-normalised; q follows KL(p(n, z | x) || q), not the ELBO. With 53
  continuous latents per step, a single particle often has most of the weight.
  Cost: K passes, K at least 2.

  Source: Bornschein and Bengio 2015, "Reweighted Wake-Sleep"; Le et al. 2019,
  "Revisiting Reweighted Wake-Sleep", on AIR.
  """

  reparameterise = False

  def __call__(self, inputs: base.EstimatorInputs) -> base.Estimate:
    """Returns the estimate."""
    sampled = base.sample_counts(inputs)
    rows = lambda x: base.by_particle(
        inputs, base.gather_counts(x, sampled.counts))
    log_w = rows(elbo_lib.log_weights(inputs.terms, sampled.log_q))
    weights = tf.stop_gradient(tf.nn.softmax(log_w, axis=0))  # [K, B]
    # log p(z) is a constant here, so -log_ratio has the gradient of log q(z).
    log_q = inputs.terms.log_posterior - inputs.terms.cumulative_log_ratio
    objective = tf.reduce_sum(
        weights * rows(inputs.terms.log_likelihood + log_q), axis=0)
    return base.Estimate.make(
        elbo=elbo_lib.elbo_under(
            inputs.terms, sampled.log_q, sampled.log_likelihood),
        pathwise_loss=tf.zeros([]), score_loss=-tf.reduce_mean(objective),
        metrics={
            'importance_weighted_bound': tf.reduce_mean(
                elbo_lib.importance_bound(log_w)),
            'effective_particles': tf.reduce_mean(
                1. / tf.reduce_sum(tf.square(weights), axis=0))})

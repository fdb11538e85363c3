"""The measure-valued derivative: two counts that differ in one decision.

Letters as in the package's docstring.
"""

import tensorflow as tf

from air_tf import elbo as elbo_lib
from air_tf import noise
from air_tf.estimators import base

__all__ = ['MVD']


class MVD(base.Estimator):
  """Compares, for each decision, going ahead with stopping there.

  A count is drawn by T coins with log-odds a_t: n is the number of coins that
  say "go" before the first "stop". For one coin, d E f / d p = f(go) - f(stop),
  hence

      d E L / d a_t = E p_t (1 - p_t) (L(n with t go) - L(n with t stop))

  with the other coins drawn once for both: the two counts are coupled, and
  equal where coin t is not reached. Unbiased; the variance does not grow with
  the likelihood, only with the change that a decision makes in it. Cost: as
  `marginal`, because the 2 T likelihoods are among the T + 1 of one pass.
  Particles: not defined here, because the bound would have to be evaluated
  2 K T times.

  Source: Mohamed et al. 2020, "Monte Carlo Gradient Estimation in Machine
  Learning", section 6.
  """

  def __call__(self, inputs: base.EstimatorInputs) -> base.Estimate:
    """Returns the estimate."""
    log_q = inputs.exploration_log_pmf()
    log_continue, log_stop = base.continuation_log_probs(log_q)
    uniform = noise.uniform(tf.shape(log_continue), inputs.seed)
    coins = tf.cast(uniform < tf.exp(log_continue), tf.int32)  # [R, T]
    likelihood = lambda coins: base.gather_counts(
        inputs.terms.log_likelihood,
        tf.reduce_sum(tf.math.cumprod(coins, axis=-1), axis=-1))
    one = tf.eye(coins.shape[-1], dtype=tf.int32)  # [T, T]: row t, coin t.
    each = coins[:, tf.newaxis]
    difference = (likelihood(tf.maximum(each, one))
                  - likelihood(tf.minimum(each, 1 - one)))  # [R, T]
    slope = tf.stop_gradient(tf.exp(log_continue + log_stop) * difference)
    score = tf.reduce_sum(slope * (log_continue - log_stop), axis=-1)
    elbo = elbo_lib.elbo_under(inputs.terms, log_q, likelihood(coins))
    return base.Estimate.make(
        elbo=elbo, pathwise_loss=-tf.reduce_mean(elbo.elbo),
        score_loss=-tf.reduce_mean(score))

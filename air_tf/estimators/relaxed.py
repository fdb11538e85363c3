"""Estimators with relaxed presences: a step may be partly present.

Their likelihood is `AIRModel.quadratic_likelihood`. Letters as in the package's
docstring; `s` `[R, T]` presences in 0 ... 1, `y` the decoded objects.
"""

import math

import tensorflow as tf

from air_tf import config as config_lib
from air_tf import elbo as elbo_lib
from air_tf import noise
from air_tf.estimators import base

__all__ = ['Concrete', 'Rebar']

_STOPPED = .99  # Sum of absences at which the public Concrete AIR stops.


class Concrete(base.Estimator):
  """Draws presences from the Concrete distribution instead of n.

      s_t = sigmoid((a_t + logit(u)) / temperature),   u uniform,
      canvas = sum_t s_t [sum_{i <= t} (1 - s_i) < .99] y_t

  a_t are the log-odds of taking step t. As in adaptive computation time, steps
  end where the absences 1 - s_i add up to one; the indicator has no gradient.
  All else is backpropagation. The exploration floor and the prefix share act on
  the a_t.

  Biased: it is the gradient of another objective, with objects that are partly
  present, which the decoder learns to exploit. At a low temperature that
  objective approaches the ELBO, and the variance grows. Here the KLs are the
  exact ones of q(n); the public code estimates those of the relaxed variables
  from a sample.

  Cost: T + 1 products of images with themselves, as `marginal`'s likelihoods.
  Particles: not defined, because a partial object has no importance weight.

  Source: Maddison et al. 2017, "The Concrete Distribution"; Jang et al. 2017;
  the stopping (Graves 2016) and the temperature 1 as in the public Concrete AIR
  (github.com/aakhundov/tf-attend-infer-repeat).
  """

  def __init__(self, temperature: float = 1., name: str = 'concrete'):
    super().__init__(name=name)
    self._temperature = temperature

  @classmethod
  def from_config(cls, config: config_lib.Config) -> 'Concrete':
    """Returns a new one."""
    return cls(config.concrete_temperature)

  def __call__(self, inputs: base.EstimatorInputs) -> base.Estimate:
    """Returns the estimate; `log_likelihood` is that of the relaxed canvas."""
    log_q = inputs.exploration_log_pmf()
    log_continue, log_stop = base.continuation_log_probs(log_q)
    logistic = _logistic(log_continue, inputs.seed)
    s = tf.sigmoid((log_continue - log_stop + logistic) / self._temperature)
    going = tf.cast(tf.cumsum(1. - s, axis=-1) < _STOPPED, tf.float32)
    likelihood = inputs.model.quadratic_likelihood(
        inputs.images, inputs.inference)
    elbo = elbo_lib.elbo_under(inputs.terms, log_q, likelihood(s * going))
    return base.Estimate.make(
        elbo=elbo, pathwise_loss=-tf.reduce_mean(elbo.elbo), metrics={
            'partial_presence': tf.reduce_mean(s * (1. - s))})


class Rebar(base.Estimator):
  """Score function with a relaxed likelihood as its control variate.

  A count is drawn by T coins b_t = [z_t > 0], z_t = a_t + logit(u). With f the
  likelihood of relaxed presences cumprod(sigmoid(z / temperature)), and z' a
  second relaxation, given the same coins,

      d = (L(n) - eta f(z')) d log q(b) + eta (d f(z) - d f(z'))

  Unbiased for any eta and temperature: the term that eta subtracts from the
  score function is added back by reparameterisation. Both are learnt, for least
  variance: the auxiliary loss is the squared gradient at the log-odds a, with
  the learning rate of the baselines.

  Cost: as `concrete`, with two evaluations of the quadratic form, which
  involve no pixels. Particles: not defined here.

  Source: Tucker et al. 2017, "REBAR: Low-variance, unbiased gradient estimates
  for discrete latent variable models".
  """

  def __init__(self, name: str = 'rebar'):
    super().__init__(name=name)
    self._eta = tf.Variable([1.], name='eta')
    self._log_temperature = tf.Variable(
        [math.log(.5)], name='log_temperature')

  def __call__(self, inputs: base.EstimatorInputs) -> base.Estimate:
    """Returns the estimate."""
    log_q = inputs.exploration_log_pmf()
    log_continue, log_stop = base.continuation_log_probs(log_q)
    log_odds = log_continue - log_stop
    a = tf.stop_gradient(log_odds)
    first, second = (_logistic(a, seed)
                     for seed in tf.unstack(tf.random.split(inputs.seed, 2)))
    coins = a + first > 0.
    counts = tf.reduce_sum(
        tf.math.cumprod(tf.cast(coins, tf.int32), axis=-1), axis=-1)
    log_likelihood = base.gather_counts(inputs.terms.log_likelihood, counts)
    slope = self._slope(
        tf.stop_gradient(log_likelihood), self._relaxation(inputs), coins, a,
        first, second)
    elbo = elbo_lib.elbo_under(inputs.terms, log_q, log_likelihood)
    score = tf.reduce_sum(tf.stop_gradient(slope) * log_odds, axis=-1)
    return base.Estimate.make(
        elbo=elbo, pathwise_loss=-tf.reduce_mean(elbo.elbo),
        score_loss=-tf.reduce_mean(score),
        auxiliary_loss=tf.reduce_mean(tf.square(slope)), metrics={
            'rebar_eta': self._eta[0],
            'rebar_temperature': tf.exp(self._log_temperature[0])})

  def _slope(self, log_likelihood, relaxed, coins, a, first,
             second) -> tf.Tensor:
    """Estimates d E L / d a, `[R, T]`, a control variate included."""
    with tf.GradientTape(persistent=True) as tape:
      tape.watch(a)
      f_free = relaxed(a + first)
      f_given = relaxed(_given(coins, a, second))
    free, given = tape.gradient(f_free, a), tape.gradient(f_given, a)
    signal = log_likelihood - self._eta * f_given
    return (signal[:, tf.newaxis]
            * (tf.cast(coins, tf.float32) - tf.sigmoid(a))
            + self._eta * (free - given))

  def _relaxation(self, inputs: base.EstimatorInputs):
    """Returns f, from `[R, T]` to `[R]`; no gradient reaches the model."""
    likelihood = elbo_lib.QuadraticLikelihood(*map(
        tf.stop_gradient, inputs.model.quadratic_likelihood(
            inputs.images, inputs.inference)))

    def relaxed(z):
      soft = tf.sigmoid(z / tf.exp(self._log_temperature))
      # Unrolled: XLA's cumprod has no second derivative.
      presence, s = [], 1.
      for soft_t in tf.unstack(soft, axis=-1):
        s = s * soft_t
        presence.append(s)
      return likelihood(tf.stack(presence, axis=-1))
    return relaxed


def _logistic(like: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
  """Standard logistic noise, of the shape of `like`."""
  smallest = 1e-6  # Of a float32 uniform, so that both logs are finite.
  u = noise.uniform(
      tf.shape(like), seed, minval=smallest, maxval=1. - smallest)
  return tf.math.log(u) - tf.math.log1p(-u)


def _given(coins: tf.Tensor, a: tf.Tensor, logistic: tf.Tensor) -> tf.Tensor:
  """z' = a + logistic noise, given that [z' > 0] equals `coins`.

  With v uniform and p = sigmoid(a) (REBAR, appendix C):

      log(1 + v / ((1 - v) (1 - p)))  above 0,
      -log(1 + v / ((1 - v) p))       below
  """
  above = tf.math.softplus(logistic - tf.math.log_sigmoid(-a))
  below = -tf.math.softplus(logistic - tf.math.log_sigmoid(a))
  return tf.where(coins, above, below)

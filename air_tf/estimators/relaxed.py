"""Estimators that let a step be present in part.

A canvas is a sum of objects, so with presences s in 0 ... 1 the likelihood is
quadratic in s and costs no pixels once its coefficients are known. Letters as
in the package's docstring; `s` `[R, T]` presences, `y` the drawn objects.
"""

import math
from typing import NamedTuple

import sonnet as snt
import tensorflow as tf

from air_tf import noise
from air_tf.estimators import base

__all__ = ['Concrete', 'Rebar', 'Quadratic', 'quadratic_likelihood']

_STOPPED = .99  # Sum of absences at which the public Concrete AIR stops.


class Quadratic(NamedTuple):
  """constant + linear . s - s . square . s / 2."""
  constant: tf.Tensor  # [R]
  linear: tf.Tensor    # [R, T]
  square: tf.Tensor    # [R, T, T]

  def __call__(self, s: tf.Tensor) -> tf.Tensor:
    """Maps presences `[R, T]` to `[R]`."""
    squared = tf.einsum('rt,rtu,ru->r', s, self.square, s)
    return (self.constant + tf.reduce_sum(self.linear * s, axis=-1)
            - .5 * squared)


def quadratic_likelihood(batch: base.EstimatorInputs, pixel_stddev: float) -> Quadratic:
  """Returns log p(x | b + sum_t s_t y_t), `[R]`, as a function of s.

      log N(x; b + sum_t s_t y_t, stddev^2) = log N(x; b, stddev^2)
          + (s . Y (x - b) - s . Y Y' s / 2) / stddev^2

  with b the background, black without a model of it.
  """
  canvases = batch.inference.canvases
  flat = lambda x, *leading: tf.reshape(
      x, [-1, *leading, math.prod(canvases.shape[2:])])
  y = flat(canvases[:, 1:] - canvases[:, :-1], canvases.shape[1] - 1)
  y /= pixel_stddev
  x = flat(batch.images - canvases[:, 0]) / pixel_stddev
  return Quadratic(
      constant=batch.terms.log_likelihood[:, 0],
      linear=tf.linalg.matvec(y, x),
      square=tf.matmul(y, y, transpose_b=True))


class Concrete:
  """Draws presences from the Concrete distribution instead of n.

      s_t = sigmoid((a_t + logit(u)) / temperature),   u uniform,
      canvas = sum_t s_t [sum_{i <= t} (1 - s_i) < .99] y_t

  a_t are the log-odds of going ahead. The walk stops, as in adaptive
  computation time, where the absences add up to one; the indicator has no
  gradient. All else is backpropagation. The floor and the share of prefixes
  act on the a_t.

  Biased: it is the gradient of another function, the likelihood of scenes with
  objects that are present in part, which the decoder learns to use. At low
  temperature that function nears the ELBO and the variance grows. Here the KLs
  are the exact ones of q(n); the public code takes those of the relaxed
  variables, by a sample.

  Cost: T + 1 products of images with themselves, as `marginal`'s likelihoods.
  Particles: not defined, for there is no importance weight of a partial object.

  Source: Maddison et al. 2017, "The Concrete Distribution"; Jang et al. 2017;
  the stopping (Graves 2016) and the temperature 1 as in the public Concrete AIR
  (github.com/aakhundov/tf-attend-infer-repeat).
  """

  def __init__(self, pixel_stddev: float, temperature: float):
    self._pixel_stddev = pixel_stddev
    self._temperature = temperature

  def __call__(self, batch: base.EstimatorInputs) -> base.Estimate:
    """Returns the estimate; `log_likelihood` is that of the relaxed canvas."""
    log_q = base.exploration_log_pmf(batch)
    log_continue, log_stop = base.continuation_log_probs(log_q)
    s = tf.sigmoid((log_continue - log_stop + _logistic(log_continue, batch.seed))
                   / self._temperature)
    going = tf.cast(tf.cumsum(1. - s, axis=-1) < _STOPPED, tf.float32)
    likelihood = quadratic_likelihood(batch, self._pixel_stddev)
    elbo = base.elbo_under(batch.terms, log_q, likelihood(s * going))
    return base.Estimate(
        elbo=elbo, pathwise_loss=-tf.reduce_mean(elbo.elbo),
        score_loss=tf.zeros([]), auxiliary_loss=tf.zeros([]),
        metrics={'partial_presence': tf.reduce_mean(s * (1. - s))})


class Rebar(snt.Module):
  """Score function with a relaxed likelihood as its control variate.

  The walk is T coins b_t = [z_t > 0], z_t = a_t + logit(u). With f the
  likelihood of relaxed presences cumprod(sigmoid(z / temperature)), and z' a
  second relaxation, given the same coins,

      d = (L(n) - eta f(z')) d log q(b) + eta (d f(z) - d f(z'))

  Unbiased for any eta and temperature: what eta takes away by the score
  function it gives back by reparameterisation. Both are learnt, for least
  variance: the auxiliary loss is the squared gradient at the log-odds a, with
  the learning rate of the baselines.

  Cost: as `concrete`, and its quadratic form three times over, which has no
  pixels. Particles: not defined here.

  Source: Tucker et al. 2017, "REBAR: Low-variance, unbiased gradient estimates
  for discrete latent variable models".
  """

  def __init__(self, pixel_stddev: float, name: str = 'rebar'):
    super().__init__(name=name)
    self._pixel_stddev = pixel_stddev
    self._eta = tf.Variable([1.], name='eta')
    self._log_temperature = tf.Variable(
        [math.log(.5)], name='log_temperature')

  def __call__(self, batch: base.EstimatorInputs) -> base.Estimate:
    """Returns the estimate."""
    log_q = base.exploration_log_pmf(batch)
    log_continue, log_stop = base.continuation_log_probs(log_q)
    log_odds = log_continue - log_stop
    a = tf.stop_gradient(log_odds)
    first, second = (_logistic(a, seed)
                     for seed in tf.unstack(tf.random.split(batch.seed, 2)))
    coins = a + first > 0.
    counts = tf.reduce_sum(
        tf.math.cumprod(tf.cast(coins, tf.int32), axis=-1), axis=-1)
    log_likelihood = base.gather_counts(batch.terms.log_likelihood, counts)

    relaxed = self._relaxation(batch)
    with tf.GradientTape(persistent=True) as tape:
      tape.watch(a)
      f_free = relaxed(a + first)
      f_given = relaxed(_given(coins, a, second))
    free, given = tape.gradient(f_free, a), tape.gradient(f_given, a)
    signal = tf.stop_gradient(log_likelihood) - self._eta * f_given
    slope = (signal[:, tf.newaxis]
             * (tf.cast(coins, tf.float32) - tf.sigmoid(a))
             + self._eta * (free - given))  # [R, T], estimates d E L / d a.

    elbo = base.elbo_under(batch.terms, log_q, log_likelihood)
    score = tf.reduce_sum(tf.stop_gradient(slope) * log_odds, axis=-1)
    return base.Estimate(
        elbo=elbo, pathwise_loss=-tf.reduce_mean(elbo.elbo),
        score_loss=-tf.reduce_mean(score),
        auxiliary_loss=tf.reduce_mean(tf.square(slope)), metrics={
            'rebar_eta': self._eta[0],
            'rebar_temperature': tf.exp(self._log_temperature[0])})

  def _relaxation(self, batch: base.EstimatorInputs):
    """Returns f, from `[R, T]` to `[R]`; no gradient reaches the model."""
    likelihood = Quadratic(*map(
        tf.stop_gradient, quadratic_likelihood(batch, self._pixel_stddev)))
    def relaxed(z):
      soft = tf.sigmoid(z / tf.exp(self._log_temperature))
      # A running product by hand: XLA has none with two derivatives.
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


def _given(coins: tf.Tensor, a: tf.Tensor, drawn: tf.Tensor) -> tf.Tensor:
  """z' = a + `drawn` logistic noise, given that [z' > 0] equals `coins`.

  With v uniform and p = sigmoid(a) (REBAR, appendix C):

      log(1 + v / ((1 - v) (1 - p)))  above 0,
      -log(1 + v / ((1 - v) p))       below
  """
  above = tf.math.softplus(drawn - tf.math.log_sigmoid(-a))
  below = -tf.math.softplus(drawn - tf.math.log_sigmoid(a))
  return tf.where(coins, above, below)

"""The ELBO: its terms, their sum over the counts, and tighter bounds.

With z = (where, what) of each step, sampled from q(z | x),

    ELBO = E_q(n) log p(x | n, z)                              log_likelihood
         - sum_t q(n >= t) (KL_what[t] + KL_where[t])          kl_what, kl_where
         - KL(q(n) || p(n))                                    kl_num_steps
         - KL of the background's code, where it is modelled   kl_background

One pass explains the image by n objects for every n at once. The expectation
over q(n) is therefore an exact sum (`expected_elbo`), or the likelihood is that
of a sampled count (`elbo_under`).

Letters: `B` batch, `T` most steps, `K` samples of a bound, `Z` size of a
latent, `n` number of objects.
"""

import math
from typing import NamedTuple

import tensorflow as tf
import tensorflow_probability as tfp

from air_tf import prior

__all__ = ['Elbo', 'ElboTerms', 'QuadraticLikelihood', 'elbo_under',
           'expected_elbo', 'importance_bound', 'log_ratio', 'log_weights',
           'marginal_log_weight', 'quadratic_likelihood']

tfd = tfp.distributions


class ElboTerms(NamedTuple):
  """The parts of the ELBO of each example, in nats, for every n at once."""
  log_likelihood: tf.Tensor  # [B, T + 1], log p(x | first n objects).
  kl_what: tf.Tensor         # [B, T], of each step, if present.
  kl_where: tf.Tensor        # [B, T], of each step, if present.
  log_ratio: tf.Tensor       # [B, T], log p / q of each step's where and what.
  log_posterior: tf.Tensor   # [B, T + 1], log q(n | x).
  log_prior: tf.Tensor       # [T + 1], log p(n).
  # Of the background; 0 without a model of it.
  kl_background: tf.Tensor | float = 0.         # [B]
  log_ratio_background: tf.Tensor | float = 0.  # [B], log p / q of its code.

  @property
  def cumulative_kl(self) -> tf.Tensor:
    """KL `[B, T + 1]` of the latents of the background and n objects."""
    return _cumulative(self.kl_background, self.kl_what + self.kl_where)

  @property
  def cumulative_log_ratio(self) -> tf.Tensor:
    """log p / q `[B, T + 1]` of the same latents."""
    return _cumulative(self.log_ratio_background, self.log_ratio)


class Elbo(NamedTuple):
  """The ELBO of each example and its terms, in nats.

  elbo = log_likelihood - kl_background - kl_what - kl_where - kl_num_steps.
  """
  elbo: tf.Tensor            # [B]
  log_likelihood: tf.Tensor  # [B], of log p(x | n), under q or at a sample.
  kl_what: tf.Tensor         # [B], steps weighted by q(n >= t).
  kl_where: tf.Tensor        # [B], steps weighted by q(n >= t).
  kl_num_steps: tf.Tensor    # [B], KL(q(n) || p(n)).
  kl_background: tf.Tensor   # [B], 0 without a model of the background.
  expected_num_steps: tf.Tensor  # [B], expected n under q; not part of the sum.


def elbo_under(terms: ElboTerms, log_q: tf.Tensor,
               log_likelihood: tf.Tensor) -> Elbo:
  """Joins the terms of the ELBO under a posterior over counts.

  Args:
    terms: of B examples.
    log_q: `[B, T + 1]`, log q(n).
    log_likelihood: `[B]`, the likelihood term, expected under q or sampled.

  Returns:
    The ELBO of each example; its KLs are exact sums over n.
  """
  step_probs = prior.step_probs(tf.exp(log_q))
  kl_what = tf.reduce_sum(step_probs * terms.kl_what, axis=-1)
  kl_where = tf.reduce_sum(step_probs * terms.kl_where, axis=-1)
  kl_num_steps = tf.reduce_sum(
      tf.exp(log_q) * (log_q - terms.log_prior), axis=-1)
  kl_background = terms.kl_background + tf.zeros_like(kl_num_steps)
  return Elbo(
      elbo=log_likelihood - kl_background - kl_what - kl_where - kl_num_steps,
      log_likelihood=log_likelihood, kl_what=kl_what, kl_where=kl_where,
      kl_num_steps=kl_num_steps, kl_background=kl_background,
      expected_num_steps=tf.reduce_sum(step_probs, axis=-1))


def expected_elbo(terms: ElboTerms, log_q: tf.Tensor) -> Elbo:
  """`elbo_under` with the likelihood's exact expectation under `log_q`."""
  return elbo_under(terms, log_q, tf.reduce_sum(
      tf.exp(log_q) * terms.log_likelihood, axis=-1))


def log_weights(terms: ElboTerms, log_q: tf.Tensor) -> tf.Tensor:
  """Log importance weights of (n, z), `[B, T + 1]`, for every n.

      log w(n) = log p(x | n) + sum_{t <= n} log p(z_t) / q(z_t)
                 + log p(n) - log q(n)

  The ratio for `where` is that of the Gaussians before squashing: the Jacobian
  is the same in numerator and denominator.

  Args:
    terms: of B examples.
    log_q: `[B, T + 1]`, of the distribution that counts are drawn from.
  """
  return _log_joint_ratio(terms) - log_q


def marginal_log_weight(terms: ElboTerms) -> tf.Tensor:
  """Log importance weight of z alone, `[B]`, n summed out exactly.

      w(z) = sum_n p(n) p(x | z_1 ... z_n) p(z_1) / q(z_1) ... p(z_n) / q(z_n)

  w(z) is the mean under q(n) of the w(n) of `log_weights`; q(n) cancels. Both
  are unbiased, E[w] = p(x). As a conditional mean, w(z) has the smaller
  variance, so E[log w(z)] is the tighter lower bound on log p(x). It scores the
  model and q(z), but not q(n): a wrong count is not penalised as long as some n
  explains the image.
  """
  return tf.reduce_logsumexp(_log_joint_ratio(terms), axis=-1)


def importance_bound(log_w: tf.Tensor) -> tf.Tensor:
  """The importance-weighted bound on log p(x) (Burda et al. 2016).

      L_K = log 1/K sum_k w_k,   E[L_K] <= log p(x) and rising with K

  Args:
    log_w: `[K, ...]`, log weights of K samples.

  Returns:
    `[...]`, nats.
  """
  log_w = tf.convert_to_tensor(log_w)
  return tf.reduce_logsumexp(log_w, axis=0) - math.log(log_w.shape[0])


def log_ratio(sample: tf.Tensor, q: tfd.Distribution,
              p: tfd.Distribution) -> tf.Tensor:
  """log p - log q `[...]` of samples `[..., Z]`."""
  return p.log_prob(sample) - q.log_prob(sample)


class QuadraticLikelihood(NamedTuple):
  """log p(x | s) of objects that are present in part, s in 0 ... 1.

      constant + linear . s - s . square . s / 2

  A canvas is a sum of objects, so the log-likelihood is quadratic in s. Once
  the coefficients are known, it takes no operation on pixels.
  """
  constant: tf.Tensor  # [B], log-likelihood without objects.
  linear: tf.Tensor    # [B, T]
  square: tf.Tensor    # [B, T, T]

  def __call__(self, s: tf.Tensor) -> tf.Tensor:
    """Maps presences `[B, T]` to log-likelihoods `[B]`."""
    squared = tf.einsum('bt,btu,bu->b', s, self.square, s)
    return (self.constant + tf.reduce_sum(self.linear * s, axis=-1)
            - .5 * squared)


def quadratic_likelihood(images: tf.Tensor, canvases: tf.Tensor,
                         stddev: float) -> QuadraticLikelihood:
  """Returns log p(x | b + sum_t s_t y_t) as a function of presences s.

      log N(x; b + sum_t s_t y_t, stddev^2) = log N(x; b, stddev^2)
          + (s . Y (x - b) - s . Y Y' s / 2) / stddev^2

  with b the background, black without a model of it, and the objects y_t the
  rows of Y.

  Args:
    images: `[B, ...]`, x.
    canvases: `[B, T + 1, ...]`, b and the first 0 ... T objects, summed.
    stddev: of a pixel.
  """
  flatten = lambda x, *leading: tf.reshape(
      x, [-1, *leading, math.prod(canvases.shape[2:])])
  y = flatten(canvases[:, 1:] - canvases[:, :-1], canvases.shape[1] - 1)
  y /= stddev
  x, b = flatten(images), flatten(canvases[:, 0])
  return QuadraticLikelihood(
      constant=tf.reduce_sum(tfd.Normal(b, stddev).log_prob(x), axis=-1),
      linear=tf.linalg.matvec(y, (x - b) / stddev),
      square=tf.matmul(y, y, transpose_b=True))


def _log_joint_ratio(terms: ElboTerms) -> tf.Tensor:
  """log p(x, n, z) / q(z), `[B, T + 1]`."""
  return (terms.log_likelihood + terms.cumulative_log_ratio
          + terms.log_prior)


def _cumulative(first, of_steps: tf.Tensor) -> tf.Tensor:
  """Sums `[B, T]` over the first n steps, `[B, T + 1]`, plus `first` `[B]`."""
  sums = tf.pad(tf.cumsum(of_steps, axis=-1), [[0, 0], [1, 0]])
  return sums + tf.convert_to_tensor(first)[..., tf.newaxis]

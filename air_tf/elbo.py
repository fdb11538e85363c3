"""The parts of the ELBO, apart for each example and each count.

Letters: `B` batch, `T` most steps, `Z` size of a latent, `n` number of objects.
"""

from typing import NamedTuple

import tensorflow as tf
import tensorflow_probability as tfp

from air_tf import modules

__all__ = ['ElboTerms', 'kl', 'log_ratio']

tfd = tfp.distributions


class ElboTerms(NamedTuple):
  """The parts of the ELBO of each example, in nats, for every n at once."""
  log_likelihood: tf.Tensor  # [B, T + 1], log p(x | first n objects).
  kl_what: tf.Tensor         # [B, T], of each step, if present.
  kl_where: tf.Tensor        # [B, T], likewise.
  log_ratio: tf.Tensor       # [B, T], log p / q of each step's where and what.
  log_posterior: tf.Tensor   # [B, T + 1], log q(n | x).
  log_prior: tf.Tensor       # [T + 1], log p(n).
  # Of the background; 0 without a model of it.
  kl_background: tf.Tensor | float = 0.         # [B]
  log_ratio_background: tf.Tensor | float = 0.  # [B], log p / q of its code.

  @property
  def cumulative_kl(self) -> tf.Tensor:
    """KL `[B, T + 1]` of all that explains an image by its first n objects."""
    return _cumulative(self.kl_background, self.kl_what + self.kl_where)

  @property
  def cumulative_log_ratio(self) -> tf.Tensor:
    """Likewise log p / q `[B, T + 1]`."""
    return _cumulative(self.log_ratio_background, self.log_ratio)


def kl(posterior: modules.DiagonalGaussian, prior: tfd.Normal) -> tf.Tensor:
  """KL `[...]` of a diagonal Gaussian over `[..., Z]` against a prior."""
  return tf.reduce_sum(tfd.kl_divergence(
      tfd.Normal(posterior.mean, posterior.stddev), prior), axis=-1)


def log_ratio(sample: tf.Tensor, posterior: modules.DiagonalGaussian,
              prior: tfd.Normal) -> tf.Tensor:
  """log p - log q `[...]` of samples `[..., Z]`."""
  log_q = tfd.Normal(posterior.mean, posterior.stddev).log_prob(sample)
  return tf.reduce_sum(prior.log_prob(sample) - log_q, axis=-1)


def _cumulative(first, of_steps: tf.Tensor) -> tf.Tensor:
  """Sums `[B, T]` over the first n steps, `[B, T + 1]`, plus `first` `[B]`."""
  sums = tf.pad(tf.cumsum(of_steps, axis=-1), [[0, 0], [1, 0]])
  return sums + tf.convert_to_tensor(first)[..., tf.newaxis]

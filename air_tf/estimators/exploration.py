"""What stands for q(n) wherever counts are sampled or summed in training.

q_eps spreads a share of each q(n) evenly over the counts 1 ... n (the prefix
share) and mixes the result with a uniform count (the exploration floor). It is
a valid posterior.

Letters: `T` most steps, `n` number of objects, `...` any batch shape.
"""

import math

import tensorflow as tf

__all__ = ['exploration_log_pmf', 'mix_with_uniform', 'smooth_over_prefixes']


def exploration_log_pmf(log_pmf: tf.Tensor, prefix_share: float,
                        exploration: tf.Tensor) -> tf.Tensor:
  """Returns log q_eps(n), `[..., T + 1]`.

  Args:
    log_pmf: float Tensor `[..., T + 1]`, log q(n).
    prefix_share: of `smooth_over_prefixes`.
    exploration: float Tensor `[]`, of `mix_with_uniform`.
  """
  return mix_with_uniform(
      smooth_over_prefixes(log_pmf, prefix_share), exploration)


def mix_with_uniform(log_pmf: tf.Tensor, exploration: tf.Tensor) -> tf.Tensor:
  """Mixes a uniform count into a distribution: the exploration floor.

      q_eps(n) = (1 - eps) q(n) + eps / (T + 1)

  Args:
    log_pmf: float Tensor `[..., T + 1]`, log q(n).
    exploration: float Tensor `[]`, eps in 0 ... 1.

  Returns:
    `[..., T + 1]`, log q_eps(n). At eps = 0 equal to `log_pmf`, gradient too.
  """
  uniform = tf.zeros_like(log_pmf) - math.log(log_pmf.shape[-1])
  return _mix(log_pmf, uniform, exploration)


def smooth_over_prefixes(log_pmf: tf.Tensor, share: float) -> tf.Tensor:
  """Spreads a share of each count's probability evenly over 1 ... that count.

      q'(n) = (1 - share) q(n) + share sum_{m >= n} q(m) / m,  n = 1 ... T

  The probability of 0 is unchanged. The part that is spread has no gradient:
  otherwise q would compensate by counting more.

  Args:
    log_pmf: float Tensor `[..., T + 1]`, log q(n).
    share: 0 or more, below 1.

  Returns:
    `[..., T + 1]`, log q'(n). At share = 0 equal to `log_pmf`.
  """
  if not share:
    return log_pmf
  counts = tf.range(1., float(log_pmf.shape[-1]))
  shared = tf.math.cumulative_logsumexp(
      log_pmf[..., 1:] - tf.math.log(counts), axis=-1, reverse=True)
  shared = tf.concat([log_pmf[..., :1], shared], axis=-1)
  return _mix(log_pmf, tf.stop_gradient(shared), share)


def _mix(log_pmf: tf.Tensor, other: tf.Tensor, weight) -> tf.Tensor:
  """log((1 - weight) exp(log_pmf) + weight exp(other)), elementwise."""
  weight = tf.convert_to_tensor(weight, log_pmf.dtype)
  return tf.reduce_logsumexp(tf.stack([
      tf.math.log1p(-weight) + log_pmf, tf.math.log(weight) + other]), axis=0)

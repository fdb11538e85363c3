"""How many objects: the distribution over the number of steps, and its prior.

`NumStepsDistribution` is both the posterior q(n), with logits from the network,
and (by `truncated_geometric`) the prior p(n).

Letters: `T` most steps, `...` any batch shape.
"""

import math

import tensorflow as tf
import tensorflow_probability as tfp

# For a base class that is not exported, that of tfd.Normal and most others.
from tensorflow_probability.python.distributions import distribution

__all__ = [
    'NumStepsDistribution',
    'mask_absent',
    'presence_mask',
    'step_probs',
    'truncated_geometric',
]

tfd = tfp.distributions


class NumStepsDistribution(distribution.AutoCompositeTensorDistribution):
  """How many objects AIR writes before it first decides to stop.

  Step `t` is taken with probability `p[t] = sigmoid(step_logits[..., t])`,
  given that every earlier step is taken; there are at most `T` steps. Hence,
  over the `T + 1` counts `n = 0, ..., T`,

      P(n) = p[0] * ... * p[n - 1] * (1 - p[n])    for n < T
      P(T) = p[0] * ... * p[T - 1]

  the modified geometric distribution of the blog. Everything is computed from
  log-sigmoids, never from `p`: the prior's success probability may be 1e-5,
  and its powers reach 1e-15, where float32 `log(1 - p)` has no useful value.

  Samples are int32 counts, not presence bits, and carry no gradient;
  estimators differentiate `log_pmf` instead. It may be an argument or a result
  of a `tf.function`.

  Args:
    step_logits: float Tensor `[..., T]`, log-odds that step `t` is taken, given
      that every earlier step is.
    validate_args: if True, `log_prob` raises `InvalidArgumentError` on a count
      that is not a whole number in `0 ... T`; if False, such a count has
      log-probability `-inf`.
    allow_nan_stats: as in `tfd.Distribution`; nothing here is undefined.
    name: name of the distribution.

  Raises:
    ValueError: if `step_logits` has no step axis, or its size is unknown.

  #### Examples

      q = NumStepsDistribution(step_logits=[[0., 0., 0.]])   # batch of one
      q.prob([2])              # ==> [0.125]
      q.log_pmf().shape        # ==> [1, 4]: counts 0, 1, 2 and 3
      q.cdf([1])               # ==> [0.75], P(n <= 1)
      q.quantile([.7])         # ==> [1], the smallest n with P(n <= n') >= .7

  Reference: Kosiorek, "Implementing Attend, Infer, Repeat", 2017, the section
  on the number of steps.
  """

  def __init__(self, step_logits: tf.types.experimental.TensorLike,
               validate_args: bool = False,
               allow_nan_stats: bool = True, name: str = 'NumSteps'):
    parameters = dict(locals())
    with tf.name_scope(name) as name:
      self._step_logits = tf.convert_to_tensor(
          step_logits, dtype_hint=tf.float32, name='step_logits')
      shape = self._step_logits.shape
      if shape.rank is None or shape.rank < 1 or not shape[-1]:
        raise ValueError(
            '`step_logits` needs a last axis of known size (one entry per '
            f'step), but its shape is {shape}.')
      super().__init__(
          dtype=tf.int32,
          reparameterization_type=tfd.NOT_REPARAMETERIZED,
          validate_args=validate_args,
          allow_nan_stats=allow_nan_stats,
          parameters=parameters,
          name=name)

  @classmethod
  def _parameter_properties(cls, dtype, num_classes=None) -> dict:
    return dict(step_logits=tfp.util.ParameterProperties(event_ndims=1))

  @property
  def step_logits(self) -> tf.Tensor:
    """Log-odds `[..., T]` of each step, given that it is reached."""
    return self._step_logits

  @property
  def max_steps(self) -> int:
    """`T`, the largest count."""
    return self._step_logits.shape[-1]

  def log_pmf(self) -> tf.Tensor:
    """Returns `[..., T + 1]` log-probabilities of the counts `0 ... T`."""
    log_continue = tf.math.log_sigmoid(self._step_logits)
    log_stop = tf.math.log_sigmoid(-self._step_logits)
    log_reached = _pad(tf.cumsum(log_continue, axis=-1), before=0.)
    return log_reached + _pad(log_stop, after=0.)

  def _batch_shape(self):
    return self._step_logits.shape[:-1]

  def _batch_shape_tensor(self, step_logits=None):
    logits = self._step_logits if step_logits is None else step_logits
    return tf.shape(logits)[:-1]

  def _event_shape(self):
    return tf.TensorShape([])

  def _event_shape_tensor(self):
    return tf.constant([], dtype=tf.int32)

  def _default_event_space_bijector(self):
    return None

  def _sample_n(self, n, seed=None):
    # Step by step: one is taken if its own draw and all earlier ones say so.
    shape = tf.concat([[n], tf.shape(self._step_logits)], axis=0)
    seed = tfp.random.sanitize_seed(seed, salt='num_steps')
    uniform = tf.random.stateless_uniform(
        shape, seed, dtype=self._step_logits.dtype)
    go = tf.cast(uniform < tf.sigmoid(self._step_logits), tf.int32)
    return tf.reduce_sum(tf.math.cumprod(go, axis=-1), axis=-1)

  def _log_prob(self, value):
    log_pmf = self.log_pmf()
    counts = tf.range(self.max_steps + 1, dtype=tf.float32)
    match = tf.cast(value, tf.float32)[..., tf.newaxis] == counts
    # At most one entry matches; if none does, the result is -inf.
    return tf.reduce_logsumexp(
        tf.where(match, log_pmf, -math.inf), axis=-1)

  def _log_cdf(self, value):
    # Over P(n <= -1) = 0, P(n <= 0), ..., P(n <= T) = 1.
    log_cdf = tf.math.cumulative_logsumexp(self.log_pmf(), axis=-1)
    return _at_floor(value, _pad(log_cdf[..., :-1], -math.inf, 0.))

  def _cdf(self, value):
    return tf.exp(self._log_cdf(value))

  def _log_survival_function(self, value):
    # Over P(n > -1) = 1, P(n > 0), ..., P(n > T) = 0.
    log_reached = tf.cumsum(tf.math.log_sigmoid(self._step_logits), axis=-1)
    return _at_floor(value, _pad(log_reached, 0., -math.inf))

  def _survival_function(self, value):
    return tf.exp(self._log_survival_function(value))

  def _quantile(self, value):
    # The smallest n with P(n <= n') >= value: 0 up to 0, and T from 1 on.
    cdf = tf.exp(tf.math.cumulative_logsumexp(self.log_pmf(), axis=-1))
    cdf = cdf[..., :-1]
    value = tf.convert_to_tensor(value, self._step_logits.dtype)
    return tf.reduce_sum(
        tf.cast(cdf < value[..., tf.newaxis], tf.int32), axis=-1)

  def _entropy(self):
    log_pmf = self.log_pmf()
    return -tf.reduce_sum(tf.exp(log_pmf) * log_pmf, axis=-1)

  def _mean(self):
    # E[n] = sum_t P(n >= t).
    return tf.reduce_sum(step_probs(tf.exp(self.log_pmf())), axis=-1)

  def _variance(self):
    counts = tf.range(self.max_steps + 1, dtype=self._step_logits.dtype)
    deviation = counts - self._mean()[..., tf.newaxis]
    return tf.reduce_sum(
        tf.exp(self.log_pmf()) * tf.square(deviation), axis=-1)

  def _mode(self):
    return tf.argmax(self.log_pmf(), axis=-1, output_type=tf.int32)

  def _sample_control_dependencies(self, value):
    if not self.validate_args:
      return []
    value = tf.cast(value, tf.float32)
    message = f'A count must be a whole number in 0 ... {self.max_steps}.'
    return [
        tf.debugging.assert_equal(value, tf.floor(value), message=message),
        tf.debugging.assert_non_negative(value, message=message),
        tf.debugging.assert_less_equal(
            value, float(self.max_steps), message=message)]


@tfd.RegisterKL(NumStepsDistribution, NumStepsDistribution)
def _kl_num_steps(q: NumStepsDistribution, p: NumStepsDistribution,
                  name: str | None = None) -> tf.Tensor:
  """KL(q || p) in nats, summed over the counts; batch shapes broadcast.

  Raises:
    ValueError: if the two have different numbers of steps.
  """
  if q.max_steps != p.max_steps:
    raise ValueError(
        'KL needs two distributions over the same counts, but one has '
        f'max_steps={q.max_steps} and the other {p.max_steps}.')
  with tf.name_scope(name or 'kl_num_steps'):
    log_q = q.log_pmf()
    return tf.reduce_sum(tf.exp(log_q) * (log_q - p.log_pmf()), axis=-1)


def truncated_geometric(log_success: float | tf.Tensor,
                        max_steps: int) -> NumStepsDistribution:
  """The prior p(n) proportional to s^n, normalised on the counts 0 ... T.

  The odds of a further step after `t` steps are

      P(n >= t + 1) / P(n = t) = s + s^2 + ... + s^(T - t)

  Args:
    log_success: float Tensor `[...]`, log s and not s, because annealing may
      start at s = 1 - 1e-15, which is 1 in float32.
    max_steps: `T`.

  Returns:
    A `NumStepsDistribution` of batch shape `[...]`.
  """
  log_success = tf.convert_to_tensor(log_success, tf.float32)
  powers = log_success[..., tf.newaxis] * tf.range(
      1, max_steps + 1, dtype=tf.float32)  # log s^k, k = 1 ... T
  log_odds = tf.math.cumulative_logsumexp(powers, axis=-1)
  return NumStepsDistribution(tf.reverse(log_odds, axis=[-1]))


def step_probs(pmf: tf.Tensor) -> tf.Tensor:
  """P(n >= t) for t = 1 ... T, `[..., T]`, from P(n), `[..., T + 1]`."""
  return tf.cumsum(pmf, axis=-1, reverse=True)[..., 1:]


def presence_mask(counts: tf.Tensor, max_steps: int) -> tf.Tensor:
  """Presence `[..., T]` (1. or 0.) of each step, given counts `[...]`."""
  return tf.sequence_mask(counts, max_steps, dtype=tf.float32)


def mask_absent(presence: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
  """Returns `x` `[B, T, ...]` with zeros where presence `[B, T]` is 0."""
  return x * presence[(..., *[tf.newaxis] * (x.shape.rank - 2))]


def _pad(x: tf.Tensor, before: float | None = None,
         after: float | None = None) -> tf.Tensor:
  """Puts constants before and after the last axis of `x` `[..., S]`."""
  parts = [x if part is x else
           tf.fill(tf.shape(x[..., :1]), tf.constant(part, x.dtype))
           for part in (before, x, after) if part is not None]
  return tf.concat(parts, axis=-1)


def _at_floor(value: tf.Tensor, table: tf.Tensor) -> tf.Tensor:
  """Evaluates a step function, `[...]`, that changes at 0, 1, ..., T.

  Args:
    value: number `[...]`, where to evaluate it.
    table: `[..., T + 2]`, the function below 0, from 0, from 1, ..., from T on.
  """
  last = table.shape[-1] - 1
  index = tf.clip_by_value(
      tf.floor(tf.cast(value, tf.float32)) + 1., 0., float(last))
  match = index[..., tf.newaxis] == tf.range(last + 1., dtype=tf.float32)
  return tf.reduce_sum(tf.where(match, table, 0.), axis=-1)

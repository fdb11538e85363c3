"""Estimators that sample n and use the score function.

    d E_q f(n) = E_q [d f(n) + (f(n) - b) d log q(n)]

for any b that does not depend on n. They differ in b. f is the likelihood L(n)
of a single particle (the KLs are exact sums), or the importance-weighted bound
of K. Letters as in the package's docstring.
"""

from typing import NamedTuple

import tensorflow as tf

from air_tf import config as config_lib
from air_tf import elbo as elbo_lib
from air_tf import modules
from air_tf import prior
from air_tf.estimators import base

__all__ = ['NVIL', 'NVILPerStep', 'Reinforce', 'VIMCO']

_DECAY = .8  # Of moving mean and variance, per iteration (Mnih and Gregor).


class Reinforce(base.Estimator):
  """Samples n and uses the score function, without a baseline.

      n ~ q,   L(n) + stop_gradient(L(n)) log q(n)

  Unbiased, but its variance is that of the likelihood of a whole image,
  hundreds of nats. Cost: as `marginal`, because the terms of all counts are
  computed for every estimator; one pixel likelihood would do. Particles: the
  bound replaces L(n), and the score function is that of all n_k.

  Source: Williams 1992; the blog's first variant (variance 1e3 per parameter).
  """

  def __call__(self, inputs: base.EstimatorInputs) -> base.Estimate:
    """Returns the estimate."""
    sampled = base.sample_counts(inputs)
    target = _target(inputs, sampled)
    return _estimate(inputs, target, target.signal, sampled.log_prob)


class NVIL(base.Estimator):
  """Score function with the blog's neural baseline.

      n ~ q,   L(n) + stop_gradient(L(n) - b) log q(n)

  The baseline b is an MLP 256-128 on the image and the sampled latents, trained
  on the squared error to L(n) with a learning rate of its own. It lowers the
  variance from 1e3 to 1e-1 per parameter (blog).

  With `moving`, the signal L(n) - b is centred by its moving mean, and divided
  by its moving standard deviation where that is above 1 (Mnih and Gregor).

  Bias: a baseline leaves the mean of the gradient unchanged only if it does not
  depend on n. The blog's baseline sees the latents of the sampled steps and the
  presence of each, hence n itself, and the term E[b(n) d log q(n)] need not
  vanish: the better b predicts L(n) from n, the smaller the gradient of q. The
  division shrinks it further, relative to that of the KL terms.
  `nvil_per_step` has neither bias.

  Cost: as `marginal`, and one MLP of H W + T (Z + 5) inputs. Particles: one
  baseline each.

  Source: the blog; Mnih and Gregor 2014, "Neural Variational Inference and
  Learning in Belief Networks".
  """

  def __init__(self, moving: bool = False, name: str = 'nvil'):
    """Makes the estimator; `moving` is explained above."""
    super().__init__(name=name)
    self._baseline = modules.Baseline(name='baseline')
    self._moving = moving
    if moving:
      self._mean = tf.Variable(0., trainable=False, name='signal_mean')
      self._variance = tf.Variable(1., trainable=False, name='signal_variance')

  @classmethod
  def from_config(cls, config: config_lib.Config) -> 'NVIL':
    """Returns a new one."""
    return cls(config.moving_signal)

  def __call__(self, inputs: base.EstimatorInputs) -> base.Estimate:
    """Returns the estimate; the baseline b is `[R]`, one for each row."""
    sampled = base.sample_counts(inputs)
    target = _target(inputs, sampled)
    steps = inputs.inference.num_steps_posterior
    presence = prior.presence_mask(sampled.counts, steps.max_steps)
    mask = lambda x: prior.mask_absent(presence, x)
    observed = (inputs.images, mask(inputs.inference.what),
                mask(inputs.inference.where), presence, steps.step_logits)
    baseline = self._baseline(*map(tf.stop_gradient, observed))
    baseline_loss = tf.reduce_mean(tf.square(target.signal - baseline))
    weight = tf.stop_gradient(target.signal - baseline)
    return _estimate(
        inputs, target, weight, sampled.log_prob, scaled=self._scale(weight),
        auxiliary_loss=baseline_loss, metrics={'baseline_loss': baseline_loss})

  def update_statistics(self, metrics: dict[str, tf.Tensor]) -> None:
    """Updates the moving mean and variance of the learning signal."""
    if self._moving:
      for variable, name in ((self._mean, 'mean'),
                             (self._variance, 'variance')):
        new = metrics[f'learning_signal/{name}']
        variable.assign_add((1. - _DECAY) * (new - variable))

  def _scale(self, weight: tf.Tensor) -> tf.Tensor:
    if not self._moving:
      return weight
    return (weight - self._mean) / tf.maximum(1., tf.sqrt(self._variance))


class NVILPerStep(base.Estimator):
  """Score function with one baseline per step, blind to the step's decision.

      n ~ q,   L(n) + sum_t stop_gradient(L(n) - b_t) log q(decision t)

  over the decisions that were made: to take steps 1 ... n, and to stop before
  step n + 1. The baseline b_t is an MLP 256-128 on the image, the latents of
  the steps before t, and t. It does not depend on decision t, so
  E[b_t d log q] is 0 and the estimate is unbiased, unlike that of `nvil`.

  Cost: as `marginal`, and T times the MLP of `nvil`. Particles: as there.

  Source: Mnih and Gregor 2014, where the baseline of a layer sees only the
  layer above; here the layers are the steps of AIR.
  """

  def __init__(self, name: str = 'nvil_per_step'):
    super().__init__(name=name)
    self._baseline = modules.Baseline(name='baseline')

  def __call__(self, inputs: base.EstimatorInputs) -> base.Estimate:
    """Returns the estimate; the baselines b_t are `[R, T]`."""
    sampled = base.sample_counts(inputs)
    target = _target(inputs, sampled)
    max_steps = inputs.inference.num_steps_posterior.max_steps
    went = prior.presence_mask(sampled.counts, max_steps)
    reached = prior.presence_mask(sampled.counts + 1, max_steps)
    log_continue, log_stop = base.continuation_log_probs(sampled.log_q)
    log_prob = went * log_continue + (reached - went) * log_stop

    baseline = tf.stack([
        self._baseline(*map(tf.stop_gradient, _before(inputs, step)))
        for step in range(max_steps)], axis=-1)
    signal = target.signal[:, tf.newaxis]
    baseline_loss = tf.reduce_mean(
        reached * tf.square(signal - baseline))
    weight = reached * tf.stop_gradient(signal - baseline)
    return _estimate(
        inputs, target, weight, log_prob, auxiliary_loss=baseline_loss,
        metrics={'baseline_loss': baseline_loss})


class VIMCO(base.Estimator):
  """Score function in which the other particles are the baseline.

      n_k ~ q,   L = log mean_k w_k,
      L + sum_k stop_gradient(L - L_without_k) log q(n_k)

  L_without_k is L with w_k replaced by the geometric mean of the others: it
  does not depend on n_k, so the estimate of the bound's gradient is unbiased.
  No network, no second optimizer. Cost: K passes, K at least 2.

  Source: Mnih and Rezende 2016, "Variational inference for Monte Carlo
  objectives". There all latents are discrete; here `what` and `where` are
  reparameterised and only n has a score function.
  """

  def __call__(self, inputs: base.EstimatorInputs) -> base.Estimate:
    """Returns the estimate."""
    sampled = base.sample_counts(inputs)
    target = _target(inputs, sampled)
    num_particles = inputs.num_particles
    log_w = tf.stop_gradient(target.log_w)  # [K, B]
    others = (tf.reduce_sum(log_w, axis=0) - log_w) / (num_particles - 1.)
    own = tf.eye(num_particles)[..., tf.newaxis]  # [K, K, 1]
    # [j, k, B]: log w_j, but for particle k's own the mean of the others.
    without = elbo_lib.importance_bound(
        (1. - own) * log_w[:, tf.newaxis] + own * others[:, tf.newaxis])
    weight = target.signal - tf.reshape(without, [-1])
    return _estimate(inputs, target, weight, sampled.log_prob)


class _Target(NamedTuple):
  """The objective of a batch, and the signal of its score function."""
  elbo: elbo_lib.Elbo
  objective: tf.Tensor     # [B], differentiable by the pathwise derivative.
  signal: tf.Tensor        # [R], f(n) of each row, a constant.
  log_w: tf.Tensor | None  # [K, B], of several particles.


def _target(inputs: base.EstimatorInputs, sampled: base.Counts) -> _Target:
  elbo = elbo_lib.elbo_under(
      inputs.terms, sampled.log_q, sampled.log_likelihood)
  if inputs.num_particles == 1:
    return _Target(elbo=elbo, objective=elbo.elbo, log_w=None,
                   signal=tf.stop_gradient(sampled.log_likelihood))
  log_w = base.by_particle(inputs, base.gather_counts(
      elbo_lib.log_weights(inputs.terms, sampled.log_q), sampled.counts))
  bound = elbo_lib.importance_bound(log_w)
  return _Target(
      elbo=elbo, objective=bound, log_w=log_w,
      signal=tf.stop_gradient(tf.tile(bound, [inputs.num_particles])))


def _before(inputs: base.EstimatorInputs, step: int) -> tuple[tf.Tensor, ...]:
  """What is known before decision `step` (from 0), and which step it is."""
  max_steps = inputs.inference.num_steps_posterior.max_steps
  earlier = tf.cast(tf.range(max_steps) < step, tf.float32)[:, tf.newaxis]
  which = tf.one_hot(tf.fill([tf.shape(inputs.images)[0]], step), max_steps)
  return (inputs.images, inputs.inference.what * earlier,
          inputs.inference.where * earlier, which)


def _estimate(inputs: base.EstimatorInputs, target: _Target, weight: tf.Tensor,
              log_prob: tf.Tensor, scaled: tf.Tensor | None = None,
              auxiliary_loss=0., metrics=None) -> base.Estimate:
  """Joins a target and its score function.

  Args:
    inputs: of R rows.
    target: of the inputs.
    weight: `[R]` or `[R, T]`, f(n) - b, a constant.
    log_prob: as `weight`, what the score is the gradient of.
    scaled: `weight` as it is used; the same, if None.
    auxiliary_loss: `[]`.
    metrics: of the estimator.
  """
  scaled = weight if scaled is None else scaled
  mean, variance = tf.nn.moments(weight, axes=list(range(weight.shape.rank)))
  metrics = (metrics or {}) | {'learning_signal/mean': mean,
                               'learning_signal/variance': variance}
  if inputs.num_particles > 1:
    metrics['importance_weighted_bound'] = tf.reduce_mean(target.objective)
  num_images = tf.cast(tf.shape(target.objective)[0], tf.float32)
  return base.Estimate.make(
      elbo=target.elbo, pathwise_loss=-tf.reduce_mean(target.objective),
      score_loss=-tf.reduce_sum(scaled * log_prob) / num_images,
      auxiliary_loss=tf.convert_to_tensor(auxiliary_loss), metrics=metrics)

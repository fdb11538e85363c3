"""What every estimator takes and returns, and what several of them share.

Letters: `B` images, `K` particles, `R = K B` rows, `T` most steps, `n` number
of objects.
"""

from typing import NamedTuple

import sonnet as snt
import tensorflow as tf

from air_tf import config as config_lib
from air_tf import elbo as elbo_lib
from air_tf import model as model_lib
from air_tf import noise
from air_tf import prior
from air_tf.estimators import exploration as exploration_lib

__all__ = ['Counts', 'Estimate', 'Estimator', 'EstimatorInputs', 'by_particle',
           'continuation_log_probs', 'gather_counts', 'make_inputs',
           'sample_counts']


class EstimatorInputs(NamedTuple):
  """What an estimator may look at: K passes over B images, in R = K B rows.

  Row k B + b holds pass k over image b.
  """
  model: model_lib.AIRModel        # The model of all that follows.
  images: tf.Tensor                # [R, H, W, ...], the B images K times over.
  inference: model_lib.Inference   # Of the rows.
  terms: elbo_lib.ElboTerms        # Of the inference.
  exploration: tf.Tensor           # [], weight of the uniform count in q.
  seed: tf.Tensor                  # int32 [2], for sampled counts.
  num_particles: int = 1           # K
  prefix_share: float = 0.         # Share of q(n) that is spread over 1 ... n.

  def exploration_log_pmf(self, log_q: tf.Tensor | None = None) -> tf.Tensor:
    """Returns log q_eps(n), `[R, T + 1]`: what is sampled or summed for q.

    Args:
      log_q: log q(n), if it is another than the posterior.
    """
    return exploration_lib.exploration_log_pmf(
        self.terms.log_posterior if log_q is None else log_q,
        self.prefix_share, self.exploration)


class Estimate(NamedTuple):
  """One estimate of the ELBO and of its gradient; see `Estimate.make`."""
  elbo: elbo_lib.Elbo        # Of each row: values.
  loss: tf.Tensor            # [], whose gradient trains the model: the sum of
  pathwise_loss: tf.Tensor   # [], through the values of a sample, and
  score_loss: tf.Tensor      # [], of the probability of the sampled count.
  auxiliary_loss: tf.Tensor  # [], whose gradient trains the estimator.
  # Scalars by their name in TensorBoard. Each is a mean over rows, or an
  # `x/variance` beside its `x/mean`, so that parts of a batch can be combined.
  metrics: dict[str, tf.Tensor]

  @classmethod
  def make(cls, elbo: elbo_lib.Elbo, pathwise_loss: tf.Tensor,
           score_loss: tf.Tensor | float = 0.,
           auxiliary_loss: tf.Tensor | float = 0.,
           metrics: dict[str, tf.Tensor] | None = None) -> 'Estimate':
    """Adds up the loss.

    It is added here, not on demand, so that the gradient tape under which the
    estimate is made records the sum. The arguments are the fields.
    """
    score_loss, auxiliary_loss = map(
        tf.convert_to_tensor, (score_loss, auxiliary_loss))
    return cls(
        elbo=elbo, loss=pathwise_loss + score_loss, pathwise_loss=pathwise_loss,
        score_loss=score_loss, auxiliary_loss=auxiliary_loss,
        metrics=metrics or {})


@snt.allow_empty_variables  # Most have none.
class Estimator(snt.Module):
  """Estimates the gradient through the number of steps.

  A subclass defines `__call__`. Its own variables, if any, are trained by the
  gradient of `Estimate.auxiliary_loss`.

  Attributes:
    reparameterise: whether the passes that it is given let gradients flow
      through samples of `where` and `what`; without it they are constants.
  """

  reparameterise = True

  @classmethod
  def from_config(cls, config: config_lib.Config) -> 'Estimator':
    """Returns a new one; those with options take them from `config`."""
    del config
    return cls()

  def __call__(self, inputs: EstimatorInputs) -> Estimate:
    """Returns the estimate."""
    raise NotImplementedError(f'{type(self).__name__} defines no __call__.')

  def update_statistics(self, metrics: dict[str, tf.Tensor]) -> None:
    """Updates moving statistics, if any, by an iteration's metrics."""


def make_inputs(model: model_lib.AIRModel, images: tf.Tensor,
                num_steps_prior: prior.NumStepsDistribution,
                exploration: tf.Tensor, latents_seed: tf.Tensor,
                counts_seed: tf.Tensor, num_particles: int = 1,
                reparameterise: bool = True) -> EstimatorInputs:
  """Makes K passes over images and scores them.

  Args:
    model: explains the images.
    images: `[B, H, W, ...]`, pixels in 0 ... 1.
    num_steps_prior: p(n), batch shape `[]`.
    exploration: `[]`, weight of the uniform count.
    latents_seed: int32 `[2]`, of `where` and `what`.
    counts_seed: int32 `[2]`, of sampled counts.
    num_particles: K.
    reparameterise: whether gradients flow through `where` and `what`.
  """
  if num_particles > 1:
    images = tf.tile(images, [num_particles] + [1] * (images.shape.rank - 1))
  inference = model.infer(
      images, latents_seed, reparameterise, num_particles)
  return EstimatorInputs(
      model=model, images=images, inference=inference,
      terms=model.elbo_terms(images, inference, num_steps_prior),
      exploration=exploration, seed=counts_seed, num_particles=num_particles,
      prefix_share=model.config.prefix_share)


def gather_counts(x: tf.Tensor, counts: tf.Tensor) -> tf.Tensor:
  """Picks, from `[R, T + 1]`, the entries of the counts, `[R]` or `[R, S]`."""
  return tf.gather(x, counts, axis=1, batch_dims=1)


def continuation_log_probs(log_q: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
  """Splits a distribution over counts into one decision per step.

      P(take step t | reached t) = P(n >= t) / P(n >= t - 1),  t = 1 ... T

  Args:
    log_q: `[R, T + 1]`, log q(n).

  Returns:
    Log-probabilities `[R, T]` of taking each step and of stopping before it,
    given that it is reached.
  """
  log_reached = tf.stack(
      [tf.reduce_logsumexp(log_q[:, t:], axis=-1)
       for t in range(log_q.shape[-1])], axis=-1)
  log_continue = log_reached[:, 1:] - log_reached[:, :-1]
  return log_continue, log_q[:, :-1] - log_reached[:, :-1]


class Counts(NamedTuple):
  """Counts drawn from the posterior."""
  counts: tf.Tensor          # int32 [R]
  log_q: tf.Tensor           # [R, T + 1], what they were drawn from.
  log_prob: tf.Tensor        # [R], log q of the counts drawn.
  log_likelihood: tf.Tensor  # [R], log p(x | that many objects).


def sample_counts(inputs: EstimatorInputs) -> Counts:
  """Draws a count for each row, from q_eps."""
  log_q = inputs.exploration_log_pmf()
  # By the inverse CDF: counts whose CDF lies below a uniform number.
  uniform = noise.uniform(
      [tf.shape(log_q)[0], 1], inputs.seed, inputs.num_particles)
  below = tf.cumsum(tf.exp(log_q), axis=-1)[:, :-1] < uniform
  counts = tf.reduce_sum(tf.cast(below, tf.int32), axis=-1)
  return Counts(
      counts=counts, log_q=log_q, log_prob=gather_counts(log_q, counts),
      log_likelihood=gather_counts(inputs.terms.log_likelihood, counts))


def by_particle(inputs: EstimatorInputs, x: tf.Tensor) -> tf.Tensor:
  """Reshapes rows `[R, ...]` to `[K, B, ...]`."""
  return tf.reshape(x, [inputs.num_particles, -1, *x.shape[1:]])

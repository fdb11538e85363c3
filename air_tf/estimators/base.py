"""What every estimator takes and gives, and what several of them share.

Letters: `B` images, `K` particles, `R = K B` rows, `T` most steps, `n` number
of objects.
"""

import math
from typing import NamedTuple

import tensorflow as tf

from air_tf import elbo as elbo_lib
from air_tf import model as model_lib
from air_tf import noise
from air_tf import prior

__all__ = ['EstimatorInputs', 'Counts', 'Elbo', 'Estimate', 'by_particle', 'continuation_log_probs',
           'make_inputs', 'expected_elbo', 'exploration_log_pmf', 'importance_weighted',
           'log_weights', 'sample_counts', 'gather_counts', 'elbo_under']


class EstimatorInputs(NamedTuple):
  """What an estimator may look at: K passes over B images, in R = K B rows.

  Row k B + b holds pass k over image b.
  """
  images: tf.Tensor                # [R, H, W, ...], the B images K times over.
  inference: model_lib.Inference   # Of the rows.
  terms: elbo_lib.ElboTerms        # Its score.
  exploration: tf.Tensor           # [], weight of the uniform count in q.
  seed: tf.Tensor                  # int32 [2], for sampled counts.
  num_particles: int = 1           # K
  prefix_share: float = 0.         # Of each count, spread over 1 ... n.


class Elbo(NamedTuple):
  """The ELBO and its terms, of each row, in nats.

  elbo = log_likelihood - kl_background - kl_what - kl_where - kl_num_steps.
  """
  elbo: tf.Tensor            # [R]
  log_likelihood: tf.Tensor  # [R], of log p(x | n), under q or at a sample.
  kl_what: tf.Tensor         # [R], steps weighted by q(n >= t).
  kl_where: tf.Tensor        # [R], likewise.
  kl_num_steps: tf.Tensor    # [R], KL(q(n) || p(n)).
  kl_background: tf.Tensor   # [R], 0 without a model of the background.
  expected_num_steps: tf.Tensor  # [R], expected n under q; not part of the sum.


class Estimate(NamedTuple):
  """One estimate of the ELBO and of its gradient.

  The two parts of the loss are apart so that the variance of the gradient can
  be told apart too; `loss` is their sum.
  """
  elbo: Elbo                 # Values.
  pathwise_loss: tf.Tensor   # [], backpropagation: through values of a sample.
  score_loss: tf.Tensor      # [], of the sampled count's probability alone.
  auxiliary_loss: tf.Tensor  # [], whose gradient trains the estimator.
  # Scalars by their name in TensorBoard: means over rows, or an `x/variance`
  # beside its `x/mean`, so that those of parts of a batch can be joined.
  metrics: dict[str, tf.Tensor]

  @property
  def loss(self) -> tf.Tensor:
    """`[]`, whose gradient trains the model."""
    return self.pathwise_loss + self.score_loss


def make_inputs(model: model_lib.AIRModel, images: tf.Tensor,
         num_steps_prior: prior.NumStepsDistribution, exploration: tf.Tensor,
         latents_seed: tf.Tensor, counts_seed: tf.Tensor,
         num_particles: int = 1, reparameterise: bool = True) -> EstimatorInputs:
  """Makes K passes over images and scores them.

  Args:
    model: which explains.
    images: `[B, H, W, ...]`, pixels in 0 ... 1.
    num_steps_prior: p(n), batch shape `[]`.
    exploration: `[]`, weight of the uniform count.
    latents_seed: int32 `[2]`, of `where` and `what`.
    counts_seed: int32 `[2]`, left in the batch.
    num_particles: K.
    reparameterise: whether gradients flow through `where` and `what`.
  """
  if num_particles > 1:
    images = tf.tile(images, [num_particles] + [1] * (images.shape.rank - 1))
  inference = model.infer(
      images, latents_seed, reparameterise, num_particles)
  return EstimatorInputs(
      images=images, inference=inference,
      terms=model.elbo_terms(images, inference, num_steps_prior),
      exploration=exploration, seed=counts_seed, num_particles=num_particles,
      prefix_share=model.config.prefix_share)


def exploration_log_pmf(batch: EstimatorInputs, log_q: tf.Tensor | None = None) -> tf.Tensor:
  """Returns log q_eps(n), `[R, T + 1]`: what is sampled or summed for q.

  That is q, shared with prefixes, under the exploration floor.

  Args:
    batch: gives both weights, and q.
    log_q: log q(n), if it is another than the posterior.
  """
  log_q = batch.terms.log_posterior if log_q is None else log_q
  return prior.mix_with_uniform(
      prior.smooth_over_prefixes(log_q, batch.prefix_share), batch.exploration)


def gather_counts(x: tf.Tensor, counts: tf.Tensor) -> tf.Tensor:
  """Picks, from `[R, T + 1]`, the entries of the counts, `[R]` or `[R, S]`."""
  return tf.gather(x, counts, axis=1, batch_dims=1)


def continuation_log_probs(log_q: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
  """The walk behind a distribution over counts.

      P(go at t | reached t) = P(n >= t) / P(n >= t - 1),  t = 1 ... T

  Args:
    log_q: `[R, T + 1]`, log q(n).

  Returns:
    Log-probabilities `[R, T]` of going ahead at each step and of stopping
    there, given that the walk got there.
  """
  log_reached = tf.stack(
      [tf.reduce_logsumexp(log_q[:, t:], axis=-1)
       for t in range(log_q.shape[-1])], axis=-1)
  log_continue = log_reached[:, 1:] - log_reached[:, :-1]
  return log_continue, log_q[:, :-1] - log_reached[:, :-1]


def elbo_under(terms: elbo_lib.ElboTerms, log_q: tf.Tensor,
          log_likelihood: tf.Tensor) -> Elbo:
  """Joins the terms of the ELBO under a posterior over counts.

  Args:
    terms: of R rows.
    log_q: `[R, T + 1]`, log q(n).
    log_likelihood: `[R]`, the likelihood term, expected under q or sampled.

  Returns:
    The ELBO of each row; its KLs are exact sums over n.
  """
  reached = prior.step_probs(tf.exp(log_q))
  kl_what = tf.reduce_sum(reached * terms.kl_what, axis=-1)
  kl_where = tf.reduce_sum(reached * terms.kl_where, axis=-1)
  kl_num_steps = tf.reduce_sum(
      tf.exp(log_q) * (log_q - terms.log_prior), axis=-1)
  kl_background = terms.kl_background + tf.zeros_like(kl_num_steps)
  return Elbo(
      elbo=log_likelihood - kl_background - kl_what - kl_where - kl_num_steps,
      log_likelihood=log_likelihood, kl_what=kl_what, kl_where=kl_where,
      kl_num_steps=kl_num_steps, kl_background=kl_background,
      expected_num_steps=tf.reduce_sum(reached, axis=-1))


def expected_elbo(terms: elbo_lib.ElboTerms, log_q: tf.Tensor) -> Elbo:
  """`elbo_under` with the likelihood's exact expectation under `log_q`."""
  return elbo_under(terms, log_q, tf.reduce_sum(
      tf.exp(log_q) * terms.log_likelihood, axis=-1))


class Counts(NamedTuple):
  """Counts drawn from the posterior."""
  counts: tf.Tensor          # int32 [R]
  log_q: tf.Tensor           # [R, T + 1], what they were drawn from.
  log_prob: tf.Tensor        # [R], log q of the counts drawn.
  log_likelihood: tf.Tensor  # [R], log p(x | that many objects).


def sample_counts(batch: EstimatorInputs) -> Counts:
  """Draws a count for each row, from what `exploration_log_pmf` gives."""
  log_q = exploration_log_pmf(batch)
  # By the inverse CDF: counts whose CDF lies below a uniform number.
  uniform = noise.uniform(
      [tf.shape(log_q)[0], 1], batch.seed, batch.num_particles)
  below = tf.cumsum(tf.exp(log_q), axis=-1)[:, :-1] < uniform
  counts = tf.reduce_sum(tf.cast(below, tf.int32), axis=-1)
  return Counts(counts=counts, log_q=log_q, log_prob=gather_counts(log_q, counts),
                log_likelihood=gather_counts(batch.terms.log_likelihood, counts))


def by_particle(batch: EstimatorInputs, x: tf.Tensor) -> tf.Tensor:
  """Reshapes rows `[R, ...]` to `[K, B, ...]`."""
  return tf.reshape(x, [batch.num_particles, -1, *x.shape[1:]])


def log_weights(batch: EstimatorInputs, log_q: tf.Tensor) -> tf.Tensor:
  """Returns log w(n), `[R, T + 1]`, for counts drawn from `log_q`.

      log p(x | n) + sum_{t <= n} log p(z_t) / q(z_t) + log p(n) - log q(n)
  """
  terms = batch.terms
  return (terms.log_likelihood + terms.cumulative_log_ratio + terms.log_prior
          - log_q)


def importance_weighted(log_w: tf.Tensor) -> tf.Tensor:
  """Returns log mean_k w_k, over the first axis: `[K, ...]` to `[...]`."""
  return tf.reduce_logsumexp(log_w, axis=0) - math.log(log_w.shape[0])

"""Estimators of the gradient through the number of steps.

The ELBO of one image, given reparameterised samples of `where` and `what`, is

    sum_n q(n) L(n) - sum_t q(n >= t) (KL_what[t] + KL_where[t]) - KL(q || p)
    L(n) = log p(x | first n objects)

Its KL terms need no sampling of n. The estimators differ in the first sum: its
gradient through q(n) is where AIR's troubles come from.

An estimator is a function or a `snt.Module` (if it has variables) that maps a
`Batch` to an `Estimate`; a new one is that, a line in `_REGISTRY` and its name
in `config.ESTIMATORS`.

Letters: `B` batch, `T` most steps, `n` number of objects, `q` and `p` its
posterior and prior.
"""

from collections.abc import Callable
from typing import NamedTuple

import sonnet as snt
import tensorflow as tf

from air_tf import config as config_lib
from air_tf import model as model_lib
from air_tf import modules
from air_tf import prior

__all__ = ['Batch', 'Elbo', 'Estimate', 'NVIL', 'expected_elbo', 'make',
           'marginal', 'reinforce', 'responsibilities', 'weigh']


class Batch(NamedTuple):
  """What an estimator may look at."""
  images: tf.Tensor                # [B, H, W]
  inference: model_lib.Inference   # One pass over them.
  terms: model_lib.ElboTerms       # Its score.
  exploration: tf.Tensor           # [], weight of the uniform count in q.
  seed: tf.Tensor                  # int32 [2], for sampled counts.


class Elbo(NamedTuple):
  """The ELBO and its terms, of each example, in nats.

  elbo = reconstruction - kl_what - kl_where - kl_num_steps.
  """
  elbo: tf.Tensor            # [B]
  reconstruction: tf.Tensor  # [B], of log p(x | n), under q or at a sample.
  kl_what: tf.Tensor         # [B], steps weighted by q(n >= t).
  kl_where: tf.Tensor        # [B], likewise.
  kl_num_steps: tf.Tensor    # [B], KL(q(n) || p(n)).
  num_steps: tf.Tensor       # [B], expected n under q; not part of the sum.


class Estimate(NamedTuple):
  """One estimate of the ELBO and of its gradient."""
  elbo: Elbo            # Values.
  loss: tf.Tensor       # [], whose gradient trains the model.
  auxiliary_loss: tf.Tensor       # [], whose gradient trains the estimator.
  metrics: dict[str, tf.Tensor]   # Scalars, by their name in TensorBoard.


Estimator = Callable[[Batch], Estimate]


def marginal(batch: Batch) -> Estimate:
  """Sums n out exactly: plain backpropagation, no score function.

      sum_n q(n) L(n), all T + 1 likelihoods from one pass

  Unbiased, without variance from n. Cost: T + 1 pixel likelihoods; the pass
  itself is that of a sampled n. With the exploration floor, q is
  (1 - eps) q + eps / (T + 1) in all three terms, still a valid posterior.

  Source: the design of this project; enumeration of AIR's counts is also in
  Le et al. 2019, "Revisiting Reweighted Wake-Sleep" (as a reference gradient).
  """
  log_q = prior.explore(batch.terms.log_posterior, batch.exploration)
  elbo = expected_elbo(batch.terms, log_q)
  return Estimate(elbo=elbo, loss=-tf.reduce_mean(elbo.elbo),
                  auxiliary_loss=tf.zeros([]), metrics={})


def responsibilities(batch: Batch) -> Estimate:
  """Trains q(n) towards the exact posterior over counts, by cross-entropy.

  Given the samples of one pass, the best posterior over n is known:

      r(n) ~ p(n) exp(L(n) - sum_{t <= n} (KL_what[t] + KL_where[t]))

  The continuous parts climb sum_n r_eps(n) (L(n) - KLs), with r held constant
  and under the exploration floor; q(n) climbs sum_n r(n) log q(n). Its gradient
  r - q does not vanish when q has locked to a wrong count, as that of
  `marginal` does.

  Biased: where `marginal` follows the ELBO, q(n) follows the mean of r over
  samples, which is broader than the ELBO's optimum. Cost: as `marginal`.

  Source: the design of this project; a wake-phase update of q (Bornschein and
  Bengio 2015, "Reweighted Wake-Sleep") with the counts enumerated.
  """
  terms = batch.terms
  kl = tf.cumsum(terms.kl_what + terms.kl_where, axis=-1)
  score = terms.log_likelihood - tf.pad(kl, [[0, 0], [1, 0]])
  log_r = tf.stop_gradient(tf.nn.log_softmax(terms.log_prior + score))
  weights = tf.exp(prior.explore(log_r, batch.exploration))
  objective = tf.reduce_sum(
      weights * score + tf.exp(log_r) * terms.log_posterior, axis=-1)
  return Estimate(elbo=expected_elbo(terms, terms.log_posterior),
                  loss=-tf.reduce_mean(objective),
                  auxiliary_loss=tf.zeros([]), metrics={})


def reinforce(batch: Batch) -> Estimate:
  """Samples n and uses the score function, without a baseline.

      n ~ q,   L(n) + stop_gradient(L(n)) log q(n)

  Unbiased, but its variance is that of the likelihood of a whole image,
  hundreds of nats. Cost: as `marginal`, because the terms of all counts are
  computed for every estimator; one pixel likelihood would do.

  Source: Williams 1992; the blog's first variant (variance 1e3 a parameter).
  """
  sampled = _sample(batch)
  return _score_function(batch, sampled, baseline=tf.zeros([]),
                         auxiliary_loss=tf.zeros([]), metrics={})


class NVIL(snt.Module):
  """Score function with the blog's neural baseline.

      n ~ q,   L(n) + stop_gradient(L(n) - b) log q(n)

  The baseline b is an MLP 256-128 on the image and the sampled latents, trained
  on the squared error to L(n) with a learning rate of its own. It lowers the
  variance from 1e3 to 1e-1 a parameter (blog).

  Bias: a baseline leaves the gradient's mean alone only if it does not depend
  on n. The blog's sees the latents of the sampled steps and the presence of
  each, hence n itself, and the term E[b(n) d log q(n)] need not vanish.

  Cost: as `marginal`, and one MLP of H * W + T (Z + 5) inputs.

  Source: the blog; Mnih and Gregor 2014, "Neural Variational Inference and
  Learning in Belief Networks".
  """

  def __init__(self, name: str = 'nvil'):
    super().__init__(name=name)
    self._baseline = modules.Baseline(name='baseline')

  def __call__(self, batch: Batch) -> Estimate:
    """Returns the estimate; the baseline b is `[B]`, one an example."""
    sampled = _sample(batch)
    steps = batch.inference.num_steps
    presence = model_lib.count_presence(sampled.counts, steps.max_steps)
    inputs = (batch.images,
              batch.inference.what * presence[..., tf.newaxis],
              batch.inference.where * presence[..., tf.newaxis],
              presence, steps.step_logits)
    baseline = self._baseline(*map(tf.stop_gradient, inputs))
    target = tf.stop_gradient(sampled.log_likelihood)
    baseline_loss = tf.reduce_mean(tf.square(target - baseline))
    return _score_function(
        batch, sampled, baseline=baseline, auxiliary_loss=baseline_loss,
        metrics={'baseline_loss': baseline_loss})


_REGISTRY: dict[str, Callable[[], Estimator]] = {
    'marginal': lambda: marginal,
    'responsibilities': lambda: responsibilities,
    'reinforce': lambda: reinforce,
    'nvil': NVIL,
}
assert tuple(_REGISTRY) == config_lib.ESTIMATORS


def make(name: str) -> Estimator:
  """Returns a new estimator by its name in the registry.

  Raises:
    ValueError: if there is none of that name.
  """
  if name not in _REGISTRY:
    raise ValueError(f'No estimator is called {name!r}; there are '
                     f"{', '.join(_REGISTRY)}.")
  return _REGISTRY[name]()


def weigh(terms: model_lib.ElboTerms, log_q: tf.Tensor,
          reconstruction: tf.Tensor) -> Elbo:
  """Joins the terms of the ELBO under a posterior over counts.

  Args:
    terms: of a batch of B.
    log_q: `[B, T + 1]`, log q(n).
    reconstruction: `[B]`, the likelihood term, expected under q or sampled.

  Returns:
    The ELBO of each example; its KLs are exact sums over n.
  """
  reached = prior.survival(log_q)
  kl_what = tf.reduce_sum(reached * terms.kl_what, axis=-1)
  kl_where = tf.reduce_sum(reached * terms.kl_where, axis=-1)
  kl_num_steps = tf.reduce_sum(
      tf.exp(log_q) * (log_q - terms.log_prior), axis=-1)
  return Elbo(
      elbo=reconstruction - kl_what - kl_where - kl_num_steps,
      reconstruction=reconstruction, kl_what=kl_what, kl_where=kl_where,
      kl_num_steps=kl_num_steps, num_steps=tf.reduce_sum(reached, axis=-1))


def expected_elbo(terms: model_lib.ElboTerms, log_q: tf.Tensor) -> Elbo:
  """`weigh` with the likelihood's exact expectation under `log_q`."""
  return weigh(terms, log_q, tf.reduce_sum(
      tf.exp(log_q) * terms.log_likelihood, axis=-1))


class _Sampled(NamedTuple):
  """Counts drawn from the posterior."""
  counts: tf.Tensor          # int32 [B]
  log_q: tf.Tensor           # [B, T + 1], what they were drawn from.
  log_prob: tf.Tensor        # [B], log q of the counts drawn.
  log_likelihood: tf.Tensor  # [B], log p(x | that many objects).


def _sample(batch: Batch) -> _Sampled:
  """Draws a count for each example, under the exploration floor."""
  log_q = prior.explore(batch.terms.log_posterior, batch.exploration)
  # By the inverse CDF: counts whose CDF lies below a uniform number.
  uniform = tf.random.stateless_uniform([tf.shape(log_q)[0], 1], batch.seed)
  below = tf.cumsum(tf.exp(log_q), axis=-1)[:, :-1] < uniform
  counts = tf.reduce_sum(tf.cast(below, tf.int32), axis=-1)
  take = lambda x: tf.gather(x, counts, batch_dims=1)
  return _Sampled(counts=counts, log_q=log_q, log_prob=take(log_q),
                  log_likelihood=take(batch.terms.log_likelihood))


def _score_function(batch: Batch, sampled: _Sampled, baseline: tf.Tensor,
                    auxiliary_loss: tf.Tensor, metrics) -> Estimate:
  """Joins a sampled likelihood, its score function and the exact KL terms."""
  elbo = weigh(batch.terms, sampled.log_q, sampled.log_likelihood)
  importance_weight = tf.stop_gradient(sampled.log_likelihood - baseline)
  surrogate = elbo.elbo + importance_weight * sampled.log_prob
  mean, variance = tf.nn.moments(importance_weight, axes=[0])
  return Estimate(
      elbo=elbo, loss=-tf.reduce_mean(surrogate),
      auxiliary_loss=auxiliary_loss,
      metrics=metrics | {'importance_weight/mean': mean,
                         'importance_weight/variance': variance})

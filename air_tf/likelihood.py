"""How probable a model finds images: the ELBO and importance weights.

Letters: `N` images, `T` most steps, `[H, W]` image (`[H, W, 3]` in colour), `n`
number of objects, `K` samples of a bound, `z_t` = (where_t, what_t), `z` all T
of them.
"""

import numpy as np
import tensorflow as tf

from air_tf import elbo as elbo_lib
from air_tf import estimators
from air_tf import model as model_lib
from air_tf import prior

__all__ = ['importance_bound', 'log_weights', 'score']


def score(model: model_lib.AIRModel, images: tf.Tensor,
          num_steps_prior: prior.NumStepsDistribution,
          seed: tf.Tensor) -> dict[str, tf.Tensor]:
  """Scores images by one posterior sample.

  Args:
    model: a trained model.
    images: float `[N, H, W]`, pixels in 0 ... 1.
    num_steps_prior: p(n), batch shape `[]`.
    seed: int32 `[2]`, of the sample.

  Returns:
    The fields of `estimators.Elbo`, n summed out exactly, and `log_weight`,
    see `log_weights`; each `[N]`.
  """
  sample = model.infer(images, seed=seed)
  terms = model.elbo_terms(images, sample, num_steps_prior)
  elbo = estimators.expected_elbo(terms, terms.log_posterior)
  return {**elbo._asdict(), 'log_weight': log_weights(terms)}


def log_weights(terms: elbo_lib.ElboTerms) -> tf.Tensor:
  """Log importance weights of posterior samples, n summed out exactly.

  The weight of a sampled (n, z) would be p(x, n, z) / q(n, z). Given z, its
  mean under q(n) is a sum over all T + 1 counts, and q(n) cancels:

      w(z) = sum_n p(n) p(x | z_1 ... z_n) p(z_1) / q(z_1) ... p(z_n) / q(z_n)

  Both are unbiased, E[w] = p(x). We take the sum, because it costs nothing
  (one pass holds the likelihoods of all n) and because a conditional mean has
  the smaller variance, so that E[log w], a lower bound of log p(x), is the
  tighter. It scores the model and q(z), no longer q(n): a wrong count is not
  punished as long as some n explains the image.

  The ratio for `where` is that of the Gaussians before squashing: the Jacobian
  is the same above and below.

  Args:
    terms: of a posterior sample for each of B images.

  Returns:
    `[B]`, log w.
  """
  return tf.reduce_logsumexp(
      terms.log_prior + terms.log_likelihood + terms.cumulative_log_ratio, axis=-1)


def importance_bound(weights: np.ndarray) -> np.ndarray:
  """The importance-weighted bound on log p(x) (Burda et al. 2016).

      L_K = E[log 1/K sum_k w_k] <= log p(x),   rising with K

  Args:
    weights: `[K, N]`, log weights of K samples for each image.

  Returns:
    `[N]`, nats.
  """
  weights = np.asarray(weights, np.float64)
  return np.logaddexp.reduce(weights) - np.log(len(weights))

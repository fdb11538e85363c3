"""Estimators of the gradient through the number of steps.

The ELBO of one image, given reparameterised samples of `where` and `what`, is

    sum_n q(n) L(n) - sum_t q(n >= t) (KL_what[t] + KL_where[t]) - KL(q || p)
    L(n) = log p(x | first n objects)

Its KL terms need no sampling of n. The estimators differ in the first sum: its
gradient through q(n) is where AIR's troubles come from. With K particles
(`--num_particles`), K passes over each image give importance weights

    w_k(n) = p(x, n, z_k) / q(n, z_k),   z_k the what and where of n steps

and the bound E log mean_k w_k(n_k), which is tighter than the ELBO (Burda et
al. 2016, "Importance Weighted Autoencoders").

Wherever n is sampled or summed, q_eps stands for q: it shares a part of each
count out among 1 ... n, its prefixes, and mixes a uniform count into that, the
exploration floor. It is still a valid posterior, so nothing else changes. What
is shared out is a constant to the gradient; "exact" and "unbiased" are meant
for q_eps with it held, and for all of q_eps with --prefix_share=0.

An estimator is a function or a `snt.Module` (if it has variables) that maps a
`EstimatorInputs` to an `Estimate`; a new one is that, a line in `_REGISTRY` and its name
in `config.ESTIMATORS`.

Letters: `B` images, `K` particles, `R = K B` rows of a batch, `T` most steps,
`n` number of objects, `q` and `p` its posterior and prior.
"""

from collections.abc import Callable

from air_tf import config as config_lib
from air_tf.estimators import relaxed
from air_tf.estimators.base import Elbo
from air_tf.estimators.base import Estimate
from air_tf.estimators.base import EstimatorInputs
from air_tf.estimators.base import elbo_under
from air_tf.estimators.base import expected_elbo
from air_tf.estimators.base import make_inputs
from air_tf.estimators.exact import marginal
from air_tf.estimators.exact import responsibilities
from air_tf.estimators.measure_valued import mvd
from air_tf.estimators.reweighted_wake_sleep import rws
from air_tf.estimators.score_function import NVIL
from air_tf.estimators.score_function import NVILPerStep
from air_tf.estimators.score_function import reinforce
from air_tf.estimators.score_function import vimco

__all__ = ['EstimatorInputs', 'Elbo', 'Estimate', 'Estimator', 'NVIL', 'NVILPerStep',
           'make_inputs', 'expected_elbo', 'make', 'marginal', 'mvd', 'reinforce',
           'relaxed', 'responsibilities', 'rws', 'vimco', 'elbo_under']

Estimator = Callable[[EstimatorInputs], Estimate]

_REGISTRY: dict[str, Callable[[config_lib.Config], Estimator]] = {
    'marginal': lambda config: marginal,
    'responsibilities': lambda config: responsibilities,
    'reinforce': lambda config: reinforce,
    'nvil': lambda config: NVIL(config.moving_signal),
    'nvil_per_step': lambda config: NVILPerStep(),
    'vimco': lambda config: vimco,
    'concrete': lambda config: relaxed.Concrete(
        config.pixel_stddev, config.concrete_temperature),
    'mvd': lambda config: mvd,
    'rebar': lambda config: relaxed.Rebar(config.pixel_stddev),
    'rws': lambda config: rws,
}
assert tuple(_REGISTRY) == config_lib.ESTIMATORS


def make(name: str, config: config_lib.Config | None = None) -> Estimator:
  """Returns a new estimator by its name in the registry.

  Args:
    name: one of `config.ESTIMATORS`.
    config: gives the options of those that have some; the defaults, if None.

  Raises:
    ValueError: if there is none of that name.
  """
  if name not in _REGISTRY:
    raise ValueError(f'No estimator is called {name!r}; there are '
                     f"{', '.join(_REGISTRY)}.")
  return _REGISTRY[name](config or config_lib.Config())

"""Estimators of the gradient through the number of steps.

The ELBO of one image, given reparameterised samples of `where` and `what`, is

    sum_n q(n) L(n) - sum_t q(n >= t) (KL_what[t] + KL_where[t]) - KL(q || p)
    L(n) = log p(x | first n objects)

Its KL terms need no sampling of n. The estimators differ in the first sum,
whose gradient through q(n) is what makes AIR hard to train. With K particles
(`--num_particles`), K passes over each image give importance weights

    w_k(n) = p(x, n, z_k) / q(n, z_k),   z_k the what and where of n steps

and the bound E log mean_k w_k(n_k), which is tighter than the ELBO (Burda et
al. 2016, "Importance Weighted Autoencoders").

Wherever n is sampled or summed, q stands for q_eps; see `exploration`. The part
of q_eps that is spread over prefixes is held constant in the gradient. "Exact"
and "unbiased" refer to the gradient with that part constant; with
--prefix_share=0 there is no such part.

To add an estimator, write a subclass of `Estimator` in a file of this package
and name it in `config.ESTIMATORS`.

Letters: `B` images, `K` particles, `R = K B` rows of a batch, `T` most steps,
`n` number of objects, `q` and `p` its posterior and prior.
"""

import importlib

from air_tf import config as config_lib
from air_tf.estimators.base import Estimate
from air_tf.estimators.base import Estimator
from air_tf.estimators.base import EstimatorInputs
from air_tf.estimators.base import make_inputs

__all__ = ['Estimate', 'Estimator', 'EstimatorInputs', 'make', 'make_inputs']


def make(name: str, config: config_lib.Config | None = None) -> Estimator:
  """Returns a new estimator.

  Args:
    name: one of `config.ESTIMATORS`.
    config: gives the options of those that have some; the defaults, if None.

  Raises:
    ValueError: if there is none of that name.
  """
  if name not in config_lib.ESTIMATORS:
    raise ValueError(f'No estimator is called {name!r}; there are '
                     f"{', '.join(config_lib.ESTIMATORS)}.")
  module, cls = config_lib.ESTIMATORS[name].path.split('.')
  module = importlib.import_module(f'{__name__}.{module}')
  return getattr(module, cls).from_config(config or config_lib.Config())

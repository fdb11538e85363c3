"""Scales the initial weights of the three outputs that decide about training.

The blog names the initialisation of the reconstruction, of place and of
presence as fatal. Their biases are `config.Config.decoder_bias`,
`where_stddev_init` and `steps_bias`; this is the other half.
"""

from collections.abc import Sequence

import tensorflow as tf

from air_tf import config as config_lib

__all__ = ['scale_outputs']

# Option of `Config`: end of the name of the weights it multiplies.
_OUTPUTS = {
    'decoder_init_scale': 'glimpse_decoder/pixels/w:0',
    'where_init_scale': 'where_estimator/mean_and_stddev/w:0',
    'steps_init_scale': 'steps_predictor/mlp/linear_2/w:0',
}


def scale_outputs(variables: Sequence[tf.Variable],
                  config: config_lib.Config) -> None:
  """Multiplies the output weights of a new model, in place.

  Args:
    variables: the model's, as they were made.
    config: gives the factors; those that are 1 change nothing.

  Raises:
    ValueError: if the model has no such weights.
  """
  for option, name in _OUTPUTS.items():
    factor = getattr(config, option)
    if factor == 1.:
      continue
    found = [v for v in variables if v.name.endswith(name)]
    if len(found) != 1:
      raise ValueError(f'{option} acts on one variable called {name}, but '
                       f'the model has {len(found)}.')
    found[0].assign(factor * found[0])

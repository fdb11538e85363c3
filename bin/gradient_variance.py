"""Measures the variance of the gradient of every estimator, on one run.

    python bin/gradient_variance.py --logdir=runs/quickstart

At the newest checkpoint, on one fixed batch, each estimator's gradient is
repeated with other random numbers. Left in the run folder:
`gradient_variance.json`, `gradient_variance.md` and
`figures/gradient_variance.png`, also in TensorBoard. The last line on standard
output is the result, as JSON.
"""

from absl import flags

from air_tf import cli
from air_tf import config as config_lib
from air_tf import errors

_LOGDIR = cli.define_path(
    'logdir', None, 'Folder of the run.', required=True)
_ESTIMATORS = flags.DEFINE_list(
    'estimators', None, 'Which to measure; all that suit the run, if left out.')
_REPEATS = flags.DEFINE_integer(
    'repeats', 200, 'Gradients per estimator: 200 give the variance of one '
    'number to within 10 %.', lower_bound=2, upper_bound=1_000_000)
_WARM_UP = flags.DEFINE_integer(
    'warm_up', 500, 'Iterations that an estimator other than the run\'s own '
    'trains its baseline, with the model fixed.', lower_bound=0,
    upper_bound=1_000_000)


def main(arguments: list[str]) -> dict:
  """Measures, and leaves the result in the run folder."""
  cli.no_arguments(arguments)
  names = _ESTIMATORS.value
  if names is not None and (
      not names or len(set(names)) < len(names)
      or not set(names) <= set(config_lib.ESTIMATORS)):
    raise errors.UserError(
        f"--estimators={','.join(names)}: expected some of "
        f"{', '.join(config_lib.ESTIMATORS)}, each once.")
  cli.import_tensorflow()
  from air_tf.studies import gradient_variance
  result = gradient_variance.compare(
      _LOGDIR.value, names, _REPEATS.value, _WARM_UP.value)
  gradient_variance.save(result, _LOGDIR.value)
  return result


if __name__ == '__main__':
  cli.run(main)

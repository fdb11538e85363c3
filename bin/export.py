"""Writes the SavedModel of a run from its newest checkpoint.

    python bin/export.py --logdir=runs/quickstart

Training does this at its end; use this script for a run that is still training
or was stopped, or for another --max_steps or --candidates. The SavedModel loads
with TensorFlow alone.
"""

import os
import pathlib

from absl import flags

from air_tf import cli
from air_tf import progress

_LOGDIR = cli.define_path(
    'logdir', None, 'Folder of the run.', required=True)
_OUT = cli.define_path(
    'out', None, 'Where to write it; `saved_model` in the run folder if left '
    'out.')
_MAX_STEPS = flags.DEFINE_integer(
    'max_steps', None, 'T, the most objects the model may write; that of '
    'training if left out.', lower_bound=1, upper_bound=64)
_HALF_PRECISION = flags.DEFINE_bool(
    'half_precision', False, 'Round the weights to float16: half the size on '
    'disk, and counts that hardly ever change.')
_CANDIDATES = flags.DEFINE_integer(
    'candidates', None, 'How many explanations of an image to choose the one '
    'with the highest ELBO from; that of training if left out.', lower_bound=1,
    upper_bound=64)


def main(arguments: list[str]) -> dict:
  """Restores the run and saves its averaged model."""
  cli.no_arguments(arguments)
  cli.import_tensorflow()
  from air_tf import run as run_lib
  from air_tf.serving import saved_model
  out = pathlib.Path(_OUT.value or os.path.join(_LOGDIR.value, 'saved_model'))
  saved_model.check_target(out)
  run = run_lib.Run(_LOGDIR.value)
  model, num_steps_prior = run.trainer.averaged_model(_MAX_STEPS.value)
  progress.status('Writing the SavedModel.')
  saved_model.save(model, out, num_steps_prior, _HALF_PRECISION.value,
                   candidates=_CANDIDATES.value)
  return {'saved_model': str(out), 'step': run.step}


if __name__ == '__main__':
  cli.run(main)

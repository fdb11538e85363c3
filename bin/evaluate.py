"""Measures a run's newest checkpoint, or a SavedModel, on scenes.

    python bin/evaluate.py --logdir=runs/quickstart [--scenes=PATH] \
        [--max_steps=5] [--candidates=3] [--refine]
    python bin/evaluate.py --saved_model=PATH --scenes=PATH

A table for reading, then, as the last line on standard output, the result as
JSON. Metrics that need counts, boxes or labels are left out where the scenes
have none. Two calls with the same arguments print the same.
"""

import sys

from absl import flags

from air_tf import cli
from air_tf import errors
from air_tf import progress

_LOGDIR = cli.define_path('logdir', None, 'Folder of the run.')
_SAVED_MODEL = cli.define_path(
    'saved_model', None, 'Folder of a SavedModel, or the name of a model in '
    'models/, instead of --logdir.')
_SCENES = cli.define_path(
    'scenes', None, 'A scene file (.npz); the held-out scenes of the run if '
    'left out. See data/README.md.')
_IMPORTANCE_SAMPLES = flags.DEFINE_integer(
    'importance_samples', 0, 'Samples of the importance-weighted bound on '
    'log p(x); 0 leaves it out. A hundred take minutes.', lower_bound=0,
    upper_bound=10_000)
_MAX_STEPS = flags.DEFINE_integer(
    'max_steps', None, 'T, the most objects the model may write, with '
    '--logdir; that of training if left out.', lower_bound=1, upper_bound=64)
_REFINE = flags.DEFINE_bool(
    'refine', False, 'Explain each object again, alone, before boxes, codes '
    'and masks are scored; counts and ELBO stay those of one pass.')
_CANDIDATES = flags.DEFINE_integer(
    'candidates', None, 'How many explanations of an image to choose the one '
    'with the highest ELBO from, with --logdir; that of training if left out.',
    lower_bound=1, upper_bound=64)
_PROBE_SCENES = flags.DEFINE_integer(
    'probe_scenes', None, 'Training scenes from whose objects the probes learn '
    'to tell the digit from `what`, with --logdir; 5,000 if left out.',
    lower_bound=2)


def main(arguments: list[str]) -> dict:
  """Evaluates what the flags name."""
  cli.no_arguments(arguments)
  if (_LOGDIR.value is None) == (_SAVED_MODEL.value is None):
    raise errors.UserError('expected one of --logdir and --saved_model.')
  if _SAVED_MODEL.value is not None and _SCENES.value is None:
    raise errors.UserError(
        '--saved_model: a SavedModel holds no scenes; expected --scenes=PATH '
        'beside it, or --logdir.')
  for flag, why in (
      (_MAX_STEPS, 'the T of a SavedModel is fixed. Write another by '
       'bin/export.py --max_steps.'),
      (_CANDIDATES, 'that of a SavedModel is fixed. Write another by '
       'bin/export.py --candidates.'),
      (_PROBE_SCENES, 'a SavedModel knows no training scenes, and its probes '
       'learn from half of --scenes.')):
    if _SAVED_MODEL.value is not None and flag.value is not None:
      raise errors.UserError(f'--{flag.name} goes with --logdir; {why}')
  cli.import_tensorflow()
  from air_tf import run as run_lib
  from air_tf.evaluation import report
  rest = (_SCENES.value, _IMPORTANCE_SAMPLES.value,
          bool(_IMPORTANCE_SAMPLES.value) and sys.stderr.isatty())
  progress.status('Evaluating (some seconds).')
  if _LOGDIR.value is not None:
    result = run_lib.Run(_LOGDIR.value, _CANDIDATES.value).evaluate(
        *rest, _MAX_STEPS.value, _REFINE.value, _PROBE_SCENES.value)
  else:
    result = run_lib.LoadedModel(_SAVED_MODEL.value).evaluate(
        *rest, _REFINE.value)
  print(report.table(result))
  return result


if __name__ == '__main__':
  cli.run(main)

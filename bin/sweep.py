"""Trains many seeds of one or more recipes, and compares them.

    python bin/sweep.py --seeds=0:20 --flagfile=bin/flags/quickstart.flags
    python bin/sweep.py --flagfile=A.flags --flagfile=B.flags --jobs=2
    python bin/sweep.py --flagfile=A.flags --vary=estimator=marginal,nvil

Every other flag goes to bin/train.py, as --name=value. The same command resumes
after an interruption, and makes only the runs that are missing. Left in
--logdir: one folder per run, `report.json`, `report.md` and `curves.png`. The
last line on standard output is the report without its curves, as JSON.
"""

import itertools
import pathlib

from absl import flags

from air_tf import cli
from air_tf import errors

_LOGDIR, _SEEDS, _JOBS = cli.define_sweep_flags(
    'runs/sweep', seeds='0:5')
_THRESHOLD = flags.DEFINE_float(
    'threshold', .98, 'Held-out count accuracy at the end from which a run is '
    'a success.', lower_bound=0., upper_bound=1.)
_VARY = flags.DEFINE_multi_string(
    'vary', [], 'FLAG=V1,V2,...: a recipe for each value of a flag of '
    'bin/train.py; several give all combinations.')


def main(arguments: list[str]) -> dict:
  """Makes the runs that are missing and reports on all."""
  common, flagfiles = cli.train_flags(arguments)
  seeds = cli.seeds(_SEEDS.value)
  recipes = _recipes(flagfiles)
  cli.import_tensorflow()
  from air_tf.studies import sweep
  from air_tf.studies import sweep_report
  runs = {
      name: [sweep.Run(pathlib.Path(_LOGDIR.value) / name / f'seed-{seed}',
                       (*chosen, *common, f'--seed={seed}')) for seed in seeds]
      for name, chosen in recipes.items()}
  # A seed of every recipe before the next seed: early reports compare them.
  in_turn = itertools.chain.from_iterable(zip(*runs.values(), strict=True))
  sweep.run_all(list(in_turn), cli.TRAIN, _JOBS.value)
  report = sweep_report.summarise(runs, _THRESHOLD.value)
  sweep_report.save(report, _LOGDIR.value)
  return {'logdir': _LOGDIR.value, **report, 'recipes': {
      name: {key: value for key, value in found.items() if key != 'runs'}
      for name, found in report['recipes'].items()}}


def _recipes(flagfiles: list[str]) -> dict[str, tuple[str, ...]]:
  """Flags of bin/train.py by recipe: each flagfile with each combination."""
  varied = []
  for text in _VARY.value:
    name, equals, values = text.partition('=')
    if not (name and equals and values):
      raise errors.UserError(
          f'--vary={text}: expected FLAG=V1,V2, for example '
          '--vary=estimator=marginal,nvil.')
    varied.append([f'{name}={value}' for value in values.split(',')])
  recipes = {}
  for flagfile in flagfiles or ['']:
    stem = [pathlib.Path(flagfile).stem] if flagfile else []
    for choice in itertools.product(*varied):
      name = ','.join([*stem, *choice]) or 'default'
      if name in recipes:
        raise errors.UserError(
            f'--flagfile={flagfile}: a second recipe is called {name!r}; '
            'expected flagfiles with names of their own.')
      recipes[name] = (*([f'--flagfile={flagfile}'] if flagfile else []),
                       *(f'--{flag}' for flag in choice))
  return recipes


if __name__ == '__main__':
  cli.run(main, parse=cli.parse_known)

"""Trains many seeds of one or more recipes, and compares them.

    python bin/sweep.py --seeds=0:20 --flagfile=bin/flags/quickstart.flags
    python bin/sweep.py --flagfile=A.flags --flagfile=B.flags --jobs=2
    python bin/sweep.py --flagfile=A.flags --vary=estimator=marginal,nvil

Every other flag goes to bin/train.py, as --name=value. The same command resumes
after an interruption, and makes only the runs that are missing. Left in
--logdir: one folder per run, `report.json`, `report.md`, `curves.png`, and what
TensorBoard's HParams shows. The last line on standard output is the report
without its curves, as JSON.

--launcher=ray lets Ray place the runs, here or on a cluster. --launcher=slurm
starts none: it writes a job array of the runs that are missing, and the report
on those that have ended. After the array, give the same command again.
"""

import itertools
import os
import pathlib

from absl import flags

from air_tf import cli
from air_tf import errors
from air_tf import sweep_flags
from air_tf import sweep_recipes

_LOGDIR, _SEEDS, _JOBS = sweep_flags.define_sweep_flags(
    'runs/sweep', seeds='0:5')
_THRESHOLD = cli.define_finite_float(
    'threshold', .98, 'Held-out count accuracy that a run must have at its '
    'end to be a success.', lower=0., upper=1.)
_VARY = flags.DEFINE_multi_string(
    'vary', [], 'FLAG=V1,V2,...: a recipe for each value of a flag of '
    'bin/train.py; several give all combinations.')
_LAUNCHER = flags.DEFINE_enum(
    'launcher', 'local', ['local', 'ray', 'slurm'], 'What places the runs: '
    'processes of this machine, Ray, or a job array of SLURM.')
_RAY_ADDRESS = flags.DEFINE_string(
    'ray_address', None, 'With --launcher=ray: auto, HOST:PORT or '
    'ray://HOST:PORT of a cluster; if left out, that in RAY_ADDRESS, or a '
    'cluster of --jobs runs is started on this machine.')
_CORES_PER_RUN = flags.DEFINE_integer(
    'cores_per_run', None, 'With --launcher=ray or slurm: CPU cores of a run; '
    '1, if left out.', lower_bound=1, upper_bound=1_024)
_GPUS_PER_RUN = flags.DEFINE_integer(
    'gpus_per_run', None, 'With --launcher=ray or slurm: GPUs of a run; none, '
    'if left out.', lower_bound=0, upper_bound=64)


def main(arguments: list[str]) -> dict:
  """Makes the runs that are missing and reports on all."""
  common, flagfiles = sweep_flags.train_flags(arguments)
  seeds = sweep_flags.seeds(_SEEDS.value)
  address = _ray_address()
  recipes = sweep_recipes.recipes(flagfiles, _VARY.value, common)
  jobs = sweep_flags.check_runs(
      [(*chosen, *common, f'--seed={max(seeds)}')
       for chosen in recipes.values()], len(recipes) * len(seeds), _JOBS,
      elsewhere=_LAUNCHER.value == 'slurm' or bool(address))
  sweep_recipes.require_different(recipes, common)
  sweep_flags.check_folder(_LOGDIR.value)
  cli.import_tensorflow()
  from air_tf.studies import hparams
  from air_tf.studies import sweep
  from air_tf.studies import sweep_report
  from air_tf.studies.launchers import choice as launchers
  runs = {
      name: [sweep.Run(pathlib.Path(_LOGDIR.value) / name / f'seed-{seed}',
                       (*chosen, *common, f'--seed={seed}')) for seed in seeds]
      for name, chosen in recipes.items()}
  # A seed of every recipe before the next seed: early reports compare them.
  in_turn = itertools.chain.from_iterable(zip(*runs.values(), strict=True))
  write_hparams = lambda: hparams.write(_LOGDIR.value, runs)
  options = launchers.LaunchOptions(
      script=cli.TRAIN, logdir=_LOGDIR.value, address=address, jobs=jobs,
      at_a_time=jobs if _JOBS.present else None,
      cores=_CORES_PER_RUN.value or 1, gpus=_GPUS_PER_RUN.value or 0)
  script = launchers.launch(
      _LAUNCHER.value, list(in_turn), options, write_hparams)
  write_hparams()  # If all had ended before.
  report = sweep_report.summarise(runs, _THRESHOLD.value)
  sweep_report.save(report, _LOGDIR.value)
  if script is None:
    sweep.require_a_success(itertools.chain.from_iterable(runs.values()))
  return {'logdir': _LOGDIR.value, **({'script': script} if script else {}),
          **report, 'recipes': {
      name: {key: value for key, value in summary.items() if key != 'runs'}
      for name, summary in report['recipes'].items()}}


def _ray_address() -> str:
  """Returns the address of the cluster; empty without one.

  Raises:
    errors.UserError: if flags of a launcher are given without it, or Ray is
      not installed.
  """
  for flag, value, launchers in (
      ('ray_address', _RAY_ADDRESS.value, ('ray',)),
      ('cores_per_run', _CORES_PER_RUN.value, ('ray', 'slurm')),
      ('gpus_per_run', _GPUS_PER_RUN.value, ('ray', 'slurm'))):
    if value is not None and _LAUNCHER.value not in launchers:
      raise errors.UserError(
          f"--{flag}={value}: expected --launcher={' or '.join(launchers)} "
          'beside it.')
  if _LAUNCHER.value != 'ray':
    return ''
  from air_tf.studies.launchers import ray_cluster
  ray_cluster.require_ray()
  return _RAY_ADDRESS.value or os.environ.get('RAY_ADDRESS', '')


if __name__ == '__main__':
  cli.run(main, parse=sweep_flags.parse_known)

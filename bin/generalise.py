"""Tests counts not trained on: the paper's experiments on AIR and DAIR.

    python bin/generalise.py --seeds=0:3

Trains AIR (bin/flags/air.flags) and DAIR (the default) on scenes of 0, 1 and 2
digits and asks for 3; and on 0, 1 and 3 and asks for 2. Every other flag goes
to bin/train.py, as --name=value. The same command resumes after an
interruption. Left in --logdir: one folder per run, `generalisation.json` and
`generalisation.md`. A table for reading, then, as the last line on standard
output, the accuracies as JSON.
"""

from air_tf import cli
from air_tf import progress
from air_tf import sweep_flags

# Both of MNIST's digits, as air.flags says; later flags win.
_AIR = cli.TRAIN.with_name('flags') / 'air.flags'
_MODELS = {'AIR': (f'--flagfile={_AIR}',), 'DAIR': ('--digits=mnist',)}
_LOGDIR, _SEEDS, _JOBS = sweep_flags.define_sweep_flags(
    'runs/generalise', seeds='0:3')


def main(arguments: list[str]) -> dict:
  """Trains the models that are missing and tests all of them."""
  common = sweep_flags.with_flagfiles(
      arguments, refused=('counts', 'max_steps'))
  sweep_flags.require_composed(
      common, 'from which scenes with other counts can be composed')
  seeds = sweep_flags.seeds(_SEEDS.value)
  cli.import_tensorflow()
  from air_tf.studies import generalisation
  from air_tf.studies import sweep
  from air_tf.studies.launchers import local
  runs = generalisation.runs(_LOGDIR.value, _MODELS, common, seeds)
  every = [run for of_key in runs.values() for run in of_key]
  jobs = sweep_flags.check_runs(
      (run.arguments for run in every), len(every), _JOBS)
  sweep_flags.check_folder(_LOGDIR.value)
  # A seed of everything before the next seed.
  local.Local(cli.TRAIN, jobs).run_all([
      run for of_seed in zip(*runs.values(), strict=True) for run in of_seed])
  results = {
      key: [result for run in of_key if (result := generalisation.measure(
          run, generalisation.EXPERIMENTS[key[0]].asked)) is not None]
      for key, of_key in progress.track(runs.items(), 'counting')}
  generalisation.save(results, _LOGDIR.value)
  sweep.require_a_success(every)
  print(generalisation.markdown(results))
  return {'logdir': _LOGDIR.value} | {
      name: {model: [result['asked'] for result in results[name, model]]
             for model in _MODELS}
      for name in generalisation.EXPERIMENTS}


if __name__ == '__main__':
  cli.run(main, parse=sweep_flags.parse_known)

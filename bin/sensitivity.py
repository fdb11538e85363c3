"""Heat maps of count accuracy over the initialisation of three outputs.

    python bin/sensitivity.py --flagfile=bin/flags/air.flags \
        --num_iterations=600

Trains one run (or one per --seeds) for every cell of the grids in
air_tf/studies/sensitivity.py, for `marginal` with and without the exploration
floor and for `nvil` without. Every
other flag goes to bin/train.py, as --name=value. The same command resumes after
an interruption. Left in --logdir: one folder per run, `sensitivity.json` and
`sensitivity.png`. The last line on standard output says where, as JSON.
"""

from air_tf import cli
from air_tf import sweep_flags

# What the cells differ in, of air_tf/studies/sensitivity.py.
_OWN = ('decoder_bias', 'decoder_init_scale', 'where_stddev_init',
        'where_init_scale', 'steps_bias', 'steps_init_scale', 'estimator',
        'exploration_init', 'exploration_final', 'prefix_share')
_LOGDIR, _SEEDS, _JOBS = sweep_flags.define_sweep_flags(
    'runs/sensitivity', seeds='0:1')


def main(arguments: list[str]) -> dict:
  """Makes the runs that are missing and draws the heat maps."""
  common = sweep_flags.with_flagfiles(arguments, refused=_OWN)
  sweep_flags.require_composed(common, 'whose scenes have counts')
  seeds = sweep_flags.seeds(_SEEDS.value)
  jobs = sweep_flags.check_runs(
      [(*common, f'--seed={max(seeds)}')], _JOBS.value, _JOBS)
  sweep_flags.check_folder(_LOGDIR.value)
  cli.import_tensorflow()
  from air_tf.studies import sensitivity
  from air_tf.studies import sweep
  from air_tf.studies.launchers import local
  cells = sensitivity.runs(_LOGDIR.value, common, seeds)
  every = list(dict.fromkeys(
      run for of_cell in cells.values() for run in of_cell))
  local.Local(cli.TRAIN, jobs).run_all(every)
  sensitivity.save(sensitivity.accuracies(cells), _LOGDIR.value)
  sweep.require_a_success(every)
  return {'logdir': _LOGDIR.value, 'cells': len(cells), 'seeds': len(seeds)}


if __name__ == '__main__':
  cli.run(main, parse=sweep_flags.parse_known)

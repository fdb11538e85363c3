"""Heat maps of count accuracy over the initialisation of three outputs.

    python bin/sensitivity.py --flagfile=bin/flags/air.flags \
        --num_iterations=600

Trains one run (or --seeds) for every cell of air_tf/sensitivity.py, for
`marginal` with and without the exploration floor and for `nvil` without. Every
other flag goes to bin/train.py, as --name=value. The same command resumes after
an interruption. Left in --logdir: one folder per run, `sensitivity.json` and
`sensitivity.png`. The last line on standard output says where, as JSON.
"""

from air_tf import cli

_LOGDIR, _SEEDS, _JOBS = cli.define_sweep_flags(
    'runs/sensitivity', seeds='0:1')


def main(arguments: list[str]) -> dict:
  """Makes the runs that are missing and draws the heat maps."""
  common = cli.with_flagfiles(arguments)
  seeds = cli.seeds(_SEEDS.value)
  cli.import_tensorflow()
  from air_tf.studies import sensitivity
  from air_tf.studies import sweep
  cells = sensitivity.runs(_LOGDIR.value, common, seeds)
  every = (run for of_cell in cells.values() for run in of_cell)
  sweep.run_all(list(dict.fromkeys(every)), cli.TRAIN, _JOBS.value)
  sensitivity.save(sensitivity.accuracies(cells), _LOGDIR.value)
  return {'logdir': _LOGDIR.value, 'cells': len(cells), 'seeds': len(seeds)}


if __name__ == '__main__':
  cli.run(main, parse=cli.parse_known)

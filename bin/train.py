"""Trains AIR, or resumes its training.

    python bin/train.py --flagfile=bin/flags/quickstart.flags

Everything is left in --logdir: metrics, TensorBoard events, checkpoints,
figures and a SavedModel. The same command resumes after an interruption. The
last line on standard output is the last held-out evaluation, as JSON.
"""


from air_tf import cli

_LOGDIR = cli.define_path(
    'logdir', 'runs/air', 'Folder of the run; made if it is not there.')
cli.define_config_flags()


def main(arguments: list[str]) -> dict:
  """Runs the experiment that the flags describe."""
  cli.no_arguments(arguments)
  config = cli.config_from_flags()
  # TensorFlow takes seconds to import: after the flags are known to be good.
  cli.import_tensorflow()
  from air_tf import experiment
  result = experiment.run(config, _LOGDIR.value, started=cli.STARTED)
  if result is not None:  # The other processes of several return nothing.
    cli.say_what_next(_LOGDIR.value)
  return result


if __name__ == '__main__':
  cli.run(main)

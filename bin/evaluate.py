"""Scores a run's newest checkpoint on its held-out scenes, or on others.

    python bin/evaluate.py --logdir=runs/quickstart [--scenes=PATH]

The last line on standard output is the result, as JSON.
"""

from absl import flags
import cli

_LOGDIR = flags.DEFINE_string('logdir', None, 'Folder of the run.',
                              required=True)
_SCENES = flags.DEFINE_string(
    'scenes', None, 'A scene file (.npz); the held-out scenes of the run if '
    'left out. See data/README.md.')


def main(arguments: list[str]) -> dict:
  """Restores the run and evaluates its averaged model."""
  cli.no_arguments(arguments)
  from air_tf import experiment  # Takes seconds: it imports TensorFlow.
  return experiment.evaluate(_LOGDIR.value, _SCENES.value)


if __name__ == '__main__':
  cli.run(main)

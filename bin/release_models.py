"""Trains the models in models/ again, measures them and writes their cards.

    python bin/release_models.py --models=embedded,sprites
    python bin/release_models.py --digits=PATH

Finished runs below --logdir are taken as they are. The last line on standard
output is what was measured, as JSON.
"""

import pathlib

from absl import flags

from air_tf import cli
from air_tf import errors
from air_tf import paths

_FOLDERS = sorted(path.parent.name for path in cli.TRAIN.parent.parent.glob(
    'models/*/train.flags'))
_MODELS = flags.DEFINE_list(
    'models', _FOLDERS, 'Which, by name, with commas between them.')
_LOGDIR = cli.define_path(
    'logdir', 'runs/release', 'Folder of the runs, one folder per model.')
_DIGITS = cli.define_path(
    'digits', '', 'Where MNIST is (an `mnist.npz`, or a folder of its files); '
    'downloaded if left out.')


def main(arguments: list[str]) -> dict:
  """Releases the models one after another."""
  cli.no_arguments(arguments)
  names = _MODELS.value
  if not names or len(set(names)) < len(names) or not set(names) <= {*_FOLDERS}:
    raise errors.UserError(
        f"--models={','.join(names)}: expected some of {', '.join(_FOLDERS)}, "
        'each once.')
  paths.check_folder('--logdir', _LOGDIR.value)
  cli.import_tensorflow()
  from air_tf.studies import release
  return {name: release.release(
      name, pathlib.Path(_LOGDIR.value) / name, _DIGITS.value)
          for name in names}


if __name__ == '__main__':
  cli.run(main)

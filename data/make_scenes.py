"""Composes a scene file from digits, or from other objects.

    python data/make_scenes.py --out=three.npz --split=test --counts=3
    python data/make_scenes.py --out=s.npz --flagfile=bin/flags/sprites.flags

The format is described in data/README.md. The last line on standard output is
one JSON object: where the file is and what it holds.
"""

from absl import flags
import numpy as np

from air_tf import cli
from air_tf import config as config_lib
from air_tf import ignored_flags
from air_tf import memory
from air_tf import paths
from air_tf import progress

_OUT = cli.define_path(
    'out', None, 'Where to write the scene file (.npz).', required=True)
_SPLIT = flags.DEFINE_enum(
    'split', 'test', ['train', 'test'], 'Which digits to compose from: those '
    'that models are trained on, or the others.')
_NUM_SCENES = flags.DEFINE_integer(
    'num_scenes', config_lib.Config.num_test_scenes, 'How many scenes to '
    'compose.', lower_bound=1)
cli.define_config_flags('digits', 'canvas_size', 'counts', 'digit_scale',
                        'overlap', 'backdrop', 'backdrop_level', 'seed',
                        'max_steps')
_IGNORED = ignored_flags.define()  # Flagfiles describe models, too.
# The file is for no particular model: allow what the largest one can count.
flags.FLAGS.set_default('max_steps', 64)


def main(arguments: list[str]) -> dict:
  """Writes the file and returns what it holds."""
  cli.no_arguments(arguments)
  paths.check_target('--out', _OUT.value, (flags.FLAGS.digits,), '.npz', b'PK',
                     'images.npy')
  # Likewise: any size, and more objects than any model counts, for --crop.
  config = cli.config_from_flags(
      **_IGNORED | {'object_size': 1., 'scenes': '-'})
  memory.require_for_scenes(
      _NUM_SCENES.value, config, '--num_scenes', bytes_per_pixel=2.)
  cli.import_tensorflow()  # Which the streams of large scene files need.
  from air_tf.data import datasets
  from air_tf.data import digits as digits_lib
  from air_tf.data import scene_files
  digits = digits_lib.load(config.digits)
  images, labels = {'train': digits[:2], 'test': digits[2:]}[_SPLIT.value]
  progress.status(f'Composing {_NUM_SCENES.value:,} scenes.')
  scenes = digits_lib.composer(config.digits)(
      images, labels, **datasets.composition_options(
          config, _NUM_SCENES.value, config.seed), masks=True)
  scene_files.write(_OUT.value, scenes)
  counts, frequencies = np.unique(scenes.counts, return_counts=True)
  return dict(
      path=_OUT.value, num_scenes=len(scenes.images),
      counts=dict(zip(map(str, counts), frequencies.tolist(), strict=True)),
      image_size=config.canvas_size)


if __name__ == '__main__':
  cli.run(main)

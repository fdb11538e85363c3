"""Shows what a model would be trained on, before it is trained.

    python bin/inspect_images.py --scenes=my_pictures --out=look.png

Takes the flags of bin/train.py. Prints number, type and values of the images,
ground and ink, and a guess at size and number of the objects, with hints at
what should be changed; draws the first sixteen training images as the model
gets them. The last line on standard output is the same, as JSON.
"""

import os

from air_tf import cli
from air_tf import errors
from air_tf import memory
from air_tf import paths

_OUT = cli.define_path('out', 'look.png', 'PNG file for the drawing.')
cli.define_path('logdir', 'runs/air', 'Not used: that of bin/train.py.')
cli.define_config_flags()


def main(arguments: list[str]) -> dict:
  """Reads the images as bin/train.py does, and draws some."""
  cli.no_arguments(arguments)
  config = cli.config_from_flags()
  if not config.scenes:
    raise errors.UserError(
        '--scenes: found no path; expected that of pictures, of a folder of '
        'them, of a scene file or of a stack.')
  paths.check_target('--out', _OUT.value, [config.scenes], suffix='.png',
                     begins=b'\x89PNG')
  # Among the pictures, it would be one of them the next time.
  paths.check_folder('--out', os.path.dirname(_OUT.value) or '.', [
      x for x in (config.scenes, config.test_scenes) if x])
  cli.import_tensorflow()
  from air_tf.data import datasets
  from air_tf.data import images as images_lib
  from air_tf.data import look
  from air_tf.plotting import canvas
  from air_tf.plotting import looks
  skipped = images_lib.Skipped(config.on_error == 'stop')
  config, pools, _ = datasets.prepare(config, skipped)
  memory.require(config)  # As bin/train.py would.
  images = pools(0).images
  seen = look.look(images, config)
  lines = look.text(seen)
  print('\n'.join(lines))
  canvas.save(looks.first_images(images[:looks.MOST]), _OUT.value)
  skipped.log()
  return {'range': config.range, **seen._asdict(), 'out': _OUT.value,
          **skipped.as_result()}


if __name__ == '__main__':
  cli.run(main)

"""Counts and locates the objects in images, with a SavedModel.

    python bin/infer.py --saved_model=runs/quickstart/saved_model IMAGES...

IMAGES are pictures (PNG, JPEG, ...), folders of pictures, scene files (.npz)
or stacks (.npy), bright objects on black, grey or in colour; they are taken in
the model's colours. A JSON line is printed for each image: its name, the count,
the probability of each count, and the boxes, (y, x, height, width) in pixels.
The last line sums up. A bar is shown when the lines go to a file.
"""

import contextlib
import pathlib
import sys
import time

from absl import flags
from absl import logging

from air_tf import cli
from air_tf import errors
from air_tf import files
from air_tf import paths
from air_tf import progress
from air_tf.data import images as images_lib

_SAVED_MODEL = cli.define_path(
    'saved_model', None, 'Folder of the SavedModel, `saved_model` of a run.',
    required=True)
_RESIZE = flags.DEFINE_bool(
    'resize', False, "Fit images of another size than the model's into its "
    'frame, proportions kept; boxes are given in pixels of the image as given.')
_CSV = cli.define_path(
    'csv', None, 'File for the same as a CSV table, one row per image.')
_OVERLAY = cli.define_path(
    'overlay', None, 'Folder for pictures of the images with their boxes.')
_BATCH_SIZE = flags.DEFINE_integer(
    'batch_size', 256, 'Images in one call of the model.', lower_bound=1,
    upper_bound=1_000_000)


def main(arguments: list[str]) -> dict:
  """Streams images through the model, a batch in memory at a time."""
  if not arguments:
    raise errors.UserError(
        'found no image; expected the paths of pictures, folders, scene files '
        'or stacks, after the flags.')
  # Pictures may have names that are not UTF-8: only Python opens them.
  inputs = [paths.given('argument', path, utf8=False) for path in arguments]
  _check_targets(inputs)
  sources = [images_lib.open_source(path) for path in inputs]
  cli.import_tensorflow()
  from air_tf.serving import predictor as predictor_lib
  progress.status('Loading the SavedModel.')
  predictor = predictor_lib.Predictor(_SAVED_MODEL.value)
  started = time.perf_counter()
  images, objects = _write_predictions(sources, predictor)
  seconds = time.perf_counter() - started
  logging.info('%d images in %.2f s, %.0f a second.', images, seconds,
               images / seconds)
  return {'images': images, 'objects': objects}


def _write_predictions(sources: list[images_lib.Source],
                       predictor) -> tuple[int, int]:
  """Writes all predictions; returns the number of images and of objects."""
  import tqdm

  from air_tf.serving import predictor as predictor_lib
  from air_tf.serving import writers
  named = (image for source in sources for image in source.read())
  images = objects = 0
  with contextlib.ExitStack() as opened:
    table = _open_csv(opened, predictor.max_steps)
    bar = opened.enter_context(tqdm.tqdm(
        total=sum(source.num_images for source in sources), unit='image',
        disable=not sys.stderr.isatty() or sys.stdout.isatty()))
    for prediction in predictor_lib.predict(
        predictor, named, _BATCH_SIZE.value, _RESIZE.value):
      print(writers.json_line(prediction))
      if table is not None:
        table.write(prediction)
      if _OVERLAY.value:
        _overlay(images, prediction)
      images += 1
      objects += len(prediction.boxes)
      bar.update()
  return images, objects


def _check_targets(inputs: list[str]) -> None:
  if _CSV.value:
    paths.check_target('--csv', _CSV.value, inputs, begins=b'image,count,')
  if _OVERLAY.value:
    paths.check_folder('--overlay', _OVERLAY.value, inputs)


def _open_csv(opened: contextlib.ExitStack, max_steps: int):
  from air_tf.serving import writers
  if not _CSV.value:
    return None
  with files.unwritable_as_user_error(f'--csv={_CSV.value}'):
    file = opened.enter_context(open(
        _CSV.value, 'w', newline='', encoding='utf-8',
        errors='backslashreplace'))
  return writers.CsvWriter(file, max_steps)


def _overlay(number: int, prediction) -> None:
  from air_tf.plotting import canvas
  stem = pathlib.Path(
      prediction.name.replace('[', '_').replace(']', '')).name
  path = pathlib.Path(_OVERLAY.value) / f'{number:05d}_{stem}.png'
  boxes = prediction.boxes
  with files.unwritable_as_user_error(f'--overlay={_OVERLAY.value}'):
    path.parent.mkdir(parents=True, exist_ok=True)
  canvas.save(canvas.plot_boxes(
      prediction.image / 255., boxes, f'{len(boxes)} objects'), path)


if __name__ == '__main__':
  cli.run(main)

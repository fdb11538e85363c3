"""Counts and locates the objects in images, with a SavedModel.

    python bin/infer.py --saved_model=runs/quickstart/saved_model IMAGES...
    python bin/infer.py --saved_model=runs/mine/saved_model --tile PICTURES...

IMAGES are pictures (PNG, JPEG, ...), folders of pictures, scene files (.npz)
or stacks (.npy), grey or in colour; they are taken in the model's colours, and
the values that become black and white are those of its training. A JSON line
is printed for each image: its name, the count, the probability of each count,
and the boxes, (y, x, height, width) in pixels. The last line sums up. A bar is
shown when the lines go to a file.

With --tile, pictures may have any size: the model looks at overlapping windows,
and a line has the objects of the whole picture, `num_steps`, `boxes`, `scores`.
"""

import contextlib
import dataclasses
import math
import os
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
from air_tf import scene_options
from air_tf.data import images as images_lib
from air_tf.data import value_range as value_range_lib

_SAVED_MODEL = cli.define_path(
    'saved_model', None, 'Folder of the SavedModel, `saved_model` of a run, or '
    'the name of a model in models/.',
    required=True)
_RESIZE = flags.DEFINE_bool(
    'resize', False, "Fit images of another size than the model's into its "
    'frame, proportions kept; boxes are given in pixels of the image as given.')
_TILE = flags.DEFINE_bool(
    'tile', False, 'Explain pictures of any size by overlapping windows.')
_WINDOW_OVERLAP = flags.DEFINE_integer(
    'window_overlap', None, 'With --tile: pixels that neighbouring windows '
    'share at least, more than the largest objects have; half a window, if '
    'left out.', lower_bound=0)
_CSV = cli.define_path(
    'csv', None, 'File for the same as a CSV table, one row per image; with '
    '--tile, one row per object.')
_TABLES = cli.define_path(
    'tables', None, 'With --tile: folder for two CSV tables of each picture, '
    'its points (for ImageJ and napari) and its boxes (for napari).')
_MASKS = cli.define_path(
    'masks', None, 'Folder for label images (PNG; with --tile, TIFF), where '
    'pixels of the first object are 1, of the second 2, and so on; without '
    '--tile also for coco.json, which has all of them as COCO does.')
_OVERLAY = cli.define_path(
    'overlay', None, 'Folder for pictures of the images with their boxes.')
_BATCH_SIZE = flags.DEFINE_integer(
    'batch_size', 256, 'Images in one call of the model.', lower_bound=1,
    upper_bound=1_000_000)
cli.define_config_flags('on_error')
_RANGE = flags.DEFINE_string(
    'range', None, "Values that become black and white, LOW,HIGH, 'dtype', "
    "'auto' or 'objects', if not those of the model's training.")


def main(arguments: list[str]) -> dict:
  """Streams images through the model, a few batches in memory at a time."""
  if not arguments:
    raise errors.UserError(
        'found no image; expected the paths of pictures, folders, scene files '
        'or stacks, after the flags.')
  on_error = cli.config_from_flags(  # Which checks --range, too.
      range='auto' if _RANGE.value is None else _RANGE.value).on_error
  # Pictures may have names that are not UTF-8: only Python opens them.
  inputs = [paths.given('argument', path, utf8=False) for path in arguments]
  _check_targets(inputs)
  sources = [images_lib.open_source(path) for path in inputs]
  cli.import_tensorflow()
  from air_tf.serving import parallel
  from air_tf.serving import predictor as predictor_lib
  parallel.use_cores()
  progress.status('Loading the SavedModel.')
  predictor = predictor_lib.Predictor(_SAVED_MODEL.value)
  skipped = images_lib.Skipped(on_error == 'stop')
  started = time.perf_counter()
  write = _write_tiled if _TILE.value else _write_predictions
  images, objects = write(sources, predictor, skipped)
  seconds = time.perf_counter() - started
  logging.info('%d images in %.2f s, %.0f a second.', images, seconds,
               images / seconds)
  skipped.log()
  return {'images': images, 'objects': objects} | skipped.as_result()


def _pixels(source: images_lib.Source, predictor,
            skipped: images_lib.Skipped):
  """Yields names and images as the model takes them."""
  trained = predictor.value_range
  source = dataclasses.replace(source, light=trained.invert)
  if _RANGE.value is None:
    found = images_lib.inference_range(source, trained)
  else:
    config = cli.config_from_flags(
        range=_RANGE.value, invert=trained.invert, contrast=trained.contrast,
        scenes=source.path)
    found = value_range_lib.of_config(config)
    if config.range in scene_options.MEASURED_RANGES:
      found, _ = images_lib.measured_range(config, source, skipped)
  yield from source.read_pixels(found, skipped)


def _write_predictions(sources: list[images_lib.Source], predictor,
                       skipped: images_lib.Skipped) -> tuple[int, int]:
  """Writes all predictions; returns the number of images and of objects."""
  import tqdm

  from air_tf.serving import predictor as predictor_lib
  from air_tf.serving import writers
  named = (image for source in sources
           for image in _pixels(source, predictor, skipped))
  images = objects = 0
  with contextlib.ExitStack() as opened:
    table = _open_csv(opened, predictor.max_steps)
    shown = sys.stderr.isatty() and not sys.stdout.isatty()
    bar = opened.enter_context(tqdm.tqdm(  # Counting opens every file.
        total=sum(source.num_images for source in sources) if shown else None,
        unit='image', disable=not shown))
    masks = _open_masks(opened)
    for prediction in predictor_lib.predict(
        predictor, named, _BATCH_SIZE.value, _RESIZE.value, skipped,
        masks is not None):
      print(writers.json_line(prediction))
      if masks is not None:
        masks.write(prediction)
      if table is not None:
        table.write(prediction)
      if _OVERLAY.value:
        _overlay(images, prediction)
      images += 1
      objects += len(prediction.boxes)
      bar.update()
  return images, objects


def _write_tiled(sources: list[images_lib.Source], predictor,
                 skipped: images_lib.Skipped) -> tuple[int, int]:
  """Writes what is found in whole pictures; returns the same numbers."""
  from air_tf.plotting import marks
  from air_tf.serving import object_tables
  from air_tf.serving import tiled_files
  images = objects = 0
  targets = tiled_files.Targets(_CSV.value, _TABLES.value, _MASKS.value)
  with tiled_files.Writer(targets) as writer:
    for name, image in (x for source in sources
                        for x in _pixels(source, predictor, skipped)):
      found = _explain_tiled(predictor, name, image)
      print(object_tables.json_line(found), flush=True)
      writer.write(found)
      if _OVERLAY.value:
        files.write_png(_overlay_path(images, name), marks.mark(
            found.image, found.objects.boxes))
      images += 1
      objects += found.num_steps
  return images, objects


def _explain_tiled(predictor, name: str, image):
  from air_tf.data import colours
  from air_tf.serving import tiled
  from air_tf.serving import tiling
  size, channels = predictor.image_shape[0], math.prod(
      predictor.image_shape[2:])
  image = colours.recolour(image, channels)
  tiles = tiling.windows(image.shape[:2], size, _WINDOW_OVERLAP.value)
  with progress.bar(len(tiles.corners), name) as bar:
    found = tiled.predict(predictor, name, image, tiles, _BATCH_SIZE.value,
                          bar.update)
  if found.num_full:
    logging.warning(
        '%s: %d of %d windows hold %d objects, the most that the model counts; '
        'if there are more, train with a larger --max_steps.', name,
        found.num_full, found.num_windows, predictor.max_steps)
  return found


def _check_targets(inputs: list[str]) -> None:
  if _RESIZE.value and _TILE.value:
    raise errors.UserError(
        '--resize and --tile: expected one of them; with --tile pictures may '
        'have any size as they are.')
  for flag, value in (('--tables', _TABLES.value),
                      ('--window_overlap', _WINDOW_OVERLAP.value)):
    if value is not None and not _TILE.value:
      raise errors.UserError(f'{flag}={value}: expected --tile beside it.')
  if _CSV.value:
    paths.check_target('--csv', _CSV.value, inputs, begins=(
        b'index,image,' if _TILE.value else b'image,count,'))
  for flag, path in (('--overlay', _OVERLAY.value), ('--masks', _MASKS.value),
                     ('--tables', _TABLES.value)):
    if path:
      paths.check_folder(flag, path, [*inputs, _SAVED_MODEL.value])
  if _OVERLAY.value and _MASKS.value and os.path.realpath(
      _OVERLAY.value) == os.path.realpath(_MASKS.value):
    raise errors.UserError(
        f'--overlay={_OVERLAY.value}: found the folder of --masks, whose files '
        'have the same names; expected another.')


def _open_csv(opened: contextlib.ExitStack, max_steps: int):
  from air_tf.serving import writers
  if not _CSV.value:
    return None
  file = opened.enter_context(writers.open_csv(_CSV.value))
  return writers.CsvWriter(file, max_steps)


def _open_masks(opened: contextlib.ExitStack):
  if not _MASKS.value:
    return None
  from air_tf.serving import mask_files
  return opened.enter_context(mask_files.MaskWriter(_MASKS.value))


def _overlay(number: int, prediction) -> None:
  from air_tf.plotting import canvas
  path = _overlay_path(number, prediction.name)
  boxes = prediction.boxes
  with files.unwritable_as_user_error(f'--overlay={_OVERLAY.value}'):
    path.parent.mkdir(parents=True, exist_ok=True)
  canvas.save(canvas.plot_boxes(
      prediction.image / 255., boxes, f'{len(boxes)} objects'), path)


def _overlay_path(number: int, name: str) -> pathlib.Path:
  from air_tf.serving import tiled_files
  return (pathlib.Path(_OVERLAY.value)
          / f'{tiled_files.stem(number, name)}.png')


if __name__ == '__main__':
  cli.run(main)

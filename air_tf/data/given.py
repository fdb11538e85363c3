"""The scenes of a run from the user's files: scene files, sets, pictures."""

import dataclasses
import itertools

import numpy as np

from air_tf import config as config_lib
from air_tf.data import colours
from air_tf.data import images as images_lib
from air_tf.data import npz
from air_tf.data import picture_files
from air_tf.data import plausibility
from air_tf.data import published
from air_tf.data import scene_files
from air_tf.data import scenes as scenes_lib
from air_tf.data import streams
from air_tf.data import value_range as value_range_lib

__all__ = ['check_size', 'load']


def load(config: config_lib.Config, report: picture_files.Report
         ) -> tuple[scenes_lib.Scenes, scenes_lib.Scenes]:
  """Returns the (training, test) scenes under the paths of a configuration.

  The training images of a large scene file are a `streams.MappedImages`.

  Args:
    config: of a run, with the range of values in numbers.
    report: called with the error about an image that cannot be read, which is
      then left out, unless it raises.

  Raises:
    errors.UserError: if a file cannot be used.
  """
  train = _read(config.scenes, config, report)
  if config.test_scenes:
    test = _read(config.test_scenes, config, report)
    if _is_pictures(config.scenes) and _is_pictures(config.test_scenes):
      channels = 3 if train.images.ndim == 4 else 1
      test = test._replace(images=np.stack(
          [colours.recolour(x, channels) for x in test.images]))
    expected, found = train.images.shape[1:], test.images.shape[1:]
    npz.require(found == expected, config.test_scenes, 'images',
                npz.describe_image(found), f'{npz.describe_image(expected)}, '
                f'as in --scenes={config.scenes}')
    if isinstance(train.images, np.memmap):
      train = _rows(train, np.arange(len(train.images)))
  else:
    train, test = _hold_out(config, train)
  _warn_of_copies(config, train, test)
  return train, test


def _is_pictures(path: str) -> bool:
  """Whether a path is of pictures or a stack: images, and no more."""
  return not (published.knows(path) or path.lower().endswith('.npz'))


def _warn_of_copies(config, train, test) -> None:
  share = plausibility.share_of_copies(test.images, train.images)
  if share:
    plausibility.warn(config.test_scenes or config.scenes, [
        f'{share:.0%} of the test images are training images too, so that '
        'evaluation does not show what is learnt for new ones; expected '
        'others'])


def _read(path: str, config: config_lib.Config, report: picture_files.Report
          ) -> scenes_lib.Scenes:
  """Returns the scenes of a file or a folder, if they suit the model."""
  value_range = value_range_lib.of_config(config)
  npz.require(published.knows(path) or not config.max_objects, path, 'scenes',
              f'--max_objects={config.max_objects}', 'it beside a published '
              'set (.tfrecords, .h5) alone; leave it out')
  if published.knows(path):
    number = 0 if path == config.test_scenes else config.num_train_scenes
    if path == config.test_scenes or not config.test_scenes:
      number += published.EVALUATED
    scenes = published.read(
        path, number, config.canvas_size, config.max_objects)
    hint = 'choose another set'
  elif _is_pictures(path):
    scenes = scenes_lib.Scenes(
        _fitted(path, config, value_range, report), None, None, None)
    hint = 'resize them, or give --crop'
  else:
    scenes = scene_files.read(path, value_range)
    hint = 'pad or resize the images'
  check_size(path, scenes.images.shape[1], config, hint)
  plausibility.warn(path, plausibility.scene_suspicions(scenes))
  if scenes.counts is not None:
    most, steps = scenes.counts.max(), config.max_steps
    npz.require(most <= steps, path, 'counts', f'up to {most} objects',
                f'no more than --max_steps={steps}, the most objects the '
                'model may write; raise --max_steps')
  return scenes


def _fitted(path: str, config: config_lib.Config,
            value_range: value_range_lib.ValueRange,
            report: picture_files.Report) -> np.ndarray:
  """Returns the images under a path, each fitted into the canvas.

  A stack of square images keeps their size, as a scene file does.
  """
  source = images_lib.open_source(path, config.invert)
  images = (x for _, x in source.read_pixels(value_range, report))
  first = next(images, None)
  npz.require(first is not None, path, 'images', 'none that can be read',
              'at least one')
  side = config.canvas_size
  if images_lib.is_array(path) and first.shape[0] == first.shape[1]:
    side = len(first)
  return images_lib.fit_all(itertools.chain([first], images), side)


def check_size(path: str, side: int, config: config_lib.Config,
               hint: str) -> None:
  """Checks that models, and this one, are for images of a size.

  Args:
    path: of the images.
    side: of an image, pixels.
    config: of the model.
    hint: what to do about another size, for the text.

  Raises:
    errors.UserError: if not.
  """
  field = next(x for x in dataclasses.fields(config)
               if x.name == 'canvas_size')
  lower, upper = field.metadata['lower'], field.metadata['upper']
  found = f'{side} x {side} pixels'
  npz.require(lower <= side <= upper, path, 'images', found,
              f'from {lower} to {upper} a side; {hint}')
  npz.require(config.object_size < side, path, 'images', found,
              f'more than --object_size={config.object_size:g}, the size of '
              'the largest objects; lower --object_size')


def _hold_out(config: config_lib.Config, scenes: scenes_lib.Scenes):
  """Returns (the rest, a tenth), always the same tenth of a file."""
  path, num_scenes = config.scenes, len(scenes.images)
  if published.knows(path) and num_scenes > 1:
    return published.hold_out(scenes, config.num_train_scenes)
  npz.require(num_scenes >= 2, path, 'images', 'one image',
              'at least 2, to hold a tenth out; or give --test_scenes')
  order = np.random.RandomState(0).permutation(num_scenes)
  test, train = np.split(order, [max(1, num_scenes // 10)])
  test = _rows(scenes, test)
  return _rows(scenes, train), scenes_lib.Scenes(*(
      None if x is None else np.asarray(x) for x in test))


def _rows(scenes: scenes_lib.Scenes, rows: np.ndarray) -> scenes_lib.Scenes:
  """Returns some of the scenes; images that are mapped stay on disk."""
  if not isinstance(scenes.images, np.memmap):
    return scenes.select(rows)
  return scenes_lib.Scenes(*(
      streams.MappedImages(x, rows) if isinstance(x, np.memmap)
      else None if x is None else x[rows] for x in scenes))

"""The scenes of a run: composed anew throughout, or from the user's files."""

from collections.abc import Callable
from collections.abc import Sequence
from concurrent import futures
import dataclasses
import hashlib
import json
import math
import os
import pathlib

from absl import logging
import numpy as np

from air_tf import config as config_lib
from air_tf import errors
from air_tf import files
from air_tf import progress
from air_tf import scene_options
from air_tf.data import crops
from air_tf.data import digits as digits_lib
from air_tf.data import given
from air_tf.data import images as images_lib
from air_tf.data import large_pictures
from air_tf.data import picture_files
from air_tf.data import published
from air_tf.data import scene_files
from air_tf.data import scenes as scenes_lib
from air_tf.data import untrusted

__all__ = ['SceneSource', 'composition_options', 'load', 'prepare',
           'with_image_shape', 'with_measured_range']

SceneSource = Callable[[int], scenes_lib.Scenes]  # From the number of a pool.

_CACHE_VERSION = 1  # Raise it when `scenes.compose` changes what it draws.
# Fixed, and not --seed: runs of all seeds see the same scenes, so what differs
# between them is the training.
_TRAIN_SEED, _TEST_SEED = 1, 2


def with_measured_range(config: config_lib.Config,
                        report: picture_files.Report | None = None
                        ) -> config_lib.Config:
  """Returns a configuration whose range of values is in numbers.

  With --scenes, --range=auto and --range=objects are measured, over all
  training images, and what was seen of them is said; otherwise nothing happens.

  Args:
    config: of a run.
    report: what to do about an image that cannot be read; as
      `config.on_error` says, if None.

  Raises:
    errors.UserError: if the images cannot be used.
  """
  if (not config.scenes or config.range not in scene_options.MEASURED_RANGES
      or published.knows(config.scenes)):  # These are 8 bits, all used.
    return config
  value_range, survey = images_lib.measured_range(
      config, images_lib.open_source(config.scenes, config.invert),
      report or images_lib.Skipped(config.on_error == 'stop'))
  progress.status(f'{untrusted.printable(config.scenes)}: {survey}; black ... '
                  f'white are {value_range} (--range).')
  return dataclasses.replace(
      config, range=f'{value_range.low:.10g},{value_range.high:.10g}')


def prepare(config: config_lib.Config,
            report: picture_files.Report | None = None
            ) -> tuple[config_lib.Config, SceneSource, scenes_lib.Scenes]:
  """Returns (configuration, training scenes, test scenes) of a run.

  In the configuration are the range of values, measured if it has to be, and
  the size and channels of the images. The rest is as for `load`.
  """
  report = report or images_lib.Skipped(config.on_error == 'stop')
  config = with_measured_range(config, report)
  pools, test = load(config, report)
  return with_image_shape(config, test), pools, test


def load(config: config_lib.Config, report: picture_files.Report | None = None
         ) -> tuple[SceneSource, scenes_lib.Scenes]:
  """Returns a run's (training scenes, test scenes), images of equal size.

  Training scenes come in pools: pool k serves the iterations from
  k * `config.refresh_every` on. Scenes come from scene files if `config.scenes`
  names one, and all pools are equal; with `config.crop` they are crops of the
  pictures there, each pool anew. Otherwise they are composed, training scenes
  from training digits only, each pool anew, and test scenes from test digits
  only. None of them depends on `config.seed`: runs that differ in the seed are
  trained and tested alike.

  Composed scenes take the memory of two pools, however many are seen. The
  training images of a large scene file are a `streams.MappedImages`.

  Args:
    config: of a run; a range that is to be measured is measured first.
    report: as `with_measured_range` takes it.

  Raises:
    errors.UserError: if a file or a flag cannot be used.
  """
  if config.scenes:
    report = report or images_lib.Skipped(config.on_error == 'stop')
    config = with_measured_range(config, report)
    if config.crop:
      return _load_crops(config, report)
    train, test = given.load(config, report)
    return lambda pool: train, test
  digits = digits_lib.load(config.digits)
  # Masks are for evaluation: those of training scenes would only take time.
  test = _load_composed(
      config, 'test',
      composition_options(config, config.num_test_scenes, _TEST_SEED)
      | {'masks': True}, digits.test_images, digits.test_labels)
  if config.refresh_every:
    compose = digits_lib.composer(config.digits)
    return _FreshPools(lambda pool: compose(
        digits.train_images, digits.train_labels, **composition_options(
            config, config.num_train_scenes, (_TRAIN_SEED, pool)))), test
  train = _load_composed(
      config, 'train',
      composition_options(config, config.num_train_scenes, _TRAIN_SEED),
      digits.train_images, digits.train_labels)
  return lambda pool: train, test


def composition_options(config: config_lib.Config, num_scenes: int,
                        seed: int | Sequence[int]) -> dict:
  """Returns the keyword arguments of `digits.composer`'s function."""
  return dict(
      num_scenes=num_scenes, canvas_size=config.canvas_size,
      counts=config.counts, digit_scale=config.digit_scale,
      overlap=config.overlap, backdrop=config.backdrop,
      backdrop_level=config.backdrop_level, seed=seed)


def with_image_shape(config: config_lib.Config,
                     scenes: scenes_lib.Scenes) -> config_lib.Config:
  """Returns `config` with size and channels of the images of scenes."""
  side, channels = scenes.images.shape[1], math.prod(scenes.images.shape[3:])
  return dataclasses.replace(config, canvas_size=side, channels=channels)


class _FreshPools:
  """Makes pools of scenes, one ahead of its use, in a thread.

  Composing costs a few hundredths of the training time, so an endless supply
  is cheaper than a fixed set, which has to be stored and is overfitted.
  """

  def __init__(self, make: SceneSource) -> None:
    self._make = make
    self._executor = futures.ThreadPoolExecutor(max_workers=1)
    self._futures = {}

  def __call__(self, pool: int) -> scenes_lib.Scenes:
    self._futures = {
        number: self._futures.get(number) or self._executor.submit(
            self._make, number)
        for number in (pool, pool + 1)}
    return self._futures[pool].result()


def _load_crops(config: config_lib.Config, report: picture_files.Report
                ) -> tuple[SceneSource, scenes_lib.Scenes]:
  """Returns random crops of pictures, and all of what is held out."""
  for path in filter(None, (config.scenes, config.test_scenes)):
    untrusted.require(
        not published.knows(path) and not config.max_objects, path, 'scenes',
        '--crop beside a published set or --max_objects',
        'it beside pictures, a stack or a scene file')
  train, test = large_pictures.split(config, report)
  held_out = crops.grid(test, config.crop, config.num_test_scenes)
  given.check_size(config.scenes, config.crop, config, 'set another --crop')
  large_pictures.describe(train, test, len(held_out.images))
  train = [x._replace(mask=None) for x in train]  # For evaluation only.
  make = lambda pool: crops.sample(
      train, config.num_train_scenes, config.crop, config.augment,
      (_TRAIN_SEED, pool))
  if config.refresh_every:
    return _FreshPools(make), held_out
  fixed = make(0)
  return lambda pool: fixed, held_out


def _load_composed(config, split, ingredients, images, labels):
  """Returns the scenes of `split`, from the cache if they are there."""
  path = os.path.join(
      config.cache_dir, f'{split}-{_digest(ingredients, images, labels)}.npz')
  if os.path.exists(path):
    try:
      return scene_files.read(path)
    except errors.UserError as error:
      logging.warning('Composing the scenes again: %s', error)
  scenes = digits_lib.composer(config.digits)(images, labels, **ingredients)
  try:
    scene_files.write(path, scenes)
    files.remove_stale(pathlib.Path(config.cache_dir))
  except (errors.UserError, errors.DiskFull) as error:
    logging.warning('Going on without a cache: %s', error)
  return scenes


def _digest(ingredients, images: np.ndarray, labels: np.ndarray) -> str:
  """Returns 16 hex digits that change with anything the scenes depend on."""
  text = json.dumps(
      [_CACHE_VERSION, ingredients, images.shape], sort_keys=True)
  digest = hashlib.sha256(text.encode())
  digest.update(np.ascontiguousarray(images))
  digest.update(np.ascontiguousarray(labels, np.int32))
  return digest.hexdigest()[:16]

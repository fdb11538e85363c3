"""Large pictures as the scenes of a run: random crops of them.

Letters: `[H, W]` picture (`[H, W, 3]` in colour).
"""

from collections.abc import Sequence
import os

import numpy as np

from air_tf import config as config_lib
from air_tf import progress
from air_tf.data import colours
from air_tf.data import crops
from air_tf.data import images as images_lib
from air_tf.data import masks as masks_lib
from air_tf.data import picture_files
from air_tf.data import scene_files
from air_tf.data import scenes as scenes_lib
from air_tf.data import untrusted
from air_tf.data import value_range as value_range_lib

__all__ = ['describe', 'from_scenes', 'read', 'recoloured', 'split']


def read(path: str,
         value_range: value_range_lib.ValueRange = value_range_lib.BY_TYPE,
         report: picture_files.Report = picture_files.stop
         ) -> list[crops.Picture]:
  """Returns pictures of any size and shape, all grey or all in colour.

  Args:
    path: of a picture, a folder of them, a stack (.npy), or a scene file
      (.npz), whose boxes, labels and masks are kept.
    value_range: which of its values become black and white.
    report: called with the error about a picture that cannot be read, which is
      then left out, unless it raises.

  Raises:
    errors.UserError: if there are none, or one is damaged.
  """
  if not os.path.isdir(path) and path.lower().endswith('.npz'):
    return from_scenes(scene_files.read(path, value_range))
  source = images_lib.open_source(path, value_range.invert)
  pictures = [crops.Picture(image)
              for _, image in source.read_pixels(value_range, report)]
  untrusted.require(pictures, path, 'images', 'none that can be read',
                    'at least one')
  coloured = any(x.image.ndim == 3 for x in pictures)
  return recoloured(pictures, 3 if coloured else 1)


def recoloured(pictures: Sequence[crops.Picture], channels: int
               ) -> list[crops.Picture]:
  """Returns pictures as grey (1) or of 3 channels."""
  return [x._replace(image=colours.recolour(x.image, channels))
          for x in pictures]


def from_scenes(scenes: scenes_lib.Scenes) -> list[crops.Picture]:
  """Returns scenes as pictures."""
  pictures = []
  for n, image in enumerate(scenes.images):
    boxes = labels = mask = None
    if scenes.boxes is not None:
      present = ~np.isnan(scenes.boxes[n, :, 0])
      boxes = scenes.boxes[n, present].astype(np.float64)
      labels = None if scenes.labels is None else scenes.labels[n, present]
      if scenes.masks is not None:
        mask = masks_lib.relabel(
            scenes.masks[n], np.flatnonzero(present))
    pictures.append(crops.Picture(image, boxes, labels, mask))
  return pictures


def split(config: config_lib.Config,
          report: picture_files.Report = picture_files.stop
          ) -> tuple[list[crops.Picture], list[crops.Picture]]:
  """Returns the (training, held-out) pictures of a run with `--crop`.

  All are grey, or all in colour, as those to train on are.

  Raises:
    errors.UserError: if a path cannot be used, or nothing be held out.
  """
  value_range = value_range_lib.of_config(config)
  pictures = read(config.scenes, value_range, report)
  if config.test_scenes:
    test = read(config.test_scenes, value_range, report)
    return pictures, recoloured(test, 3 if pictures[0].image.ndim == 3 else 1)
  return crops.hold_out(pictures, config.crop, config.scenes)


def describe(train: Sequence[crops.Picture], test: Sequence[crops.Picture],
             num_crops: int) -> None:
  """Says in a line how much there is to train on and what is held out."""
  area = lambda pictures: sum(
      x.image.shape[0] * x.image.shape[1] for x in pictures)
  progress.status(
      f'Random crops of {len(train)} pictures or regions, '
      f'{area(train) / 1e6:.2f} megapixels; held out: {len(test)} others, '
      f'{area(test) / 1e6:.2f} megapixels, as {num_crops} crops.')

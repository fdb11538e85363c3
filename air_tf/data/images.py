"""Images that people have: pictures, folders of them, stacks; one at a time.

However many there are, a part of bounded size is in memory. Letters: `N`
images, `[H, W]` image (`[H, W, 3]` in colour).
"""

from collections.abc import Iterable
from collections.abc import Iterator
import dataclasses
import functools
import itertools
import os
import pathlib
from typing import NamedTuple

from absl import logging
import numpy as np
from PIL import Image

from air_tf import config as config_lib
from air_tf import errors
from air_tf import scene_options
from air_tf.data import colours
from air_tf.data import folders
from air_tf.data import picture_files
from air_tf.data import stacks
from air_tf.data import survey as survey_lib
from air_tf.data import untrusted
from air_tf.data import value_range as value_range_lib

__all__ = ['Placement', 'Skipped', 'Source', 'fit', 'fit_all',
           'inference_range', 'is_array',
           'open_source', 'measured_range', 'to_floats']

_SURVEYED = 50_000  # Images whose values are looked at, of any number.


class Placement(NamedTuple):
  """Where an image went when it was fitted into another, in pixels there."""
  scales: tuple[float, float]  # Pixels there for one of the image, (y, x).
  top: float
  left: float

  def boxes(self, boxes: np.ndarray) -> np.ndarray:
    """Maps boxes `[..., 4]`, (y, x, height, width), back to the image."""
    if self == ((1., 1.), 0., 0.):
      return boxes
    return (boxes - [self.top, self.left, 0., 0.]) / [
        *self.scales, *self.scales]

  def mask(self, mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Maps a mask of the frame back to an image of that size, `[H, W]`.

    Each pixel gets the value of the nearest one of the frame.
    """
    axes = [((np.arange(side) + .5) * scale + first).astype(int)
            for side, scale, first in zip(
                size, self.scales, (self.top, self.left), strict=True)]
    return mask[np.ix_(*(np.minimum(axis, side - 1) for axis, side in zip(
        axes, mask.shape, strict=True)))]


@dataclasses.dataclass(frozen=True)
class Source:
  """Images under one path.

  Attributes:
    path: as given.
    files: paths of the files, in order.
    light: whether transparent parts become white; black, if not.
  """
  path: str
  files: tuple[str, ...]
  light: bool = False

  @functools.cached_property
  def num_images(self) -> int:
    """N; opens every file to look for pages."""
    return sum((stacks if is_array(path) else picture_files).count(path)
               for path in self.files)

  def read(self, report: picture_files.Report = picture_files.stop
           ) -> Iterator[tuple[str, np.ndarray]]:
    """Yields names and values, as the files have them.

    Args:
      report: called with the error about an image that cannot be read, which
        is then left out, unless it raises.

    Yields:
      Printable names, and `[H, W]` or, if there are colours in it,
      `[H, W, 3]`, of any size and real type. A picture with pages or frames,
      and an array, give several, named `name[i]`.

    Raises:
      errors.UserError: unless `report` is another than `picture_files.stop`.
    """
    for path in self.files:
      if is_array(path):
        yield from _read_stack(path, report)
      else:
        yield from picture_files.read(path, self.light, report)

  def read_pixels(self, value_range: value_range_lib.ValueRange
                  = value_range_lib.BY_TYPE,
                  report: picture_files.Report = picture_files.stop
                  ) -> Iterator[tuple[str, np.ndarray]]:
    """Yields names and uint8 images as models take them; see `read`."""
    for name, values in self.read(report):
      try:
        pixels = value_range.apply(values, name)
      except errors.UserError as error:
        report(error)
      else:
        yield name, pixels


class Skipped:
  """A `picture_files.Report` that notes what is left out, and goes on."""

  def __init__(self, stop: bool):
    """Raises the first error instead, if `stop`."""
    self._stop, self._texts = stop, {}

  def __call__(self, error: errors.UserError) -> None:
    """Notes or raises an error."""
    if self._stop:
      raise error
    self._texts.setdefault(str(error))  # What is read twice fails twice.

  @property
  def texts(self) -> list[str]:
    """Of the errors, each once, in their order."""
    return list(self._texts)

  def as_result(self) -> dict[str, int]:
    """Returns what a script's result says of it: nothing, if nothing was."""
    return {'skipped': len(self._texts)} if self._texts else {}

  def log(self) -> None:
    """Says what was left out, if anything was."""
    if self._texts:
      logging.warning('%d images could not be read and are left out:\n  %s',
                      len(self._texts), '\n  '.join(self._texts))


def open_source(path: str, light: bool = False) -> Source:
  """Looks at what is under a path, without reading the images.

  Args:
    path: of a picture in any format that Pillow knows; of a folder, whose
      pictures are taken in the order of their names; of a scene file (.npz,
      see data/README.md), of which only `images` is used; of a stack (.npy).
      Arrays are as `stacks.EXPECTED` says.
    light: whether transparent parts of pictures become white; black, if not.

  Returns:
    The images.

  Raises:
    errors.UserError: if there is nothing of the kind; `read` raises it too,
      when an image turns out to be damaged.
  """
  if os.path.isdir(path):
    return Source(path, folders.pictures(path), light)
  untrusted.check_file(path, picture_files.EXPECTED)
  if is_array(path):
    stacks.count(path)
  return Source(path, (path,), light)


def measured_range(config: config_lib.Config, source: Source,
                  report: picture_files.Report = picture_files.stop
                  ) -> tuple[value_range_lib.ValueRange, survey_lib.Survey]:
  """Returns the value range of a set of images, measured if it has to be.

  Args:
    config: of which the picture options are used.
    source: all images are read once.
    report: as in `Source.read`.

  Raises:
    errors.UserError: if there are no images, or of several types.
  """
  survey = survey_lib.Survey()
  step = max(1, -(-source.num_images // _SURVEYED))
  for name, values in itertools.islice(source.read(report), 0, None, step):
    try:
      survey.add(values, name)
    except errors.UserError as error:
      report(error)
  if not survey.num_images:
    raise errors.UserError(
        f'{untrusted.printable(source.path)}: no image in it could be read; '
        'expected at least one.')
  value_range = value_range_lib.of_config(config)
  if config.range in scene_options.MEASURED_RANGES:
    low, high = (survey.limits() if config.range == 'auto'
                 else survey.object_limits())
    value_range = value_range._replace(low=low, high=high)
  return value_range, survey


def inference_range(source: Source, trained: value_range_lib.ValueRange
                    ) -> value_range_lib.ValueRange:
  """Returns the range for a model's input: that of its training.

  A model of composed scenes has none. Then 8 bits are taken as they are, and
  the range of others is measured: all images are read once.

  Raises:
    errors.UserError: if they are of several types.
  """
  if trained.low is not None:
    return trained
  survey = survey_lib.Survey()
  for name, values in source.read(report=lambda error: None):
    if values.dtype == np.uint8 and not survey.num_images:
      return trained._replace(low=0., high=255.)
    try:
      survey.add(values, name)
    except errors.UserError:
      continue  # It is refused, or left out, when it is read again.
  if not survey.num_images:
    return trained
  low, high = survey.limits()
  logging.info('%s: the values %g ... %g become black ... white (--range).',
               untrusted.printable(source.path), low, high)
  return trained._replace(low=low, high=high)


def is_array(path: str) -> bool:
  """Whether a name is that of a file of arrays."""
  return pathlib.Path(path).suffix.lower() in ('.npz', '.npy')


def fit(image: np.ndarray, size: tuple[int, int]
        ) -> tuple[np.ndarray, Placement]:
  """Resizes an image into a frame, keeping its proportions.

  Args:
    image: uint8 `[H, W]`.
    size: height and width of the frame.

  Returns:
    uint8 of that size, black where the image does not reach; and where it is.
    Shrinking averages (bilinear, antialiased).
  """
  height, width = image.shape[:2]
  if (height, width) == size:
    return image, Placement((1., 1.), 0., 0.)
  scale = min(size[0] / height, size[1] / width)
  new = [max(1, round(side * scale)) for side in (height, width)]
  resized = np.asarray(Image.fromarray(image).resize(
      (new[1], new[0]), Image.Resampling.BILINEAR))
  top, left = (size[0] - new[0]) // 2, (size[1] - new[1]) // 2
  framed = np.zeros([*size, *image.shape[2:]], np.uint8)
  framed[top:top + new[0], left:left + new[1]] = resized
  # Sides are whole pixels: the two scales differ a little from `scale`.
  return framed, Placement((new[0] / height, new[1] / width), top, left)


def fit_all(images: Iterable[np.ndarray], side: int) -> np.ndarray:
  """Returns uint8 images of any sizes, each fitted into a square frame.

  Args:
    images: uint8 `[H, W]` or `[H, W, 3]`, at least one.
    side: of the frame, pixels.

  Returns:
    `[N, side, side]`; `[N, side, side, 3]` if any image is in colour.
  """
  fitted = [fit(image, (side, side))[0] for image in images]
  coloured = any(image.ndim == 3 for image in fitted)
  return np.stack([colours.recolour(x, 3 if coloured else 1) for x in fitted])


def to_floats(images: np.ndarray) -> np.ndarray:
  """Returns float32 in 0 ... 1, from that or from uint8; of any shape."""
  if images.dtype == np.uint8:
    return images.astype(np.float32) / 255.
  return images.astype(np.float32, copy=False)


def _read_stack(path: str, report: picture_files.Report):
  try:
    yield from stacks.read(path)
  except errors.UserError as error:
    report(error)

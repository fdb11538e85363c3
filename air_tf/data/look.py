"""A look at images before a model is trained on them, and what is odd there.

Simple means, to be read by a person: they set nothing.

Letters: `N` images, `[H, W]` image (`[H, W, 3]` in colour).
"""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from air_tf import config as config_lib
from air_tf.data import survey as survey_lib

__all__ = ['Look', 'look', 'text']

_SAMPLE = 64  # Images whose objects are guessed.
# Of the way from the ground to the ink, from where on pixels are an object's:
# low, for some objects are many times as bright as others.
_THRESHOLD = .15
_DARK = .12  # Images whose ink is below are nearly black.
_GROUND = .04  # A ground above is not black.
_LEAST_PIXELS = 4  # Of a guessed object; smaller ones are noise.
_LARGE = 90.  # Percentile of the sizes of objects that is called large.


class Look(NamedTuple):
  """What is seen of images as a model gets them; pixels are 0 ... 1."""
  num_images: int
  shape: tuple[int, ...]     # (H, W), or (H, W, 3).
  ground: float              # The median pixel.
  ink: float                 # What objects reach, outliers left out.
  darkest: float             # The same below the ground.
  object_size: float | None  # Pixels, of large objects; None without any.
  mean_count: float          # Objects an image.
  most: int                  # In one image.
  hints: tuple[str, ...]     # What is odd, each with what to do.


def look(images: np.ndarray, config: config_lib.Config) -> Look:
  """Looks at some of the images of a run.

  Args:
    images: uint8 `[N, H, W]` or `[N, H, W, 3]`, as the model gets them.
    config: of the run.
  """
  rows = np.unique(np.linspace(0, len(images) - 1, _SAMPLE).astype(int))
  sample = np.asarray(images[rows])
  if sample.ndim == 4:
    sample = sample.max(axis=3)
  survey = survey_lib.Survey()
  for image in sample:
    survey.add(image)
  dark, ground, bright = (x / 255. for x in survey.ground_and_ink())
  sizes, counts = _objects(sample / 255., ground, bright)
  size = float(np.percentile(sizes, _LARGE)) if len(sizes) else None
  result = Look(len(images), images.shape[1:], ground, bright, dark, size,
                float(np.mean(counts)), int(max(counts)), ())
  return result._replace(hints=tuple(_hints(result, config)))


def text(seen: Look) -> list[str]:
  """Returns what was seen, in lines; hints are last."""
  size = ('no objects are seen' if seen.object_size is None else
          f'objects of up to about {seen.object_size:.0f} pixels, '
          f'{seen.mean_count:.1f} an image, {seen.most} at most')
  return [f'{seen.num_images:,} training images of '
          f'{" x ".join(map(str, seen.shape[:2]))} pixels'
          + (' in colour' if len(seen.shape) == 3 else '')
          + f'; ground {seen.ground:.2f}, ink {seen.ink:.2f} (1 is white); '
          f'by a simple threshold, {size}.',
          *(f'Hint: {hint}' for hint in seen.hints)]


def _objects(sample: np.ndarray, ground: float, bright: float
             ) -> tuple[list[int], list[int]]:
  """Returns the sides of connected bright parts, and how many an image has."""
  sizes, counts = [], []
  for image in sample:
    labels, _ = ndimage.label(image > ground + _THRESHOLD * (bright - ground))
    pixels = np.bincount(labels.ravel())[1:]
    sides = [max(rows.stop - rows.start, columns.stop - columns.start)
             for rows, columns in ndimage.find_objects(labels)]
    sides = [side for side, area in zip(sides, pixels, strict=True)
             if area >= _LEAST_PIXELS]
    sizes += sides
    counts.append(len(sides))
  return sizes, counts


def _hints(seen: Look, config: config_lib.Config):
  if not seen.ink:
    yield 'all images are black: look at --range, or at the files.'
    return
  if seen.ink < _DARK:
    yield ('nearly all black: the brightest objects reach '
           f'{seen.ink:.2f} of 1; --range=LOW,HIGH brightens all images.')
  if seen.ground - seen.darkest > seen.ink - seen.ground:
    yield 'darker objects on a lighter ground: --invert' + (
        '=false' if config.invert else '') + ' exchanges them.'
  elif seen.ground > _GROUND and not (config.ground or config.background):
    yield (f'ground at {seen.ground:.2f}, not at 0: --ground takes it away '
           'if it is smooth, --background models it if it has a pattern.')
  size = seen.object_size
  given = config.object_size  # 0: it is measured.
  if size is not None and given and not .5 < size / given < 2.:
    yield (f'objects seem to be of {size:.0f} pixels, --object_size='
           f'{given:g}: give what they have.')
  if seen.most >= config.max_steps:
    yield (f'up to {seen.most} objects are seen in an image, --max_steps='
           f'{config.max_steps}: one more than the most is needed.')

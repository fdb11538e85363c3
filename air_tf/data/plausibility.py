"""What is possible in a user's scenes or digits, but hardly meant: warnings.

Judged on a sample, a file at a time, and said in one line each. Composed scenes
of all kinds pass without a warning (there is a test).

Shapes: N scenes of H x W pixels, M boxes in each.
"""

from collections.abc import Iterable

from absl import logging
import numpy as np

from air_tf.data import scenes as scenes_lib
from air_tf.data import untrusted

__all__ = ['image_suspicions', 'scene_suspicions', 'share_of_copies', 'warn']

_SAMPLE = 256  # Scenes that are looked at.
_LIGHT = 191  # A median pixel above this is a light background.
_DARK = 32  # Images whose brightest pixel is below are barely visible.
# By how much another reading of the boxes must fit better: brightness (0...1)
# within the boxes above that of the image, as a difference and as a ratio.
_MARGIN, _RATIO = .04, 2.
_MOST_HASHED = 20_000  # Images compared with those of the other split.
_TOO_MANY_COPIES = .05


def warn(path: str, suspicions: Iterable[str]) -> None:
  """Logs all suspicions about a file in one line, if there are any."""
  text = '; '.join(suspicions)
  if text:
    logging.warning('%s: %s.', untrusted.printable(path), text)


def scene_suspicions(scenes: scenes_lib.Scenes) -> list[str]:
  """Returns what is odd about images and boxes, as parts of a sentence."""
  rows = _sampled(len(scenes.images))
  images = np.asarray(scenes.images[rows])
  found = image_suspicions('images', scenes.images)
  if scenes.boxes is not None:
    reading = _better_reading(images, scenes.boxes[rows].astype(np.float64))
    if reading:
      found.append(
          f'boxes look like {reading}; expected (y, x, height, width) in '
          'pixels, which fits the images worse')
  return found


def image_suspicions(name: str, images: np.ndarray) -> list[str]:
  """Returns what is odd about uint8 images, as parts of a sentence.

  Args:
    name: what they are called.
    images: `[N, H, W]`, or `[N, H, W, 3]`.
  """
  sample = np.asarray(images[_sampled(len(images))])
  first, median, high = sample[0], np.median(sample), sample.max()
  if high < _DARK:
    high = images[:].max()
  if not high:
    return [f'all {name} are black; expected bright objects on black']
  found = []
  if (len(sample) > 1 and (sample == first).all()
      and all(np.array_equal(image, first) for image in images)):
    found.append(f'all {len(images):,} {name} are the same')
  if median > _LIGHT:
    found.append(
        f'{name} look dark on light (median {median:g} of 255); expected '
        'bright objects on black, as 255 - images would be')
  elif high < _DARK:
    found.append(
        f'{name} are nearly black (at most {high} of 255); expected objects '
        'whose brightest pixels are near 255')
  return found


def share_of_copies(images: np.ndarray, others: np.ndarray) -> float:
  """Returns the share of images that are among others; 0 if it is small.

  Images of one colour do not count: empty scenes are all alike.
  """
  known = {_hash(image) for image in others[:_MOST_HASHED]}
  hashes = [_hash(image) for image in images[:_MOST_HASHED]
            if np.ptp(image)]
  share = float(np.mean([x in known for x in hashes])) if hashes else 0.
  return share if share > _TOO_MANY_COPIES else 0.


def _sampled(number: int) -> np.ndarray:
  """Returns at most `_SAMPLE` indices, evenly spaced."""
  return np.unique(np.linspace(0, number - 1, _SAMPLE).astype(int))


def _hash(image: np.ndarray) -> int:
  return hash(np.ascontiguousarray(image).tobytes())


def _better_reading(images: np.ndarray, boxes: np.ndarray) -> str | None:
  """Returns how boxes `[N, M, 4]` are better read than as they should be.

  Where boxes are around bright objects, they are brighter than the images. A
  reading counts only if every box makes sense in it.
  """
  scene, row = np.nonzero(~np.isnan(boxes[..., 0]))
  if not scene.size:
    return None
  bright = images if images.ndim == 3 else images.max(axis=3)
  bright = bright / 255.
  # The sum over pixels above and to the left: boxes in constant time each.
  sums = np.pad(bright, ((0, 0), (1, 0), (1, 0))).cumsum(1).cumsum(2)
  means = bright.mean(axis=(1, 2))[scene]
  fits = {name: np.mean(_box_means(sums, scene, box) - means)
          for name, box in _readings(boxes[scene, row], *bright.shape[1:])}
  best = max(fits, key=fits.get)
  given = fits[_AS_GIVEN]
  if fits[best] > given + _MARGIN and fits[best] > _RATIO * given:
    return best
  return None


_AS_GIVEN = '(y, x, height, width)'


def _readings(boxes: np.ndarray, height: int, width: int):
  """Yields names of readings and `[K, 4]`, (y, x, height, width) in pixels."""
  a, b, c, d = boxes.T
  swapped = np.stack([b, a, d, c], axis=-1)
  yield _AS_GIVEN, boxes
  normalised = boxes.max() <= 1.
  size = (np.array([height, width] * 2) if normalised else np.ones(4))
  unit = ', as fractions of the image' if normalised else ''
  for letters, box in (('y, x', boxes), ('x, y', swapped)):
    first, second = letters.split(', ')
    sizes = {'y': 'height', 'x': 'width'}
    whole = f'{letters}, {sizes[first]}, {sizes[second]}'
    box = box * size
    corner, extent = box[:, :2], box[:, 2:]
    corners = f'({first}1, {second}1, {first}2, {second}2)'
    for name, start, length in (
        (f'({whole})', corner, extent),
        (corners, corner, extent - corner),
        (f'({whole}) of their centres', corner - extent / 2., extent)):
      end = start + length
      if (name + unit != _AS_GIVEN and (length > 0.).all()
          and (start >= -1.).all() and (end <= [height + 1., width + 1.]).all()
          ):
        yield name + unit, np.concatenate([start, length], axis=1)


def _box_means(sums: np.ndarray, scene: np.ndarray,
               boxes: np.ndarray) -> np.ndarray:
  """Returns the mean brightness of boxes, `[K]`; outside of images it is 0."""
  limits = np.array([sums.shape[1] - 1, sums.shape[2] - 1])
  y0, x0 = np.clip(np.round(boxes[:, :2]), 0, limits).astype(int).T
  y1, x1 = np.clip(
      np.round(boxes[:, :2] + boxes[:, 2:]), 0, limits).astype(int).T
  total = (sums[scene, y1, x1] - sums[scene, y0, x1]
           - sums[scene, y1, x0] + sums[scene, y0, x0])
  return total / np.maximum(boxes[:, 2] * boxes[:, 3], 1.)

"""How large the objects of pictures are, read off their scale-space.

For `--object_size=0`. Letters: `N` images, `[H, W]` image, `S` scales.
"""

import dataclasses
import math
from typing import NamedTuple

import numpy as np
from scipy import ndimage
import tensorflow as tf

from air_tf import config as config_lib
from air_tf import errors
from air_tf import ground
from air_tf import progress

__all__ = ['ObjectSize', 'measure', 'with_measured_size']

_SAMPLE = 256  # Images that are looked at.
_SMALLEST, _SCALES = 3., 16  # Pixels; how many sizes, up to 2 / 3 of an image.
_FAINTEST = .15  # Of the strongest responses; what is fainter is noise.
_OVERLAP = .6  # Of its diameter: nearer to a stronger blob, it is part of it.
# Side of a glimpse over the diameter of the disc that a blob is like: blobs are
# elongated, and a glimpse holds the blurred edge.
_GLIMPSE = 1.5
_LARGEST = .9  # Of the image.
_NARROWEST = .15  # Standard deviation of the logit; narrower is not measured.


class ObjectSize(NamedTuple):
  """Objects of a set of images."""
  median: float  # Diameter in pixels.
  spread: float  # Standard deviation of its logarithm, from the quartiles.
  per_image: float  # How many were seen in an image.


def measure(images: np.ndarray) -> ObjectSize | None:
  """Measures bright objects that are compact: nuclei, galaxies, coins.

  Maxima over place and scale of the scale-normalised Laplacian of a Gaussian
  (Lindeberg 1998, "Feature Detection with Automatic Scale Selection"), after
  the ground is taken away. A disc of diameter d has its maximum at a standard
  deviation of d / sqrt(8). Strokes, of digits for example, are measured by
  their width, which is no use.

  Args:
    images: uint8 `[N, H, W]`, or `[N, H, W, 3]`.

  Returns:
    The size, or None if nothing stands out.
  """
  rows = np.unique(np.linspace(0, len(images) - 1, _SAMPLE).astype(int))
  pixels = np.asarray(images[rows], np.float32) / 255.
  if pixels.ndim == 4:
    pixels = pixels.max(axis=3)
  pixels = pixels - ground.estimate(tf.constant(pixels)).numpy()
  diameters = np.geomspace(_SMALLEST, min(pixels.shape[1:]) / 1.5, _SCALES)
  found = _blobs(pixels, diameters)
  if not len(found):
    return None
  logs = np.log(found)
  low, middle, high = np.quantile(logs, [.25, .5, .75])
  return ObjectSize(median=float(np.exp(middle)),
                    spread=float((high - low) / 1.35),
                    per_image=len(found) / len(pixels))


def with_measured_size(config: config_lib.Config,
                       images: np.ndarray) -> config_lib.Config:
  """Returns the configuration with `--object_size=0` measured, and says so.

  The prior over size is set, too: as wide as the sizes are, but not wider than
  `scale_prior_stddev`.

  Args:
    config: the run.
    images: uint8 `[N, H, W]`, training images.

  Raises:
    errors.UserError: if nothing stands out in the images.
  """
  if config.object_size:
    return config
  size = measure(images)
  if size is None:
    raise errors.UserError(
        '--object_size=0: found nothing in the images that stands out from the '
        'ground; expected bright objects. Give their size in pixels.')
  side = min(images.shape[1:3])
  glimpse = round(min(_GLIMPSE * size.median, _LARGEST * side), 1)
  # The logit's derivative with respect to the logarithm of the scale s is
  # 1 / (1 - s).
  stddev = size.spread / (1. - glimpse / side)
  stddev = min(round(max(stddev, _NARROWEST), 2), config.scale_prior_stddev)
  progress.status(
      f'Objects are about {size.median:.0f} pixels large, {size.per_image:.1f} '
      f'per image: --object_size={glimpse:g} --scale_prior_stddev={stddev:g}.')
  return dataclasses.replace(
      config, object_size=glimpse, scale_prior_stddev=stddev)


def _blobs(pixels: np.ndarray, diameters: np.ndarray) -> np.ndarray:
  """Returns the diameters of all blobs of `[N, H, W]`."""
  peaks = [_peaks(image, diameters) for image in pixels]
  strengths = np.concatenate([strength for strength, *_ in peaks])
  if not strengths.size:
    return np.zeros([0])
  faintest = _FAINTEST * np.quantile(strengths, .99)
  return diameters[[scale for of_image in peaks
                    for scale in _apart(*of_image, diameters, faintest)]]


def _peaks(image: np.ndarray, diameters: np.ndarray) -> tuple[np.ndarray, ...]:
  """Returns strengths, scales, y and x of the maxima over place and scale."""
  # Minus the scale-normalised Laplacians of the blurred image, [S, H, W].
  responses = np.stack([
      -stddev**2 * ndimage.gaussian_laplace(image, stddev, mode='nearest')
      for stddev in (diameters / math.sqrt(8.)).tolist()])
  is_peak = responses == ndimage.maximum_filter(responses, 3)
  is_peak[[0, -1]] = False
  is_peak &= responses > 0.
  return responses[is_peak], *np.nonzero(is_peak)


def _apart(strength: np.ndarray, scale: np.ndarray, y: np.ndarray,
           x: np.ndarray, diameters: np.ndarray, faintest: float) -> list[int]:
  """Returns the scales of the peaks that none that is stronger covers."""
  kept = []
  for i in np.argsort(-strength, kind='stable'):
    if strength[i] <= faintest:
      break
    size = diameters[scale[i]]
    near = (math.hypot(y[i] - y[j], x[i] - x[j])
            < _OVERLAP * max(size, diameters[scale[j]]) for j in kept)
    if not any(near):
      kept.append(i)
  return [scale[i] for i in kept]

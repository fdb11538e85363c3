"""Classical detectors of blobs, by scikit-image, with one threshold each.

A detector takes a grey image and returns the places of objects. Its threshold
is chosen on training images by one rule for all detectors: where true counts
are known, the one that counts best, from a grid in units of Otsu's level; where
not, Li's minimum cross-entropy level of what the detector compares with it,
pixels or maxima over scales. Otsu's level itself misses the dim objects beside
bright ones.

Letters: `N` images, `[H, W]` image, `K` objects in it. Places are (y, x) in
pixels.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
import math
from typing import NamedTuple

import numpy as np

from air_tf import errors

__all__ = ['DETECTORS', 'LEVELS', 'Detector', 'choose', 'components', 'fit',
           'grey', 'log_blobs', 'require_skimage', 'responses', 'watershed']

LEVELS = tuple(np.geomspace(.1, 2., 14).round(3).tolist())
_SMOOTHING = 1.  # Standard deviation in pixels, before a threshold.
_SMALLEST = .25  # Side of what is no object, over that of the largest.

# From float [H, W] in 0 ... 1, a level of brightness, and the side of the
# largest objects in pixels, to places [K, 2].
Detect = Callable[[np.ndarray, float, float], np.ndarray]


class Detector(NamedTuple):
  """A detector with its threshold, as `fit` chose it."""
  name: str
  detect: Detect
  level: float  # In units of `otsu`.
  otsu: float   # Of the training images.
  size: float   # Side of the largest objects, pixels.

  def __call__(self, image: np.ndarray) -> np.ndarray:
    """Returns the places `[K, 2]` of the objects in uint8 `[H, W]`."""
    return self.detect(grey(image), self.level * self.otsu, self.size)


def require_skimage() -> None:
  """Raises `errors.UserError` if scikit-image is missing."""
  try:
    import skimage  # noqa: F401
  except ImportError as error:
    raise errors.UserError(
        'found no scikit-image, which has the classical detectors; expected '
        'it to be installed: pip install scikit-image.') from error


def grey(image: np.ndarray) -> np.ndarray:
  """Returns float `[H, W]` in 0 ... 1 from uint8, grey or in colour.

  In colour, a pixel is as bright as its brightest channel.
  """
  if image.ndim == 3:
    image = image.max(axis=-1)
  return image / 255.


def components(image: np.ndarray, level: float, size: float) -> np.ndarray:
  """Connected components above a level; see `Detect`."""
  from skimage import measure
  parts = measure.label(_smoothed(image) > level)
  return _centroids(parts, size)


def watershed(image: np.ndarray, level: float, size: float) -> np.ndarray:
  """The same, split where they are narrow; see `Detect`.

  Seeds are the maxima of the distance to the ground, half an object apart.
  """
  from scipy import ndimage
  from skimage import feature
  from skimage import segmentation
  mask = _smoothed(image) > level
  distance = ndimage.gaussian_filter(
      ndimage.distance_transform_edt(mask), _SMOOTHING)
  peaks = feature.peak_local_max(
      distance, min_distance=max(1, round(size / 4.)), exclude_border=False,
      labels=mask.astype(np.int32))
  seeds = np.zeros(mask.shape, np.int32)
  seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
  return _centroids(segmentation.watershed(-distance, seeds, mask=mask), size)


def log_blobs(image: np.ndarray, level: float, size: float) -> np.ndarray:
  """Maxima of the Laplacian of Gaussians over scales; see `Detect`."""
  from skimage import feature
  blobs = feature.blob_log(
      image, **_scales(size), threshold=level, overlap=.5, exclude_border=False)
  return np.asarray(blobs, float).reshape(-1, 3)[:, :2] + .5


DETECTORS: dict[str, Detect] = {
    'components': components, 'watershed': watershed, 'log': log_blobs}


def fit(name: str, images: np.ndarray, counts: np.ndarray | None, size: float,
        progress: Callable[[Iterable], Iterable] = iter) -> Detector:
  """Chooses the threshold of a detector on training images.

  Args:
    name: one of `DETECTORS`.
    images: uint8 `[N, H, W]`.
    counts: int `[N]`; None if nobody knows.
    size: side of the largest objects, pixels.
    progress: is given the levels to try, and yields them.

  Raises:
    errors.UserError: if scikit-image is missing.
  """
  require_skimage()
  from skimage import filters
  pixels = [grey(image) for image in images]
  otsu = float(filters.threshold_otsu(np.stack(pixels)))
  detect = DETECTORS[name]
  if counts is None:
    level = float(filters.threshold_li(np.concatenate([
        responses(name, x, size) for x in progress(pixels)]))) / otsu
  else:
    level = LEVELS[choose(np.array([
        [len(detect(x, level * otsu, size)) for x in pixels]
        for level in progress(LEVELS)]), counts)]
  return Detector(name, detect, level, otsu, size)


def responses(name: str, image: np.ndarray, size: float) -> np.ndarray:
  """Returns what a detector compares with its level.

  Args:
    name: one of `DETECTORS`.
    image: float `[H, W]`, 0 ... 1.
    size: side of the largest objects, pixels.

  Returns:
    Float `[M]`: the smoothed pixels; of `log`, the positive local maxima of
    its responses over place and scale.
  """
  return (_log_maxima(image, size) if name == 'log'
          else _smoothed(image).ravel())


def choose(found: np.ndarray, counts: np.ndarray) -> int:
  """Chooses the level of the least mean absolute error of counts.

  Args:
    found: int `[L, N]`, objects found at each of L levels in each image.
    counts: int `[N]`, how many there are.

  Returns:
    The index of the level; of equally good ones, that in their middle.
  """
  losses = np.abs(found - counts).mean(axis=1)
  best = np.flatnonzero(losses == losses.min())
  return int(best[len(best) // 2])


def _scales(size: float) -> dict[str, float | int]:
  """Returns the standard deviations of the Laplacian of Gaussians."""
  largest = size / 2. / math.sqrt(2.)
  return dict(min_sigma=largest / 3., max_sigma=largest, num_sigma=5)


def _log_maxima(image: np.ndarray, size: float) -> np.ndarray:
  from scipy import ndimage
  from skimage import feature
  cube = np.stack([-s**2 * ndimage.gaussian_laplace(image, s)
                   for s in np.linspace(*_scales(size).values())])
  peaks = feature.peak_local_max(cube, min_distance=1, exclude_border=False)
  values = cube[tuple(peaks.T)]
  return values[values > 0.]


def _smoothed(image: np.ndarray) -> np.ndarray:
  from scipy import ndimage
  return ndimage.gaussian_filter(image, _SMOOTHING)


def _centroids(parts: np.ndarray, size: float) -> np.ndarray:
  """Returns the centroids of labelled parts that are no specks."""
  from skimage import measure
  regions: Sequence = measure.regionprops(parts)
  smallest = (_SMALLEST * size)**2
  return np.array([x.centroid for x in regions if x.area >= smallest],
                  float).reshape(-1, 2) + .5

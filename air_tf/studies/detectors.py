"""Classical detectors of blobs, by scikit-image, with one threshold each.

A detector takes a grey image and returns the places of objects. Its threshold
is in units of Otsu's level of all training images together, so that one grid
serves all of them, and is chosen on training images by one rule.

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
           'grey', 'log_blobs', 'require_skimage', 'watershed']

LEVELS = tuple(np.geomspace(.1, 2., 14).round(3).tolist())
_SMOOTHING = 1.  # Standard deviation in pixels, before a threshold.
_SMALLEST = .25  # Side of what is no object, over that of the largest.
_FEWEST = .2  # Objects an image, below which a level tells nothing.

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
  parts = measure.label(_above(image, level))
  return _centroids(parts, size)


def watershed(image: np.ndarray, level: float, size: float) -> np.ndarray:
  """The same, split where they are narrow; see `Detect`.

  Seeds are the maxima of the distance to the ground, half an object apart.
  """
  from scipy import ndimage
  from skimage import feature
  from skimage import segmentation
  mask = _above(image, level)
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
  largest = size / 2. / math.sqrt(2.)
  blobs = feature.blob_log(
      image, min_sigma=largest / 3., max_sigma=largest, num_sigma=5,
      threshold=level, overlap=.5, exclude_border=False)
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
  found = np.array([[len(detect(x, level * otsu, size)) for x in pixels]
                    for level in progress(LEVELS)])
  return Detector(name, detect, LEVELS[choose(found, counts)], otsu, size)


def choose(found: np.ndarray, counts: np.ndarray | None) -> int:
  """Chooses one of L levels, the same way for every detector.

  Args:
    found: int `[L, N]`, objects found at each level in each image.
    counts: int `[N]`, how many there are. With them it is the level of the
      least mean absolute error; without, that around which the number of
      objects changes least, among those at which there are some.

  Returns:
    The index of the level; of equally good ones, that in their middle.
  """
  if counts is not None:
    losses = np.abs(found - counts).mean(axis=1)
  else:
    total = np.log(found.sum(axis=1) + 1.)
    losses = np.convolve(
        np.abs(np.diff(total, prepend=np.inf, append=np.inf)), [1., 1.],
        'valid')
    losses = np.where(found.mean(axis=1) < _FEWEST, np.inf, losses)
  best = np.flatnonzero(losses == losses.min())
  return int(best[len(best) // 2])


def _above(image: np.ndarray, level: float) -> np.ndarray:
  from scipy import ndimage
  return ndimage.gaussian_filter(image, _SMOOTHING) > level


def _centroids(parts: np.ndarray, size: float) -> np.ndarray:
  """Returns the centroids of labelled parts that are no specks."""
  from skimage import measure
  regions: Sequence = measure.regionprops(parts)
  smallest = (_SMALLEST * size)**2
  return np.array([x.centroid for x in regions if x.area >= smallest],
                  float).reshape(-1, 2) + .5

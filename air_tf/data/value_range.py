"""Which values of pictures become black and white.

Files hold values of any type and scale: 12 bits in 16, floats, masks of 0 and
1. A model takes 0 ... 1, kept as uint8 0 ... 255. Pure numpy and SciPy.

Letters: `[H, W]` image (`[H, W, 3]` in colour), `N` images.
"""

from typing import NamedTuple

import numpy as np

from air_tf import config as config_lib
from air_tf import errors
from air_tf.data import untrusted

__all__ = ['BY_TYPE', 'ValueRange', 'of_config']

_ROUNDING = 1e-5  # By how much floats exceed 1 that are 0 ... 1.
# Values on another scale than the range: above it, or below, by this factor.
_FACTOR = 4.
_SHARES = (1., 99.5)  # Percentiles that --contrast=stretch makes 0 and 1.
# The least part of the range that is stretched: noise of empty pictures is not.
_LEAST = .1
_REACH = 1 / 8  # Standard deviation of --contrast=local over the shorter side.
_UNITS = 4.  # Of its standard deviations that become white.
_LEAST_STDDEV = .02
_CHECKED = 1 << 16  # Values of an image whose scale is compared.
_STRAY = .1  # Per cent of them that may lie beyond it.
_MAXIMA = {np.dtype(bool): 1., np.dtype(np.uint8): 255.,
           np.dtype(np.uint16): 65535.}


class ValueRange(NamedTuple):
  """How values become pixels; the same in training and in inference."""
  low: float | None  # Becomes black; None: as the type of the values says.
  high: float | None  # Becomes white.
  invert: bool = False  # Whether black and white change places.
  contrast: str = 'none'  # One of `scene_options.CONTRASTS`.

  def apply(self, values: np.ndarray, name: str = 'images') -> np.ndarray:
    """Returns an image as models take it.

    Args:
      values: `[H, W]` or `[H, W, 3]`, of any real type.
      name: of the image, printable, for the text of an error.

    Returns:
      uint8 of the same shape; values outside of the range are clipped.

    Raises:
      errors.UserError: if a value is not finite, or they are on another scale
        than the range.
    """
    return self._applied(values, *self.limits(values, name))

  def _applied(self, values: np.ndarray, low: float, high: float
               ) -> np.ndarray:
    if (values.dtype == np.uint8 and (low, high) == (0., 255.)
        and not self.invert and self.contrast == 'none'):
      return values
    if (low, high) == (0., 1.) and values.dtype.kind == 'f':
      pixels = np.clip(values, 0, 1)
    else:
      pixels = np.clip((values - np.float64(low)) / (high - low), 0., 1.)
    if self.invert:
      pixels = 1 - pixels
    pixels = _CONTRASTS[self.contrast](pixels)
    return np.round(pixels * np.float32(255)).astype(np.uint8)

  def apply_all(self, images: np.ndarray, name: str = 'images') -> np.ndarray:
    """Returns uint8 `[N, H, W]` or `[N, H, W, 3]`; see `apply`."""
    if self.is_identity(images.dtype):
      return np.asarray(images)
    limits = self.limits(images, name)
    result = np.empty(images.shape, np.uint8)
    for i, values in enumerate(images):
      result[i] = self._applied(values, *limits)
    return result

  def is_identity(self, dtype: np.dtype) -> bool:
    """Whether pixels are the values themselves."""
    return (dtype == np.uint8 and not self.invert and self.contrast == 'none'
            and self[:2] in ((None, None), (0., 255.)))

  def limits(self, values: np.ndarray, name: str) -> tuple[float, float]:
    """Returns the values that become black and white, which suit an image.

    Raises:
      errors.UserError: as `apply`.
    """
    if values.dtype.kind == 'f' and values.size:
      untrusted.extremes(values, name)
    if self.low is None or self.high is None:
      return _type_limits(values, name)
    self._check_scale(values, name)
    return self.low, self.high

  def _check_scale(self, values: np.ndarray, name: str) -> None:
    """Raises `UserError` about an image on another scale."""
    span = self.high - self.low
    too_bright = values.max() > self.low + _FACTOR * span
    if too_bright:  # Not by stray pixels; this takes longer.
      sample = values.ravel()[::max(1, values.size // _CHECKED)]
      too_bright = (np.percentile(sample, 100. - _STRAY)
                    > self.low + _FACTOR * span)
    if values.dtype == np.uint8:
      most = 1. if _is_mask(values) else 255.
    else:  # Integers can have any scale; floats up to 1 have that of 0 ... 1.
      most = float(values.max())
      if values.dtype.kind != 'f' or not .5 < most <= 1. + _ROUNDING:
        most = np.inf
    if too_bright or most < self.low + span / _FACTOR:
      found = f'{values.dtype} from {values.min():g} to {values.max():g}'
      raise errors.UserError(
          f'{name}: found {found}; expected values on the scale of '
          f'{self.low:g} ... {self.high:g}, the range of --range or of the '
          "model's training. Give pictures of the kind that it was trained on, "
          'or another --range.')

  def __str__(self) -> str:
    """Such as `100 ... 4095, inverted`."""
    text = ('as their type says' if self.low is None
            else f'{self.low:.6g} ... {self.high:.6g}')
    return (text + (', inverted' if self.invert else '')
            + (f', --contrast={self.contrast}' if self.contrast != 'none'
               else ''))


BY_TYPE = ValueRange(None, None)


def of_config(config: config_lib.Config) -> ValueRange:
  """Returns the range of a configuration; by the type, if it has no numbers.

  That of a run on pictures has them: `images.measured_range` measures them.
  """
  low, high = config.range_limits or (None, None)
  return ValueRange(low, high, config.invert, config.contrast)


def _is_mask(values: np.ndarray) -> bool:
  """Whether all uint8 values are 0 or 1, and a hundredth of them 1."""
  return values.max(initial=0) == 1 and values.mean() >= .01


def _type_limits(values: np.ndarray, name: str) -> tuple[float, float]:
  low, high = (values.min(), values.max()) if values.size else (0, 0)
  expected = ('uint8, uint16, floats in 0...1, or --range=LOW,HIGH; from '
              'Python: divide by the largest value that a pixel can have')
  if values.dtype == np.uint8 and _is_mask(values):
    raise errors.UserError(
        f'{name}: found uint8 from 0 to 1, all but black; expected uint8 in '
        '0...255; multiply by 255, or give --range=0,1.')
  limit = _MAXIMA.get(values.dtype.newbyteorder('='))
  if limit is None and values.dtype.kind == 'f':
    if low >= 0 and high <= 1. + _ROUNDING:
      return 0., 1.
  elif limit is None and low >= 0 and high <= 65535:
    return 0., 65535.  # Pillow gives some 16-bit pictures as int32.
  if limit is None:
    raise errors.UserError(
        f'{name}: found {values.dtype} from {low:g} to {high:g}; expected '
        f'{expected}.')
  return 0., limit


def _stretch(pixels: np.ndarray) -> np.ndarray:
  """From the darkest to the brightest, a few outliers left out."""
  low, high = np.percentile(pixels, _SHARES)
  return np.clip((pixels - low) / max(high - low, _LEAST), 0., 1.)


def _local(pixels: np.ndarray) -> np.ndarray:
  """Above the surroundings, in units of their standard deviation."""
  from scipy import ndimage  # Takes .2 s; every command imports this module.
  stddev = [max(1., _REACH * min(pixels.shape[:2]))] * 2
  blur = lambda x: ndimage.gaussian_filter(
      x, stddev + [0.] * (pixels.ndim - 2), mode='reflect')
  pixels = pixels.astype(np.float64)
  above = pixels - blur(pixels)
  unit = np.maximum(np.sqrt(blur(above**2)), _LEAST_STDDEV)
  return np.clip(above / unit / _UNITS, 0., 1.)


_CONTRASTS = {'none': lambda pixels: pixels, 'stretch': _stretch,
              'local': _local}

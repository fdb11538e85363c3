"""What values the images of a set have: extremes, ground, ink, the range.

Letters: `N` images, `[H, W]` image.
"""

import math

import numpy as np

from air_tf import errors
from air_tf.data import untrusted

__all__ = ['Survey']

_FIRST_BUDGET = 1 << 18  # Values that are kept of each of the first images,
_LEAST_BUDGET = 1 << 8  # and of each of very many;
_MOST = 1 << 22  # of all together.
# Values this far from the ground, in standard deviations of it, are ink.
_DEVIATIONS = 5.
_OUTLIERS = 1.  # Per cent of the ink that may be brighter than white.
_EXTREMES = .1  # Per cent of all values, likewise.
# Scales that values are likely to be on, if their ink reaches half of it:
# what is stored so was meant so.
_SCALES = (1., 255.)
# Brightness of white over that of a typical object, and the least part of what
# ink reaches that white is: other parts of a set may be brighter.
_HEADROOM, _LEAST_WHITE = 5., .25
_NEGLIGIBLE = .01  # A darkest value of this part of the brightest is 0.


class Survey:
  """Sees images one after another; memory does not grow with their number.

  Attributes:
    num_images: N, those seen.
    minimum: of all values.
    maximum: of all values.
    kinds: names of the types of the images, such as 'uint16'.
  """

  def __init__(self) -> None:
    """Nothing is seen yet."""
    self.num_images, self.kinds = 0, set()
    self.minimum, self.maximum = np.inf, -np.inf
    self._parts, self._size = [], 0
    self._budget = _FIRST_BUDGET
    self._sizes = ()  # Of the smallest and the largest image.
    self._rng = np.random.default_rng(0)

  def add(self, values: np.ndarray, name: str = 'images') -> None:
    """Takes note of an image.

    Args:
      values: `[H, W]` or `[H, W, 3]`, as the file has them.
      name: of it, printable, for the text of an error.

    Raises:
      errors.UserError: if a value is not finite.
    """
    low, high = untrusted.extremes(values, name)
    self.num_images += 1
    sizes = (*self._sizes, values.shape[:2])
    self._sizes = (min(sizes, key=math.prod), max(sizes, key=math.prod))
    self.kinds.add(values.dtype.newbyteorder('=').name)
    self.minimum = min(self.minimum, low)
    self.maximum = max(self.maximum, high)
    part = values.ravel()
    if part.size > self._budget:
      part = part[self._rng.integers(part.size, size=self._budget)]
    self._parts.append(self._rng.permutation(part).astype(np.float64))
    self._size += part.size
    if self._size > _MOST:
      self._thin()

  def ground_and_ink(self) -> tuple[float, float, float]:
    """Returns (dark, ground, bright) values.

    Ground is the median; dark and bright are what ink reaches on either side of
    it, outliers left out. Without ink they are extreme values of the ground.
    """
    sample = self.sample
    ground = float(np.median(sample))
    # Not the extremes: a single hot pixel must not hide all others.
    dark, bright = np.percentile(sample, (_EXTREMES, 100. - _EXTREMES))
    above, below = self._ink(ground, dark, bright)
    if above.size:
      bright = max(bright, np.percentile(above, 100. - _OUTLIERS))
    if below.size:
      dark = min(dark, np.percentile(below, _OUTLIERS))
    return float(dark), ground, float(bright)

  def limits(self) -> tuple[float, float]:
    """Returns the values that should become black and white.

    Values that fill a usual scale, 0 ... 1 or 0 ... 255, by half keep it. Of
    others, as 12 bits in 16, what is seen of ground and ink decides.

    Raises:
      errors.UserError: if images of several types have several scales.
    """
    self._check_kinds()
    low, high = self.minimum, self.maximum
    floats = any(kind.startswith('float') for kind in self.kinds)
    if low >= high:  # Images of a single value.
      return 0., max(high, 255. if self.kinds == {'uint8'} else 1.)
    if not floats and (low, high) == (0., 1.):  # Masks.
      return 0., 1.
    dark, _, bright = self.ground_and_ink()
    for scale in _SCALES[0 if floats else 1:]:
      if low >= 0. and bright >= scale / 2. and high <= scale * (1. + 1e-5):
        return 0., scale
    if 0. <= dark <= _NEGLIGIBLE * bright:
      dark = 0.
    dark, bright = (float(f'{x:.4g}') for x in (dark, bright))
    return (dark, bright) if dark < bright else (low, high)

  def object_limits(self) -> tuple[float, float]:
    """Returns the values for black and white if a few objects are very bright.

    White is five times as far from the ground as the median of the ink, which
    is a typical object's brightness; what is brighter saturates. Likewise for
    black, if there is ink below the ground.

    Raises:
      errors.UserError: as `limits`.
    """
    self._check_kinds()
    if self.minimum >= self.maximum:
      return self.limits()
    dark, ground, bright = self.ground_and_ink()
    above, below = self._ink(ground, dark, bright)
    least = _LEAST_WHITE * (bright - dark)
    if above.size:
      typical = float(np.median(above)) - ground
      bright = min(bright, max(ground + _HEADROOM * typical, dark + least))
    if below.size:
      typical = ground - float(np.median(below))
      dark = max(dark, min(ground - _HEADROOM * typical, bright - least))
    return float(f'{dark:.4g}'), float(f'{bright:.4g}')

  def __str__(self) -> str:
    """Such as `300 images of 512 x 512 pixels, uint16 from 98 to 3012`."""
    sizes = [' x '.join(map(str, size)) for size in self._sizes]
    return (f'{self.num_images:,} image{"s" * (self.num_images > 1)} of '
            f'{" to ".join(dict.fromkeys(sizes))} pixels, '
            f'{_names(self.kinds)} from {self.minimum:g} to {self.maximum:g}')

  def _ink(self, ground: float, dark: float, bright: float
           ) -> tuple[np.ndarray, np.ndarray]:
    """Returns the values clearly above the ground, and those below."""
    sample = self.sample
    noise = 1.4826 * float(np.median(np.abs(sample - ground)))
    reach = max(_DEVIATIONS * noise, .02 * (bright - dark))
    return sample[sample > ground + reach], sample[sample < ground - reach]

  @property
  def sample(self) -> np.ndarray:
    """Some of the values, in no order."""
    return np.concatenate(self._parts)

  def _thin(self) -> None:
    """Forgets every other value, and keeps fewer of each image from now on."""
    self._parts = [self.sample[::2]]
    self._size = self._parts[0].size
    self._budget = max(_LEAST_BUDGET, self._budget // 2)

  def _check_kinds(self) -> None:
    if len(self.kinds) > 1:
      raise errors.UserError(
          f'--range: found images of several types, {_names(self.kinds)}, '
          'whose values may mean different things; expected one type. Convert '
          'them, give --range=LOW,HIGH for all, or --range=dtype, the whole '
          'range of each type.')


def _names(kinds: set[str]) -> str:
  return ' and '.join(sorted(kinds))

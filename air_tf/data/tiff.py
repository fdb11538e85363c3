"""TIFF files beyond Pillow: read by the optional package tifffile.

Letters: `[H, W]` image (`[H, W, 3]` in colour).
"""

from collections.abc import Callable
from collections.abc import Iterator
import pathlib

import numpy as np
from PIL import Image

from air_tf import errors
from air_tf.data import colours
from air_tf.data import untrusted

__all__ = ['hint', 'is_named_so', 'is_needed', 'maximum_if_zero_is_white',
           'read']

_BITS, _PHOTOMETRIC, _SAMPLES, _FORMAT = 258, 262, 277, 339  # Tags.
_FLOATS = 3  # Of the tag `_FORMAT`.
_INSTALL = 'Install it: pip install tifffile; or convert the picture to PNG.'
_ORIENTED = {  # By the number of the tag Orientation.
    1: lambda x: x, 2: lambda x: x[:, ::-1], 3: lambda x: x[::-1, ::-1],
    4: lambda x: x[::-1], 5: lambda x: x.swapaxes(0, 1),
    6: lambda x: np.rot90(x, -1), 7: lambda x: x[::-1, ::-1].swapaxes(0, 1),
    8: lambda x: np.rot90(x)}


def is_needed(picture: Image.Image) -> bool:
  """Whether Pillow would drop a part of the values of a TIFF without a word."""
  if picture.format != 'TIFF':
    return False
  bits = picture.tag_v2.get(_BITS, (1,))
  return len(bits) > 1 and max(bits) > 8


def maximum_if_zero_is_white(picture: Image.Image) -> int | None:
  """Returns the largest value where 0 is white and Pillow ignores that.

  None otherwise.
  """
  if picture.format != 'TIFF' or picture.tag_v2.get(_PHOTOMETRIC) != 0:
    return None
  bits, = picture.tag_v2.get(_BITS, (1,))
  if bits <= 8:
    return None  # Pillow has turned it round.
  if picture.tag_v2.get(_FORMAT, (1,))[0] == _FLOATS:
    raise ValueError('floats of which 0 is white')
  return 2**bits - 1


def is_named_so(path: str) -> bool:
  """Whether a name ends as that of a TIFF."""
  return pathlib.Path(path).suffix.lower() in ('.tif', '.tiff')


def hint(path: str) -> str:
  """Returns what to add to an error about a file, with a space before it."""
  return (' A copy that ImageJ writes, or a PNG, may be readable.'
          if is_named_so(path) else '')


def read(path: str, light: bool, report: Callable[[errors.UserError], None]
         ) -> Iterator[tuple[str, np.ndarray]]:
  """Yields names and values of all pages; see `picture_files.read`."""
  name = untrusted.printable(path)
  try:
    import tifffile
  except ImportError as error:
    raise errors.UserError(
        f'{name}: found a TIFF that Pillow cannot read whole, such as one of '
        f'16 bits in colour; expected the package tifffile for it. {_INSTALL}'
        ) from error
  with tifffile.TiffFile(path) as file:
    if not len(file.pages):
      raise ValueError('a TIFF without pages')
    several = len(file.pages) > 1
    for i, page in enumerate(file.pages):
      where = f'{name}[{i}]' if several else name
      try:
        untrusted.check_memory(page.nbytes, path, f'page {i}',
                               f'{page.dtype} {list(page.shape)}')
        values = _values(page, light)
      except Exception as error:
        reason = (str(error) if isinstance(error, errors.UserError) else
                  f'{where}: cannot be read as an image '
                  f'({errors.one_line(error)}); expected grey or three colours '
                  'of 8 or 16 bits, or floats.' + hint(path))
        report(errors.UserError(reason))
        continue
      yield where, values


def _values(page, light: bool) -> np.ndarray:
  values = page.asarray()
  if page.axes == 'SYX':
    values = np.moveaxis(values, 0, -1)
  elif page.axes == 'YX':
    values = values[..., np.newaxis]
  elif page.axes != 'YXS':
    raise ValueError(f'axes {page.axes}')
  if int(page.photometric) not in (1, 2) or values.shape[2] > 4:
    raise ValueError(f'{values.shape[2]} channels, {page.photometric!s}')
  if values.shape[2] in (2, 4) and values.dtype.kind != 'u':
    raise ValueError(f'{values.shape[2]} channels of {values.dtype}')
  orientation = page.tags.get('Orientation')
  values = colours.composited(values, light)
  return _ORIENTED[int(orientation.value) if orientation else 1](values)

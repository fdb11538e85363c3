"""Picture files: what is in one, in the values that the file holds.

Letters: `[H, W]` image (`[H, W, 3]` in colour).
"""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import functools
import pathlib
import warnings

import numpy as np
from PIL import Image
from PIL import ImageOps

from air_tf import errors
from air_tf.data import colours
from air_tf.data import tiff
from air_tf.data import untrusted

__all__ = ['EXPECTED', 'Report', 'count', 'has_suffix', 'read', 'stop']

EXPECTED = ('a picture (PNG, JPEG, TIFF, ...), a folder of them, a scene file '
            '(.npz) or a stack (.npy)')
Report = Callable[[errors.UserError], None]  # What to do about an image.
# Of Pillow's formats: EPS is a program that Ghostscript would run, the others
# are drawn by the operating system or not at all.
_NEVER_OPENED = {'BUFR', 'EPS', 'GRIB', 'HDF5', 'WMF'}
# Formats whose frames are images of their own; a JPEG of a telephone (MPO) has
# further ones that are not.
_WITH_FRAMES = ('TIFF', 'GIF', 'WEBP', 'PNG')
# Of 16-bit PNGs in colour Pillow keeps the upper bytes. By raw mode: the mode
# and the raw mode that give the lower ones.
_LOWER_BYTES = {'RGB;16B': ('RGB', 'RGB;16L'), 'RGBA;16B': ('RGBA', 'RGBA;16L'),
                'LA;16B': ('RGBA', 'RGBA')}


def stop(error: errors.UserError) -> None:
  """A `Report` that raises."""
  raise error


def has_suffix(path: str) -> bool:
  """Whether the end of a name is that of a picture."""
  return pathlib.Path(path).suffix.lower() in _suffixes()


def count(path: str) -> int:
  """Returns how many images a file holds; 1 if it cannot be read."""
  try:
    with _opened(path) as picture:
      return _num_frames(picture)
  except Exception:  # `read` says what is wrong.
    return 1


def read(path: str, light: bool = False, report: Report = stop
         ) -> Iterator[tuple[str, np.ndarray]]:
  """Yields the images in a picture file, one in memory at a time.

  Args:
    path: of a file in any format that Pillow knows, or a TIFF.
    light: whether transparent parts become white; black, if not.
    report: called with a `UserError` about an image that cannot be read, which
      is then left out, unless it raises.

  Yields:
    Names and values: uint8, uint16, int32 or float32 `[H, W]`, or `[H, W, 3]`
    if there are colours in it. Pages of a TIFF and frames of a GIF have names
    such as `cells.tif[3]`. The orientation that EXIF states is applied, pages
    in which 0 is white are inverted.
  """
  name = untrusted.printable(path)
  try:
    untrusted.check_file(path, EXPECTED)
    with _opened(path) as picture:
      if picture is None or tiff.is_needed(picture):
        yield from tiff.read(path, light, report)
        return
      frames = _num_frames(picture)
      for index in range(frames):
        where = f'{name}[{index}]' if frames > 1 else name
        try:
          values = _frame(path, picture, index, light)
        except Exception as error:
          report(_refusal(where, path, error))
          if picture.format != 'TIFF':
            return  # Its frames may build on those before them.
        else:
          yield where, values
  except Exception as error:
    report(_refusal(name, path, error))


def _refusal(where: str, path: str, error: Exception) -> errors.UserError:
  """Returns the error about an image; damaged bytes make Pillow raise anything.
  """
  if isinstance(error, errors.UserError):
    return error
  if isinstance(error, (Image.DecompressionBombError,
                        Image.DecompressionBombWarning)):
    return errors.UserError(
        f'{where}: found a picture of more than {Image.MAX_IMAGE_PIXELS:,} '
        'pixels, which can fill the memory; expected a smaller one. Shrink or '
        'crop it.')
  reason = getattr(error, 'strerror', None) or errors.one_line(error)
  return errors.UserError(
      f'{where}: cannot be read as an image ({reason}); expected {EXPECTED}.'
      + tiff.hint(path))


@functools.cache
def _formats() -> tuple[str, ...]:
  Image.init()
  return tuple(x for x in Image.ID if x not in _NEVER_OPENED)


@functools.cache
def _suffixes() -> frozenset[str]:
  formats = _formats()
  return frozenset(suffix for suffix, kind
                   in Image.registered_extensions().items() if kind in formats)


@contextlib.contextmanager
def _opened(path: str) -> Iterator[Image.Image | None]:
  """Opens a picture; yields None for a TIFF that Pillow does not know."""
  # From a name, Pillow maps uncompressed files into memory, and those TIFFs
  # whose orientation exchanges the sides are scrambled then (13.0.0).
  with open(path, 'rb') as file:
    try:
      with warnings.catch_warnings():
        warnings.simplefilter('ignore')  # Pillow's, of what it mends itself.
        warnings.simplefilter('error', Image.DecompressionBombWarning)
        picture = Image.open(file, formats=_formats())
    except Image.UnidentifiedImageError as error:
      if not tiff.is_named_so(path):  # Pillow's text names the open file.
        raise ValueError('no format that Pillow knows') from error
      picture = None
    yield picture


def _num_frames(picture: Image.Image) -> int:
  return (getattr(picture, 'n_frames', 1) if picture.format in _WITH_FRAMES
          else 1)


def _frame(path: str, picture: Image.Image, index: int, light: bool
           ) -> np.ndarray:
  """Returns the values of a frame."""
  with warnings.catch_warnings():
    warnings.simplefilter('ignore')
    if index:
      picture.seek(index)
      if tiff.is_needed(picture):
        raise ValueError('16 bits in colour behind a page of another kind')
    width, height = picture.size
    if width * height > (Image.MAX_IMAGE_PIXELS or width * height):
      raise Image.DecompressionBombError
    lower = _lower_bytes(path, picture, index)
    inverted = tiff.maximum_if_zero_is_white(picture)
    picture.load()
    whole = ImageOps.exif_transpose(picture)
    if lower is not None:
      return _sixteen_bits(whole, lower, light)
    values = _values(whole, picture.format, light)
    return values if inverted is None else inverted - values


def _values(picture: Image.Image, kind: str, light: bool) -> np.ndarray:
  """Returns what Pillow read."""
  if picture.mode.startswith('I;16'):
    return np.asarray(picture).astype(np.uint16)
  if picture.mode == 'I' and kind == 'PPM':
    # Pillow scales to 65535 what is less in the file.
    return np.asarray(picture).astype(np.uint16)
  if picture.mode in ('I', 'F'):
    return np.asarray(picture)
  if not picture.has_transparency_data:
    if picture.mode in ('1', 'L'):
      return np.asarray(picture.convert('L'))
    return colours.without_colour(np.asarray(picture.convert('RGB')))
  ground = Image.new('RGBA', picture.size, (255 if light else 0,) * 3 + (255,))
  return colours.without_colour(np.asarray(Image.alpha_composite(
      ground, picture.convert('RGBA')).convert('RGB')))


def _lower_bytes(path: str, picture: Image.Image, index: int
                 ) -> tuple[str, Image.Image] | None:
  """Returns the raw mode and the lower halves of values; None without any.

  A PNG is decoded a second time as if its bytes stood the other way round.
  """
  if picture.format != 'PNG' or not picture.tile:
    return None
  raw_mode = picture.tile[0].args
  if raw_mode not in _LOWER_BYTES:
    return None
  if index:
    raise ValueError('an animation of 16 bits')
  mode, other = _LOWER_BYTES[raw_mode]
  with _opened(path) as again:
    again._mode = mode
    again.tile = [tile._replace(args=other) for tile in again.tile]
    again.load()
    return raw_mode, ImageOps.exif_transpose(again)


def _sixteen_bits(upper: Image.Image, lower: tuple[str, Image.Image],
                  light: bool) -> np.ndarray:
  """Returns uint16 from the two halves of the bytes of a PNG in colour."""
  raw_mode, rest = lower
  low = np.asarray(rest).astype(np.uint16)
  if raw_mode == 'LA;16B':  # Bytes in their order: grey, then alpha.
    values = low[..., ::2] << 8 | low[..., 1::2]
  else:
    values = np.asarray(upper).astype(np.uint16) << 8 | low
  return colours.composited(values, light)

"""Images that people have: pictures, folders of them, stacks; one at a time.

However many there are, a part of bounded size is in memory. Letters: `N`
images, `[H, W]` image (`[H, W, 3]` in colour).
"""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import functools
import math
import os
import pathlib
import stat
from typing import NamedTuple
import warnings
import zipfile

from absl import logging
import numpy as np
from PIL import Image

from air_tf import errors
from air_tf.data import npz
from air_tf.data import untrusted

__all__ = ['Placement', 'Source', 'fit', 'folder', 'open_source', 'recolour']

_CHUNK_BYTES = 1 << 22  # Read from a stack at a time.
# Of Pillow's formats: EPS is a program that Ghostscript would run, the others
# are drawn by the operating system or not at all.
_NEVER_OPENED = {'BUFR', 'EPS', 'GRIB', 'HDF5', 'WMF'}
_EXPECTED = ('a picture (PNG, JPEG, ...), a folder of them, a scene file '
             '(.npz) or a stack (.npy)')


class Source(NamedTuple):
  """Images under one path."""
  num_images: int
  read: Callable[[], Iterator[tuple[str, np.ndarray]]]  # Names, uint8 [H, W].


class Placement(NamedTuple):
  """Where an image went when it was fitted into another, in pixels there."""
  scale: float  # Pixels there for a pixel of the image.
  top: float
  left: float

  def boxes(self, boxes: np.ndarray) -> np.ndarray:
    """Maps boxes `[..., 4]`, (y, x, height, width), back to the image."""
    return (boxes - [self.top, self.left, 0., 0.]) / self.scale


def open_source(path: str) -> Source:
  """Looks at what is under a path, without reading the images.

  Args:
    path: of a picture in any format that Pillow knows; of a folder, whose
      pictures are taken in the order of their names; of a scene file (.npz,
      see data/README.md), of which only `images` is used; of a stack (.npy).
      Arrays are `[N, H, W]` or `[N, H, W, 3]`, uint8 or floats in 0 ... 1.

  Returns:
    The images. In pictures transparent parts become black.

  Raises:
    errors.UserError: if there is nothing of the kind; `read` raises it too,
      when an image turns out to be damaged.
  """
  if os.path.isdir(path):
    return _folder(path)
  untrusted.check_file(path, _EXPECTED)
  if _is_array(path):
    with _stack(path) as (_, header):
      return Source(header.shape[0], lambda: _read_stack(path))
  return Source(1, lambda: iter([
      (untrusted.printable(path), _read_picture(path))]))


def folder(path: str, side: int) -> np.ndarray:
  """Returns the pictures in a folder, each fitted into a square frame.

  Args:
    path: of the folder; its pictures are taken in the order of their names.
    side: of the frame, pixels.

  Returns:
    uint8 `[N, side, side]`; `[N, side, side, 3]` if any picture is in colour.

  Raises:
    errors.UserError: if it holds no picture, or a damaged one.
  """
  fitted = [fit(image, (side, side))[0] for _, image in _folder(path).read()]
  coloured = any(image.ndim == 3 for image in fitted)
  return np.stack([recolour(x, 3 if coloured else 1) for x in fitted])


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
    return image, Placement(1., 0., 0.)
  scale = min(size[0] / height, size[1] / width)
  new = [max(1, round(side * scale)) for side in (height, width)]
  resized = np.asarray(Image.fromarray(image).resize(
      (new[1], new[0]), Image.Resampling.BILINEAR))
  top, left = (size[0] - new[0]) // 2, (size[1] - new[1]) // 2
  framed = np.zeros([*size, *image.shape[2:]], np.uint8)
  framed[top:top + new[0], left:left + new[1]] = resized
  return framed, Placement(scale, top, left)


def recolour(image: np.ndarray, channels: int) -> np.ndarray:
  """Returns an image, uint8, as grey (1) or of 3 channels.

  Colours become grey by their luma (ITU-R 601-2), as in Pillow; grey becomes
  three equal channels.
  """
  if math.prod(image.shape[2:]) == channels:
    return image
  mode = 'L' if channels == 1 else 'RGB'
  return np.asarray(Image.fromarray(image).convert(mode))


def _folder(path: str) -> Source:
  suffixes = _suffixes()
  try:
    with os.scandir(path) as entries:
      inside = sorted(entries, key=lambda entry: entry.name)
  except OSError as error:
    raise errors.UserError(
        f'{untrusted.printable(path)}: cannot be read ({error.strerror}); '
        'expected a folder of pictures.') from error
  paths = [entry.path for entry in inside if _is_file(entry)
           and not entry.name.startswith('.')  # macOS leaves ._a.png there.
           and pathlib.Path(entry.name).suffix.lower() in suffixes]
  if not paths:
    raise errors.UserError(
        f'{untrusted.printable(path)}: a folder without pictures; expected '
        'PNG, JPEG, ...; name scene files and stacks themselves.')
  if len(paths) < len(inside):
    logging.info('%s: %d files or folders are no pictures and are left out.',
                 untrusted.printable(path), len(inside) - len(paths))
  return Source(len(paths), lambda: (
      (untrusted.printable(p), _read_picture(p)) for p in paths))


def _is_file(entry: os.DirEntry) -> bool:
  """Whether it is a regular file or a link to one, which is then opened."""
  try:
    return stat.S_ISREG(entry.stat().st_mode)
  except OSError:  # A broken link, or one that leads in a circle.
    return False


def _is_array(path: str) -> bool:
  return pathlib.Path(path).suffix.lower() in ('.npz', '.npy')


@functools.cache
def _formats() -> tuple[str, ...]:
  Image.init()
  return tuple(x for x in Image.ID if x not in _NEVER_OPENED)


@functools.cache
def _suffixes() -> frozenset[str]:
  formats = _formats()
  return frozenset(suffix for suffix, kind
                   in Image.registered_extensions().items() if kind in formats)


def _read_picture(path: str) -> np.ndarray:
  untrusted.check_file(path, _EXPECTED)
  try:
    with warnings.catch_warnings():
      warnings.simplefilter('ignore')  # Pillow's, of what it mends itself.
      warnings.simplefilter('error', Image.DecompressionBombWarning)
      with Image.open(path, formats=_formats()) as picture:
        return _pixels(picture)
  except (Image.DecompressionBombError, Image.DecompressionBombWarning
          ) as error:
    raise errors.UserError(
        f'{untrusted.printable(path)}: found a picture of more than '
        f'{Image.MAX_IMAGE_PIXELS:,} pixels, which can fill the memory; '
        'expected a smaller one. Shrink or crop it.') from error
  except Exception as error:  # Damaged bytes make Pillow raise nearly anything.
    reason = getattr(error, 'strerror', None) or errors.one_line(error)
    raise errors.UserError(
        f'{untrusted.printable(path)}: cannot be read as an image ({reason}); '
        f'expected {_EXPECTED}.') from error


def _pixels(picture: Image.Image) -> np.ndarray:
  """Returns uint8 `[H, W]` or `[H, W, 3]`; transparent parts become black."""
  if picture.mode.startswith('I'):  # 16 bits per pixel.
    pixels = np.asarray(picture, np.float64)
    return np.round(pixels / 257.).clip(0, 255).astype(np.uint8)
  if picture.mode == 'L' and 'transparency' not in picture.info:
    return np.asarray(picture)
  with_alpha = picture.convert('RGBA')
  black = Image.new('RGBA', picture.size, (0, 0, 0, 255))
  return np.asarray(Image.alpha_composite(black, with_alpha).convert('RGB'))


@contextlib.contextmanager
def _stack(path: str):
  """Opens a stack; yields the file behind its header, and the header.

  Raises:
    errors.UserError: if this or anything done inside fails.
  """
  try:
    with contextlib.ExitStack() as opened:
      file = opened.enter_context(open(path, 'rb'))
      if path.lower().endswith('.npz'):
        archive = opened.enter_context(zipfile.ZipFile(file))
        file, header = npz.open_member(path, archive, 'images')
        opened.enter_context(file)
      else:
        header = npz.read_header(
            path, 'images', file, os.fstat(file.fileno()).st_size)
      _check_stack(path, header)
      yield file, header
  except errors.UserError:
    raise
  except Exception as error:  # Damaged bytes make numpy raise nearly anything.
    reason = getattr(error, 'strerror', None) or errors.one_line(error)
    raise errors.UserError(
        f'{untrusted.printable(path)}: not a stack of images, or damaged '
        f'({reason}); expected one written by np.save or np.savez.') from error


def _check_stack(path: str, header: npz.Header) -> None:
  """Raises `UserError` if an array holds no images, or too large ones."""
  shape, fortran, dtype = header
  npz.require(
      (len(shape) == 3 or (len(shape) == 4 and shape[3] == 3))
      and 0 not in shape and not fortran and (
          dtype == np.uint8 or np.issubdtype(dtype, np.floating)),
      path, 'images', str(header) + (' in Fortran order' if fortran else ''),
      'uint8 [N, H, W] or [N, H, W, 3], 0...255, or floats in 0...1, at least '
      'one, in C order; convert them, and order them by np.ascontiguousarray')
  row = math.prod(shape[1:]) * dtype.itemsize
  untrusted.check_memory(row, path, 'images', f'images of {list(shape[1:])}')


def _read_stack(path: str) -> Iterator[tuple[str, np.ndarray]]:
  name = untrusted.printable(path)
  with _stack(path) as (file, header):
    num_images, *shape = header.shape
    row = math.prod(shape) * header.dtype.itemsize
    step = max(1, _CHUNK_BYTES // row)
    for start in range(0, num_images, step):
      count = min(step, num_images - start)
      data = file.read(count * row)
      if len(data) < count * row:
        raise EOFError(f'it ends within image {start + len(data) // row}')
      chunk = np.frombuffer(data, header.dtype).reshape([count, *shape])
      chunk = _to_bytes(path, chunk, first=start == 0)
      for i, image in enumerate(chunk, start):
        yield f'{name}[{i}]', image


def _to_bytes(path: str, images: np.ndarray, first: bool) -> np.ndarray:
  """Returns uint8 0 ... 255, or raises `UserError`."""
  low, high = images.min(), images.max()
  if images.dtype != np.uint8:
    npz.require(low >= 0 and high <= 1, path, 'images',  # NaN fails.
                  f'{images.dtype} from {low:g} to {high:g}', 'floats in 0...1')
    return np.round(images * np.float32(255)).astype(np.uint8)
  npz.require(not first or high != 1, path, 'images',
                'uint8 from 0 to 1, all but black',
                'uint8 in 0...255; multiply by 255')
  return images

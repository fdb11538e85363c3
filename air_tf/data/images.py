"""Images that people have: pictures, folders of them, stacks; one at a time.

However many there are, a part of bounded size is in memory. Letters: `N`
images, `[H, W]` image (`[H, W, 3]` in colour).
"""

from collections.abc import Callable
from collections.abc import Iterator
import contextlib
import math
import os
import pathlib
from typing import NamedTuple
import zipfile

from absl import logging
import numpy as np
from PIL import Image

from air_tf import errors
from air_tf.data import npz

__all__ = ['Placement', 'Source', 'fit', 'folder', 'open_source', 'recolour']

_CHUNK_BYTES = 1 << 22  # Read from a stack at a time.


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
  if pathlib.Path(path).suffix in ('.npz', '.npy'):
    with _stack(path) as (_, shape, _):
      return Source(shape[0], lambda: _read_stack(path))
  return Source(1, lambda: iter([(path, _read_picture(path))]))


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
  known = Image.registered_extensions()
  inside = sorted(os.listdir(path))
  names = [name for name in inside
           if pathlib.Path(name).suffix.lower() in known]
  if not names:
    raise errors.UserError(
        f'{path}: a folder without pictures; wanted PNG, JPEG, ...; name scene '
        'files and stacks themselves.')
  if len(names) < len(inside):
    logging.info('%s: %d files or folders are no pictures and are left out.',
                 path, len(inside) - len(names))
  paths = (os.path.join(path, name) for name in names)
  return Source(len(names), lambda: ((p, _read_picture(p)) for p in paths))


def _read_picture(path: str) -> np.ndarray:
  try:
    with Image.open(path) as picture:
      if picture.mode.startswith('I'):  # 16 bits per pixel.
        pixels = np.asarray(picture, np.float64)
        return np.round(pixels / 257.).clip(0, 255).astype(np.uint8)
      if picture.mode == 'L' and 'transparency' not in picture.info:
        return np.asarray(picture)
      with_alpha = picture.convert('RGBA')
      black = Image.new('RGBA', picture.size, (0, 0, 0, 255))
      return np.asarray(Image.alpha_composite(black, with_alpha).convert('RGB'))
  except Exception as error:  # Damaged bytes make Pillow raise nearly anything.
    reason = getattr(error, 'strerror', None) or errors.one_line(error)
    raise errors.UserError(
        f'{path}: cannot be read as an image ({reason}); wanted a picture '
        '(PNG, JPEG, ...), a folder of them, a scene file (.npz) or a stack '
        '(.npy).') from error


@contextlib.contextmanager
def _stack(path: str):
  """Opens a stack; yields the file behind its header, shape and dtype.

  Raises:
    errors.UserError: if this or anything done inside fails.
  """
  try:
    with contextlib.ExitStack() as opened:
      file = opened.enter_context(open(path, 'rb'))
      if path.endswith('.npz'):
        archive = opened.enter_context(zipfile.ZipFile(file))
        npz.require('images.npy' in archive.namelist(), path, 'images',
                      f"only {', '.join(archive.namelist()) or 'nothing'}",
                      'a file with `images`, written by np.savez')
        file = opened.enter_context(archive.open('images.npy'))
      shape, fortran, dtype = npz.read_npy_header(file)
      npz.require(
          (len(shape) == 3 or shape[3:] == (3,)) and 0 not in shape
          and not fortran and (
              dtype == np.uint8 or np.issubdtype(dtype, np.floating)),
          path, 'images', f'{dtype} {list(shape)}'
          + (' in Fortran order' if fortran else ''),
          'uint8 [N, H, W] or [N, H, W, 3], 0...255, or floats in 0...1, at '
          'least one, in C order')
      yield file, shape, dtype
  except errors.UserError:
    raise
  except Exception as error:  # Damaged bytes make numpy raise nearly anything.
    reason = getattr(error, 'strerror', None) or errors.one_line(error)
    raise errors.UserError(
        f'{path}: not a stack of images, or damaged ({reason}); wanted one '
        'written by np.save or np.savez.') from error


def _read_stack(path: str) -> Iterator[tuple[str, np.ndarray]]:
  with _stack(path) as (file, (num_images, *shape), dtype):
    row = math.prod(shape) * dtype.itemsize
    step = max(1, _CHUNK_BYTES // row)
    for start in range(0, num_images, step):
      count = min(step, num_images - start)
      data = file.read(count * row)
      if len(data) < count * row:
        raise EOFError(f'it ends within image {start + len(data) // row}')
      chunk = np.frombuffer(data, dtype).reshape([count, *shape])
      chunk = _to_bytes(path, chunk, first=start == 0)
      for i, image in enumerate(chunk, start):
        yield f'{path}[{i}]', image


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

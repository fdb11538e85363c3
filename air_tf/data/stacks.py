"""Stacks of images in arrays, .npy and .npz, in the values that they hold.

Letters: `N` images, `[H, W]` image (`[H, W, 3]` in colour).
"""

from collections.abc import Iterator
import contextlib
import math
import os
from typing import NamedTuple
import zipfile

import numpy as np

from air_tf import errors
from air_tf.data import colours
from air_tf.data import npz
from air_tf.data import untrusted

__all__ = ['EXPECTED', 'Layout', 'count', 'layout', 'read']

EXPECTED = ('[H, W], [N, H, W], [N, H, W, 1], [N, H, W, 3] or [N, 3, H, W] of '
            'bool, integers or floats, at least one image, in C order; convert '
            'them, and order them by np.ascontiguousarray')
_CHUNK_BYTES = 1 << 22  # Read from a stack at a time.


class Layout(NamedTuple):
  """How images lie in an array."""
  num_images: int
  shape: tuple[int, ...]  # Of an image in the array.
  channels_first: bool = False

  def images(self, array: np.ndarray) -> np.ndarray:
    """Returns `[N, H, W]` or `[N, H, W, 3]`, a view; bool becomes uint8."""
    array = array.reshape([-1, *self.shape])
    if self.channels_first:
      array = np.moveaxis(array, 1, -1)
    if array.ndim == 4 and array.shape[3] == 1:
      array = array[..., 0]
    if array.dtype == bool:
      return array.astype(np.uint8) * np.uint8(255)
    return array.astype(array.dtype.newbyteorder('='), copy=False)


def layout(shape: tuple[int, ...], dtype: np.dtype) -> Layout | None:
  """Returns how images lie in an array; None if it holds no images.

  A last axis of 1 or 3 is that of the channels, also of a single `[H, W, 3]`;
  otherwise a second axis of 1 or 3 of four is.
  """
  if 0 in shape or dtype.kind not in 'biuf':
    return None
  if len(shape) == 2 or (len(shape) == 3 and shape[2] == 3):
    return Layout(1, tuple(shape))
  if len(shape) == 3:
    return Layout(shape[0], tuple(shape[1:]))
  if len(shape) == 4 and shape[3] in (1, 3):
    return Layout(shape[0], tuple(shape[1:]))
  if len(shape) == 4 and shape[1] in (1, 3):
    return Layout(shape[0], tuple(shape[1:]), channels_first=True)
  return None


def count(path: str) -> int:
  """Returns how many images a file holds.

  Raises:
    errors.UserError: if it is no stack, or damaged.
  """
  with _opened(path) as (_, header):
    return layout(header.shape, header.dtype).num_images


def read(path: str) -> Iterator[tuple[str, np.ndarray]]:
  """Yields names, such as `cells.npy[3]`, and values of the images in a file.

  A part of bounded size is in memory.

  Args:
    path: of an .npy file, or of an .npz file with an array `images`.

  Raises:
    errors.UserError: as `count`.
  """
  name = untrusted.printable(path)
  with _opened(path) as (file, header):
    found = layout(header.shape, header.dtype)
    row = math.prod(found.shape) * header.dtype.itemsize
    step = max(1, _CHUNK_BYTES // row)
    for start in range(0, found.num_images, step):
      number = min(step, found.num_images - start)
      data = file.read(number * row)
      if len(data) < number * row:
        raise EOFError(f'it ends within image {start + len(data) // row}')
      chunk = found.images(np.frombuffer(data, header.dtype))
      for i, image in enumerate(chunk, start):
        yield f'{name}[{i}]', (colours.without_colour(image)
                               if image.ndim == 3 else image)


@contextlib.contextmanager
def _opened(path: str):
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
      _check(path, header)
      yield file, header
  except errors.UserError:
    raise
  except Exception as error:  # Damaged bytes make numpy raise nearly anything.
    reason = getattr(error, 'strerror', None) or errors.one_line(error)
    raise errors.UserError(
        f'{untrusted.printable(path)}: not a stack of images, or damaged '
        f'({reason}); expected one written by np.save or np.savez.') from error


def _check(path: str, header: npz.Header) -> None:
  """Raises `UserError` if an array holds no images, or too large ones."""
  found = layout(header.shape, header.dtype)
  npz.require(found is not None and not header.fortran, path, 'images',
              str(header) + (' in Fortran order' if header.fortran else ''),
              EXPECTED)
  untrusted.check_memory(
      math.prod(found.shape) * header.dtype.itemsize, path, 'images',
      f'images of {list(found.shape)}')

"""Arrays that people give, .npz and .npy: every claim checked before reading.

Nothing in a file is trusted: whatever is in it, reading it returns arrays or
raises `errors.UserError` with a text of one line that names the file. Pickles
are never loaded.
"""

from collections.abc import Sequence
import math
import os
import struct
from typing import BinaryIO
from typing import NamedTuple
import warnings
import zipfile

from absl import logging
import numpy as np

from air_tf import errors
from air_tf.data import untrusted

__all__ = ['Header', 'describe', 'describe_image', 'open_member',
           'read_header', 'read_npz', 'require']

require = untrusted.require

# Bytes of an uncompressed array from which on it stays on disk.
_LARGE = 2**30
_CHUNK = 1 << 24  # Bytes read at a time.
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0}  # By version.
_MAX_NAMES = 10  # Of an archive, in the text of an error.


class Header(NamedTuple):
  """What an .npy file says of its array."""
  shape: tuple[int, ...]
  fortran: bool  # Whether it is in Fortran order.
  dtype: np.dtype

  @property
  def num_bytes(self) -> int:
    """Of the array."""
    return math.prod(self.shape) * self.dtype.itemsize

  def __str__(self) -> str:
    """Type and shape."""
    return f'{self.dtype} {list(self.shape)}'


def read_npz(path: str, required: Sequence[str],
             optional: Sequence[str] = ()) -> dict[str, np.ndarray]:
  """Returns the arrays of these names in an .npz file.

  Names beyond these are ignored with a warning: `count` for `counts`, say. An
  array of a gibibyte or more that `np.savez` wrote, not `np.savez_compressed`,
  is not read but mapped (`np.memmap`).

  Raises:
    errors.UserError: if the file or a required array is missing or damaged, or
      an array does not fit into memory.
  """
  untrusted.check_file(path, 'an .npz file')
  try:
    with open(path, 'rb') as file:
      if file.read(6) == np.lib.format.MAGIC_PREFIX:
        raise ValueError('it is a single array')
      archive = zipfile.ZipFile(file)
      names = [x.removesuffix('.npy') for x in archive.namelist()]
      for key in required:
        require(key in names, path, key, f'only {_shown(names)}',
                f'a file with {", ".join(required)}, written by np.savez')
      unknown = set(names) - {*required, *optional}
      if unknown:
        logging.warning('%s: unknown keys are not used: %s', path,
                        _shown(unknown))
      return {key: _read_key(path, archive, key)
              for key in (*required, *optional) if key in names}
  except errors.UserError:
    raise
  except Exception as error:  # Damaged bytes make numpy raise nearly anything.
    raise errors.UserError(
        f'{untrusted.printable(path)}: not an .npz file, or damaged '
        f'({errors.one_line(error)}); expected one written by np.savez.'
    ) from error


def open_member(path: str, archive: zipfile.ZipFile,
                key: str) -> tuple[BinaryIO, Header]:
  """Opens an array of an archive: what is behind its header, and the header.

  Raises:
    errors.UserError: if there is none, or it cannot be what it claims to be.
  """
  name = f'{key}.npy'
  names = archive.namelist()
  require(name in names, path, key, f'only {_shown(names)}',
          f'a file with `{key}`, written by np.savez')
  entry = archive.getinfo(name)
  untrusted.check_member(path, archive, entry)
  file = archive.open(entry)
  return file, read_header(path, key, file, entry.file_size)


def read_header(path: str, key: str, file: BinaryIO, size: int) -> Header:
  """Reads past the header of an array.

  Args:
    path: of the file, for texts.
    key: of the array, for texts.
    file: at its beginning.
    size: bytes in it, the header included.

  Raises:
    errors.UserError: if it is no array of numbers, or longer than the file.
  """
  version = np.lib.format.read_magic(file)
  if version not in _HEADERS:
    raise ValueError(f'version {version} of the .npy format')
  with warnings.catch_warnings():  # Of files that Python 2 wrote.
    warnings.simplefilter('ignore')
    header = Header(*_HEADERS[version](file))
  require(not header.dtype.hasobject, path, key,
          'Python objects, which are never loaded because they can run code',
          'an array of numbers')
  require(header.dtype.kind in 'biuf' and min(header.shape, default=0) >= 0,
          path, key, str(header), 'an array of numbers')
  remaining = size - file.tell()
  require(header.num_bytes <= remaining, path, key,
          f'{remaining:,} bytes for {header}', f'{header.num_bytes:,}; it is '
          'cut short or damaged: write it again')
  return header


def _read_key(path: str, archive: zipfile.ZipFile, key: str) -> np.ndarray:
  file, header = open_member(path, archive, key)
  entry = archive.getinfo(f'{key}.npy')
  with file:
    if (entry.compress_type == zipfile.ZIP_STORED
        and entry.file_size >= _LARGE):
      return _mapped(path, key, entry)
    untrusted.check_memory(header.num_bytes, path, key, str(header))
    data = np.empty(header.num_bytes, np.uint8)
    for start in range(0, len(data), _CHUNK):
      part = file.read(min(_CHUNK, len(data) - start))
      data[start:start + len(part)] = np.frombuffer(part, np.uint8)
    file.read(1)  # At the end the checksum is compared.
  return data.view(header.dtype).reshape(
      header.shape, order='F' if header.fortran else 'C')


def _mapped(path: str, key: str, entry: zipfile.ZipInfo) -> np.memmap:
  with open(path, 'rb') as file:
    # A zip's local header: 30 bytes, the last four of them the lengths of the
    # name and of the extra field that stand between it and the data.
    file.seek(entry.header_offset + 26)
    file.seek(sum(struct.unpack('<HH', file.read(4))), os.SEEK_CUR)
    header = read_header(
        path, key, file, file.tell() + entry.file_size)
    return np.memmap(path, header.dtype, 'r', file.tell(), header.shape,
                     'F' if header.fortran else 'C')


def _shown(names: Sequence[str] | set[str]) -> str:
  names = sorted(map(untrusted.printable, names))
  rest = len(names) - _MAX_NAMES
  return ', '.join(names[:_MAX_NAMES]) + (
      f' and {rest:,} more' if rest > 0 else '') or 'nothing'


def describe(array: np.ndarray) -> str:
  """Returns the type and the shape of `array`, for the text of an error."""
  return f'{array.dtype} {list(array.shape)}'


def describe_image(shape: Sequence[int]) -> str:
  """Returns the size of an image `[H, W]` or `[H, W, 3]`, likewise."""
  height, width, *colours = shape
  return f'{height} x {width} pixels' + (' in colour' if colours else '')

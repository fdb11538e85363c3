"""Files that people give: .npz archives, and errors that say what is wrong.

Nothing in a file is trusted: whatever is in it, reading it returns arrays or
raises `errors.UserError` with a text of one line that names the file.
"""

from collections.abc import Sequence
import os
import struct
from typing import BinaryIO
import zipfile

from absl import logging
import numpy as np

from air_tf import errors

__all__ = ['describe', 'describe_image', 'read_npy_header',
           'read_npz', 'require']

# Bytes of an uncompressed array from which on it stays on disk.
_LARGE = 2**30
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0,
            (2, 0): np.lib.format.read_array_header_2_0}  # By version.


def read_npz(path: str, required: Sequence[str],
             optional: Sequence[str] = ()) -> dict[str, np.ndarray]:
  """Returns the arrays of these names in an .npz file.

  Names beyond these are ignored with a warning: `count` for `counts`, say. An
  array of a gibibyte or more that `np.savez` wrote, not `np.savez_compressed`,
  is not read but mapped (`np.memmap`).

  Raises:
    errors.UserError: if the file or a required array is missing or damaged.
  """
  if not os.path.isfile(path):
    raise errors.UserError(f'{path}: no such file; wanted an .npz file.')
  try:
    with open(path, 'rb') as file:
      archive = np.load(file, allow_pickle=False)
      if not isinstance(archive, np.lib.npyio.NpzFile):
        raise ValueError('it is a single array')
      names = ', '.join(sorted(archive.files)) or 'nothing'
      for key in required:
        require(key in archive, path, key, f'only {names}',
                f'a file with {", ".join(required)}, written by np.savez')
      unknown = set(archive.files) - {*required, *optional}
      if unknown:
        logging.warning('%s: unknown keys are not used: %s', path,
                        ', '.join(sorted(unknown)))
      return {key: _read_key(path, archive, key)
              for key in (*required, *optional) if key in archive}
  except errors.UserError:
    raise
  except Exception as error:  # Damaged bytes make numpy raise nearly anything.
    raise errors.UserError(
        f'{path}: not an .npz file, or damaged ({errors.one_line(error)}); '
        'wanted one written by np.savez.') from error


def _read_key(path: str, archive, key: str) -> np.ndarray:
  try:
    entry = archive.zip.NameToInfo.get(f'{key}.npy')
    if (entry and entry.compress_type == zipfile.ZIP_STORED
        and entry.file_size >= _LARGE):
      return _mapped(path, entry)
    return archive[key]
  except ValueError as error:
    require('Object arrays' not in str(error), path, key,
            'Python objects, which are never loaded because they can run code',
            'an array of numbers')
    raise


def _mapped(path: str, entry: zipfile.ZipInfo) -> np.memmap:
  with open(path, 'rb') as file:
    # A zip's local header: 30 bytes, the last four of them the lengths of the
    # name and of the extra field that stand between it and the data.
    file.seek(entry.header_offset + 26)
    file.seek(sum(struct.unpack('<HH', file.read(4))), os.SEEK_CUR)
    shape, fortran, dtype = read_npy_header(file)
    if dtype.hasobject:
      raise ValueError('Object arrays cannot be mapped')
    return np.memmap(path, dtype, 'r', file.tell(), shape,
                     'F' if fortran else 'C')


def read_npy_header(file: BinaryIO) -> tuple[tuple[int, ...], bool, np.dtype]:
  """Reads past the header of an .npy file.

  Returns:
    Shape, whether in Fortran order, and type of the array that comes next.
  """
  return _HEADERS[np.lib.format.read_magic(file)](file)


def describe(array: np.ndarray) -> str:
  """Returns the type and the shape of `array`, for the text of an error."""
  return f'{array.dtype} {list(array.shape)}'


def describe_image(shape: Sequence[int]) -> str:
  """Returns the size of an image `[H, W]` or `[H, W, 3]`, likewise."""
  height, width, *colours = shape
  return f'{height} x {width} pixels' + (' in colour' if colours else '')


def require(condition: object, path: str, key: str, found: str,
            wanted: str) -> None:
  """Raises `UserError` about `key` of the file `path` unless `condition`."""
  if not condition:
    raise errors.UserError(f'{path}: {key}: found {found}; wanted {wanted}.')

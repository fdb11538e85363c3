"""Files that nobody vouches for: checked before they are opened or read.

Nothing is opened that could block (a FIFO, a device), nothing is allocated on
the word of a header, nothing in an archive is written to disk.
"""

import os
import zipfile

import numpy as np

from air_tf import errors
from air_tf import memory
from air_tf import paths

__all__ = ['check_file', 'check_member', 'check_memory', 'extremes',
           'printable', 'require']

# Deflate cannot do better than 1,032 to 1; small members have some overhead.
_MAX_RATIO, _OVERHEAD = 1_032, 4_096


def require(condition: object, path: str, key: str, found: str,
            expected: str) -> None:
  """Raises `UserError` about `key` of the file `path` unless `condition`."""
  if not condition:
    raise errors.UserError(
        f'{printable(path)}: {key}: found {found}; expected {expected}.')


def printable(text: str) -> str:
  """Returns a name from a file system or an archive, fit for any output.

  Bytes that are not UTF-8 and control characters are written as escapes.
  """
  text = text.encode('utf-8', 'surrogateescape').decode(
      'utf-8', 'backslashreplace')
  return ''.join(x if x.isprintable() else repr(x)[1:-1] for x in text)


def extremes(values: np.ndarray, name: str) -> tuple[float, float]:
  """Returns the smallest and the largest pixel of an image.

  Args:
    values: of the image.
    name: of it, printable, for the text.

  Raises:
    errors.UserError: if a value is not finite.
  """
  low, high = float(values.min()), float(values.max())  # NaN if one is.
  if not np.isfinite(high - low):
    raise errors.UserError(
        f'{name}: found values that are not finite; expected numbers. '
        'Replace them, or leave the image out by --on_error=skip.')
  return low, high


def check_file(path: str, expected: str) -> None:
  """Raises `UserError` unless `path` is a regular file, or a link to one.

  Args:
    path: of the file.
    expected: what it should be, for the text.
  """
  try:
    mode = os.stat(path).st_mode
  except (OSError, ValueError) as error:
    reason = getattr(error, 'strerror', None) or errors.one_line(error)
    if isinstance(error, FileNotFoundError):
      reason = 'no such file'
    raise errors.UserError(
        f'{printable(path)}: {reason}; expected {expected}.') from error
  kind = paths.irregular(mode)
  if kind:
    raise errors.UserError(
        f'{printable(path)}: found {kind}; expected {expected}, a regular '
        'file.')


def check_memory(num_bytes: int, path: str, key: str, found: str) -> None:
  """Raises `UserError` if an array does not fit into memory.

  Args:
    num_bytes: of the array.
    path: of the file that it comes from.
    key: its name there.
    found: type and shape, for the text.
  """
  limit = memory.available()
  require(num_bytes <= limit, path, key,
          f'{found}, {num_bytes / 2**30:,.1f} GiB',
          f'at most {limit / 2**30:,.1f} GiB, the memory that this process may '
          'use; take fewer or smaller images')


def check_member(path: str, archive: zipfile.ZipFile,
                 entry: zipfile.ZipInfo) -> None:
  """Raises `UserError` if the directory of an archive lies about a member.

  Names that point out of the folder are refused too, though no member is ever
  unpacked to disk.
  """
  name = printable(entry.filename)
  parts = entry.filename.replace('\\', '/').split('/')
  require('..' not in parts and parts[0] and ':' not in parts[0], path, name,
          'a name that points out of the folder', 'a relative name')
  require(entry.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED),
          path, name, 'an unusual compression', 'none or Deflate')
  packed, size = entry.compress_size, entry.file_size
  limit = (packed if entry.compress_type == zipfile.ZIP_STORED
           else packed * _MAX_RATIO + _OVERHEAD)
  total = os.fstat(archive.fp.fileno()).st_size
  require(packed <= total and size <= limit, path, name,
          f'{size:,} bytes, said to be packed into {packed:,} of the '
          f"file's {total:,}", 'what these can hold; the file is damaged, or '
          'made to fill the memory: fetch or write it again')

"""Files written whole or not at all, and what a user reads when they are not.

May import: `errors`.
"""

from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import glob
import io
import os
import pathlib
import re
import time
import uuid

import numpy as np
from PIL import Image

from air_tf import errors

__all__ = ['atomic', 'is_temporary', 'remove_stale',
           'unwritable_as_user_error', 'write_bytes', 'write_npz', 'write_png',
           'write_text']

_STALE_SECONDS = 24 * 3_600.
Path = str | os.PathLike[str]


@contextlib.contextmanager
def unwritable_as_user_error(
    path: Path, exceptions: tuple[type[Exception], ...] = (OSError,)
    ) -> Iterator[None]:
  """Turns an error while writing into a `UserError` that names the path.

  Args:
    path: of the file or the folder, or a flag with it, `--csv=PATH`.
    exceptions: to be turned into one.

  Raises:
    errors.UserError: if the body raises one of `exceptions`.
    errors.DiskFull: if the exception says that there is no room.
  """
  try:
    yield
  except errors.EXPECTED:
    raise
  except exceptions as error:
    if errors.is_disk_full(error):
      raise errors.DiskFull(
          f'{os.fspath(path)}: cannot be written: no space left on the device. '
          'What was saved before is whole; make room and give the same command '
          'again.') from error
    reason = getattr(error, 'strerror', None) or errors.one_line(error)
    raise errors.UserError(
        f'{os.fspath(path)}: cannot be written ({reason}); expected a path '
        'whose folder exists or can be made, with permission to write.'
        ) from error


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[pathlib.Path]:
  """Yields a temporary path, which replaces `path` if the body succeeds.

  The folder is made. Readers see the old file or the new one, never a part;
  if the body raises, the old file stays and the temporary one is removed.

  Raises:
    errors.UserError: if the file cannot be written.
    errors.DiskFull: if there is no room.
  """
  path = pathlib.Path(path)
  remove_stale(path.parent, path.name)
  # In the same folder, so that the replacement is atomic; unique, so that
  # processes that write the same file do not mix their bytes.
  temporary = path.with_name(f'.{_stem(path.name)}.{uuid.uuid4().hex}.tmp')
  with unwritable_as_user_error(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
      yield temporary
      os.replace(temporary, path)
    finally:
      temporary.unlink(missing_ok=True)


def is_temporary(name: str) -> bool:
  """Whether a file of this name is one that `atomic` has not yet replaced."""
  return re.fullmatch(r'\..+\.[0-9a-f]{32}\.tmp', name) is not None


def remove_stale(folder: pathlib.Path, name: str = '*') -> None:
  """Removes temporary files that killed processes left a day or more ago.

  Younger ones may still be written.

  Args:
    folder: to look in; need not exist.
    name: of the files that they were to become; all, if left out.
  """
  name = name if name == '*' else glob.escape(_stem(name))
  for file in folder.glob(f'.{name}.*.tmp'):
    with contextlib.suppress(OSError):
      if (is_temporary(file.name)
          and time.time() - file.stat().st_mtime > _STALE_SECONDS):
        file.unlink()


def _stem(name: str) -> str:
  return name[:40]  # With the rest, names stay below the limit of 255 bytes.


def write_bytes(path: Path, data: bytes) -> None:
  """Writes a file atomically; makes its folder. Raises `errors.UserError`."""
  with atomic(path) as temporary:
    temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
  """Writes a UTF-8 file atomically. Raises `errors.UserError`."""
  write_bytes(path, text.encode())


def write_npz(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
  """Writes a compressed .npz file atomically. Raises `errors.UserError`."""
  with atomic(path) as temporary, open(temporary, 'xb') as file:
    np.savez_compressed(file, **arrays)


def write_png(path: Path, pixels: np.ndarray) -> None:
  """Writes uint8 `[H, W]` or `[H, W, 3]` as a PNG file atomically."""
  buffer = io.BytesIO()
  Image.fromarray(pixels).save(buffer, 'PNG')
  write_bytes(path, buffer.getvalue())

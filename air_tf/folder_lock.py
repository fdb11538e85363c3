"""A lock on a run folder, so that only one process at a time writes into it."""

from collections.abc import Iterator
import contextlib
import errno
import os
import pathlib
import socket
import time
import weakref

from absl import logging

from air_tf import errors
from air_tf import files

try:
  import fcntl
except ImportError:  # On Windows: there is no lock.
  fcntl = None

__all__ = ['FolderLock', 'NAME', 'claimed', 'wait']

NAME = '.lock'
_UNSUPPORTED = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
_held = weakref.WeakSet()


class FolderLock:
  """An exclusive `flock` on a file in a folder.

  The kernel drops it when the process ends, however it ends. The file names the
  process and its host, and is removed on release.
  """

  def __init__(self, folder: pathlib.Path):
    """Points at a folder; nothing is locked yet."""
    self._folder, self._path = folder, folder / NAME
    self._file = None

  def acquire(self) -> None:
    """Takes the lock, or raises at once.

    Raises:
      errors.UserError: if another process has it, or it cannot be written.
      errors.DiskFull: if there is no room for its file.
    """
    while fcntl is not None and self._file is None:
      with files.unwritable_as_user_error(self._path):
        file = os.open(
            self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
      try:
        if not self._lock(file):
          os.close(file)
          return
        # A process that released the lock has removed its file: such a file is
        # no longer the one that others find.
        if self._is_in_place(file):
          owner = f'process {os.getpid()} on {socket.gethostname()}\n'
          os.ftruncate(file, 0)
          os.pwrite(file, owner.encode(), 0)
          self._file = file
          _held.add(self)
        else:
          os.close(file)
      except BaseException:
        os.close(file)
        raise

  def require_held(self) -> None:
    """Checks that the folder is still the one that was locked.

    Raises:
      errors.UserError: if it was removed, or replaced by another one.
    """
    in_place = (self._folder.is_dir() if self._file is None
                else self._is_in_place(self._file))
    if not in_place:
      raise errors.UserError(
          f'--logdir={self._folder}: found the folder removed or replaced '
          'while training wrote into it; expected it to stay until training '
          'ends. Give the same command to start again.')

  def release(self) -> None:
    """Removes the file and gives the lock back, if it is held."""
    file, self._file = self._file, None
    if file is None:
      return
    _held.discard(self)
    try:
      if self._is_in_place(file):
        self._path.unlink()
    except OSError:  # The folder has become read-only, say.
      pass
    finally:
      os.close(file)

  def _lock(self, file: int) -> bool:
    """Returns whether the file system has locks; raises if one is held."""
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
      owner = _one_line(os.pread(file, 200, 0))
      raise errors.UserError(
          f'--logdir={self._folder}: {owner or "another process"} is training '
          'here; expected a folder that no other run uses. Wait for it, or '
          'give another --logdir.') from error
    except OSError as error:
      if error.errno not in _UNSUPPORTED:
        raise
      logging.warning(
          '%s: cannot be locked (%s); do not start two runs in it at once.',
          self._folder, error.strerror)
      return False
    return True

  def _is_in_place(self, file: int) -> bool:
    try:
      return os.path.samestat(os.fstat(file), os.stat(self._path))
    except OSError:
      return False

  def forget(self) -> None:
    """Closes the file without giving the lock back: for forked processes."""
    file, self._file = self._file, None
    if file is not None:
      os.close(file)


def wait(folder: pathlib.Path, seconds: float = 60.) -> bool:
  """Waits while another process trains in a folder, say until it has saved.

  Args:
    folder: of a run; it need not be locked, or have been.
    seconds: to wait at most.

  Returns:
    Whether it is free.
  """
  deadline = time.monotonic() + seconds
  while _is_locked(folder):
    if time.monotonic() > deadline:
      return False
    time.sleep(.1)
  return True


def _is_locked(folder: pathlib.Path) -> bool:
  try:
    file = os.open(folder / NAME, os.O_RDONLY | os.O_NOFOLLOW)
  except OSError:
    return False
  try:
    if fcntl is not None:
      fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    return False
  except BlockingIOError:
    return True
  except OSError:  # There are no locks here.
    return False
  finally:
    os.close(file)


@contextlib.contextmanager
def claimed(folder: pathlib.Path) -> Iterator[bool]:
  """Locks a folder itself, which needs no file; for temporary ones.

  Yields:
    Whether this process has it; False if another one does.

  Raises:
    OSError: if there is no such folder.
  """
  file = os.open(folder, os.O_RDONLY)
  try:
    try:
      if fcntl is not None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
      mine = fcntl is not None
    except OSError:
      mine = False
    yield mine
  finally:
    os.close(file)


def _one_line(data: bytes) -> str:
  return ' '.join(data.decode(errors='replace').split())


def _forget_all() -> None:
  for lock in list(_held):
    lock.forget()


# A fork shares the lock and would hold it longer than the process that took it.
if hasattr(os, 'register_at_fork'):
  os.register_at_fork(after_in_child=_forget_all)

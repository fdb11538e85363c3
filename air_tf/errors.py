"""The ways in which a command ends early that are not bugs.

Scripts in `bin/` print the text of these as one line, without a traceback, and
exit with their `exit_code`. `from_exception` sorts what other libraries raise:
what a machine or a file can cause becomes one of these. Any other exception is
a bug and keeps its traceback.
"""

import errno
import signal

__all__ = ['DiskFull', 'Diverged', 'EXPECTED', 'Interrupted', 'SKIPPED',
           'UserError', 'WorkerLost', 'from_exception', 'is_disk_full',
           'is_out_of_memory', 'one_line']

SKIPPED = 4  # Exit code of a command that is done, but left images out.

_LONGEST = 400  # Characters of another library's text that are handed on.


class UserError(ValueError):
  """Something the user gave (a flag, a file) cannot be used.

  The text says what was found, where, what was expected, and what to do.
  """
  exit_code = 2


class Diverged(ArithmeticError):
  """Training met a number that is not finite."""
  exit_code = 3


class Interrupted(Exception):
  """A signal asked the program to stop, and all work is saved."""

  def __init__(self, signal_number: int, message: str):
    super().__init__(f'{signal.Signals(signal_number).name}: {message}')
    self.exit_code = 128 + signal_number  # As shells report a signal.


class WorkerLost(ConnectionError):
  """Another process of the same training has ended, or cannot be reached."""
  exit_code = 75  # EX_TEMPFAIL of <sysexits.h>: the same command may succeed.


class DiskFull(Exception):
  """There is no room left to write to, or the quota is used up."""
  exit_code = 75


EXPECTED = (UserError, Diverged, Interrupted, WorkerLost, DiskFull)


def one_line(error: Exception) -> str:
  """Returns the text of `error` on one line, or its type if it has none."""
  return ' '.join(str(error).split()) or type(error).__name__


def is_disk_full(error: BaseException) -> bool:
  """Whether an exception of any library says that there is no room to write.

  Native code raises the same type for memory and for disks: its text decides.
  """
  if isinstance(error, OSError) and error.errno is not None:
    return error.errno in (errno.ENOSPC, errno.EDQUOT)
  text = str(error).lower()
  return 'no space left' in text or 'disk quota exceeded' in text


def is_out_of_memory(error: BaseException) -> bool:
  """Whether an exception of any library says that memory does not suffice."""
  if is_disk_full(error):
    return False
  text = str(error).lower()
  return (isinstance(error, MemoryError)
          or _tensorflow_name(error) == 'ResourceExhaustedError'
          or isinstance(error, OSError) and error.errno == errno.ENOMEM
          or any(part in text for part in (
              'out of memory', 'bad_alloc', 'failed to allocate',
              'unable to allocate', 'array is too big',
              'maximum allowed dimension exceeded', 'too many elements',
              'overflow when multiplying')))


def from_exception(error: BaseException) -> Exception | None:
  """Returns one of `EXPECTED` that says what happened; None for a bug.

  TensorFlow's exceptions are known by their names, without importing it.
  """
  if isinstance(error, EXPECTED):
    return error
  if is_disk_full(error):
    return DiskFull(
        f'{_where(error)}no space left on the device; what was saved before is '
        'whole. Make room; the same command then resumes.')
  if is_out_of_memory(error):
    return UserError(
        f'memory does not suffice ({_text(error)}); lower --batch_size, '
        '--num_particles, --canvas_size, --max_steps, --hidden_size or the '
        'number of scenes.')
  if isinstance(error, UnicodeEncodeError) and 'surrogates' in error.reason:
    return UserError(
        f'found {error.object!r}, which is not UTF-8; expected a name or value '
        'in UTF-8. Rename it.')
  if isinstance(error, OSError):
    return UserError(
        f'{_where(error)}{error.strerror or one_line(error)}; expected a file '
        'or folder that is there, and permission to use it.')
  if _is_damage(error):
    return UserError(f'a file is damaged or of another kind ({_text(error)}); '
                     'expected it as it was written.')
  return None


def _text(error: BaseException) -> str:
  text = one_line(error)
  return text if len(text) <= _LONGEST else text[:_LONGEST] + ' ...'


def _where(error: BaseException) -> str:
  names = [str(name) for name in (
      getattr(error, 'filename', None), getattr(error, 'filename2', None))
           if name is not None]
  if not names and not isinstance(error, OSError):
    return f'{_text(error)}: '  # Native code puts the path into its text.
  return ''.join(f'{name}: ' for name in names)


def _tensorflow_name(error: BaseException) -> str:
  """The class of an exception of TensorFlow; empty for any other."""
  kinds = type(error).__mro__
  is_theirs = any(kind.__name__ == 'OpError'
                  and kind.__module__.startswith('tensorflow.')
                  for kind in kinds)
  return kinds[0].__name__ if is_theirs else ''


def _is_damage(error: BaseException) -> bool:
  """Whether files are the cause: TensorFlow's, archives, text of any kind."""
  kind = type(error)
  if isinstance(error, RecursionError):
    return _raised_in(error, 'json')
  if isinstance(error, ValueError) and 'null byte' in str(error):
    return True
  return (
      f'{kind.__module__}.{kind.__name__}' in ('zipfile.BadZipFile',
                                               'zlib.error')
      or isinstance(error, UnicodeDecodeError)
      or _tensorflow_name(error) in (
          'AlreadyExistsError', 'DataLossError', 'FailedPreconditionError',
          'NotFoundError', 'OutOfRangeError', 'PermissionDeniedError',
          'UnavailableError', 'UnknownError'))


def _raised_in(error: BaseException, package: str) -> bool:
  """Whether the innermost frame belongs to a package."""
  trace = error.__traceback__
  while trace is not None and trace.tb_next is not None:
    trace = trace.tb_next
  name = '' if trace is None else trace.tb_frame.f_globals.get('__name__', '')
  return name.split('.')[0] == package

"""Standard output and error that are closed, full, or know only ASCII.

May import: `errors`.
"""

import codecs
from collections.abc import Iterator
import contextlib
import errno
import io
import os
import signal
import sys
import threading
from typing import NoReturn

from air_tf import errors

__all__ = ['fail', 'finish', 'prepare']

_LONGEST = 2_000  # Characters of a message.
_ASCII = {'≥': '>=', '≤': '<=', '–': '-', '—': '-', '×': 'x', '±': '+/-',
          '·': '*', '…': '...', '‘': "'", '’': "'", '“': '"', '”': '"'}


def prepare() -> None:
  """Makes the three streams usable, whatever the caller did to them.

  What is closed leads nowhere from here on: otherwise the next file to be
  opened would get its number, and with it all that is printed. A character
  that an encoding lacks is written in ASCII.

  Raises:
    errors.UserError: if standard output is closed, which takes the result.
  """
  closed = [number for number in range(3) if not _is_open(number)]
  for number in closed:
    # The lowest free number is taken, so this is it.
    os.open(os.devnull, os.O_RDONLY if number == 0 else os.O_WRONLY)
  if sys.stderr is None:
    sys.stderr = open(2, 'w', closefd=False)
  if sys.stdout is None:
    sys.stdout = open(1, 'w', closefd=False)
  codecs.register_error('air_tf.ascii', _in_ascii)
  if type(sys.stdout) is io.TextIOWrapper:
    lines = sys.stdout.line_buffering
    encoding = sys.stdout.encoding
    sys.stdout = sys.__stdout__ = _Output(
        sys.stdout.detach(), encoding, line_buffering=lines)
  for stream in sys.stdout, sys.stderr:
    if hasattr(stream, 'reconfigure'):
      stream.reconfigure(errors='air_tf.ascii')
  if 1 in closed:
    raise errors.UserError(
        'standard output is closed; expected a terminal, a file or a pipe, '
        'which take the result. Use > /dev/null to see none.')


def fail(error: Exception, exit_code: int) -> NoReturn:
  """Says on one line what happened and ends the process."""
  message = ' '.join(str(error).split())
  if len(message) > _LONGEST:  # It quotes what was given; its end says more.
    message = f'{message[:_LONGEST // 2]} ... {message[-_LONGEST // 2:]}'
  try:
    print(f'{os.path.basename(sys.argv[0])}: {message}', file=sys.stderr,
          flush=True)
  except OSError:  # Nobody can be told.
    _discard(sys.stderr)
  sys.exit(exit_code)


def finish() -> None:
  """Sends the rest of the output now: Python would complain at its exit.

  To be called when the exit code is decided: what cannot be sent is dropped,
  and Ctrl-C ends the process without a traceback from here on.
  """
  if (threading.current_thread() is threading.main_thread()
      and signal.getsignal(signal.SIGINT) is signal.default_int_handler):
    signal.signal(signal.SIGINT, signal.SIG_DFL)
  for stream in sys.stderr, sys.stdout:
    try:
      stream.flush()
    except OSError:
      _discard(stream)


class _Output(io.TextIOWrapper):
  """Standard output, whose errors say what they are about."""

  def write(self, text: str) -> int:
    with _named():
      return super().write(text)

  def flush(self) -> None:
    with _named():
      super().flush()


@contextlib.contextmanager
def _named() -> Iterator[None]:
  try:
    yield
  except OSError as error:
    error.filename = 'standard output'
    raise


def _is_open(number: int) -> bool:
  try:
    os.fstat(number)
  except OSError as error:
    return error.errno != errno.EBADF
  return True


def _discard(stream) -> None:
  """Lets a stream lead nowhere, with what it still holds."""
  nowhere = os.open(os.devnull, os.O_WRONLY)
  os.dup2(nowhere, stream.fileno())
  os.close(nowhere)


def _in_ascii(error: UnicodeError) -> tuple[str, int]:
  if not isinstance(error, UnicodeEncodeError):
    raise error
  text = error.object[error.start:error.end]
  return ''.join(
      _ASCII.get(x) or x.encode('ascii', 'backslashreplace').decode()
      for x in text), error.end

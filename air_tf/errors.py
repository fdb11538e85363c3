"""The ways in which a command ends early that are not bugs.

Scripts in `bin/` print the text of these as one line, without a traceback, and
exit with their `exit_code`. Any other exception is a bug and keeps its
traceback.
"""

import signal

__all__ = ['Diverged', 'EXPECTED', 'Interrupted', 'UserError', 'WorkerLost',
           'one_line']


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


EXPECTED = (UserError, Diverged, Interrupted, WorkerLost)


def one_line(error: Exception) -> str:
  """Returns the text of `error` on one line, or its type if it has none."""
  return ' '.join(str(error).split()) or type(error).__name__

"""Signals that ask a training run, or one that waits, to stop."""

from collections.abc import Iterator
import contextlib
import signal
import threading
from typing import Any

from air_tf import errors

__all__ = ['raised', 'received']


@contextlib.contextmanager
def received() -> Iterator[list[int]]:
  """Yields a list to which SIGINT and SIGTERM are added as they arrive.

  A second signal of a kind acts as usual, so that a run that hangs can be
  stopped.
  """
  numbers: list[int] = []

  def note(number, frame):
    del frame
    numbers.append(number)
    signal.signal(number, signal.SIG_DFL)

  with _handled_by(note):
    yield numbers


@contextlib.contextmanager
def raised(message: str) -> Iterator[None]:
  """Returns a context in which SIGINT and SIGTERM raise at once.

  Args:
    message: of the `errors.Interrupted` that is raised.
  """
  def stop(number, frame):
    del frame
    raise _Stopped(number)

  try:
    with _handled_by(stop):
      yield
  except _Stopped as stopped:
    raise errors.Interrupted(stopped.args[0], message) from None


class _Stopped(BaseException):
  """No `Exception`: whoever handles those, as `logging`, must not catch it."""


@contextlib.contextmanager
def _handled_by(handler: Any) -> Iterator[None]:
  previous = {}
  if threading.current_thread() is threading.main_thread():  # Python's rule.
    previous = {number: signal.signal(number, handler)
                for number in (signal.SIGINT, signal.SIGTERM)}
  try:
    yield
  finally:
    for number, handler in previous.items():
      signal.signal(number, handler)

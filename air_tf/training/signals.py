"""Signals that ask a training run to stop."""

from collections.abc import Iterator
import contextlib
import signal

__all__ = ['received']


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

  previous = {number: signal.signal(number, note)
              for number in (signal.SIGINT, signal.SIGTERM)}
  try:
    yield numbers
  finally:
    for number, handler in previous.items():
      signal.signal(number, handler)

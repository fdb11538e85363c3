"""What a terminal shows while something takes long: lines and bars.

Both go to standard error, and only where information is logged at all, as in
the scripts of `bin/`: code that merely imports this package sees nothing. A bar
is drawn on a terminal; where standard error is a file or a pipe, there is a
line from time to time instead.
"""

from collections.abc import Iterable
from collections.abc import Iterator
import contextlib
import sys
import time

from absl import logging
import tqdm

__all__ = ['AboveBars', 'Bar', 'bar', 'duration', 'status', 'track']

_FORMAT = '{desc} {percentage:3.0f}% |{bar}| {n_fmt}/{total_fmt}{postfix}'
_SECONDS_BETWEEN_LINES = 10.


def status(text: str) -> None:
  """Says in one line what is being done."""
  logging.info('%s', text)


def duration(seconds: float) -> str:
  """Returns seconds for people: `8 s`, `2 min 5 s`, `1 h 4 min`."""
  seconds = round(seconds)
  if seconds < 60:
    return f'{seconds} s'
  minutes, seconds = divmod(seconds, 60)
  if minutes < 60:
    return f'{minutes} min {seconds} s'
  return f'{minutes // 60} h {minutes % 60} min'


class Bar:
  """How far something has come, out of a known total.

  Attributes:
    shown: whether a bar is drawn; otherwise `lines` may be written.
  """

  def __init__(self, total: int, what: str, initial: int = 0,
               lines: bool = True):
    """Draws an empty bar.

    Args:
      total: units in all.
      what: what is being done; stands in front of the bar.
      initial: units done earlier.
      lines: whether to write lines where no bar can be drawn.
    """
    self._what, self._total, self._done = what, total, initial
    self._lines = lines and logging.level_info()
    self.shown = logging.level_info() and sys.stderr.isatty()
    self._tqdm = tqdm.tqdm(
        total=total, initial=initial, desc=what, disable=not self.shown,
        bar_format=_FORMAT, dynamic_ncols=True, file=sys.stderr)
    self._last_line = time.monotonic()
    self._next = ''
    self.start_clock()

  def start_clock(self) -> None:
    """Estimates the time left from here on: what came before was slower."""
    self._since = time.monotonic(), self._done

  def describe(self, what: str) -> None:
    """Says what is being done now."""
    self._what = what
    self._tqdm.set_description_str(what)

  def compiling(self, what: str) -> None:
    """Says that `what` is compiled, until the first unit of it is done."""
    self.describe(f'{what}: compiling')
    self._next = what

  def update(self, units: int = 1, text: str = '') -> None:
    """Moves on.

    Args:
      units: done since the last call.
      text: further numbers, shown behind the bar.
    """
    self._done += units
    if self._next:
      self.describe(self._next)
      self.start_clock()
      self._next = ''
    left = self.time_left()
    after = ', '.join(part for part in (text, left) if part)
    self._tqdm.set_postfix_str(after, refresh=False)
    self._tqdm.update(units)
    self._tqdm.refresh()
    if not self.shown and self._lines and self._line_is_due():
      status(f'{self._what}: {self._done:,} of {self._total:,}'
             + (f', {after}' if after else ''))

  def time_left(self) -> str:
    """Returns, for example, `about 20 s left`; empty if nobody can say."""
    since, done = self._since
    if not done < self._done < self._total:
      return ''
    passed = time.monotonic() - since
    left = passed * (self._total - self._done) / (self._done - done)
    return f'{duration(left)} left'

  def close(self) -> None:
    """Leaves the bar as it is and lets lines follow."""
    self._tqdm.close()

  def _line_is_due(self) -> bool:
    now = time.monotonic()
    due = now - self._last_line >= _SECONDS_BETWEEN_LINES
    if due:
      self._last_line = now
    return due


@contextlib.contextmanager
def bar(total: int, what: str, initial: int = 0,
        lines: bool = True) -> Iterator[Bar]:
  """Shows a `Bar` inside of a `with` statement; see there for the arguments."""
  shown = Bar(total, what, initial, lines)
  try:
    yield shown
  finally:
    shown.close()


def track(items: Iterable, what: str) -> Iterator:
  """Yields the items of a collection beside a bar."""
  items = list(items)
  with bar(len(items), what) as shown:
    for item in items:
      yield item
      shown.update()


class AboveBars:
  """A text stream that writes to standard error and keeps bars whole."""

  def write(self, text: str) -> None:
    """Writes text, above the bars if there are any.

    Where standard error is full or gone, the text is lost: the work goes on.
    """
    with (contextlib.suppress(OSError),
          tqdm.tqdm.external_write_mode(file=sys.stderr)):
      sys.stderr.write(text)

  def flush(self) -> None:
    """Sends everything to the terminal."""
    with contextlib.suppress(OSError):
      sys.stderr.flush()

  def close(self) -> None:
    """Does nothing: standard error stays open."""

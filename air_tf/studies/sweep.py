"""Many training runs, and how each ended; `launchers` says where they run.

In the folder of a run, `sweep.json` records how it ended and `sweep.log` its
output. A run that succeeded or diverged is not started again; one that was
killed, or failed otherwise, resumes from its checkpoint.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
import json
import pathlib
import signal
from typing import NamedTuple
from typing import Protocol

from absl import logging

from air_tf import errors
from air_tf import files
from air_tf import flagfiles
from air_tf import paths

__all__ = ['LOG', 'Launcher', 'OUTCOME', 'Outcome', 'Run', 'interrupted',
           'missing', 'outcome', 'record', 'require_a_success']

# In the folder of a run: how it ended, and what it said.
OUTCOME, LOG = 'sweep.json', 'sweep.log'
# Exit codes of runs that would end in the same way again.
_FINAL = (0, errors.Diverged.exit_code)


class Run(NamedTuple):
  """One training run."""
  folder: pathlib.Path
  arguments: tuple[str, ...]  # Of bin/train.py, without --logdir.


class Outcome(NamedTuple):
  """How a run ended."""
  exit_code: int  # Below 0: killed by that signal.
  error: str      # Last line on standard error; empty if the run succeeded.


class Launcher(Protocol):
  """Where runs are made, for instance by processes of this machine."""

  def run_all(self, runs: Sequence[Run],
              on_end: Callable[[], None] = lambda: None) -> None:
    """Makes all runs that are missing.

    Args:
      runs: in the order in which they are started.
      on_end: called whenever runs have ended.

    Raises:
      errors.UserError: if a run refuses its flags or files, as all others
        would, or if nothing can be run there.
      errors.Interrupted: on SIGINT, after all runs have been saved.
    """


def missing(runs: Sequence[Run]) -> list[Run]:
  """Returns the runs that have not ended well or diverged, in their order."""
  found = [run for run in runs if not (
      (ended := outcome(run)) and ended.exit_code in _FINAL)]
  logging.info('%d runs, %d of them finished before.', len(runs),
               len(runs) - len(found))
  return found


def outcome(run: Run) -> Outcome | None:
  """Returns how a run ended; None if it did not, or had other arguments."""
  try:
    saved = json.loads(paths.read_regular(run.folder / OUTCOME, 2**20))
    if (saved['arguments'] == list(run.arguments)
        and saved.get('flags') in (None, _flags(run))):
      return Outcome(int(saved['exit_code']), str(saved['error']))
  except (OSError, ValueError, KeyError, TypeError, RecursionError):
    pass
  return None


def record(run: Run, exit_code: int, error: str = '') -> Outcome:
  """Records how a run ended, and returns it.

  Args:
    run: that ended.
    exit_code: of its process; below 0, killed by that signal.
    error: why it failed; the last line of its output, if empty.

  Raises:
    errors.UserError: if it refused its flags or files; it has no outcome.
  """
  if exit_code and not error:
    lines = (run.folder / LOG).read_text(errors='replace').splitlines()
    error = (lines or ['no message'])[-1]
  if exit_code == errors.UserError.exit_code:
    raise errors.UserError(f'{run.folder}: {error}')
  files.write_text(run.folder / OUTCOME, json.dumps({
      'arguments': list(run.arguments), 'flags': _flags(run),
      'exit_code': exit_code, 'error': error}))
  if exit_code != 0:
    logging.warning('%s ended with exit code %d: %s', run.folder, exit_code,
                    error)
  return Outcome(exit_code, error)


def _flags(run: Run) -> list[str] | None:
  """Returns the arguments with what is in flagfiles now; None if one is gone.
  """
  try:
    with flagfiles.on_its_own():
      return flagfiles.expand(run.arguments)
  except errors.UserError:
    return None


def interrupted() -> errors.Interrupted:
  """Returns what a launcher raises on SIGINT, when its runs have saved."""
  return errors.Interrupted(
      signal.SIGINT, 'all runs are saved; the same command resumes.')


def require_a_success(runs: Iterable[Run]) -> None:
  """Checks that at least one run has ended well.

  Raises:
    errors.Diverged: if all runs diverged.
    errors.UserError: if none ended well, and some for another reason.
  """
  codes = {}
  for run in runs:
    ended = outcome(run) or Outcome(-1, 'it did not end')
    codes.setdefault(ended.exit_code, (run, ended.error))
  if 0 in codes or not codes:
    return
  kind = (errors.Diverged if set(codes) == {errors.Diverged.exit_code}
          else errors.UserError)
  run, reason = codes[max(codes, key=lambda x: x != errors.Diverged.exit_code)]
  raise kind(f'no run ended well; the first is {run.folder}: {reason}. All of '
             f'its output is in {LOG} there.')

"""Many training runs, each in its own process, a few at a time.

In the folder of a run, `sweep.json` records how it ended and `sweep.log` its
output. A run that succeeded or diverged is not started again; one that was
killed, or failed otherwise, resumes from its checkpoint.
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
import ctypes
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
from typing import NamedTuple

from absl import logging

from air_tf import errors
from air_tf import files
from air_tf import paths

__all__ = ['OUTCOME', 'Outcome', 'Run', 'outcome', 'require_a_success',
           'run_all', 'share_of_cores']

OUTCOME = 'sweep.json'  # In the folder of a run that ended.
_POLL_SECONDS = .2
_ATTEMPTS = 2  # Of a run that is killed, for instance for lack of memory.
# Exit codes of runs that would end in the same way again.
_FINAL = (0, errors.Diverged.exit_code)
_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>.


class Run(NamedTuple):
  """One training run."""
  folder: pathlib.Path
  arguments: tuple[str, ...]  # Of bin/train.py, without --logdir.


class Outcome(NamedTuple):
  """How a run ended."""
  exit_code: int  # Below 0: killed by that signal.
  error: str      # Last line on standard error; empty if the run succeeded.


class _Process(NamedTuple):
  run: Run
  slot: int
  attempt: int
  process: subprocess.Popen


def run_all(runs: Sequence[Run], script: pathlib.Path, jobs: int,
            on_end: Callable[[], None] = lambda: None) -> None:
  """Makes all runs that are not finished, `jobs` at a time.

  Each job gets its share of the cores: of two jobs on two cores, one each.

  Args:
    runs: in the order in which they are started.
    script: bin/train.py.
    jobs: processes at a time, at least 1.
    on_end: called whenever runs have ended.

  Raises:
    errors.UserError: if a run refuses its flags or files, as all others would.
    errors.Interrupted: on SIGINT, after all runs have been saved.
  """
  finished = [run for run in runs
              if (ended := outcome(run)) and ended.exit_code in _FINAL]
  waiting = [(run, 1) for run in runs if run not in finished]
  logging.info('%d runs, %d of them finished before.', len(runs),
               len(finished))
  running: list[_Process] = []
  try:
    _run_waiting(waiting, running, script, jobs, len(runs), on_end)
  except KeyboardInterrupt:
    raise errors.Interrupted(
        signal.SIGINT,
        'all runs are saved; the same command resumes.') from None
  finally:
    for unfinished in running:
      unfinished.process.terminate()
    for unfinished in running:
      unfinished.process.wait()


def _run_waiting(waiting: list[tuple[Run, int]], running: list[_Process],
                 script: pathlib.Path, jobs: int, total: int,
                 on_end: Callable[[], None]) -> None:
  """Starts waiting (run, attempt) pairs as slots get free, until all ended."""
  while waiting or running:
    while waiting and len(running) < jobs:
      slot = min(set(range(jobs)) - {x.slot for x in running})
      run, attempt = waiting.pop(0)
      running.append(_Process(
          run, slot, attempt, _start(run, script, slot, jobs)))
    time.sleep(_POLL_SECONDS)
    all_ended = [x for x in running if x.process.poll() is not None]
    for ended in all_ended:
      running.remove(ended)
      if _end(ended).exit_code < 0 and ended.attempt < _ATTEMPTS:
        waiting.insert(0, (ended.run, ended.attempt + 1))
      else:
        logging.info('%d of %d runs are done.',
                     total - len(waiting) - len(running), total)
    if all_ended:
      on_end()


def outcome(run: Run) -> Outcome | None:
  """Returns how a run ended; None if it did not, or had other arguments."""
  try:
    saved = json.loads(paths.read_regular(run.folder / OUTCOME, 2**20))
    if saved['arguments'] == list(run.arguments):
      return Outcome(int(saved['exit_code']), str(saved['error']))
  except (OSError, ValueError, KeyError, TypeError, RecursionError):
    pass
  return None


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
  run, reason = codes[max(codes, key=lambda x: x != kind.exit_code)]
  raise kind(f'no run ended well; the first is {run.folder}: {reason}. All of '
             'its output is in sweep.log there.')


def _start(run: Run, script: pathlib.Path, slot: int,
           jobs: int) -> subprocess.Popen:
  run.folder.mkdir(parents=True, exist_ok=True)
  (run.folder / OUTCOME).unlink(missing_ok=True)
  cores = share_of_cores(slot, jobs)
  threads = str(len(cores) or max(1, (os.cpu_count() or 1) // jobs))
  # For libraries that ignore the affinity.
  environment = os.environ | {name: threads for name in (
      'OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'TF_NUM_INTRAOP_THREADS',
      'TF_NUM_INTEROP_THREADS')}
  logging.info('Starting %s.', run.folder)
  with open(run.folder / 'sweep.log', 'a') as log:
    return subprocess.Popen(
        [sys.executable, str(script), *run.arguments,
         f'--logdir={run.folder}'],
        stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment,
        preexec_fn=_prepare(cores) if cores else None)


def share_of_cores(slot: int, jobs: int) -> list[int]:
  """Returns the cores of one of `jobs` slots; none if they cannot be set."""
  if not hasattr(os, 'sched_setaffinity'):
    return []
  mine = sorted(os.sched_getaffinity(0))
  return mine[slot::jobs] or mine


def _prepare(cores: list[int]) -> Callable[[], None]:
  """Returns what a child does first: binds to its cores and to its parent."""
  prctl = getattr(ctypes.CDLL(None), 'prctl', lambda *_: 0)
  def prepare() -> None:
    os.sched_setaffinity(0, cores)
    # If the parent dies, this signal makes the child save and end.
    prctl(_PARENT_DEATH_SIGNAL, signal.SIGTERM)
  return prepare


def _end(ended: _Process) -> Outcome:
  """Records how a process ended."""
  run, code = ended.run, ended.process.returncode
  lines = (run.folder / 'sweep.log').read_text(errors='replace').splitlines()
  error = '' if code == 0 else (lines or ['no message'])[-1]
  if code == errors.UserError.exit_code:
    raise errors.UserError(f'{run.folder}: {error}')
  files.write_text(run.folder / OUTCOME, json.dumps({
      'arguments': list(run.arguments), 'exit_code': code, 'error': error}))
  if code != 0:
    logging.warning('%s ended with exit code %d: %s', run.folder, code, error)
  return Outcome(code, error)

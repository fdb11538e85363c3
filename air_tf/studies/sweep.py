"""Many training runs in processes of their own, some at a time.

Every run has a folder, in which `sweep.json` says how it ended and `sweep.log`
what it wrote. A run that ended well, or diverged, is not started again; one
that was killed or failed otherwise goes on from its checkpoint.
"""

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

__all__ = ['Outcome', 'Run', 'outcome', 'run_all']

_POLL_SECONDS = .2
_ATTEMPTS = 2  # Of a run that is killed, by lack of memory for instance.
_FINAL = (0, errors.Diverged.exit_code)  # More training would change nothing.
_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>.


class Run(NamedTuple):
  """One training run to be made."""
  folder: pathlib.Path
  arguments: tuple[str, ...]  # Of bin/train.py, without --logdir.


class Outcome(NamedTuple):
  """How a run ended."""
  exit_code: int  # Below 0: killed by that signal.
  error: str      # Last line on standard error; empty if all went well.


class _Process(NamedTuple):
  run: Run
  slot: int
  attempt: int
  process: subprocess.Popen


def run_all(runs: Sequence[Run], script: pathlib.Path, jobs: int) -> None:
  """Makes all runs that are not made yet, `jobs` at a time.

  The cores are shared out: with two jobs on two cores, each has one.

  Args:
    runs: in the order in which they are started.
    script: bin/train.py.
    jobs: processes at a time, at least 1.

  Raises:
    errors.UserError: if a run refuses its flags or files; all others would too.
    errors.Interrupted: on SIGINT, with all runs saved by themselves.
  """
  finished = [run for run in runs
              if (ended := outcome(run)) and ended.exit_code in _FINAL]
  waiting = [(run, 1) for run in runs if run not in finished]
  num_done = len(finished)
  logging.info('%d runs, %d of them finished before.', len(runs),
               len(finished))
  running: list[_Process] = []
  try:
    while waiting or running:
      while waiting and len(running) < jobs:
        slot = min(set(range(jobs)) - {x.slot for x in running})
        run, attempt = waiting.pop(0)
        running.append(_Process(
            run, slot, attempt, _start(run, script, slot, jobs)))
      time.sleep(_POLL_SECONDS)
      for ended in [x for x in running if x.process.poll() is not None]:
        running.remove(ended)
        if _end(ended).exit_code < 0 and ended.attempt < _ATTEMPTS:
          waiting.insert(0, (ended.run, ended.attempt + 1))
        else:
          num_done += 1
          logging.info('%d of %d runs are done.', num_done, len(runs))
  except KeyboardInterrupt:
    raise errors.Interrupted(
        signal.SIGINT,
        'the runs are saved; the same command goes on.') from None
  finally:
    for left in running:
      left.process.terminate()
    for left in running:
      left.process.wait()


def outcome(run: Run) -> Outcome | None:
  """How the run ended; None if it never did, or with other arguments."""
  try:
    found = json.loads((run.folder / 'sweep.json').read_text())
    if found['arguments'] == list(run.arguments):
      return Outcome(int(found['exit_code']), str(found['error']))
  except (OSError, ValueError, KeyError, TypeError):
    pass
  return None


def _start(run: Run, script, slot: int, jobs: int) -> subprocess.Popen:
  run.folder.mkdir(parents=True, exist_ok=True)
  (run.folder / 'sweep.json').unlink(missing_ok=True)
  cores = _cores(slot, jobs)
  threads = str(len(cores) or max(1, (os.cpu_count() or 1) // jobs))
  # For the libraries that do not look at the affinity.
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


def _cores(slot: int, jobs: int) -> list[int]:
  """The cores of one of `jobs` slots; none where they cannot be chosen."""
  if not hasattr(os, 'sched_setaffinity'):
    return []
  mine = sorted(os.sched_getaffinity(0))
  return mine[slot::jobs] or mine


def _prepare(cores: list[int]):
  """What a child does first: takes its cores, and dies with its parent."""
  prctl = getattr(ctypes.CDLL(None), 'prctl', lambda *_: 0)
  def prepare():
    os.sched_setaffinity(0, cores)
    prctl(_PARENT_DEATH_SIGNAL, signal.SIGTERM)  # Which makes it save.
  return prepare


def _end(ended: _Process) -> Outcome:
  """Notes how a process ended."""
  run, code = ended.run, ended.process.returncode
  lines = (run.folder / 'sweep.log').read_text(errors='replace').splitlines()
  error = '' if code == 0 else (lines or ['no message'])[-1]
  if code == errors.UserError.exit_code:
    raise errors.UserError(f'{run.folder}: {error}')
  files.write_text(run.folder / 'sweep.json', json.dumps({
      'arguments': list(run.arguments), 'exit_code': code, 'error': error}))
  if code != 0:
    logging.warning('%s ended with exit code %d: %s', run.folder, code, error)
  return Outcome(code, error)

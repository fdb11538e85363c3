"""Runs as processes of this machine, a few at a time."""

from collections.abc import Callable
from collections.abc import Sequence
import ctypes
import os
import pathlib
import signal
import subprocess
import sys
import time
from typing import NamedTuple

from absl import logging

from air_tf import folder_lock
from air_tf.studies import sweep

__all__ = ['Local', 'share_of_cores']

_POLL_SECONDS = .2
_ATTEMPTS = 2  # Of a run that is killed, for instance for lack of memory.
_PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>.


class _Process(NamedTuple):
  run: sweep.Run
  slot: int
  attempt: int
  process: subprocess.Popen


class Local:
  """A `sweep.Launcher`. Each job gets its share of the cores: of two jobs on
  two cores, one each.
  """

  def __init__(self, script: pathlib.Path, jobs: int,
               threads: int | None = None,
               stop: signal.Signals = signal.SIGTERM):
    """Remembers how to start a run.

    Args:
      script: bin/train.py.
      jobs: processes at a time, at least 1.
      threads: of each, where others share out the cores; one for each of its
        cores, if None.
      stop: sent to the runs on `KeyboardInterrupt`. A second signal of a kind
        ends a run at once: not the one that they got with this process.
    """
    self._script, self._jobs = script, jobs
    self._threads, self._stop = threads, stop
    self._waiting: list[tuple[sweep.Run, int]] = []  # With their attempts.
    self._running: list[_Process] = []

  def run_all(self, runs: Sequence[sweep.Run],
              on_end: Callable[[], None] = lambda: None) -> None:
    """As `sweep.Launcher`; a run that was killed is made again once."""
    self._waiting = [(run, 1) for run in sweep.missing(runs)]
    try:
      self._run_waiting(len(runs), on_end)
    except KeyboardInterrupt:
      raise sweep.interrupted() from None
    finally:
      for unfinished in self._running:
        unfinished.process.send_signal(self._stop)
      for unfinished in self._running:
        unfinished.process.wait()
      self._running = []

  def _run_waiting(self, total: int, on_end: Callable[[], None]) -> None:
    """Starts waiting runs as slots get free, until all ended."""
    waiting, running = self._waiting, self._running
    while waiting or running:
      while waiting and len(running) < self._jobs:
        slot = min(set(range(self._jobs)) - {x.slot for x in running})
        run, attempt = waiting.pop(0)
        running.append(_Process(
            run, slot, attempt, self._start(run, slot)))
      time.sleep(_POLL_SECONDS)
      all_ended = [x for x in running if x.process.poll() is not None]
      for ended in all_ended:
        running.remove(ended)
        code = sweep.record(ended.run, ended.process.returncode).exit_code
        if code < 0 and ended.attempt < _ATTEMPTS:
          waiting.insert(0, (ended.run, ended.attempt + 1))
        else:
          logging.info('%d of %d runs are done.',
                       total - len(waiting) - len(running), total)
      if all_ended:
        on_end()

  def _start(self, run: sweep.Run, slot: int) -> subprocess.Popen:
    run.folder.mkdir(parents=True, exist_ok=True)
    folder_lock.wait(run.folder)  # It may be saving after a sweep that died.
    (run.folder / sweep.OUTCOME).unlink(missing_ok=True)
    cores = share_of_cores(slot, self._jobs)
    threads = self._threads or len(cores) or max(
        1, (os.cpu_count() or 1) // self._jobs)
    # For libraries that ignore the affinity.
    environment = os.environ | {name: str(threads) for name in (
        'OMP_NUM_THREADS', 'OPENBLAS_NUM_THREADS', 'TF_NUM_INTRAOP_THREADS',
        'TF_NUM_INTEROP_THREADS')}
    logging.info('Starting %s.', run.folder)
    with open(run.folder / sweep.LOG, 'a') as log:
      return subprocess.Popen(
          [sys.executable, str(self._script), *run.arguments,
           f'--logdir={run.folder}'],
          stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment,
          preexec_fn=_prepare(cores))


def share_of_cores(slot: int, jobs: int) -> list[int]:
  """Returns the cores of one of `jobs` slots; none if they cannot be set."""
  if not hasattr(os, 'sched_setaffinity'):
    return []
  mine = sorted(os.sched_getaffinity(0))
  return mine[slot::jobs] or mine


def _prepare(cores: list[int]) -> Callable[[], None] | None:
  """Returns what a child does first: binds to its cores and to its parent."""
  if sys.platform != 'linux':
    return None
  prctl = getattr(ctypes.CDLL(None), 'prctl', lambda *_: 0)
  def prepare() -> None:
    if cores:
      os.sched_setaffinity(0, cores)
    # If the parent dies, this signal makes the child save and end.
    prctl(_PARENT_DEATH_SIGNAL, signal.SIGTERM)
  return prepare

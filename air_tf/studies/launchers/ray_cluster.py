"""Runs as tasks of Ray, on this machine or on a cluster.

All nodes need what the runs need: this package under the same path, the same
Python environment, and a file system shared by them that holds --logdir.
"""

from collections.abc import Callable
from collections.abc import Sequence
import contextlib
import logging as standard_logging
import os
import pathlib
import signal
import socket
import sys

from absl import logging

from air_tf import errors
from air_tf.studies import sweep
from air_tf.studies.launchers import task

__all__ = ['RayCluster', 'require_ray']

_RETRIES = 3  # Of a run whose worker or node is lost; Ray's own default.
_SECONDS = 10.  # To reach the head of a cluster.
_POLL_SECONDS = 1.
_KILLED = -signal.SIGKILL  # What is recorded of a run that was lost.


class RayCluster:
  """A `sweep.Launcher`.

  A run that is killed is made again where it ran; one whose worker or node is
  lost, elsewhere. Both resume from their checkpoints.
  """

  def __init__(self, script: pathlib.Path, address: str, cores: int,
               gpus: float = 0., at_a_time: int | None = None):
    """Connects to a cluster, or starts one.

    Args:
      script: bin/train.py.
      address: 'auto', HOST:PORT or ray://HOST:PORT of a cluster; if empty, one
        is started on this machine.
      cores: for each run.
      gpus: for each run; a fraction shares one.
      at_a_time: the most that run at a time; as many as Ray finds place for, if
        None. Needed without an address.

    Raises:
      errors.UserError: if Ray is not installed, or the cluster out of reach.
    """
    require_ray()
    self._script, self._cores = script, cores
    self._gpus, self._at_a_time = gpus, at_a_time
    _connect(address, None if address else cores * at_a_time)

  def run_all(self, runs: Sequence[sweep.Run],
              on_end: Callable[[], None] = lambda: None) -> None:
    """As `sweep.Launcher`."""
    import ray
    waiting, running = sweep.missing(runs), {}
    remote = ray.remote(task.make).options(
        num_cpus=self._cores, num_gpus=self._gpus, max_retries=_RETRIES)
    at_a_time = self._at_a_time or len(runs)
    try:
      # Ray says on standard output what it lost: that is for results.
      with contextlib.redirect_stdout(sys.stderr):
        while waiting or running:
          while waiting and len(running) < at_a_time:
            run = waiting.pop(0)
            running[remote.remote(
                run, self._script, os.getcwd(), self._cores)] = run
          ended, _ = ray.wait(list(running), timeout=_POLL_SECONDS)
          for reference in ended:
            _end(reference, running.pop(reference))
            logging.info('%d of %d runs are done.',
                         len(runs) - len(waiting) - len(running), len(runs))
          if ended:
            on_end()
    except KeyboardInterrupt:
      raise sweep.interrupted() from None
    finally:
      for reference in running:
        ray.cancel(reference)  # `KeyboardInterrupt` in the task, which saves.
      if running:
        ray.wait(list(running), num_returns=len(running))
      ray.shutdown()


def require_ray() -> None:
  """Raises `UserError` if Ray is not installed."""
  try:
    import ray  # noqa: F401
  except ImportError:
    raise errors.UserError(
        '--launcher=ray: found no Ray; expected the package ray. Install it: '
        'pip install -r requirements-ray.txt') from None


def _connect(address: str, num_cpus: int | None) -> None:
  import ray
  _require_head(address)
  path = os.pathsep.join(
      [task.ROOT, *filter(None, [os.environ.get('PYTHONPATH')])])
  try:
    ray.init(address=address or 'local', num_cpus=num_cpus,
             include_dashboard=None if address else False, log_to_driver=False,
             logging_level=standard_logging.ERROR,
             runtime_env={'env_vars': {'PYTHONPATH': path}})
  except Exception as error:  # Ray raises even that itself.
    reason = errors.one_line(error)[:200]
    if address:
      raise _unreachable(address, reason) from error
    raise errors.UserError(
        f'--launcher=ray: Ray does not start on this machine ({reason}); '
        'expected one that is not too busy. Try again, or give --ray_address '
        'of a cluster.') from error


def _require_head(address: str) -> None:
  """Checks that somebody listens there: Ray itself tries for many minutes."""
  host, colon, port = address.removeprefix('ray://').rpartition(':')
  if not colon:
    if address not in ('', 'auto'):
      raise _unreachable(address, 'no port in it')
    return
  try:
    socket.create_connection((host.strip('[]'), int(port)), _SECONDS).close()
  except (OSError, ValueError) as error:
    raise _unreachable(address, errors.one_line(error)) from error


def _unreachable(address: str, reason: str) -> errors.UserError:
  return errors.UserError(
      f'--ray_address={address}: found no cluster ({reason}); expected auto, '
      'HOST:PORT or ray://HOST:PORT of one of the same versions of Ray and '
      'Python.')


def _end(reference, run: sweep.Run) -> None:
  """Takes note of a task that ended; how the run did, it has recorded itself.

  Raises:
    errors.UserError: if the run refused its flags or files.
  """
  import ray
  try:
    ray.get(reference)
  except ray.exceptions.RayTaskError as error:
    raise errors.UserError(errors.one_line(error.cause)) from error
  except ray.exceptions.RayError as error:
    sweep.record(run, _KILLED, f'it was lost {_RETRIES + 1} times: '
                 f'{errors.one_line(error)[:200]}')
  else:
    ended = sweep.outcome(run)
    if ended is None:
      raise errors.UserError(
          f'{run.folder}: found no record of a run that ended on another node; '
          'expected --logdir on a file system that all nodes share.')
    if ended.exit_code:
      logging.warning('%s ended with exit code %d: %s', run.folder,
                      ended.exit_code, ended.error)

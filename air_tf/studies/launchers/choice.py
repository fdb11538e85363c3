"""Makes runs where --launcher says."""

from collections.abc import Callable
from collections.abc import Sequence
import pathlib
import shlex
from typing import NamedTuple

from air_tf import progress
from air_tf.studies import sweep
from air_tf.studies.launchers import local
from air_tf.studies.launchers import ray_cluster
from air_tf.studies.launchers import slurm

__all__ = ['LaunchOptions', 'launch']


class LaunchOptions(NamedTuple):
  """What runs are made with, and on what."""
  script: pathlib.Path    # bin/train.py.
  logdir: str             # Of the sweep.
  jobs: int               # Runs at a time on this machine.
  at_a_time: int | None   # The same on another; None: as many as find place.
  address: str = ''       # Of Ray's cluster; empty: one on this machine.
  cores: int = 1          # For each run, with Ray or SLURM.
  gpus: int = 0           # Likewise.


def launch(launcher: str, runs: Sequence[sweep.Run], options: LaunchOptions,
           on_end: Callable[[], None]) -> str | None:
  """Makes the runs that are missing, or has a script make them.

  Args:
    launcher: 'local', 'ray' or 'slurm'.
    runs: of a sweep.
    options: how they are made.
    on_end: called whenever one has ended.

  Returns:
    The path of the script that is to make them, if there is one.
  """
  if launcher == 'slurm':
    return _write_job_array(sweep.missing(runs), options)
  if launcher == 'ray':
    made_by = ray_cluster.RayCluster(
        options.script, options.address, options.cores, options.gpus,
        options.jobs)
  else:
    made_by = local.Local(options.script, options.jobs)
  made_by.run_all(runs, on_end)
  return None


def _write_job_array(missing: Sequence[sweep.Run],
                     options: LaunchOptions) -> str | None:
  if not missing:
    return None
  path = str(slurm.write(
      missing, options.script, options.logdir, options.cores,
      options.gpus, options.at_a_time))
  progress.status(f'{len(missing)} runs to make: sbatch {shlex.quote(path)}. '
                  'Then the same command writes the report.')
  return path

"""A SLURM job array with a task for each run that is missing.

The script is written, not submitted: `sbatch` takes partition, account and time
limit, which every cluster has its own way of, in front of its path.
"""

from collections.abc import Sequence
import hashlib
import os
import pathlib
import shlex
import sys

from air_tf import files
from air_tf.studies import sweep
from air_tf.studies.launchers import task

__all__ = ['SCRIPT', 'write']

SCRIPT = 'sweep.sbatch'  # In the folder of the sweep.

# SIGTERM two minutes before the time limit, to the run and not to the shell:
# it saves. --requeue: a task that is preempted comes back by itself.
_TEXT = """\
#!/bin/bash
#SBATCH --job-name=air_tf_sweep
#SBATCH --array={array}
#SBATCH --ntasks=1
#SBATCH --cpus-per-task={cores}
{gpus}#SBATCH --requeue
#SBATCH --signal=TERM@120
#SBATCH --output=/dev/null
# Each run's own output is in sweep.log of its folder.
export PYTHONPATH={path}${{PYTHONPATH:+:$PYTHONPATH}}
exec srun --cpus-per-task={cores} \\
  {python} -m air_tf.studies.launchers.task {runs} "$SLURM_ARRAY_TASK_ID"
"""


def write(runs: Sequence[sweep.Run], script: pathlib.Path, logdir: str,
          cores: int, gpus: int = 0, at_a_time: int | None = None
          ) -> pathlib.Path:
  """Writes the script, and the file of runs beside it.

  Args:
    runs: to make, at least one.
    script: bin/train.py.
    logdir: of the sweep, on a file system that all nodes share.
    cores: for each run.
    gpus: for each run.
    at_a_time: the most that run at a time; as many as SLURM finds place for,
      if None.

  Returns:
    The path of the script.

  Raises:
    errors.UserError: if it cannot be written.
  """
  folder = pathlib.Path(logdir).absolute()
  # Tasks of an array that is queued read theirs when they start.
  digest = hashlib.sha256(repr([*runs]).encode()).hexdigest()[:8]
  path = folder / f'sweep_runs.{digest}.json'
  task.save(path, runs, script, os.getcwd())
  text = _TEXT.format(
      array=f'0-{len(runs) - 1}' + (f'%{at_a_time}' if at_a_time else ''),
      cores=cores, gpus=f'#SBATCH --gpus-per-task={gpus}\n' if gpus else '',
      path=shlex.quote(task.ROOT), python=shlex.quote(sys.executable),
      runs=shlex.quote(str(path)))
  files.write_text(folder / SCRIPT, text)
  return folder / SCRIPT

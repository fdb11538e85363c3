"""One run of a sweep, on the machine to which an engine sent it.

    python -m air_tf.studies.launchers.task RUNS.json NUMBER

makes run NUMBER of those in a file, as a task of a SLURM array does; Ray calls
`make`.
"""

from collections.abc import Sequence
import contextlib
import json
import pathlib
import signal
import sys

from absl import logging

from air_tf import errors
from air_tf import files
from air_tf.studies import sweep
from air_tf.studies.launchers import local

__all__ = ['ROOT', 'main', 'make', 'save']

# Where `air_tf` is imported from.
ROOT = str(pathlib.Path(__file__).parents[3])


def make(run: sweep.Run, script: pathlib.Path, folder: str,
         threads: int | None = None) -> None:
  """Makes a run and records how it ended, as `local.Local` does.

  Args:
    run: its paths as seen from `folder`.
    script: bin/train.py.
    folder: where the sweep was started.
    threads: as `local.Local` takes it.

  Raises:
    errors.UserError: if the run refuses its flags or files.
    errors.Interrupted: on `KeyboardInterrupt`, after it has saved.
  """
  with contextlib.chdir(folder):
    # An engine's SIGTERM may reach the run, too.
    local.Local(script, 1, threads, stop=signal.SIGINT).run_all([run])


def save(path: pathlib.Path, runs: Sequence[sweep.Run], script: pathlib.Path,
         folder: str) -> None:
  """Writes the file of runs that `main` reads.

  Raises:
    errors.UserError: if it cannot be written.
  """
  files.write_text(path, json.dumps({
      'script': str(script), 'folder': folder, 'runs': [
          {'folder': str(run.folder), 'arguments': list(run.arguments)}
          for run in runs]}, indent=1))


def main(arguments: Sequence[str]) -> int:
  """Makes one run of a file; returns an exit code."""
  logging.set_verbosity(logging.INFO)
  path, number = arguments
  saved = json.loads(pathlib.Path(path).read_text())
  run = saved['runs'][int(number)]
  signal.signal(signal.SIGTERM, signal.default_int_handler)
  try:
    make(sweep.Run(pathlib.Path(run['folder']), tuple(run['arguments'])),
         pathlib.Path(saved['script']), saved['folder'])
  except errors.EXPECTED as error:
    print(error, file=sys.stderr)
    return error.exit_code
  return 0


if __name__ == '__main__':
  sys.exit(main(sys.argv[1:]))

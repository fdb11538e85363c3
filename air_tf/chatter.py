"""Keeps what libraries write about themselves off the terminal.

TensorFlow, XLA, Keras and CUDA report many things that are of use to their
developers. Errors always get through, and so do warnings that are not known to
be of no consequence here. `--verbosity=1` shows all.
"""

from collections.abc import Iterator
import contextlib
import logging as python_logging
import os
import pathlib
import re
import sys
import tempfile

from absl import logging

from air_tf import progress

__all__ = ['import_tensorflow', 'install']

_ROOT = pathlib.Path(__file__).parents[1]
_OURS = tuple(str(_ROOT / name) + os.sep for name in ('air_tf', 'bin', 'data'))
# Warnings of TensorFlow that say nothing a user could act upon.
_HARMLESS = re.compile('|'.join((
    r'contains input name\(s\)',          # A signature renames its inputs.
    r'triggered tf\.function retracing',  # A batch of another size.
    r'non-GPU devices in `tf\.distribute',
    r'multi_worker_mirrored|MultiWorkerMirroredStrategy|[Cc]ollective',
    r'Skipping full serialization',
    # Of checkpoints that do not fit, which are refused in one line.
    r'Checkpoint is being deleted with|^Value in checkpoint could not be found',
    r'^An attribute in the restored object could not be found',
    r'Sets are not currently considered sequences',  # Of Sonnet's getters.
    r'Compiled the loaded model, but')))
# Lines of native code that come before the level of messages applies.
_NATIVE = re.compile('|'.join((
    r'All log messages before absl::InitializeLog',
    r'^[IW]\d{4} \d', r'^\d{4}-\d\d-\d\d [\d:.]+: [IW] ',
    r'^To enable the following instructions', r'cuInit',
    r'Unable to register cu\w+ (factory|plugin)|cuda_(dnn|fft|blas)\.cc')))


def install() -> None:
  """Sends log records to standard error as plain lines, without chatter.

  Called once the flags are parsed, and before TensorFlow is imported.
  """
  handler = logging.get_absl_handler().python_handler
  handler.setFormatter(None)
  handler.setStream(progress.AboveBars())
  if _everything():
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '0')
  else:
    # Errors of native code come as exceptions too; at level 2 it complains
    # about absent GPUs.
    os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '3')
    handler.addFilter(_is_for_users)


def import_tensorflow() -> None:
  """Imports TensorFlow, and says so, since it takes seconds."""
  if 'tensorflow' in sys.modules:
    return
  # TensorFlow imports Keras 3, which imports scikit-learn and pyplot. No script
  # uses `tf.keras`; as legacy Keras it takes a second less.
  os.environ.setdefault('TF_USE_LEGACY_KERAS', '1')
  progress.status('Loading TensorFlow (about 5 s).')
  with contextlib.nullcontext() if _everything() else _filtered_stderr():
    import tensorflow  # noqa: F401


def _everything() -> bool:
  return logging.get_verbosity() >= logging.DEBUG


def _is_for_users(record: python_logging.LogRecord) -> bool:
  if (record.pathname.startswith(_OURS)
      or record.levelno >= python_logging.ERROR):
    return True
  return (record.levelno >= python_logging.WARNING
          and not _HARMLESS.search(record.getMessage()))


@contextlib.contextmanager
def _filtered_stderr() -> Iterator[None]:
  """Holds back what is written to file descriptor 2, and drops chatter."""
  sys.stderr.flush()
  with tempfile.TemporaryFile() as held:
    terminal = os.dup(2)
    os.dup2(held.fileno(), 2)
    try:
      yield
    finally:
      sys.stderr.flush()
      os.dup2(terminal, 2)
      os.close(terminal)
      held.seek(0)
      text = held.read().decode(errors='replace')
      for line in text.splitlines():
        if not _NATIVE.search(line):
          print(line, file=sys.stderr)

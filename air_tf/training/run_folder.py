"""The run folder: what a run was, how far it came, and how it went.

    config.json, flags.txt    what repeats the run
    scenes.json               fingerprint of its scenes
    versions.json             what it ran with
    metrics.jsonl             one line per evaluation
    checkpoints/              the last few states
    figures/, saved_model/, train/, test/   pictures, model, TensorBoard events
    .lock                     while it is trained: by which process
"""

from collections.abc import Iterator
import contextlib
import json
import os
import pathlib
import re
import types

from absl import logging
import tensorflow as tf

from air_tf import config as config_lib
from air_tf import errors
from air_tf import files
from air_tf import folder_lock
from air_tf import paths
from air_tf.data import fingerprint
from air_tf.training import checkpoints
from air_tf.training import metrics_file
from air_tf.training import projector
from air_tf.training import run_config

__all__ = ['RunFolder', 'Writer', 'writing']

# Taken from the scenes: if only these differ, the scenes are others.
_OF_SCENES = ('canvas_size', 'channels', 'range')
_FOLDERS = ('checkpoints', 'figures', 'train', 'test')
# May stand in the folder of a new run: output of the command and of its
# sweep, and what other programs put anywhere.
_HARMLESS = re.compile(
    r'.*\.(log|out|err)|sweep\.json|\.lock|\.DS_Store|\.gitignore|\.gitkeep')


class RunFolder:
  """A folder that holds a run; only read, never written."""

  def __init__(self, path: str | pathlib.Path):
    """Points at a folder; nothing is read yet."""
    self.path = pathlib.Path(path)
    self._checkpoints = checkpoints.Checkpoints(self.path / 'checkpoints')
    self._metrics = self.path / 'metrics.jsonl'

  def config(self) -> config_lib.Config:
    """Returns the configuration of the run; see `run_config.read`."""
    return run_config.read(self.path)

  def metrics(self) -> list[dict]:
    """Returns the lines of `metrics.jsonl`; see `metrics_file.read`."""
    return metrics_file.read(self._metrics)

  def saved(self) -> list[tuple[int, pathlib.Path]]:
    """Returns the (iteration, prefix) of each checkpoint, oldest first."""
    return self._checkpoints.saved()

  def restore(self, checkpoint: tf.train.Checkpoint) -> int:
    """Loads the newest checkpoint that can be read.

    Args:
      checkpoint: whose objects already have all their variables.

    Returns:
      Its iteration; 0 if there is no checkpoint.

    Raises:
      errors.UserError: if there are checkpoints and none can be read, or if the
        newest is that of another configuration.
    """
    return self._restore(checkpoint)[0]

  def scene_differences(self, found: dict) -> list[str]:
    """Returns how the scenes differ from those that the run began with.

    Args:
      found: what `fingerprint.of` returns now, or one split of it.

    Raises:
      errors.UserError: if `scenes.json` is damaged.
    """
    path = self.path / 'scenes.json'
    if not os.path.lexists(path):  # The run of an earlier version.
      return []
    try:
      return fingerprint.differences(
          json.loads(paths.read_regular(path, 2**20)), found)
    except (OSError, ValueError, RecursionError) as error:
      raise errors.UserError(
          f'{path}: cannot be read ({errors.one_line(error)[:200]}); expected '
          'what bin/train.py wrote. Remove it to take the scenes that are '
          'there now for those of the run.') from error

  def _restore(self, checkpoint) -> tuple[int, list[pathlib.Path]]:
    try:
      return self._checkpoints.restore(checkpoint)
    except checkpoints.DoesNotFit as error:
      changed = run_config.differences(self.path) or str(error)
      raise errors.UserError(
          f'{self.path / run_config.NAME}: found a configuration that does not '
          f'fit the checkpoints ({changed}); expected the one that they were '
          'trained with. Put it back.') from error


class Writer(RunFolder):
  """A run folder that this process writes, inside of a `with` statement.

  Every other process is refused meanwhile. Methods that write raise `UserError`
  if the folder cannot be written, and `DiskFull` if there is no room.
  """

  def __enter__(self) -> 'Writer':
    """Makes the folder and locks it.

    Raises:
      errors.UserError: if it is somebody else's: not empty and no run, or in
        use by another process.
    """
    self._lock = folder_lock.FolderLock(self.path)
    self._checked = None  # The configuration that may be written.
    with files.unwritable_as_user_error(f'--logdir={self.path}'):
      _require_run_or_empty(self.path)
      self._made = [
          x for x in (self.path, *self.path.parents) if not x.exists()]
      self.path.mkdir(parents=True, exist_ok=True)
      self._lock.acquire()
    return self

  def __exit__(self, kind: type[BaseException] | None,
               error: BaseException | None,
               traceback: types.TracebackType | None) -> None:
    """Unlocks it; new folders in which nothing was written go away."""
    self._lock.release()
    with contextlib.suppress(OSError):
      for folder in self._made:
        folder.rmdir()

  def check(self, config: config_lib.Config, scenes: dict | None = None
            ) -> None:
    """Raises `UserError` if the folder holds another run; writes nothing.

    Args:
      config: the run.
      scenes: what `fingerprint.of` returns.
    """
    if (self.path / run_config.NAME).exists():
      self._require_same_run(config, scenes)
    self._checked = config

  def begin(self, config: config_lib.Config, scenes: dict | None = None
            ) -> None:
    """Starts a run in a new folder, or resumes the same one, restored before.
    """
    if self._checked != config:
      self.check(config, scenes)
    if not self._checkpoints.exist():  # Else, killed, it would look as if it
      self.truncate_metrics(0)         # had lost them.
    with writing(self.path):
      _make_folders(self.path)
      _tidy(self.path)
      self._checkpoints.tidy()
    run_config.write(self.path, config)  # First: it makes the folder a run.
    if scenes is not None:
      files.write_text(self.path / 'scenes.json', json.dumps(scenes, indent=2))

  def log_metrics(self, line: dict) -> None:
    """Appends one line to `metrics.jsonl`."""
    self._lock.require_held()
    metrics_file.append(self._metrics, line)

  def truncate_metrics(self, iteration: int) -> None:
    """Drops the lines that a resumed run writes again, and damaged ones."""
    lines = self.metrics()
    # A step counts as evaluated once there is a held-out line.
    complete = {line['step'] for line in lines if line['split'] == 'test'}
    metrics_file.rewrite(self._metrics, [
        line for line in lines
        if line['step'] <= iteration and line['step'] in complete])

  def save(self, checkpoint: tf.train.Checkpoint, iteration: int) -> None:
    """Writes a checkpoint, whole or not at all, and drops old ones."""
    self._lock.require_held()
    with writing(self.path):
      self._checkpoints.save(checkpoint, iteration)

  def restore(self, checkpoint: tf.train.Checkpoint) -> int:
    """As in the base class; puts newer checkpoints aside, which are damaged."""
    iteration, damaged = self._restore(checkpoint)
    with writing(self.path):
      self._checkpoints.put_aside(damaged)
    return iteration

  def _require_same_run(self, config, scenes) -> None:
    old = self.config()  # Also if it counts for nothing.
    if not self._checkpoints.exist():
      self._require_no_checkpoint_lost(old.checkpoint_every)
      return
    changed = run_config.changed(old, config)
    if scenes and set(changed) <= set(_OF_SCENES if config.scenes else ()):
      self._require_same_scenes(config, scenes)
    if old.range == 'dtype' and 'range' in changed:
      changed.remove('range')  # Of an older version, with the same pixels.
    if changed:
      texts = [f'--{x} was {getattr(old, x)} and is {getattr(config, x)}'
               for x in changed]
      raise errors.UserError(
          f'--logdir={self.path}: holds a run with another configuration: '
          f"{'; '.join(texts)}. Give another folder, or the same flags.")

    saved = self.saved()
    if saved and saved[-1][0] > config.num_iterations:
      raise errors.UserError(
          f'--num_iterations={config.num_iterations}: the run in {self.path} '
          f'has done {saved[-1][0]:,}; expected at least as many. Give another '
          '--logdir to train for fewer.')

  def _require_no_checkpoint_lost(self, every: int) -> None:
    """Raises `UserError` if there must have been a checkpoint."""
    last = max((line['step'] for line in self.metrics()), default=0)
    if last > every or (self.path / 'saved_model').exists():
      raise errors.UserError(
          f'{self.path}/checkpoints: found no checkpoint, though the run was '
          f'evaluated at iteration {last:,}; expected those that it left. Put '
          'them back from a copy, or remove the run folder to start over.')

  def _require_same_scenes(self, config, scenes) -> None:
    others = '; '.join(self.scene_differences(scenes))
    if not others:
      return
    source = (f'--scenes={config.scenes}' if config.scenes
              else f'--digits={config.digits}')
    text = (f'--logdir={self.path}: found other scenes than the run began with '
            f'in {source}: {others}')
    if config.scenes or os.path.exists(config.digits):
      raise errors.UserError(
          f'{text}. Put the old ones back, or give another --logdir.')
    logging.warning(  # Other versions of libraries compose other pixels.
        '%s; versions.json says what it ran with. It is resumed, and will not '
        'end with the bits of an uninterrupted run.', text)


@contextlib.contextmanager
def writing(path: pathlib.Path) -> Iterator[None]:
  """Turns what TensorFlow and the system raise when a folder cannot be written.

  Raises:
    errors.UserError: if it is read-only, gone, or in use for something else.
    errors.DiskFull: if there is no room.
  """
  with files.unwritable_as_user_error(
      f'--logdir={path}', (OSError, tf.errors.OpError)):
    yield


def _require_run_or_empty(path: pathlib.Path) -> None:
  """Raises `UserError` if a folder is somebody else's."""
  if not path.exists():
    return
  if not path.is_dir():
    raise errors.UserError(
        f'--logdir={path}: found a file, expected a folder; give another path.')
  names = os.listdir(path)
  others = sorted(name for name in names if not (
      _HARMLESS.fullmatch(name) or files.is_temporary(name)))
  if others and run_config.NAME not in names:
    raise errors.UserError(
        f'--logdir={path}: found a folder that is not empty ({others[0]!r} and '
        f'{len(others) - 1} more) and holds no run; expected a new or empty '
        'folder, or one that bin/train.py wrote. Give another path.')
  if run_config.NAME in names:
    run_config.read(path)


def _make_folders(path: pathlib.Path) -> None:
  for name in _FOLDERS:
    if (path / name).exists() and not (path / name).is_dir():
      raise errors.UserError(
          f'{path / name}: found a file, expected a folder; remove it.')
    (path / name).mkdir(exist_ok=True)


def _tidy(path: pathlib.Path) -> None:
  """Removes files that a killed process of this run did not finish."""
  for file in path.iterdir():
    if files.is_temporary(file.name) or re.fullmatch(
        r'\.versions\.json\.\d+', file.name):
      file.unlink()
  for file in (*(path / 'figures').glob('.progress.png.*'),
               *(path / projector.FOLDER).glob('.*')):
    if files.is_temporary(file.name):
      file.unlink()
  files.remove_stale(path / 'figures')  # bin/figures.py may be at work.

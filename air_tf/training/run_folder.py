"""The run folder: what a run was, how far it came, and how it went.

    flags.txt, config.json    what repeats the run
    versions.json             what it ran with
    metrics.jsonl             one line per evaluation
    checkpoints/              the last few states
    figures/, saved_model/, train/, test/   pictures, model, TensorBoard events
"""

import dataclasses
import importlib.metadata
import json
import pathlib
import platform
import re

from absl import logging
import tensorflow as tf

from air_tf import config as config_lib
from air_tf import errors
from air_tf import files
from air_tf import flagfiles

__all__ = ['RunFolder']

_KEPT_CHECKPOINTS = 3
_PACKAGES = ('tensorflow', 'tensorflow-probability', 'dm-sonnet', 'tf-keras',
             'keras', 'numpy', 'scipy', 'scikit-learn', 'tensorboard')
# A run may be resumed with other values of these: none changes a parameter, or
# (--distribution_strategy) by no more than rounding.
_RESUMABLE = ('num_iterations', 'log_every', 'eval_every', 'checkpoint_every',
              'cache_dir', 'gradient_variance_every', 'distribution_strategy',
              'wait_seconds')
# Old keys of `metrics.jsonl`.
_RENAMED_METRICS = {'reconstruction': 'log_likelihood',
                    'num_steps': 'expected_num_steps'}
# Runs of earlier versions lack these, and did what the default says.
_ADDED_LATER = ('backdrop', 'backdrop_level', 'channels',
                'distribution_strategy', 'wait_seconds')


class RunFolder:
  """A folder that holds one run and lets it be resumed."""

  def __init__(self, path: str | pathlib.Path):
    """Points at a folder; nothing is read or written yet."""
    self.path = pathlib.Path(path)

  def begin(self, config: config_lib.Config) -> None:
    """Starts a run in a new folder, or prepares to resume the run in it.

    Raises:
      errors.UserError: if the folder cannot be written or holds a run with
        another configuration.
    """
    if self._saved():
      self._require_same_run(config)
    with files.unwritable_as_user_error(f'--logdir={self.path}'):
      self._checkpoints.mkdir(parents=True, exist_ok=True)
    files.write_text(self.path / 'versions.json',
                     json.dumps(_versions(), indent=2))
    files.write_text(self.path / 'config.json',
                     json.dumps(dataclasses.asdict(config), indent=2))
    files.write_text(self.path / 'flags.txt', _flagfile(config))

  def config(self) -> config_lib.Config:
    """Returns the configuration of the run.

    Raises:
      errors.UserError: if the folder holds no run, or one that this version of
        the code does not know.
    """
    file = self.path / 'config.json'
    try:
      values = json.loads(file.read_text())
    except OSError as error:
      raise errors.UserError(
          f'--logdir={self.path}: no run here ({file.name}: {error.strerror}); '
          'expected a folder that bin/train.py wrote.') from error
    except ValueError as error:
      raise errors.UserError(
          f'{file}: not JSON ({error}); expected what bin/train.py wrote. '
          'Remove the folder to start over.') from error
    values = values if isinstance(values, dict) else {}
    values = {flagfiles.current_name(name): value
              for name, value in values.items()}
    known = {field.name for field in dataclasses.fields(config_lib.Config)}
    wrong = (set(values) ^ known) - set(_ADDED_LATER)
    if wrong:
      raise errors.UserError(
          f'{file}: the fields {sorted(wrong)} are missing or '
          'unknown; the run was made by another version of air_tf.')
    return config_lib.Config(**{
        name: tuple(value) if isinstance(value, list) else value
        for name, value in values.items()})

  def log_metrics(self, line: dict) -> None:
    """Appends one line to `metrics.jsonl`."""
    with open(self._metrics, 'a') as file:
      file.write(json.dumps(line) + '\n')

  def metrics(self) -> list[dict]:
    """Returns the lines of `metrics.jsonl`; one cut short is left out."""
    lines = []
    if self._metrics.exists():
      for line in self._metrics.read_text().splitlines():
        try:
          lines.append({_RENAMED_METRICS.get(name, name): value
                        for name, value in json.loads(line).items()})
        except json.JSONDecodeError:
          logging.warning('%s: a line cut short is left out.', self._metrics)
    return lines

  def truncate_metrics(self, iteration: int) -> None:
    """Drops the lines that a resumed run is going to write again."""
    kept = [line for line in self.metrics() if line['step'] <= iteration]
    files.write_text(
        self._metrics, ''.join(json.dumps(line) + '\n' for line in kept))

  def save(self, checkpoint: tf.train.Checkpoint, iteration: int) -> None:
    """Writes a checkpoint, whole or not at all, and drops old ones."""
    checkpoint.write(str(self._checkpoints / 'writing'))
    # TensorFlow's index file grows in place. Renamed, and after the data, it
    # stands for a whole checkpoint, whenever the run is killed.
    for part in sorted(self._checkpoints.glob('writing.*')):
      part.rename(part.with_name(
          part.name.replace('writing', f'ckpt-{iteration}')))
    for _, old in self._saved()[:-_KEPT_CHECKPOINTS]:
      for file in self._checkpoints.glob(old.name + '.*'):
        file.unlink()

  def restore(self, checkpoint: tf.train.Checkpoint) -> int:
    """Loads the newest checkpoint that can be read.

    Args:
      checkpoint: whose objects already have all their variables.

    Returns:
      Its iteration; 0 if there is no checkpoint.

    Raises:
      errors.UserError: if there are checkpoints and none can be read.
    """
    saved = self._saved()
    for iteration, prefix in reversed(saved):
      try:
        checkpoint.read(str(prefix)).assert_consumed()
        return iteration
      except Exception as error:  # Damage makes TensorFlow raise anything.
        reason = errors.one_line(error)
        logging.warning(
            'Checkpoint %s cannot be read (%s): trying the one before.',
            prefix, reason)
        # Out of the way, so that it does not count as one of those kept.
        (prefix.with_name(prefix.name + '.index')).rename(
            prefix.with_name(prefix.name + '.damaged'))
    if saved:
      raise errors.UserError(
          f'{self._checkpoints}: none of the {len(saved)} checkpoints can be '
          'read; expected one whole checkpoint. Remove the folder to start '
          'over.')
    return 0

  def _saved(self) -> list[tuple[int, pathlib.Path]]:
    """Checkpoints as (iteration, prefix), oldest first."""
    found = [re.fullmatch(r'ckpt-(\d+)\.index', file.name)
             for file in self._checkpoints.glob('ckpt-*.index')]
    iterations = sorted(int(match[1]) for match in found if match)
    return [(i, self._checkpoints / f'ckpt-{i}') for i in iterations]

  def _require_same_run(self, config) -> None:
    old, new = dataclasses.asdict(self.config()), dataclasses.asdict(config)
    differences = [f'--{name} was {old[name]} and is {new[name]}'
                   for name in new
                   if old[name] != new[name] and name not in _RESUMABLE]
    if differences:
      raise errors.UserError(
          f'--logdir={self.path}: holds a run with another configuration: '
          f"{'; '.join(differences)}. Give another folder, or the same flags.")

  @property
  def _checkpoints(self) -> pathlib.Path:
    return self.path / 'checkpoints'

  @property
  def _metrics(self) -> pathlib.Path:
    return self.path / 'metrics.jsonl'


def _flagfile(config: config_lib.Config) -> str:
  values = {name: ','.join(map(str, value)) if isinstance(value, tuple)
            else str(value).lower() if isinstance(value, bool) else value
            for name, value in dataclasses.asdict(config).items()}
  return ''.join(f'--{name}={value}\n' for name, value in values.items())


def _versions() -> dict[str, str]:
  return {'python': platform.python_version()} | {
      name: importlib.metadata.version(name) for name in _PACKAGES}

"""Checkpoints of a run: written whole, read with care, never lost by reading.

A checkpoint whose bytes cannot be read is damaged, and the one before it is
taken. One that is whole but holds other variables than expected is not damaged:
the configuration is another one.
"""

import os
import pathlib
import re
import shutil

from absl import logging
import tensorflow as tf

from air_tf import errors
from air_tf import paths

__all__ = ['Checkpoints', 'DoesNotFit']

_KEPT = 3
_WRITING = 'writing'  # Prefix of a checkpoint that is not whole yet.
_ASIDE = 'damaged'  # Prefix of those that a resumed run puts aside.


class DoesNotFit(Exception):
  """A whole checkpoint that holds other variables than expected."""


class Checkpoints:
  """The folder `checkpoints` of a run: `ckpt-N.index`, `ckpt-N.data-...`."""

  def __init__(self, path: pathlib.Path):
    """Points at the folder; nothing is read yet."""
    self._path = path

  def saved(self) -> list[tuple[int, pathlib.Path]]:
    """Returns (iteration, prefix) of each, oldest first."""
    return [(i, self._prefix(i)) for i in self._iterations(r'index')]

  def exist(self) -> bool:
    """Whether there are any, damaged ones among them."""
    return bool(self.saved() or self._without_index() or self._aside())

  def save(self, checkpoint: tf.train.Checkpoint, iteration: int) -> None:
    """Writes a checkpoint, whole or not at all, and drops old ones."""
    prefix = self._prefix(iteration)
    try:
      checkpoint.write(str(self._path / _WRITING))
      parts = sorted(self._path.glob(_WRITING + '.*'))
      for part in parts:
        _to_disk(part)
      _remove(self._index(prefix))
      # TensorFlow's index file grows in place. Renamed, and after the data, it
      # stands for a whole checkpoint, whenever the run is killed.
      for part in parts:
        part.rename(part.with_name(prefix.name + part.suffix))
    except Exception:
      self._remove_unfinished()  # It may be what fills the disk.
      raise
    for _, old in self.saved()[:-_KEPT]:
      self._drop(old)

  def restore(self, checkpoint: tf.train.Checkpoint) -> tuple[
      int, list[pathlib.Path]]:
    """Loads the newest checkpoint that can be read; writes nothing.

    Args:
      checkpoint: whose objects already have all their variables.

    Returns:
      Its iteration, 0 if there is no checkpoint; and the prefixes of newer
      checkpoints, which are damaged.

    Raises:
      DoesNotFit: if the newest readable one holds other variables.
      errors.UserError: if there are checkpoints and none can be read.
    """
    damaged = self._without_index()
    for prefix in damaged:
      _say_damaged(prefix, 'its index file is missing')
    for iteration, prefix in reversed(self.saved()):
      reason = _damage(prefix)
      if reason is None:
        _load(checkpoint, prefix)
        return iteration, damaged
      _say_damaged(prefix, reason)
      damaged.append(prefix)
    found = len(damaged) or len(self._aside())
    if found:
      raise errors.UserError(
          f'{self._path}: none of the {found} checkpoints can be read; '
          'expected one whole checkpoint. Put one back from a copy, or remove '
          'the run folder to start over.')
    return 0, []

  def put_aside(self, damaged: list[pathlib.Path]) -> None:
    """Renames damaged checkpoints: they do not count among those kept."""
    for prefix in damaged:
      for part in self._parts(prefix):
        part.rename(part.with_name(
            part.name.replace('ckpt-', f'{_ASIDE}-', 1)))

  def tidy(self) -> None:
    """Removes what a killed writer left; only for the one that has the lock."""
    newest = max((i for i, _ in self.saved()), default=-1)
    unfinished = self._index(self._path / _WRITING).exists()
    for prefix in self._without_index(everywhere=True):
      # Killed while it renamed the parts, or while it dropped an old one.
      if unfinished or int(prefix.name.removeprefix('ckpt-')) < newest:
        self._drop(prefix)
    self._remove_unfinished()

  def _without_index(self, everywhere: bool = False) -> list[pathlib.Path]:
    """Data without an index that is newer than all others, newest first."""
    indexed = self._iterations(r'index')
    data = set(self._iterations(r'data-\d+-of-\d+')) - set(indexed)
    newest = max(indexed, default=-1)
    unfinished = self._index(self._path / _WRITING).exists()
    return [self._prefix(i) for i in sorted(data, reverse=True)
            if everywhere or i > newest and not unfinished]

  def _aside(self) -> list[pathlib.Path]:
    return sorted(self._path.glob(f'{_ASIDE}-*.index'))

  def _iterations(self, suffix: str) -> list[int]:
    found = [re.fullmatch(rf'ckpt-(\d+)\.{suffix}', file.name)
             for file in self._path.glob('ckpt-*')]
    return sorted({int(match[1]) for match in found if match})

  def _prefix(self, iteration: int) -> pathlib.Path:
    return self._path / f'ckpt-{iteration}'

  def _index(self, prefix: pathlib.Path) -> pathlib.Path:
    return prefix.with_name(prefix.name + '.index')

  def _parts(self, prefix: pathlib.Path) -> list[pathlib.Path]:
    return list(self._path.glob(prefix.name + '.*'))

  def _drop(self, prefix: pathlib.Path) -> None:
    _remove(self._index(prefix))  # First: without it there is no checkpoint.
    for part in self._parts(prefix):
      _remove(part)

  def _remove_unfinished(self) -> None:
    for path in self._path.glob(_WRITING + '*'):
      _remove(path)


def _damage(prefix: pathlib.Path) -> str | None:
  """Returns why a checkpoint cannot be read; None if all of it can."""
  for part in prefix.parent.glob(f'{prefix.name}.*'):
    kind = part.exists() and paths.irregular(part.stat().st_mode)
    if kind:  # TensorFlow would wait for somebody who writes into a FIFO.
      return f'{part.name} is {kind}'
  try:
    reader = tf.train.load_checkpoint(str(prefix))
    for name in reader.get_variable_to_shape_map():
      reader.get_tensor(name)  # Compares its checksum.
  except tf.errors.PermissionDeniedError as error:
    raise errors.UserError(
        f'{prefix}: permission to read it is denied; expected a checkpoint '
        'that can be read. Change its permissions.') from error
  except Exception as error:  # Damage makes TensorFlow raise anything.
    if errors.is_out_of_memory(error):
      raise
    return errors.one_line(error)[:300]
  return None


def _load(checkpoint: tf.train.Checkpoint, prefix: pathlib.Path) -> None:
  status = None
  try:
    status = checkpoint.read(str(prefix))
    status.assert_consumed()
  except (AssertionError, KeyError, ValueError,
          tf.errors.InvalidArgumentError, tf.errors.NotFoundError) as error:
    if status is not None:
      status.expect_partial()  # TensorFlow need not list all the rest.
    raise DoesNotFit(
        f'{prefix}: {errors.one_line(error)[:200]}') from error


def _say_damaged(prefix: pathlib.Path, reason: str) -> None:
  logging.warning(
      'Checkpoint %s cannot be read (%s): trying the one before.', prefix,
      reason)


def _to_disk(path: pathlib.Path) -> None:
  """Waits until a file is stored: some disks say only then that they are full.
  """
  file = os.open(path, os.O_RDONLY)
  try:
    os.fsync(file)
  finally:
    os.close(file)


def _remove(path: pathlib.Path) -> None:
  if path.is_dir() and not path.is_symlink():
    shutil.rmtree(path, ignore_errors=True)
  else:
    path.unlink(missing_ok=True)

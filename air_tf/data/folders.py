"""Which files in a folder are pictures."""

import os
import stat

from absl import logging

from air_tf import errors
from air_tf.data import picture_files
from air_tf.data import untrusted

__all__ = ['pictures']


def pictures(path: str) -> tuple[str, ...]:
  """Returns the paths of the pictures in a folder, in the order of their names.

  What is left out is counted in a line of the log.

  Raises:
    errors.UserError: if the folder cannot be read, or holds no picture.
  """
  name = untrusted.printable(path)
  try:
    with os.scandir(path) as entries:
      inside = sorted(entries, key=lambda entry: entry.name)
  except OSError as error:
    raise errors.UserError(
        f'{name}: cannot be read ({error.strerror}); expected a folder of '
        'pictures.') from error
  kinds = [_kind(entry) for entry in inside]
  paths = tuple(entry.path for entry, kind in zip(inside, kinds, strict=True)
                if kind == 'picture')
  if not paths:
    raise errors.UserError(
        f'{name}: a folder without pictures; expected PNG, JPEG, ...; name '
        'scene files and stacks themselves, and subfolders.')
  others = {kind: kinds.count(kind) for kind in kinds if kind != 'picture'}
  if others:
    logging.warning(
        '%s: %d pictures; left out: %s.', name, len(paths), ', '.join(
            f'{number} {kind}{"s" if number > 1 else ""}'
            for kind, number in sorted(others.items())))
  return paths


def _kind(entry: os.DirEntry) -> str:
  """Returns what an entry of a folder is, in a word or two."""
  if entry.name.startswith('.'):  # macOS leaves ._a.png there.
    return 'hidden file'
  try:
    mode = entry.stat().st_mode
  except OSError:  # A broken link, or one that leads in a circle.
    return 'broken link'
  if stat.S_ISDIR(mode):
    return 'subfolder'
  if not stat.S_ISREG(mode) or not picture_files.has_suffix(entry.name):
    return 'other file'
  return 'picture'

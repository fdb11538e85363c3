"""Single objects for composed scenes, digits and others, by their source.

The sources are described in data/README.md and listed in `digit_sources`. All
objects are called digits.

Shapes: D digit images of 28 x 28 pixels.
"""

from collections.abc import Callable
import fnmatch
import importlib
import os
from typing import NamedTuple

import numpy as np

from air_tf import digit_sources
from air_tf import errors
from air_tf.data import untrusted

__all__ = ['Digits', 'composer', 'load', 'split']


class Digits(NamedTuple):
  """Single digits, ink bright on black, split so that no image is in both."""
  train_images: np.ndarray  # [D, 28, 28], or [D, 28, 28, 3] in colour; uint8.
  train_labels: np.ndarray  # [D] int32.
  test_images: np.ndarray   # [D', 28, 28], or [D', 28, 28, 3]; uint8.
  test_labels: np.ndarray   # [D'] int32.


def split(images: np.ndarray, labels: np.ndarray, num_test: int) -> Digits:
  """Takes the first `num_test` of images and labels for tests."""
  return Digits(images[num_test:], labels[num_test:],
                images[:num_test], labels[:num_test])


def load(source: str) -> Digits:
  """Returns the digits that `--digits=source` names.

  Args:
    source: a name in `digit_sources.BY_NAME`, or a path of a kind in
      `digit_sources.BY_PATH`.

  Raises:
    errors.UserError: if there is no such source, or its files are damaged.
  """
  if source in digit_sources.BY_NAME:
    return _function(digit_sources.BY_NAME[source].path)()
  if os.path.exists(source) and not os.path.isdir(source):
    untrusted.check_file(source, digit_sources.expected())
  names = _file_names(source)
  for spec in digit_sources.BY_PATH:
    if any(fnmatch.filter(names, pattern) for pattern in spec.files):
      return _function(spec.path)(source)
  found = ('a folder without files of a known kind' if os.path.isdir(source)
           else 'a file of no known kind' if os.path.exists(source)
           else 'no such file or folder')
  raise errors.UserError(f'--digits={source}: found {found}; expected '
                         f'{digit_sources.expected()}.')


def composer(source: str) -> Callable:
  """Returns what composes scenes of a source: `scenes.compose`, or its like."""
  spec = digit_sources.BY_NAME.get(source, digit_sources.BY_PATH[0])
  return _function(spec.composer)


def _file_names(path: str) -> list[str]:
  """Returns the name of a file, or those in a folder; none if it is neither."""
  if not os.path.isdir(path):
    return [os.path.basename(path)] if os.path.exists(path) else []
  try:
    names = os.listdir(path)
    return names + [f'{name}/raw' for name in names if os.path.isdir(
        os.path.join(path, name, 'raw'))]
  except OSError as error:
    raise errors.UserError(
        f'--digits={path}: cannot be read ({errors.one_line(error)}); expected '
        'a folder with permission to read it.') from error


def _function(path: str) -> Callable:
  module, name = path.split('.')
  return getattr(importlib.import_module(f'air_tf.data.{module}'), name)

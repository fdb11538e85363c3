"""`metrics.jsonl`: one evaluation per line, as a JSON object.

Lines that are no evaluation, for example one that a kill cut short, are left
out with a warning.
"""

import json
import os
import pathlib
from typing import Any

from absl import logging

from air_tf import errors
from air_tf import files
from air_tf import paths

__all__ = ['append', 'read', 'rewrite']

# Old names of keys.
_RENAMED = {'reconstruction': 'log_likelihood',
            'num_steps': 'expected_num_steps'}
_REQUIRED = ('step', 'elbo', 'seconds')
_MOST_ITERATIONS = 2**53  # Larger numbers are not exact in other programs.


def append(path: pathlib.Path, line: dict) -> None:
  """Appends one line, whole or not at all.

  Raises:
    errors.UserError: if it cannot be written.
    errors.DiskFull: if there is no room.
  """
  # Not buffered: what a buffer could not write is written once more when the
  # file is closed.
  with (files.unwritable_as_user_error(path),
        open(path, 'ab', buffering=0) as file):
    size, data = file.tell(), (json.dumps(line) + '\n').encode()
    try:
      while data:
        data = data[file.write(data):]
    except OSError:
      os.ftruncate(file.fileno(), size)
      raise


def read(path: pathlib.Path) -> list[dict]:
  """Returns the lines; those that are no evaluation are left out.

  Raises:
    errors.UserError: if there is such a file, and it cannot be read.
  """
  if not path.exists():
    return []
  try:
    rows = paths.read_regular(path).split(b'\n')
  except OSError as error:
    raise errors.UserError(
        f'{path}: cannot be read ({error.strerror}); expected the file that '
        'bin/train.py wrote.') from error
  lines, faults = [], []
  for number, row in enumerate(rows, 1):
    if row.strip():
      line, fault = _parse(row)
      if fault:
        faults.append(f'line {number}: {fault}')
      else:
        lines.append(line)
  if faults:
    logging.warning('%s: %d of %d lines are left out (%s); expected one '
                    'evaluation per line.', path, len(faults),
                    len(faults) + len(lines), faults[0])
  return lines


def rewrite(path: pathlib.Path, lines: list[dict]) -> None:
  """Replaces all lines at once. Raises `errors.UserError`."""
  files.write_text(path, ''.join(json.dumps(line) + '\n' for line in lines))


def _parse(row: bytes) -> tuple[dict, str]:
  """Returns a line, and what is wrong with it, empty if nothing."""
  try:
    line = json.loads(row.decode())
  except UnicodeDecodeError:
    return {}, 'not UTF-8'
  except (ValueError, RecursionError):
    return {}, 'not JSON, or cut short'
  if not isinstance(line, dict):
    return {}, f'found {type(line).__name__}, not an object'
  line = {_RENAMED.get(name, name): value for name, value in line.items()}
  return line, _fault(line)


def _fault(line: dict) -> str:
  """Returns what is wrong with an object, empty if nothing."""
  for name in _REQUIRED:
    if name not in line:
      return f'`{name}` is missing'
  if not isinstance(line.get('split'), str):
    return '`split` is no text'
  if not {'count_accuracy', 'expected_num_steps'} & set(line):
    return '`expected_num_steps` is missing'
  for name, value in line.items():
    if name != 'split' and not _is_number(value):
      return f'`{name}` is no number'
  step = line['step']
  if not (isinstance(step, int) and 0 <= step < _MOST_ITERATIONS):
    return '`step` is no iteration'
  return ''


def _is_number(value: Any) -> bool:
  if isinstance(value, bool) or not isinstance(value, int | float):
    return False
  return not isinstance(value, int) or abs(value) < 2**63

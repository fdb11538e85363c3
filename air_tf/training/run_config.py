"""`config.json` and `flags.txt` of a run: its configuration, read with care.

`versions.json` stands beside them and is never read.
"""

import contextlib
import dataclasses
import importlib.metadata
import json
import pathlib
import platform
import re
import shlex
from typing import Any

from air_tf import config as config_lib
from air_tf import errors
from air_tf import files
from air_tf import flagfiles
from air_tf import paths

__all__ = ['NAME', 'changed', 'differences', 'read', 'texts', 'write']

NAME = 'config.json'
_PACKAGES = ('tensorflow', 'tensorflow-probability', 'dm-sonnet', 'tf-keras',
             'keras', 'numpy', 'scipy', 'scikit-learn', 'tensorboard')
_LARGEST = 2**20  # Bytes; a configuration has a few thousand.
_FIELDS = {field.name: field for field in dataclasses.fields(config_lib.Config)}
# Runs of earlier versions lack these.
_ADDED_LATER = {name: field.metadata['before'] for name, field
                in _FIELDS.items() if field.metadata['before'] is not None}


# A run may be resumed with other values of these: none changes a parameter, or
# (--distribution_strategy) by no more than rounding.
_RESUMABLE = {'num_iterations', 'log_every', 'eval_every', 'checkpoint_every',
              'cache_dir', 'gradient_variance_every', 'distribution_strategy',
              'wait_seconds', 'on_error'}
# These say how --scenes is read, and nothing without it.
_OF_PICTURES = {'range', 'invert', 'contrast', 'crop', 'augment',
                'max_objects'}
# Until version 0.2.0 values were read as their type says, and config.json has
# no range, or one that was not measured.
_BY_TYPE = {'auto', 'dtype'}
_MEASURED_AS_TYPE = {'0,1', '0,255', '0,65535'}


def changed(old: config_lib.Config, new: config_lib.Config) -> list[str]:
  """Returns the fields that differ and make another run of it."""
  ignored = _RESUMABLE if new.scenes else _RESUMABLE | _OF_PICTURES
  if old.range in _BY_TYPE and new.range in _BY_TYPE | _MEASURED_AS_TYPE:
    ignored = ignored | {'range'}
  return [field.name for field in dataclasses.fields(new)
          if field.name not in ignored
          and getattr(old, field.name) != getattr(new, field.name)]


def read(folder: pathlib.Path) -> config_lib.Config:
  """Returns the configuration of the run in a folder.

  Raises:
    errors.UserError: if there is no run, one that this version does not know,
      or a value that cannot be; the text names the field.
  """
  file = folder / NAME
  values = {flagfiles.current_name(name): value
            for name, value in _read_object(folder).items()}
  if not set(values) & set(_FIELDS):
    raise errors.UserError(
        f'{file}: found no field of a run ({_few(values) or "empty"}); '
        'expected what bin/train.py wrote. Give another folder.')
  wrong = (set(values) ^ set(_FIELDS)) - set(_ADDED_LATER)
  if wrong:
    raise errors.UserError(
        f'{file}: the fields {_few(wrong)} are missing or unknown; the run was '
        'made by another version of air_tf, or the file was changed.')
  try:
    return config_lib.Config(**_ADDED_LATER | {
        name: _checked(_FIELDS[name], value)
        for name, value in values.items()})
  except errors.UserError as error:
    raise errors.UserError(f'{file}: {error}') from error


def write(folder: pathlib.Path, config: config_lib.Config) -> None:
  """Writes all three. Raises `errors.UserError` or `errors.DiskFull`."""
  files.write_text(folder / NAME,
                   json.dumps(dataclasses.asdict(config), indent=2))
  files.write_text(folder / 'flags.txt', ''.join(
      f'{line}\n' for line in _flags(config)))
  files.write_text(folder / 'versions.json', json.dumps(_versions(), indent=2))


def texts(folder: pathlib.Path) -> dict[str, str]:
  """Returns what was asked of a run, as Markdown by name, for TensorBoard.

  Args:
    folder: in which `write` has been.
  """
  block = lambda text: ''.join(
      f'    {line}\n' for line in text.strip().splitlines())
  logdir = shlex.quote(str(folder))
  read = lambda name: paths.read_regular(folder / name, _LARGEST).decode()
  return {
      'run/command': 'Repeats the run, or resumes it:\n\n' + block(
          f'python bin/train.py --flagfile={logdir}/flags.txt '
          f'--logdir={logdir}'),
      'run/flagfile': block(read('flags.txt')),
      'run/versions': block(read('versions.json'))}


def differences(folder: pathlib.Path) -> str:
  """Returns where the two files of a folder differ, empty if they agree."""
  try:
    written = paths.read_regular(folder / 'flags.txt', _LARGEST).decode()
    config = read(folder)
  except (OSError, ValueError):
    return ''
  found = set(_flags(config))
  changed = sorted(
      set(map(flagfiles.current_flag, written.splitlines())) - found)
  return '; '.join(f'flags.txt holds {line}' for line in changed[:5])


def _read_object(folder: pathlib.Path) -> dict:
  file = folder / NAME
  try:
    values = json.loads(paths.read_regular(file, _LARGEST).decode('utf-8-sig'))
  except OSError as error:
    raise errors.UserError(
        f'--logdir={folder}: no run here ({file.name}: {error.strerror}); '
        'expected a folder that bin/train.py wrote.') from error
  except (ValueError, RecursionError) as error:
    raise errors.UserError(
        f'{file}: not JSON ({errors.one_line(error)[:200]}); expected what '
        'bin/train.py wrote. Put it back from a copy, or remove the folder to '
        'start over.') from error
  if not isinstance(values, dict):
    raise errors.UserError(
        f'{file}: found {_described(values)}, an object with the fields of a '
        'run is missing; expected what bin/train.py wrote.')
  return values


def _checked(field: dataclasses.Field, value: Any) -> Any:
  """Returns the value of a field in its type, or raises `UserError`."""
  kind = type(field.default)
  if kind is tuple:
    number = type(field.default[0])
    if isinstance(value, list) and all(_is(number, x) for x in value):
      return tuple(map(number, value))
    expected = f'a list of {_NAMES[number]}s'
  elif _is(kind, value):
    return kind(value)
  else:
    expected = _NAMES[kind]
  raise errors.UserError(
      f'{field.name}: found {_described(value)}, expected {expected}.')


def _is(kind: type, value: Any) -> bool:
  if kind is float:
    return (isinstance(value, float)
            or isinstance(value, int) and not isinstance(value, bool)
            and abs(value) < 2**63)
  if kind is str:
    return isinstance(value, str) and _is_plain(value)
  return type(value) is kind  # `True` is an `int`, too.


def _is_plain(text: str) -> bool:
  """Whether text can be that of a flag: JSON holds what no argument can."""
  return not re.search('[\0\ud800-\udfff]', text)


_NAMES = {bool: 'true or false', int: 'integer', float: 'number',
          str: 'text in UTF-8'}


def _described(value: Any) -> str:
  text = json.dumps(value)
  return text if len(text) <= 60 else text[:60] + ' ...'


def _few(names: Any) -> str:
  names = sorted(map(str, names))
  return ', '.join(map(repr, names[:6])) + (', ...' if len(names) > 6 else '')


def _versions() -> dict[str, str]:
  found = {'python': platform.python_version()}
  for name in _PACKAGES:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
      found[name] = importlib.metadata.version(name)
  return found


def _flags(config: config_lib.Config) -> list[str]:
  values = {name: ','.join(map(str, value)) if isinstance(value, tuple)
            else str(value).lower() if isinstance(value, bool) else value
            for name, value in dataclasses.asdict(config).items()}
  return [f'--{name}={value}' for name, value in values.items()]

"""Turns a command line with flagfiles and old names into plain flags.

A flagfile holds one flag per line; `#` starts a comment line. It may include
another one by `--flagfile=PATH`: what stands further down wins. A path that
does not exist in the current folder is looked for beside the flagfile that
names it.
"""

from collections.abc import Sequence
import functools
import pathlib
import re

from absl import logging

from air_tf import config as config_lib
from air_tf import errors

__all__ = ['current_flag', 'current_name', 'expand']

_FLAG = re.compile(r'(--?)(\w+)(=.*)?', re.DOTALL)


def expand(arguments: Sequence[str]) -> list[str]:
  """Replaces flagfiles by their lines, and old names of flags by new ones.

  Args:
    arguments: a command line, with or without the name of the program.

  Raises:
    errors.UserError: if a flagfile cannot be read, or includes itself.
  """
  return _expand(arguments, ())


@functools.cache  # One line for each name.
def current_name(name: str) -> str:
  """Returns what a flag is called now; says so if `name` is an old name."""
  renamed = config_lib.RENAMED
  if name in renamed:
    logging.warning('--%s is now called --%s.', name, renamed[name])
  return renamed.get(name, name)


def current_flag(argument: str) -> str:
  """Returns `--name=value` or `--name` under the present name of the flag."""
  match = _FLAG.fullmatch(argument)
  if not match:
    return argument
  return match[1] + current_name(match[2]) + (match[3] or '')


def _expand(arguments: Sequence[str],
            including: tuple[pathlib.Path, ...]) -> list[str]:
  flags, rest = [], list(arguments)
  while rest:
    argument = rest.pop(0)
    if argument == '--':  # Only positional arguments follow.
      return [*flags, argument, *rest]
    match = _FLAG.fullmatch(argument)
    if not match or match[2] != 'flagfile':
      flags.append(current_flag(argument))
    elif match[3] or rest:
      path = match[3][1:] if match[3] else rest.pop(0)
      flags += _lines(path, including)
    else:
      raise errors.UserError('--flagfile: expected --flagfile=PATH.')
  return flags


def _lines(name: str, including: tuple[pathlib.Path, ...]) -> list[str]:
  """Returns the flags of a flagfile, those that it includes among them."""
  path = pathlib.Path(name).expanduser()
  if including and not path.exists():
    path = including[-1].parent / path
  path = path.resolve()
  if path in including:
    raise errors.UserError(
        f'{including[-1]}: --flagfile={name} includes itself; leave one of '
        'them out.')
  try:
    lines = [line.strip() for line in path.read_text().splitlines()]
  except (OSError, UnicodeDecodeError) as error:
    reason = getattr(error, 'strerror', None) or 'not text'
    raise errors.UserError(
        f'--flagfile={name}: cannot be read ({reason}); expected a file with '
        'one flag per line.') from error
  return _expand([line for line in lines
                  if line and not line.startswith(('#', '//'))],
                 (*including, path))

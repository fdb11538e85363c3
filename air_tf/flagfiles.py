"""Turns a command line with flagfiles and old names into plain flags.

A flagfile is UTF-8 and holds one flag per line; `#` starts a comment line. It
may include another one by `--flagfile=PATH`: what stands further down wins. A
path that does not exist in the current folder is looked for beside the flagfile
that names it.
"""

import codecs
from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import functools
import pathlib
import re

from absl import logging

from air_tf import errors
from air_tf import paths

__all__ = ['RENAMED', 'current_flag', 'current_name', 'expand', 'on_its_own',
           'with_origin']

# Old names of fields, still accepted in flags and run folders.
RENAMED = {'average_decay': 'ema_decay',
           'decoder_scale': 'decoder_init_scale',
           'distribution': 'distribution_strategy',
           'object_size_stddev': 'scale_prior_stddev',
           'steps_scale': 'steps_init_scale',
           'where_scale': 'where_init_scale'}

_FLAG = re.compile(r'(--?)(\w+)(=.*)?', re.DOTALL)
_QUOTES = '\'"‘’‚“”„'  # Word processors write those that are not ASCII.
_MAX_BYTES = 1 << 20  # Of a flagfile.
_MAX_DEPTH = 20  # Of flagfiles that include others.
_MAX_FLAGS = 10_000  # In all; each file may include others several times.
# Where a flag was given last: 'file:line', or '' for the command line.
_origins: dict[str, str] = {}


def expand(arguments: Sequence[str]) -> list[str]:
  """Replaces flagfiles by their lines, and old names of flags by new ones.

  Args:
    arguments: a command line, with or without the name of the program.

  Raises:
    errors.UserError: if a flagfile cannot be read, or includes itself; the text
      names the file and the line.
  """
  _origins.clear()
  return _expand([(argument, '') for argument in arguments], ())


def with_origin(error: Exception) -> Exception:
  """Returns an error with the line of the flagfile that gave its flag.

  The same error, if it begins with no flag, or with one that was given on the
  command line, or not at all.
  """
  match = re.match(r"(?:flag )?--(\w+)|Unknown command line flag '(\w+)'|.*",
                   str(error))
  name = match[1] or match[2] or ''
  where = _origins.get(name) or _origins.get(f'no{name}', '')
  return errors.UserError(f'{where}: {error}') if where else error


@contextlib.contextmanager
def on_its_own() -> Iterator[None]:
  """Within it, flags are expanded that are not those of the command line.

  An error about one of them names its line; errors about flags of the command
  line do so as before.
  """
  origins = dict(_origins)
  try:
    yield
  except errors.UserError as error:
    raise with_origin(error) from error
  finally:
    _origins.clear()
    _origins.update(origins)


@functools.cache  # One line for each name.
def current_name(name: str) -> str:
  """Returns what a flag is called now; says so if `name` is an old name."""
  if name in RENAMED:
    logging.warning('--%s is now called --%s.', name, RENAMED[name])
  return RENAMED.get(name, name)


def current_flag(argument: str) -> str:
  """Returns `--name=value` or `--name` under the present name of the flag."""
  match = _FLAG.fullmatch(argument)
  if not match:
    return argument
  return match[1] + current_name(match[2]) + (match[3] or '')


def _expand(arguments: Sequence[tuple[str, str]],
            including: tuple[pathlib.Path, ...]) -> list[str]:
  """Expands arguments, each with its 'file:line'."""
  flags, rest = [], list(reversed(arguments))
  while rest:
    argument, where = rest.pop()
    if argument == '--':  # Only positional arguments follow.
      return [*flags, argument, *(x for x, _ in reversed(rest))]
    match = _FLAG.fullmatch(argument)
    if not match or match[2] != 'flagfile':
      flags.append(current_flag(argument))
      if match:
        _origins[current_name(match[2])] = where
    elif match[3] or rest:
      path = match[3][1:] if match[3] else rest.pop()[0]
      flags += _expand(_lines(path, where, including), (
          *including, _resolved(path, where, including)))
    else:
      raise _refusal(where, '--flagfile: expected --flagfile=PATH')
    if len(flags) > _MAX_FLAGS:
      raise _refusal(where, f'expected at most {_MAX_FLAGS:,} flags in all '
                     'flagfiles together')
  return flags


def _resolved(name: str, where: str,
              including: tuple[pathlib.Path, ...]) -> pathlib.Path:
  """Returns the path of a flagfile; checks that it does not include itself."""
  try:
    path = pathlib.Path(paths.given('--flagfile', name))
    if including and not path.exists():
      path = including[-1].parent / path
    path = path.resolve()
  except (errors.UserError, OSError, RuntimeError) as error:
    raise _refusal(where, errors.one_line(error)) from error
  if path in including or len(including) >= _MAX_DEPTH:
    raise _refusal(where, f'--flagfile={name} includes itself; leave one of '
                   'them out')
  return path


def _lines(name: str, where: str,
           including: tuple[pathlib.Path, ...]) -> list[tuple[str, str]]:
  """Returns the lines of a flagfile that are flags, each with its place."""
  path = _resolved(name, where, including)
  try:
    data = paths.read_regular(path, _MAX_BYTES)
  except OSError as error:
    raise _refusal(
        where, f'--flagfile={name}: cannot be read ({error.strerror}); '
        'expected a regular file with one flag per line, of at most a megabyte'
        ) from error
  text = _decoded(data, name)
  lines = [(line.strip(), f'{name}:{number}')
           for number, line in enumerate(text.split('\n'), 1)]
  lines = [(line, place) for line, place in lines
           if line and not line.startswith(('#', '//'))]
  for line, place in lines:
    _check_line(line, place)
  return lines


def _decoded(data: bytes, name: str) -> str:
  """Returns the text of a flagfile; a byte-order mark is left out."""
  if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
    raise _refusal(f'{name}:1', 'found UTF-16, as PowerShell writes by >; '
                   'expected UTF-8. Save it as UTF-8, or write it with '
                   'Out-File -Encoding utf8')
  try:
    text = data.decode('utf-8-sig')
  except UnicodeDecodeError as error:
    line = data[:error.start].count(b'\n') + 1
    raise _refusal(
        f'{name}:{line}', f'found the byte {data[error.start]:#x}, which is '
        'not UTF-8; expected a flagfile in UTF-8. Save it as UTF-8') from error
  if '\0' in text:
    line = text[:text.index('\0')].count('\n') + 1
    raise _refusal(f'{name}:{line}', 'found the character NUL; expected text '
                   'in UTF-8 with one flag per line')
  return text.replace('\r\n', '\n').replace('\r', '\n')


def _check_line(line: str, place: str) -> None:
  match = _FLAG.fullmatch(line)
  shown = line if len(line) < 80 else line[:80] + '...'
  if not match:
    raise _refusal(place, f'found {shown!r}; expected one flag per line, as '
                   '--name=value, or a comment that begins with #')
  value = (match[3] or '=')[1:]
  if len(value) > 1 and value[0] in _QUOTES and value[-1] in _QUOTES:
    raise _refusal(place, f'found {shown!r}; expected the value without quotes,'
                   ' which would be a part of it')
  if re.search(r'\s(#|//)', value):
    raise _refusal(place, f'found {shown!r}; expected the comment on a line of '
                   'its own')


def _refusal(where: str, text: str) -> errors.UserError:
  text = text.rstrip('.')
  return errors.UserError(f'{where}: {text}.' if where else f'{text}.')

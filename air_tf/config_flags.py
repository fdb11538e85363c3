"""Flags of the fields of `config.Config`, and flags that are paths."""

from collections.abc import Sequence
import copy
import dataclasses
import math
from typing import Any

from absl import flags

from air_tf import config as config_lib
from air_tf import errors
from air_tf import flagfiles
from air_tf import paths

__all__ = ['config_from_flags', 'config_of', 'define_config_flags',
           'define_finite_float', 'define_path', 'parse']

flags.disclaim_key_flags()  # They are those of the script that asks for them.


class _PathParser(flags.ArgumentParser):
  """Reads a path; the only place where `~` is expanded in a flag."""

  syntactic_help = 'a path'

  def __init__(self, name: str, may_be_empty: bool):
    super().__init__()
    self._flag, self._may_be_empty = f'--{name}', may_be_empty

  def parse(self, argument: str) -> str:
    if not argument and self._may_be_empty:
      return argument
    return paths.given(self._flag, argument)


def define_path(name: str, default: str | None, text: str,
                required: bool = False,
                values: flags.FlagValues | None = None) -> flags.FlagHolder:
  """Offers a path as a flag; empty only if that is the default.

  Args:
    name: of the flag.
    default: its default.
    text: for `--help`.
    required: whether it has to be given.
    values: to which the flag is added; those of the process, if None.
  """
  return flags.DEFINE(
      _PathParser(name, may_be_empty=default == ''), name, default, text,
      flags.FLAGS if values is None else values,
      flags.ArgumentSerializer(), required=required)


def define_finite_float(name: str, default: float | None, text: str,
                        lower: float, upper: float) -> flags.FlagHolder:
  """Offers a number within bounds as a flag; NaN is outside of all."""
  flag = flags.DEFINE_float(
      name, default, text, lower_bound=lower, upper_bound=upper)
  flags.register_validator(
      name, lambda value: value is None or math.isfinite(value),
      f'expected a number from {lower:g} to {upper:g}')
  return flag


def define_config_flags(*names: str,
                        values: flags.FlagValues | None = None) -> None:
  """Offers fields of `Config` as flags of the same names; none means all.

  Args:
    *names: of fields.
    values: to which the flags are added; those of the process, if None.
  """
  values = flags.FLAGS if values is None else values
  for field in dataclasses.fields(config_lib.Config):
    if not names or field.name in names:
      _DEFINE[_kind(field)](field, values)


def config_from_flags(values: flags.FlagValues | None = None,
                      **overrides) -> config_lib.Config:
  """Returns the configuration that the flags describe.

  Args:
    values: the flags; those of the process, if None.
    **overrides: fields of `Config` that hold whatever the flags say.

  Raises:
    errors.UserError: if a value cannot be used.
  """
  values = flags.FLAGS if values is None else values
  fields = {field.name: _value(field, values)
            for field in dataclasses.fields(config_lib.Config)
            if field.name in values}
  return config_lib.Config(**(fields | overrides))


def parse(values: flags.FlagValues, argv: Sequence[str],
          known_only: bool = False) -> list[str]:
  """Parses a command line without flagfiles; returns what is not a flag.

  Args:
    values: the flags, which take the values.
    argv: the name of the program, then its arguments.
    known_only: whether flags that are unknown are returned, too.

  Raises:
    flags.Error: if a flag is unknown, or its value is refused.
  """
  try:
    left = values(argv, known_only=known_only)
  except ValueError as error:  # absl's, of --noflag=value.
    raise flags.Error(errors.one_line(error)) from error
  # absl's own, which does nothing here and is easily taken for --logdir.
  if 'log_dir' in values and values['log_dir'].present:
    raise flags.UnrecognizedFlagError(
        'log_dir', '', ['logdir'] if 'logdir' in values else None)
  return left


def config_of(arguments: Sequence[str]) -> config_lib.Config:
  """Returns what bin/train.py would make of flags, without starting it.

  Call it within `flagfiles.on_its_own`.

  Args:
    arguments: flags and flagfiles.

  Raises:
    errors.UserError: if bin/train.py would refuse them.
  """
  values = flags.FlagValues()
  define_path('logdir', 'runs/air', '', values=values)
  define_config_flags(values=values)
  for name in flags.FLAGS:  # Those of absl, as --verbosity.
    if (name not in values and name == flags.FLAGS[name].name
        and flags.FLAGS.find_module_defining_flag(name, '').startswith('absl')):
      values[name] = copy.deepcopy(flags.FLAGS[name])
  try:
    left = parse(values, ['train.py', *flagfiles.expand(arguments)])
  except flags.Error as error:
    raise errors.UserError(errors.one_line(error)) from error
  if left[1:]:
    raise errors.UserError(
        f'found {left[1]!r}; expected flags only, as --name=value.')
  return config_from_flags(values)


def _kind(field: dataclasses.Field) -> Any:
  if field.metadata['choices'] is not None:
    return 'choice'
  if field.metadata['path']:
    return 'path'
  return type(field.default)


def _value(field: dataclasses.Field, values: flags.FlagValues) -> Any:
  value = values[field.name].value
  if not isinstance(field.default, tuple):
    return value
  number = type(field.default[0])
  try:
    return tuple(number(part) for part in value)
  except ValueError as error:
    raise errors.UserError(
        f"--{field.name}={','.join(value)}: expected {number.__name__} numbers "
        'with commas between them.') from error


def _define(define, field: dataclasses.Field, values: flags.FlagValues,
            default: Any = None, text: str = '') -> None:
  define(field.name, field.default if default is None else default,
         text or field.metadata['help'], flag_values=values)


_DEFINE = {
    bool: lambda f, v: _define(flags.DEFINE_bool, f, v),
    int: lambda f, v: _define(flags.DEFINE_integer, f, v),
    float: lambda f, v: _define(flags.DEFINE_float, f, v),
    str: lambda f, v: _define(flags.DEFINE_string, f, v),
    tuple: lambda f, v: _define(
        flags.DEFINE_list, f, v, list(map(str, f.default))),
    'path': lambda f, v: define_path(
        f.name, f.default, f.metadata['help'], values=v),
    'choice': lambda f, v: _define(
        flags.DEFINE_string, f, v, text=f"{f.metadata['help']} One of "
        f"{', '.join(f.metadata['choices'])}."),
}

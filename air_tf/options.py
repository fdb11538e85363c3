"""What an option of `config.Config` is: a default, a text and its bounds."""

import dataclasses
import math
from typing import Any

from air_tf import errors

__all__ = ['TINY', 'check_bounds', 'option', 'require']

TINY = 1e-12  # Lower bound of what must be positive.
# Of whole numbers, and of others, which are computed with in 32 bits.
_LARGEST = 1e15, 1e30


def option(default: Any, text: str, lower: float | None = None,
           upper: float | None = None,
           choices: tuple[str, ...] | None = None, path: bool = False,
           before: Any = None) -> Any:
  """Returns a dataclass field that carries its help text and its bounds.

  Args:
    default: its default.
    text: for `--help`.
    lower: smallest number allowed, if there is a bound.
    upper: largest number allowed, if there is a bound.
    choices: the values of text that are allowed; all, if None.
    path: whether it is that of a file or folder; empty only if the default is.
    before: what the runs did that were made before the option was there, if
      there are any: their folders lack it.
  """
  return dataclasses.field(default=default, metadata={
      'help': text, 'lower': lower, 'upper': upper, 'choices': choices,
      'path': path, 'before': before})


def check_bounds(field: dataclasses.Field, value: Any) -> None:
  """Checks a value against the bounds in the metadata of its field.

  Args:
    field: made by `option`.
    value: a number, a tuple of numbers, or text.

  Raises:
    errors.UserError: if it breaks them; the text names the flag.
  """
  flag, choices = f'--{field.name}', field.metadata['choices']
  if choices is not None:
    require(value in choices, flag, value, 'one of ' + ', '.join(choices))
  for number in value if isinstance(value, tuple) else (value,):
    if isinstance(number, int | float):
      _check_number(field, number, value)


def require(condition: Any, flag: str, found: Any, expected: str) -> None:
  """Raises `UserError` unless `condition` holds."""
  if not condition:
    if isinstance(found, tuple):
      found = ','.join(map(str, found))
    raise errors.UserError(f'{flag}={found}: expected {expected}.')


def _check_number(field: dataclasses.Field, number: float, value: Any) -> None:
  flag, metadata = f'--{field.name}', field.metadata
  lower, upper = metadata['lower'], metadata['upper']
  if isinstance(number, float):
    require(math.isfinite(number), flag, value, 'a finite number')
  largest = _LARGEST[isinstance(number, float)]
  require(abs(number) <= largest, flag, value, f'at most {largest:g}')
  if lower is not None:
    require(number >= lower, flag, value,
            'more than 0' if lower == TINY else f'at least {lower}')
  if upper is not None:
    require(number <= upper, flag, value, f'at most {upper}')

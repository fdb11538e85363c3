"""The recipes of a sweep: flagfiles, with every combination of varied flags."""

from collections.abc import Sequence
import itertools
import pathlib

from air_tf import config_flags
from air_tf import errors
from air_tf import flagfiles as flagfiles_lib

__all__ = ['Recipes', 'recipes', 'require_different']

Recipes = dict[str, tuple[str, ...]]  # Flags of bin/train.py by name.

_NOT_VARIED = {'seed': 'seeds are given by --seeds=first:last',
               'logdir': 'each run gets a folder in --logdir',
               'flagfile': 'give several --flagfile'}


def recipes(flagfiles: Sequence[str], varied: Sequence[str],
            common: Sequence[str]) -> Recipes:
  """Returns the recipes: each flagfile with each combination of values.

  Args:
    flagfiles: one or more, or none for the defaults.
    varied: `FLAG=V1,V2,...`, of bin/train.py.
    common: `--name=value`, flags of all recipes, which are not varied.

  Raises:
    errors.UserError: if a flag cannot be varied, or comes twice, or two
      recipes have the same name.
  """
  choices, names = [], [_name(argument) for argument in common]
  for text in varied:
    name, equals, values = text.partition('=')
    name, values = name.lstrip('-'), values.split(',')
    current = _name(text)
    if not (name and equals and all(values)):
      raise errors.UserError(
          f'--vary={text}: expected FLAG=V1,V2, for example '
          '--vary=estimator=marginal,nvil.')
    if name in _NOT_VARIED:
      raise errors.UserError(
          f'--vary={text}: expected another flag; {_NOT_VARIED[name]}.')
    if len(set(values)) < len(values) or current in names:
      raise errors.UserError(
          f'--vary={text}: expected each flag once, also outside of --vary, '
          'and each of its values.')
    names.append(current)
    choices.append([f'{name}={value}' for value in values])
  found = {}
  for flagfile in flagfiles or [None]:
    stem = [] if flagfile is None else [pathlib.Path(flagfile).stem]
    for choice in itertools.product(*choices):
      # A name of one folder, also where a value is a path.
      name = ','.join([*stem, *choice]).replace('/', '_') or 'default'
      if name in found:
        raise errors.UserError(
            f'--flagfile={flagfile}: a second recipe is called {name!r}; '
            'expected flagfiles with names of their own, each given once.')
      found[name] = (
          *([] if flagfile is None else [f'--flagfile={flagfile}']),
          *(f'--{flag}' for flag in choice))
  return found


def require_different(recipes: Recipes, common: Sequence[str]) -> None:
  """Refuses values that are the same, as .001 and 1e-3.

  Args:
    recipes: as `recipes` returns them.
    common: flags of all recipes.

  Raises:
    errors.UserError: if two recipes have the same configuration.
  """
  names = {}
  for name, chosen in recipes.items():
    flagfile = [x for x in chosen if x.startswith('--flagfile=')]
    with flagfiles_lib.on_its_own():
      key = *flagfile, config_flags.config_of([*chosen, *common])
    if names.setdefault(key, name) != name:
      raise errors.UserError(
          f'--vary: {names[key]} and {name} are the same training; expected '
          'each value once, in one spelling.')


def _name(argument: str) -> str:
  """Returns the present name of the flag in `--name=value`, `name=value`."""
  return flagfiles_lib.current_name(argument.lstrip('-').partition('=')[0])

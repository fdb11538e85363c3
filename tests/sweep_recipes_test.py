import pytest

from air_tf import errors
from air_tf import sweep_recipes


def test_each_flagfile_has_each_combination_of_values():
  found = sweep_recipes.recipes(
      ['a/x.flags', 'y.flags'], ['estimator=marginal,nvil', 'batch_size=8'], [])
  assert found == {
      f'{stem},estimator={estimator},batch_size=8': (
          f'--flagfile={path}', f'--estimator={estimator}', '--batch_size=8')
      for path, stem in (('a/x.flags', 'x'), ('y.flags', 'y'))
      for estimator in ('marginal', 'nvil')}


def test_an_empty_flagfile_is_not_none():  # As by an unset variable.
  found, = sweep_recipes.recipes([''], [], []).values()
  assert found == ('--flagfile=',)


def test_without_flagfiles_and_values_there_are_the_defaults():
  assert sweep_recipes.recipes([], [], ['--max_steps=2']) == {'default': ()}


@pytest.mark.parametrize('varied', [
    ['estimator'], ['=1'], ['estimator=marginal,'], ['seed=1,2'],
    ['max_steps=1,1'], ['max_steps=1', 'max_steps=2'], ['batch_size=8']])
def test_what_cannot_be_varied_is_refused(varied):
  with pytest.raises(errors.UserError, match='--vary=.*expected'):
    sweep_recipes.recipes([], varied, ['--batch_size=4'])


def test_a_name_is_given_once_and_so_is_a_training():
  with pytest.raises(errors.UserError, match="called 'x'"):
    sweep_recipes.recipes(['a/x.flags', 'b/x.flags'], [], [])
  recipes = sweep_recipes.recipes([], ['learning_rate=.001,1e-3'], [])
  with pytest.raises(errors.UserError, match='the same training'):
    sweep_recipes.require_different(recipes, [])

"""The ladder from blog.flags to air.flags changes one thing per rung."""

import dataclasses
import pathlib

import pytest

from air_tf import config_flags

FLAGS = pathlib.Path(__file__).parents[1] / 'bin' / 'flags'
# How long a run is and what it writes down: no part of the recipe.
BOOKKEEPING = {'num_iterations', 'eval_every', 'checkpoint_every'}
# What each rung may change, from the second rung on.
RUNGS = {
    '1_initial_values': {
        'decoder_bias', 'decoder_init_scale', 'where_stddev_init',
        'where_init_scale', 'steps_bias'},
    '2_optimizer': {
        'optimizer', 'learning_rate', 'baseline_learning_rate',
        'decay_iterations', 'clip_norm', 'ema_decay'},
    '3_per_step_baseline': {'estimator'},
    '4_exact_sum': {'estimator'},
    '5_prior': {
        'success_init', 'success_hold', 'success_iterations', 'object_size',
        'scale_prior_stddev'},
    '6_exploration_floor': {'exploration_init', 'exploration_final'},
    '7_encoder': {'image_encoder'},
    '8_fresh_scenes': {'num_train_scenes', 'refresh_every'},
}


def config_of(name: str) -> dict:
  """Returns the fields that a flagfile of `bin/flags` resolves to."""
  return dataclasses.asdict(config_flags.config_of(
      [f'--flagfile={FLAGS / name}.flags']))


def changed(one: str, other: str) -> set[str]:
  """Returns the names of the fields in which two flagfiles differ."""
  left, right = config_of(one), config_of(other)
  return {name for name in left if left[name] != right[name]}


def test_every_flagfile_of_the_folder_is_a_rung():
  found = sorted(path.stem for path in (FLAGS / 'ladder').glob('*'))
  assert found == list(RUNGS)


@pytest.mark.parametrize('i', range(len(RUNGS)))
def test_a_rung_changes_the_flags_of_one_thing_and_no_other(i):
  names = ['blog', *(f'ladder/{name}' for name in RUNGS)]
  assert changed(names[i], names[i + 1]) == RUNGS[list(RUNGS)[i]]


def test_the_last_rung_is_the_recipe_of_air():
  assert changed(f'ladder/{list(RUNGS)[-1]}', 'air') == BOOKKEEPING


def test_the_estimators_come_one_after_the_other():
  assert [config_of(name)['estimator'] for name in (
      'blog', 'ladder/3_per_step_baseline', 'ladder/4_exact_sum')] == [
          'nvil', 'nvil_per_step', 'marginal']

"""Checks values of `config.Config` against each other."""

from collections.abc import Mapping
import functools
from typing import Any

from air_tf import options

__all__ = ['check']

_MAX_WAYS = 4_096  # Largest (T + 1)^K that `marginal` enumerates.


def check(config: Any, estimators: Mapping[str, Any]) -> None:
  """Checks that the values of a configuration fit together.

  Args:
    config: a `Config`, each value within its own bounds.
    estimators: `config.EstimatorSpec` by name.

  Raises:
    errors.UserError: if two do not; the text names the flag to change.
  """
  _check_scenes(config)
  _check_compositing(config, estimators)
  _check_candidates(config)
  _check_particles(config, estimators)


def _check_scenes(config) -> None:
  require = functools.partial(_require, config)
  require('counts', bool(config.counts),
          'at least one number, for example --counts=0,1,2')
  require('digit_scale', len(config.digit_scale) == 2
          and config.digit_scale[0] <= config.digit_scale[1],
          'two numbers, the smaller first, for example --digit_scale=.6,1')
  require('counts', config.scenes or max(config.counts) <= config.max_steps,
          f'no more than --max_steps={config.max_steps}, the most objects that '
          'the model can write; raise that or leave the larger counts out')
  require('test_scenes', config.scenes or not config.test_scenes,
          'to stand beside --scenes; without that, test scenes are composed '
          'from test digits')
  _ = config.range_limits  # Raises, if it is no range.
  require('crop', config.scenes or not config.crop,
          'to stand beside --scenes, whose pictures are cropped')
  require('max_objects', config.scenes or not config.max_objects,
          'to stand beside --scenes, a published set')
  require('augment', config.crop or not config.augment,
          'to stand beside --crop, whose crops are turned')
  require('ground', not (config.ground and config.background),
          'one of --ground and --background: the first is an even or gently '
          'sloping ground, the second learns any other')
  require('ground_kind', config.ground or config.ground_kind == 'sloping',
          'to stand beside --ground, whose shape it is')
  require('channels', config.channels != 2, '1 or 3')
  require('clip_norm', not 0. < config.clip_norm < options.TINY,
          f'0, for no clipping, or at least {options.TINY:g}')
  # A file has a size of its own, which is not known here.
  require('object_size',
          config.scenes or config.object_size < config.canvas_size,
          f'fewer pixels than --canvas_size={config.canvas_size}, the side of '
          'the images')


def _check_compositing(config, estimators) -> None:
  others = [name for name, x in estimators.items() if not x.is_quadratic]
  _require(config, 'compositing', config.compositing == 'add'
           or not estimators[config.estimator].is_quadratic,
           f'add, because --estimator={config.estimator} needs objects that '
           f"add up; those that do not are {', '.join(others)}")
  _require(config, 'one_colour', config.compositing != 'add'
           or not config.one_colour, 'to stand beside --compositing=over or '
           '--compositing=sorted')
  _require(config, 'glimpse_decoder', config.glimpse_decoder == 'mlp'
           or not config.one_colour, 'mlp beside --one_colour')


def _check_candidates(config) -> None:
  _require(config, 'candidates', config.image_encoder == 'search'
           or config.candidates == 1,
           f'to be 1 beside --image_encoder={config.image_encoder}: '
           'explanations differ in the places that --image_encoder=search '
           'chooses')


def _check_particles(config, estimators) -> None:
  require = functools.partial(_require, config, 'num_particles')
  estimator, spec = f'--estimator={config.estimator}', estimators[
      config.estimator]
  with_bound = [name for name, x in estimators.items() if x.has_bound]
  require(spec.has_bound or config.num_particles <= 1,
          f'1, because {estimator} has no importance-weighted bound; those '
          f"that have one are {', '.join(with_bound)}")
  require(config.particles >= spec.fewest_particles,
          f'at least {spec.fewest_particles} for {estimator}')
  if config.estimator == 'marginal' and config.particles > 1:
    require((config.max_steps + 1)**config.particles <= _MAX_WAYS,
            f'fewer: {estimator} sums over all (T + 1)^K counts of K '
            f'particles, at most {_MAX_WAYS:,}; vimco samples them')


def _require(config, name: str, condition, expected: str) -> None:
  options.require(condition, f'--{name}', getattr(config, name), expected)

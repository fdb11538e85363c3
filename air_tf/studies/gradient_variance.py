"""The variance of the gradient, per parameter, as the blog measures it.

The gradient is that of the loss, a mean over the batch. Its variance is over
the random numbers of the estimator (`where`, `what` and counts), for one fixed
batch; that of a group is the mean over the group's parameters.
"""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
import json
import pathlib

import numpy as np
import tensorflow as tf

from air_tf import config as config_lib
from air_tf import errors
from air_tf import files
from air_tf import progress
from air_tf import run as run_lib
from air_tf.data import streams
from air_tf.plotting import comparisons
from air_tf.studies import markdown as markdown_lib
from air_tf.training import gradient_monitor
from air_tf.training import summaries
from air_tf.training import trainer as trainer_lib

__all__ = ['PARTS', 'compare', 'markdown', 'measure', 'save']

# Of a gradient: the whole, and its terms by backpropagation through `where` and
# `what` and by the score function of a sampled count.
PARTS = ('total', 'backpropagation', 'score')
_WARM_UP_SCENES = 20_000  # Of a file that may not fit into memory.


def compare(logdir: str, names: Sequence[str] | None, repeats: int,
            warm_up: int) -> dict:
  """Measures estimators side by side, on the model of one run.

  An estimator other than the run's own first trains its own variables (a
  baseline, a control variate) with the model fixed.

  Args:
    logdir: folder of the run.
    names: of estimators; all that suit the run, if None.
    repeats: independent gradients of each, at least 2.
    warm_up: iterations for which another estimator trains its variables.

  Returns:
    `step`, `trained_with`, `batch_size`, `repeats` and, under `estimators`, for
    each its `num_particles` and `groups` as by `measure`.

  Raises:
    errors.UserError: if there is no such run, or no checkpoint of it, or an
      estimator does not suit it.
  """
  opened = run_lib.Run(logdir)
  config = opened.config
  configs = _configs(config, names)
  scenes = opened.scenes.train
  batch = scenes.select(slice(config.batch_size))
  images = streams.to_pixels(tf.constant(batch.images))
  some = tf.constant(scenes.images[:_WARM_UP_SCENES])
  results = {}
  with progress.bar(len(configs) * repeats, 'gradients') as bar:
    for name in configs:
      bar.compiling(name)
      trainer = opened.trainer
      if name != config.estimator:
        trainer = _with_model_of(trainer, configs[name])
        trainer.train_auxiliary(some, tf.constant(warm_up))
      groups = measure(trainer, images, repeats, bar.update)
      results[name] = {'num_particles': trainer.config.particles,
                       'groups': groups}
  return {'step': opened.step, 'trained_with': config.estimator,
          'batch_size': config.batch_size, 'repeats': repeats,
          'estimators': results}


def measure(trainer: trainer_lib.Trainer, images: tf.Tensor,
            repeats: int, advance: Callable[[], None] = lambda: None,
            ) -> dict[str, dict[str, float]]:
  """Measures the variance over independent gradients of one batch.

  Args:
    trainer: whose model, iteration and estimator are used; none changes.
    images: float `[B, H, W]`, 0 ... 1.
    repeats: at least 2.
    advance: called after each gradient.

  Returns:
    By group of variables, and for `all`: `parameters`, their number, and the
    mean unbiased variance of each of `PARTS`. The two terms may be correlated,
    so their variances need not add up to the total.
  """
  variances = _variances(trainer, images, repeats, advance)
  groups = gradient_monitor.indices_by_group(trainer.model)
  groups['all'] = range(len(trainer.model.trainable_variables))
  result = {}
  for group, indices in groups.items():
    of_group = {part: np.concatenate([of_part[i].ravel() for i in indices])
                for part, of_part in variances.items()}
    result[group] = {'parameters': of_group['total'].size} | {
        part: float(np.mean(values, dtype=np.float64))
        for part, values in of_group.items()}
  return result


def _variances(trainer: trainer_lib.Trainer, images: tf.Tensor,
               repeats: int, advance: Callable[[], None],
               ) -> dict[str, list[np.ndarray]]:
  """Unbiased variance of every parameter, by part, then by variable."""
  gradients = tf.function(
      lambda repeat: _parts(trainer, images, repeat), autograph=False)
  # Differences to the first gradient avoid cancellation: the mean may be large
  # compared with the standard deviation.
  first = tf.nest.map_structure(np.asarray, gradients(tf.constant(0)))
  advance()
  total = tf.nest.map_structure(np.zeros_like, first)
  squares = tf.nest.map_structure(np.zeros_like, first)
  for repeat in range(1, repeats):
    difference = tf.nest.map_structure(
        lambda x, y: x.numpy() - y, gradients(tf.constant(repeat)), first)
    total = tf.nest.map_structure(np.add, total, difference)
    squares = tf.nest.map_structure(
        lambda x, y: x + y * y, squares, difference)
    advance()
  return tf.nest.map_structure(
      lambda square, sum_: (square - sum_**2 / repeats) / (repeats - 1),
      squares, total)


def markdown(result: dict) -> str:
  """Returns a table of what `compare` found.

  There is one row per estimator and part, one column per group.
  """
  groups = list(next(iter(result['estimators'].values()))['groups'])
  rows = []
  for name, measured in result['estimators'].items():
    particles = measured['num_particles']
    label = name if particles == 1 else f'{name} (K = {particles})'
    for part in PARTS:
      cells = [label if part == 'total' else '', part]
      cells += [f"{measured['groups'][group][part]:.1e}" for group in groups]
      rows.append(cells)
  return markdown_lib.table(['estimator', 'part', *groups], rows)


def save(result: dict, logdir: str) -> None:
  """Writes `gradient_variance` as JSON, table and chart into a run folder.

  The chart goes to TensorBoard too, under the held-out pictures.
  """
  folder = pathlib.Path(logdir)
  files.write_text(folder / 'gradient_variance.json',
                   json.dumps(result, indent=2))
  files.write_text(folder / 'gradient_variance.md', markdown(result))
  chart = comparisons.variance_bars({
      name: {group: values['total'] for group, values in x['groups'].items()}
      for name, x in result['estimators'].items()})
  writer = summaries.Writer(folder)
  writer.figure('gradient_variance', chart, result['step'],
                folder / 'figures' / 'gradient_variance.png')
  writer.flush()


def _configs(config: config_lib.Config,
             names: Sequence[str] | None) -> dict[str, config_lib.Config]:
  """Returns the configuration with other estimators; all, if None."""
  configs = {}
  for name in names or config_lib.ESTIMATORS:
    try:
      configs[name] = dataclasses.replace(
          config, estimator=name, num_particles=0)
    except errors.UserError as error:
      if names:
        raise errors.UserError(
            f'--estimators: found {name}, which does not suit the run: {error}'
            ) from error
  return configs


def _with_model_of(run: trainer_lib.Trainer,
                   config: config_lib.Config) -> trainer_lib.Trainer:
  """Returns a trainer of the same model, at the same iteration."""
  trainer = trainer_lib.Trainer(config)
  for ours, theirs in zip(trainer.model.variables, run.model.variables,
                          strict=True):
    ours.assign(theirs)
  trainer.iteration.assign(run.iteration)
  return trainer


def _parts(trainer: trainer_lib.Trainer, images: tf.Tensor,
           repeat: tf.Tensor) -> dict[str, list[tf.Tensor]]:
  """The gradient of each variable, by part."""
  with tf.GradientTape(persistent=True) as tape:
    estimate = trainer.estimate(images, repeat)
  gradient = lambda loss: tape.gradient(
      loss, trainer.model.trainable_variables,
      unconnected_gradients=tf.UnconnectedGradients.ZERO)
  pathwise = gradient(estimate.pathwise_loss)
  score = gradient(estimate.score_loss)
  total = [tf.add(*pair) for pair in zip(pathwise, score, strict=True)]
  return dict(zip(PARTS, (total, pathwise, score), strict=True))

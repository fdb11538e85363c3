"""The variance of the gradient, per parameter, as the blog measures it.

The gradient is that of the loss, a mean over the batch. Its variance is over
the random numbers of the estimator (`where`, `what` and counts), on one fixed
batch; a group's number is the mean over the group's parameters.
"""

from collections.abc import Callable
from collections.abc import Sequence
import dataclasses
import json
import pathlib

import numpy as np
import tensorflow as tf

from air_tf import config as config_lib
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

PARTS = ('total', 'backpropagation', 'score')


def compare(logdir: str, names: Sequence[str], repeats: int,
            warm_up: int) -> dict:
  """Measures estimators side by side, on the model of one run.

  An estimator that the run was not trained with first trains what it has to
  learn (a baseline, a control variate) while the model stands still.

  Args:
    logdir: folder of the run.
    names: of estimators.
    repeats: independent gradients of each, at least 2.
    warm_up: iterations that a new estimator learns.

  Returns:
    `step`, `batch_size`, `repeats` and, under `estimators`, for each its
    `num_particles` and `groups` as by `measure`.

  Raises:
    errors.UserError: if there is no such run, or no checkpoint of it.
  """
  opened = run_lib.Run(logdir)
  run, config = opened.trainer, opened.config
  scenes = opened.scenes.train.images
  images = streams.to_pixels(tf.constant(scenes[:config.batch_size]))
  results = {}
  with progress.bar(len(names) * repeats, 'gradients') as bar:
    for name in names:
      bar.compiling(name)
      trainer = run if name == config.estimator else _with(run, name)
      if trainer is not run:
        trainer.train_auxiliary(tf.constant(scenes), tf.constant(warm_up))
      groups = measure(trainer, images, repeats, bar.update)
      results[name] = {'num_particles': trainer.config.particles,
                       'groups': groups}
  return {'step': opened.step, 'trained_with': config.estimator,
          'batch_size': config.batch_size, 'repeats': repeats,
          'estimators': results}


def measure(trainer: trainer_lib.Trainer, images: tf.Tensor,
            repeats: int, advance: Callable[[], None] = lambda: None,
            ) -> dict[str, dict[str, float]]:
  """Repeats one gradient with other random numbers.

  Args:
    trainer: whose model, iteration and estimator are used; none changes.
    images: float `[B, H, W]`, 0 ... 1.
    repeats: at least 2.
    advance: called after each of them.

  Returns:
    By group of variables (and `all`): `parameters`, their number, and the mean
    unbiased variance of the `total` gradient, of the part that comes by
    `backpropagation` and of the part of the sampled count's `score`. The two
    parts may be correlated, so they need not add up.
  """
  variables = trainer.model.trainable_variables
  gradients = tf.function(lambda repeat: _parts(trainer, images, repeat))
  # Differences to the first gradient: its mean need not be small against its
  # standard deviation.
  first = [x.numpy() for x in gradients(tf.constant(0))]
  advance()
  total = [np.zeros_like(x) for x in first]
  squares = [np.zeros_like(x) for x in first]
  for repeat in range(1, repeats):
    for i, gradient in enumerate(gradients(tf.constant(repeat))):
      difference = gradient.numpy() - first[i]
      total[i] += difference
      squares[i] += difference * difference
    advance()
  variances = [(square - sum_**2 / repeats) / (repeats - 1)
               for sum_, square in zip(total, squares, strict=True)]
  names = [gradient_monitor.group_of(v) for v in variables] * len(PARTS)
  parts = np.repeat(PARTS, len(variables))
  groups = [g for g in (*gradient_monitor.GROUPS, 'other')
            if g in names] + ['all']
  result = {}
  for group in groups:
    inside = lambda part, group=group: np.concatenate([
        v.ravel() for v, n, p in zip(variances, names, parts, strict=True)
        if p == part and group in (n, 'all')])
    result[group] = {'parameters': inside('total').size} | {
        part: float(np.mean(inside(part), dtype=np.float64))
        for part in PARTS}
  return result


def markdown(result: dict) -> str:
  """Returns the result of `compare` as a table, a row an estimator and part."""
  groups = list(next(iter(result['estimators'].values()))['groups'])
  rows = []
  for name, found in result['estimators'].items():
    particles = found['num_particles']
    label = name if particles == 1 else f'{name} (K = {particles})'
    for part in PARTS:
      cells = [label if part == 'total' else '', part]
      cells += [f"{found['groups'][group][part]:.1e}" for group in groups]
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


def _with(run: trainer_lib.Trainer, name: str) -> trainer_lib.Trainer:
  """A trainer of the same model at the same iteration, another estimator."""
  config: config_lib.Config = dataclasses.replace(
      run.config, estimator=name, num_particles=0)
  trainer = trainer_lib.Trainer(config)
  for ours, theirs in zip(trainer.model.variables, run.model.variables,
                          strict=True):
    ours.assign(theirs)
  trainer.iteration.assign(run.iteration)
  return trainer


def _parts(trainer, images, repeat) -> list[tf.Tensor]:
  """Gradients by each of `PARTS`, one list of them all."""
  variables = trainer.model.trainable_variables
  with tf.GradientTape(persistent=True) as tape:
    estimate = trainer.estimate(images, repeat)
  gradient = lambda loss: tape.gradient(
      loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)
  pathwise = gradient(estimate.pathwise_loss)
  score = gradient(estimate.score_loss)
  total = [tf.add(*pair) for pair in zip(pathwise, score, strict=True)]
  return [*total, *pathwise, *score]

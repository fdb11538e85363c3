"""Generalisation to unseen counts: the paper's two experiments on AIR and DAIR.

A model trained on scenes with some counts is tested on scenes with another one:
more objects than it has ever seen (extrapolation), or a number in between
(interpolation). It may take more steps than in training.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import dataclasses
import json
import pathlib
from typing import NamedTuple

import numpy as np

from air_tf import files
from air_tf import run as run_lib
from air_tf.data import datasets
from air_tf.evaluation import counting
from air_tf.studies import markdown as markdown_lib
from air_tf.studies import sweep

__all__ = ['EXPERIMENTS', 'MAX_STEPS', 'Experiment', 'markdown', 'measure',
           'runs', 'save']

MAX_STEPS = 5  # In testing: more than the objects of any scene.


class Experiment(NamedTuple):
  """Counts in training and in testing."""
  trained: tuple[int, ...]  # Counts in the training scenes.
  asked: int                # The count of all test scenes.


# Paper, section 4.2: AIR about 0 and 60 %, DAIR about 80 and 95 %.
EXPERIMENTS = {'extrapolation': Experiment((0, 1, 2), 3),
               'interpolation': Experiment((0, 1, 3), 2)}


def runs(logdir: str, models: Mapping[str, Sequence[str]],
         flags: Sequence[str],
         seeds: Sequence[int]) -> dict[tuple[str, str], list[sweep.Run]]:
  """Returns the training runs, one per seed, by (experiment, model).

  Args:
    logdir: folder of all runs.
    models: flags of bin/train.py for each model to compare, by its name.
    flags: common to all runs; they override a model's.
    seeds: of the runs.
  """
  return {
      (name, model): [sweep.Run(
          pathlib.Path(logdir) / name / model / f'seed-{seed}',
          (*own, *flags, f"--counts={','.join(map(str, experiment.trained))}",
           f'--max_steps={max(experiment.trained) + 1}', f'--seed={seed}'))
                      for seed in seeds]
      for name, experiment in EXPERIMENTS.items()
      for model, own in models.items()}


def measure(run: sweep.Run, asked: int) -> dict | None:
  """Tests a trained model on scenes with one count, with `MAX_STEPS` steps.

  The scenes are composed of test digits, as the run's own held-out ones.

  Args:
    run: a run of `runs`.
    asked: the true count of all scenes.

  Returns:
    `seen`, the count accuracy on the run's held-out scenes, with the counts of
    training; `asked`, that on scenes with the other count; `counted`, a
    histogram of the answers to these, 0 ... `MAX_STEPS`. None if the run
    failed.
  """
  ended = sweep.outcome(run)
  if ended is None or ended.exit_code != 0:
    return None
  opened = run_lib.Run(run.folder)
  model, _ = opened.trainer.averaged_model(MAX_STEPS)

  def ask(counts: tuple[int, ...]) -> tuple[float, list[int]]:
    _, scenes = datasets.load(dataclasses.replace(
        opened.config, counts=counts, max_steps=MAX_STEPS,
        estimator='marginal', num_particles=1))
    predicted = counting.Evaluator(model).counts(scenes)
    metrics = counting.count_metrics(predicted, scenes.counts)
    return metrics['count_accuracy'], np.bincount(
        predicted, minlength=MAX_STEPS + 1).tolist()

  seen, _ = ask(opened.config.counts)
  right, counted = ask((asked,))
  return {'seen': seen, 'asked': right, 'counted': counted}


def markdown(results: dict[tuple[str, str], list[dict]]) -> str:
  """Returns a table with one row per experiment and model.

  Args:
    results: what `measure` gave for the runs that ended well.
  """
  rows = []
  for (name, model), measured in results.items():
    experiment = EXPERIMENTS[name]
    asked = [result['asked'] for result in measured]
    seen = [result['seen'] for result in measured]
    trained = ', '.join(map(str, experiment.trained))
    cells = [trained, str(experiment.asked), model]
    cells += ([_percents([min(asked), np.mean(asked), max(asked)]),
               _percents([np.mean(seen)])] if measured else ['–', '–'])
    rows.append(cells)
  return markdown_lib.table(
      ['trained on', 'asked for', 'model', 'worst, mean, best',
       'on the counts trained on (mean)'], rows)


def save(results: dict[tuple[str, str], list[dict]], logdir: str) -> None:
  """Writes `generalisation.json` and `generalisation.md` into a folder."""
  folder = pathlib.Path(logdir)
  files.write_text(folder / 'generalisation.json', json.dumps([
      {'experiment': name, 'trained': EXPERIMENTS[name].trained,
       'asked': EXPERIMENTS[name].asked, 'model': model, 'runs': measured}
      for (name, model), measured in results.items()], indent=1))
  files.write_text(folder / 'generalisation.md', markdown(results))


def _percents(shares: Sequence[float]) -> str:
  return ', '.join(f'{100 * share:.2f}' for share in shares) + ' %'

"""How useful AIR's latents are: arithmetic on scenes of two digits.

Two tasks of the paper (Eslami et al. 2016, section 3.1): the sum of the two
digits, and whether they ascend from left to right, with few labels and with
many. From AIR's latents they are learnt in two ways: by one classifier for all
objects, from whose answers those for the scene follow (`object_classifier`),
and by a classifier of whole scenes (`scene_classifier`). The first also takes
the objects explained again, alone (`refinement`), the second also pixels and
the codes of two models that know of no objects (`image_codes`).

Letters: `N` scenes.
"""

from collections.abc import Sequence
import dataclasses
import pathlib
from typing import NamedTuple

from absl import logging
import numpy as np

from air_tf import config as config_lib
from air_tf import digit_sources
from air_tf import errors
from air_tf import memory
from air_tf import progress
from air_tf import run as run_lib
from air_tf.data import datasets
from air_tf.data import digits as digits_lib
from air_tf.data import scenes as scenes_lib
from air_tf.plotting import curves
from air_tf.studies import markdown
from air_tf.studies import object_classifier
from air_tf.studies import scene_classifier
from air_tf.studies import scene_descriptions
from air_tf.training import run_folder
from air_tf.training import summaries

__all__ = ['run', 'table', 'targets']

_BYTES_PER_PIXEL = 5  # As composed, and as floats.
# Not the scenes that the model has seen.
_TRAIN_SEED, _TEST_SEED, _UNLABELLED_SEED = 3, 4, 5
_NUM_UNLABELLED = 60_000
_CHANCE = 'chance'


class _Task(NamedTuple):
  title: str
  num_answers: int


_TASKS = {'sum': _Task('sum of the two digits', 19),
          'ascending': _Task('digits ascend from left to right', 2)}


def run(logdirs: Sequence[str], num_labels: Sequence[int], num_test: int,
        inputs: Sequence[str], out: str | None = None) -> dict:
  """Runs both tasks with several inputs and writes the figure.

  Training scenes hold two of the runs' training digits, test scenes two of
  their test digits. Smaller training sets are prefixes of larger ones. The
  seed of what is trained here is the number of the run, from 0.

  Args:
    logdirs: folders of runs on the same scenes of digits.
    num_labels: sizes of the labelled training set, ascending.
    num_test: number of test scenes.
    inputs: some of `scene_descriptions.INPUTS`.
    out: folder for the figure; `figures` in the first run's, if None.

  Returns:
    `steps` of the runs; `num_labels`; by task, accuracies `[runs, labels]` of
    each input (but `refined` where objects cover each other), and `chance`,
    that of the most common answer; `figure`.

  Raises:
    errors.UserError: if there is no such run, its scenes come from a file, or
      two runs have different scenes.
  """
  scene_descriptions.check(inputs)
  config = _common_config(logdirs)
  digits = _digits(config, logdirs[0])
  num_unlabelled = (
      0 if scene_descriptions.WITH_UNLABELLED.isdisjoint(inputs)
      else _NUM_UNLABELLED)
  memory.require_for_scenes(
      max(num_labels) + num_test + num_unlabelled, config,
      '--labels, --num_test_scenes or --inputs', _BYTES_PER_PIXEL)
  inputs = [name for name in inputs
            if name != 'refined' or config.compositing == 'add']
  scenes = lambda number, seed, split: _two_digits(
      config, *(digits[:2] if split == 'train' else digits[2:]), number, seed)
  train = scenes(max(num_labels), _TRAIN_SEED, 'train')
  test = scenes(num_test, _TEST_SEED, 'test')
  unlabelled = (scenes(num_unlabelled, _UNLABELLED_SEED, 'train').images
                if num_unlabelled else None)
  y, y_test = targets(train), targets(test)
  result = {'steps': [], 'num_labels': list(num_labels)} | {
      task: {name: [] for name in inputs} for task in _TASKS}
  for seed, logdir in enumerate(logdirs):
    models = scene_descriptions.Models(run_lib.Run(logdir), unlabelled, seed)
    result['steps'].append(models.opened.step)
    for name in inputs:
      read = scene_descriptions.INPUTS[name].reader(models)
      x, x_test = read(train.images), read(test.images)
      for task in _TASKS:
        result[task][name].append([
            _accuracy(task, x, y[task], n, x_test, y_test[task], seed)
            for n in progress.track(num_labels, f'{logdir}: {task} from {name}')
        ])
        logging.info('%s: %s from %s: %s', logdir, task, name,
                     result[task][name][-1])
  for task in _TASKS:
    result[task][_CHANCE] = float(
        np.bincount(y_test[task]).max() / len(y_test[task]))
  return result | {'figure': _draw(result, logdirs[0], out)}


def table(result: dict) -> str:
  """Returns what `run` returned as a Markdown table: medians and ranges."""
  rows = [[_TASKS[task].title, scene_descriptions.INPUTS[name].title,
           *(_cell(column) for column in np.transpose(values))]
          for task in _TASKS for name, values in result[task].items()
          if name != _CHANCE]
  return markdown.table(
      ['task', 'input', *(f'{n:,}' for n in result['num_labels'])], rows)


def _cell(accuracies: np.ndarray) -> str:
  text = lambda x: f'{x:.3f}'.removeprefix('0')
  if len(accuracies) == 1:
    return text(accuracies[0])
  return (f'{text(np.median(accuracies))} ({text(accuracies.min())} to '
          f'{text(accuracies.max())})')


def _common_config(logdirs: Sequence[str]) -> config_lib.Config:
  """Returns the first run's; raises `UserError` if one has other scenes."""
  configs = [run_folder.RunFolder(logdir).config() for logdir in logdirs]
  described = [(config.scenes, config.digits,
                datasets.composition_options(config, 0, 0))
               for config in configs]
  for logdir, other in zip(logdirs, described, strict=True):
    if other != described[0]:
      raise errors.UserError(
          f'--logdir: {logdir} was trained on other scenes than {logdirs[0]}; '
          'expected runs on the same, whose accuracies can be compared.')
  return configs[0]


def _digits(config: config_lib.Config, logdir: str) -> digits_lib.Digits:
  """Returns the run's digits; raises `UserError` if there are none."""
  source = (f'--scenes={config.scenes}' if config.scenes
            else f'--digits={config.digits}')
  refusal = errors.UserError(
      f'--logdir={logdir}: was trained on {source}; expected a run on digits '
      'from 0 to 9, whose sum and order can be asked for.')
  known = digit_sources.BY_NAME.get(config.digits)
  if config.scenes or (known and not known.are_digits):
    raise refusal
  digits = digits_lib.load(config.digits)
  if max(digits.train_labels.max(), digits.test_labels.max()) > 9:
    raise refusal  # Letters, for example.
  return digits


def targets(scenes: scenes_lib.Scenes) -> dict[str, np.ndarray]:
  """Returns the targets of scenes with two digits each, int `[N]`.

  Returns:
    `sum`, 0 ... 18; `ascending`, 1 if the digit further left (by the middle of
    its box) is the smaller one, else 0, also for equal digits.
  """
  middle = scenes.boxes[:, :, 1] + scenes.boxes[:, :, 3] / 2.
  left, right = np.take_along_axis(
      scenes.labels, np.argsort(middle, axis=1, kind='stable'), axis=1).T
  return {'sum': (left + right).astype(int),
          'ascending': (left < right).astype(int)}


def _two_digits(config: config_lib.Config, images: np.ndarray,
                labels: np.ndarray, num_scenes: int,
                seed: int) -> scenes_lib.Scenes:
  config = dataclasses.replace(config, counts=(2,))
  return scenes_lib.compose(
      images, labels,
      **datasets.composition_options(config, num_scenes, seed))


def _accuracy(task: str, x: np.ndarray | object_classifier.Objects,
              y: np.ndarray, num_labels: int,
              x_test: np.ndarray | object_classifier.Objects,
              y_test: np.ndarray, seed: int) -> float:
  """Returns the accuracy after the first scenes, by objects or by scenes."""
  first = slice(num_labels)
  if isinstance(x, object_classifier.Objects):
    return object_classifier.accuracy(
        task, x.select(first), y[first], x_test, y_test, seed)
  return scene_classifier.accuracy(
      x[first], y[first], x_test, y_test, _TASKS[task].num_answers, seed)


def _draw(result: dict, logdir: str, out: str | None) -> str:
  inputs = scene_descriptions.INPUTS
  curve = lambda name: inputs[name].title if name in inputs else name
  fig = curves.label_efficiency(
      result['num_labels'],
      {title: {curve(name): values for name, values in result[task].items()}
       for task, (title, _) in _TASKS.items()})
  path = pathlib.Path(out or pathlib.Path(logdir) / 'figures')
  path /= 'downstream.png'
  writer = summaries.FigureFiles() if out else summaries.Writer(logdir)
  writer.figure('figures/downstream', fig, max(result['steps']), path)
  writer.flush()
  return str(path)

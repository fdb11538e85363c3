"""How useful AIR's latents are: arithmetic on scenes of two digits.

Two tasks of the paper (Eslami et al. 2016, section 3.1): the sum of the two
digits, and whether they ascend from left to right, with few labels and with
many. From AIR's latents they are learnt in two ways: by one classifier for all
objects, from whose answers those for the scene follow (`object_classifier`),
and by the same small classifier of whole scenes that is trained on pixels. The
first also takes the objects explained again, alone (`refinement`).

Letters: `N` scenes, `T` maximum number of steps, `Z` size of `what`, `F` size
of a classifier's input.
"""

from collections.abc import Sequence
import dataclasses
import pathlib
import warnings

from absl import logging
import numpy as np

from air_tf import config as config_lib
from air_tf import errors
from air_tf import memory
from air_tf import progress
from air_tf import run as run_lib
from air_tf.data import datasets
from air_tf.data import digits as digits_lib
from air_tf.data import scenes as scenes_lib
from air_tf.evaluation import predictions as predictions_lib
from air_tf.plotting import curves
from air_tf.studies import object_classifier
from air_tf.training import run_folder
from air_tf.training import summaries

__all__ = ['latents', 'run', 'targets']

_TASKS = {'sum': 'sum of the two digits',
          'ascending': 'digits ascend from left to right'}
_INPUTS = {'refined': "AIR's objects, refined", 'objects': "AIR's objects",
           'latents': "AIR's latents", 'pixels': 'pixels', 'chance': 'chance'}
_WITHOUT_ORDER = 'sprites', 'blobs', 'dsprites_like', 'tetrominoes_like'
_BYTES_PER_PIXEL = 5  # As composed, and as floats.
_TRAIN_SEED, _TEST_SEED = 3, 4  # Not the scenes that the model has seen.


def run(logdir: str, num_labels: Sequence[int], num_test: int,
        out: str | None = None) -> dict:
  """Runs both tasks with both inputs and writes the figure.

  Training scenes hold two of the run's training digits, test scenes two of its
  test digits. Smaller training sets are prefixes of larger ones.

  Args:
    logdir: folder of a run on digits.
    num_labels: sizes of the labelled training set, ascending.
    num_test: number of test scenes.
    out: folder for the figure; `figures` in the run's, if None.

  Returns:
    `step`; `num_labels`; by task, `refined` (if objects add up), `objects`,
    `latents` and `pixels`, accuracies at each number of labels, and `chance`,
    that of the most common answer; `figure`.

  Raises:
    errors.UserError: if there is no such run, or its scenes come from a file.
  """
  config = run_folder.RunFolder(logdir).config()
  digits = _digits(config, logdir)
  memory.require_for_scenes(
      max(num_labels) + num_test, config, '--labels or --num_test_scenes',
      _BYTES_PER_PIXEL)
  opened = run_lib.Run(logdir)
  train = _two_digits(config, *digits[:2], max(num_labels), _TRAIN_SEED)
  test = _two_digits(config, *digits[2:], num_test, _TEST_SEED)
  explain = lambda refined: [
      predictions_lib.collect(opened.signatures, scenes.images, refined=refined)
      for scenes in (train, test)]
  found = explain(refined=False)
  inputs = {} if config.compositing == 'over' else {'refined': [
      object_classifier.from_predictions(x) for x in explain(refined=True)]}
  inputs |= {
      'objects': [object_classifier.from_predictions(x) for x in found],
      'latents': [latents(x) for x in found],
      'pixels': [_pixels(scenes.images) for scenes in (train, test)]}
  result = {'step': opened.step, 'num_labels': list(num_labels)}
  for task in _TASKS:
    y, y_test = targets(train)[task], targets(test)[task]
    result[task] = {
        name: [_accuracy(task, x, y, n, x_test, y_test)
               for n in progress.track(num_labels, f'{task} from {name}')]
        for name, (x, x_test) in inputs.items()}
    result[task]['chance'] = float(np.bincount(y_test).max() / len(y_test))
    logging.info('%s: %s', task, result[task])
  return result | {'figure': _draw(result, logdir, out)}


def _digits(config: config_lib.Config, logdir: str) -> digits_lib.Digits:
  """Returns the run's digits; raises `UserError` if there are none."""
  source = (f'--scenes={config.scenes}' if config.scenes
            else f'--digits={config.digits}')
  refusal = errors.UserError(
      f'--logdir={logdir}: was trained on {source}; expected a run on digits '
      'from 0 to 9, whose sum and order can be asked for.')
  if config.scenes or config.digits in _WITHOUT_ORDER:
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


def latents(predictions: predictions_lib.Predictions) -> np.ndarray:
  """AIR's description of scenes, `[N, F]`, F = T (Z + 4).

  Presence, where and what of all steps, sorted from left to right, absent steps
  last and zero: the order of AIR's steps carries no information.
  """
  order = object_classifier.left_to_right(predictions)[..., np.newaxis]
  parts = (predictions.presence[..., np.newaxis], predictions.where,
           predictions.what)
  joined = np.concatenate(parts, axis=-1)
  return np.take_along_axis(joined, order, axis=1).reshape([len(joined), -1])


def _two_digits(config: config_lib.Config, images: np.ndarray,
                labels: np.ndarray, num_scenes: int,
                seed: int) -> scenes_lib.Scenes:
  config = dataclasses.replace(config, counts=(2,))
  return scenes_lib.compose(
      images, labels,
      **datasets.composition_options(config, num_scenes, seed))


def _pixels(images: np.ndarray) -> np.ndarray:
  return images.reshape([len(images), -1]) / np.float32(255.)


def _accuracy(task: str, x: np.ndarray | object_classifier.Objects,
              y: np.ndarray, num_labels: int,
              x_test: np.ndarray | object_classifier.Objects,
              y_test: np.ndarray) -> float:
  """Returns the accuracy after the first scenes, by objects or by scenes."""
  first = slice(num_labels)
  if isinstance(x, object_classifier.Objects):
    return object_classifier.accuracy(
        task, x.select(first), y[first], x_test, y_test)
  return _of_scenes(x[first], y[first], x_test, y_test)


def _of_scenes(x: np.ndarray, y: np.ndarray, x_test: np.ndarray,
               y_test: np.ndarray) -> float:
  """Returns the accuracy of an MLP with two layers of 256 units.

  Inputs are not standardised: that would amplify the entries of `what` that the
  model does not use, which are nearly zero.
  """
  from sklearn import exceptions  # A second to import.
  from sklearn import neural_network
  import threadpoolctl  # Comes with scikit-learn.
  # Small sets have one update per epoch and need more epochs.
  epochs = int(np.clip(100_000 // len(x), 40, 500))
  classifier = neural_network.MLPClassifier(
      hidden_layer_sizes=(256, 256), alpha=1., max_iter=epochs, random_state=0)
  # Products as small as these are slower with several threads.
  with threadpoolctl.threadpool_limits(1), warnings.catch_warnings():
    warnings.simplefilter('ignore', exceptions.ConvergenceWarning)
    return float(classifier.fit(x, y).score(x_test, y_test))


def _draw(result: dict, logdir: str, out: str | None) -> str:
  fig = curves.label_efficiency(
      result['num_labels'],
      {title: {label: result[task][name] for name, label in _INPUTS.items()
               if name in result[task]}
       for task, title in _TASKS.items()})
  path = pathlib.Path(out or pathlib.Path(logdir) / 'figures')
  path /= 'downstream.png'
  writer = summaries.FigureFiles() if out else summaries.Writer(logdir)
  writer.figure('figures/downstream', fig, result['step'], path)
  writer.flush()
  return str(path)

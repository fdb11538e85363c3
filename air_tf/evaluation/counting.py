"""Count accuracy, masks, ELBO and its terms on a set of scenes.

Count accuracy, the fraction of scenes whose number of objects is predicted
exactly, is also called OCA (object counting accuracy).

Letters: `N` scenes, `B` batch, `T` most steps, `[H, W]` image (`[H, W, 3]` in
colour).
"""

import numpy as np
from scipy import stats
import tensorflow as tf

from air_tf import explain as explain_lib
from air_tf import model as model_lib
from air_tf import prior
from air_tf.data import scenes as scenes_lib
from air_tf.data import streams
from air_tf.evaluation import segmentation

__all__ = ['Evaluator', 'confusion', 'count_metrics', 'wilson_interval']


class Evaluator:
  """Evaluates a model on sets of scenes, with functions traced once for them.

  A last batch of another size is traced, too.

  Counts are the mode of q(n) at posterior means, so they are deterministic. The
  ELBO sums over n exactly and takes one posterior sample of `where` and `what`,
  with a fixed seed: equal parameters give equal numbers.
  """

  def __init__(self, model: model_lib.AIRModel, masks: bool = True):
    """Prepares the evaluation of `model`.

    Args:
      model: what is evaluated.
      masks: whether to score the masks of scenes that have some.
    """
    self._model, self._masks = model, masks
    # Without AutoGraph, which would take seconds to rewrite code that has no
    # control flow.
    self._score = tf.function(
        self._score_batch, reduce_retracing=True, autograph=False)
    self._count = tf.function(
        self._count_batch, reduce_retracing=True, autograph=False)

  def counts(self, scenes: scenes_lib.Scenes) -> np.ndarray:
    """Returns predicted counts, int32 `[N]`, without computing the ELBO."""
    return np.concatenate([
        self._count(images) for _, images in self._batches(scenes.images)])

  def __call__(self, scenes: scenes_lib.Scenes,
               num_steps_prior: prior.NumStepsDistribution) -> dict[str, float]:
    """Evaluates the model as it is now.

    Args:
      scenes: all of them are used.
      num_steps_prior: p(n), batch shape `[]`, part of the ELBO.

    Returns:
      Means over the scenes: `elbo` and its terms in nats and
      `expected_num_steps`; also `count_metrics`, if the scenes have counts, and
      `segmentation.metrics`, if they have masks.
    """
    parts = [self._score(images, num_steps_prior, start)
             for start, images in self._batches(scenes.images)]
    scores, seen = ({name: np.concatenate([part[i][name] for part in parts])
                     for name in parts[0][i]} for i in (0, 1))
    result = {name: float(np.mean(values, dtype=np.float64))
              for name, values in scores.items()}
    if scenes.counts is not None:
      result |= count_metrics(seen['num_steps'], scenes.counts)
    if self._masks and scenes.masks is not None:
      result |= segmentation.metrics(
          segmentation.per_scene(segmentation.contingency(
              scenes.masks, seen['masks'], max(1, int(scenes.masks.max())),
              self._model.config.max_steps)),
          seen['presence'], seen['step_probs'])
    return result

  def trace(self, scenes: scenes_lib.Scenes,
            num_steps_prior: prior.NumStepsDistribution) -> None:
    """Traces and optimises what `__call__` runs, by its first batch."""
    start, images = next(self._batches(scenes.images))
    self._score(images, num_steps_prior, start)

  def _batches(self, images: np.ndarray):
    """Yields (index of the first, uint8 images) for batches of images."""
    size = explain_lib.batch_size(
        self._model.config.max_steps, images.shape[1:])
    for start in tf.range(0, len(images), size):
      yield start, tf.constant(images[start:start + size])

  def _score_batch(self, scenes, num_steps_prior, start):
    """Returns what is known of uint8 `[B, H, W]`, each `[B, ...]`.

    First the terms of the ELBO, then some of the fields of `explain`.
    """
    images = streams.to_pixels(scenes)
    scores = self._model.score(images, num_steps_prior, tf.stack([0, start]))
    del scores['log_weight']  # Its mean is no bound for comparing runs by.
    seen = explain_lib.explain(
        self._model, images, self._masks, self._model.config.candidates,
        num_steps_prior).as_dict()
    kept = ('num_steps', 'presence', 'step_probs', 'masks')
    return scores, {name: seen[name] for name in kept if name in seen}

  def _count_batch(self, scenes):
    """Returns predicted counts, int32 `[B]`, of uint8 `[B, H, W]`."""
    inference = self._model.infer(streams.to_pixels(scenes))
    return inference.num_steps_posterior.mode()


def count_metrics(predicted: np.ndarray, true: np.ndarray) -> dict[str, float]:
  """Computes count accuracy, overall and by true count.

  Args:
    predicted: int `[N]`.
    true: int `[N]`.

  Returns:
    `count_accuracy`, the fraction of scenes whose count is right, and
    `count_accuracy/n`, the same among the scenes that hold n objects.
  """
  right = predicted == true
  return {'count_accuracy': float(right.mean())} | {
      f'count_accuracy/{n}': float(right[true == n].mean())
      for n in np.unique(true)}


def confusion(predicted: np.ndarray, true: np.ndarray,
              max_steps: int) -> np.ndarray:
  """Returns the confusion matrix of counts.

  Args:
    predicted: int `[N]`, each in 0 ... T.
    true: int `[N]`.
    max_steps: T.

  Returns:
    int `[M + 1, T + 1]`, M the largest true count: rows are true counts,
    columns predicted ones.
  """
  matrix = np.zeros([true.max() + 1, max_steps + 1], np.int64)
  np.add.at(matrix, (true, predicted), 1)
  return matrix


def wilson_interval(right: int, total: int) -> tuple[float, float]:
  """Returns the 95 % Wilson score interval of a proportion.

  Unlike the normal approximation it stays within 0 ... 1 and does not collapse
  to a point when all `total` are `right`.
  """
  interval = stats.binomtest(right, total).proportion_ci(method='wilson')
  return float(interval.low), float(interval.high)

"""How well a model counts and explains scenes it was not trained on.

Letters: `N` scenes, `B` batch, `[H, W]` image.
"""

import numpy as np
import tensorflow as tf

from air_tf import estimators
from air_tf import model as model_lib
from air_tf import prior
from air_tf import scenes as scenes_lib

__all__ = ['Evaluator', 'count_metrics']

# Pixels of all canvases at a time: 500 scenes of 50 x 50 with 4 canvases each.
_CANVAS_PIXELS = 500 * 4 * 50 * 50


class Evaluator:
  """Scores a model on one set of scenes, by one compiled function.

  Counts are the most likely n under q(n) at posterior means, so they carry no
  noise. The ELBO sums over n exactly and takes one posterior sample of the
  rest, with a seed of its own: equal parameters give equal numbers.
  """

  def __init__(self, model: model_lib.AIRModel, scenes: scenes_lib.Scenes):
    """Prepares the evaluation of `model` on all of `scenes`, uint8 images."""
    self._model = model
    self._scenes = scenes
    self._score = tf.function(self._score_batch, reduce_retracing=True)

  def __call__(
      self, num_steps_prior: prior.NumStepsDistribution) -> dict[str, float]:
    """Evaluates the model as it is now.

    Args:
      num_steps_prior: p(n), batch shape `[]`, part of the ELBO.

    Returns:
      Means over the scenes: `elbo` and its terms in nats, `num_steps`; and
      what `count_metrics` tells, where the scenes have counts.
    """
    images = self._scenes.images
    pixels = (num_steps_prior.max_steps + 1) * images[0].size
    batch_size = max(1, _CANVAS_PIXELS // pixels)  # Bounds the memory.
    parts = [
        self._score(tf.constant(images[start:start + batch_size]),
                    num_steps_prior.step_logits, start)
        for start in tf.range(0, len(images), batch_size)]
    scores = {name: np.concatenate([part[name] for part in parts])
              for name in parts[0]}
    counts = scores.pop('counts')
    result = {name: float(np.mean(values, dtype=np.float64))
              for name, values in scores.items()}
    if self._scenes.counts is not None:
      result |= count_metrics(counts, self._scenes.counts)
    return result

  def _score_batch(self, scenes, prior_logits, start):
    """Scores of uint8 `[B, H, W]`: dictionary of `[B]`."""
    images = model_lib.to_pixels(scenes)
    means = self._model.infer(images)
    sample = self._model.infer(images, seed=tf.stack([0, start]))
    terms = self._model.elbo_terms(
        images, sample, prior.NumStepsDistribution(prior_logits))
    elbo = estimators.expected_elbo(terms, terms.log_posterior)
    return {'counts': means.num_steps.mode(), **elbo._asdict()}


def count_metrics(predicted: np.ndarray, true: np.ndarray) -> dict[str, float]:
  """Accuracy of counts.

  Args:
    predicted: int `[N]`.
    true: int `[N]`.

  Returns:
    `count_accuracy`, the share of scenes whose count is right, and
    `count_accuracy/n` the same among the scenes that truly hold n objects.
  """
  right = predicted == true
  return {'count_accuracy': float(right.mean())} | {
      f'count_accuracy/{n}': float(right[true == n].mean())
      for n in np.unique(true)}

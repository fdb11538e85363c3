"""Segmentation metrics: adjusted Rand index, overlap of masks, precision.

A mask is 0 at pixels of the ground, k at those of the k-th object. All
metrics are functions of one table per scene: how many pixels the true object i
and the predicted object j share, row and column 0 being the ground.

Letters: `N` scenes, `[H, W]` image, `M` most true objects in a scene, `T` most
predicted ones.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import optimize

from air_tf.evaluation import localisation

__all__ = ['PerScene', 'adjusted_rand_index', 'bootstrap_interval',
           'contingency', 'metrics', 'metrics_with_intervals', 'per_scene']

_RESAMPLES, _LEVELS = 400, (.025, .975)
_THRESHOLD = .5  # IoU from which a mask is right, for the average precision.


class PerScene(NamedTuple):
  """Metrics of each scene; NaN where a scene has no object to score."""
  ari: np.ndarray     # [N], over all pixels, the ground being a group.
  fg_ari: np.ndarray  # [N], over the pixels of true objects.
  miou: np.ndarray    # [N], mean IoU of true objects, matched one to one.
  mbo: np.ndarray     # [N], mean best overlap: the same without matching.
  right: np.ndarray   # bool [N, T], masks matched to a true one at IoU >= .5.
  num_objects: np.ndarray  # int [N], true objects of which a pixel is seen.


def contingency(true: np.ndarray, predicted: np.ndarray, num_true: int,
                num_predicted: int) -> np.ndarray:
  """Counts the pixels that each true and each predicted group share.

  Args:
    true: int `[N, H, W]`, each in 0 ... M.
    predicted: int `[N, H, W]`, each in 0 ... T.
    num_true: M.
    num_predicted: T.

  Returns:
    int `[N, M + 1, T + 1]`.
  """
  shape = num_true + 1, num_predicted + 1
  table = np.zeros([len(true), *shape], np.int64)
  for scene, left, right in zip(table, true, predicted, strict=True):
    pairs = left.astype(np.int64).ravel() * shape[1] + right.ravel()
    scene[:] = np.bincount(pairs, minlength=scene.size).reshape(shape)
  return table


def adjusted_rand_index(table: np.ndarray) -> np.ndarray:
  """Returns the adjusted Rand index of groupings, `[N]`.

  That of scikit-learn (`adjusted_rand_score`): if one true object is all there
  is, the index is 1 for a prediction of one group and 0 for any other. In these
  scenes the metric of google-deepmind/multi_object_datasets divides 0 by 0; in
  all others it is the same. NaN without pixels.

  Source: Hubert and Arabie 1985, "Comparing Partitions".

  Args:
    table: int `[N, I, J]`, pixels shared by groups i and j.
  """
  pairs = lambda x: x * (x - 1.) / 2.
  table = np.asarray(table, np.float64)
  both = pairs(table).sum(axis=(1, 2))
  true = pairs(table.sum(axis=2)).sum(axis=1)
  predicted = pairs(table.sum(axis=1)).sum(axis=1)
  pixels = table.sum(axis=(1, 2))
  expected = true * predicted / np.maximum(pairs(pixels), 1.)
  most = (true + predicted) / 2.
  same = (both == true) & (both == predicted)  # Also of one group each.
  index = (both - expected) / np.where(most == expected, 1., most - expected)
  return np.where(pixels == 0., np.nan, np.where(same, 1., index))


def per_scene(table: np.ndarray) -> PerScene:
  """Scores each scene.

  Objects of which no pixel is seen are left out. Predicted ground is a group in
  `ari` and `fg_ari`, but no mask of an object in the others.

  Args:
    table: `contingency`, `[N, M + 1, T + 1]`.
  """
  ious = _ious(table)
  seen = table[:, 1:].sum(axis=2) > 0  # [N, M]
  matched = np.zeros(seen.shape)
  right = np.zeros(ious[:, 0].shape, bool)
  for overlaps, best, hits in zip(ious, matched, right, strict=True):
    rows, columns = optimize.linear_sum_assignment(overlaps, maximize=True)
    best[rows] = overlaps[rows, columns]
    hits[columns] = overlaps[rows, columns] >= _THRESHOLD
  mean = lambda x: _ratio(np.sum(x * seen, axis=1), seen.sum(axis=1))
  return PerScene(
      ari=adjusted_rand_index(table), fg_ari=adjusted_rand_index(table[:, 1:]),
      miou=mean(matched), mbo=mean(ious.max(axis=2, initial=0.)), right=right,
      num_objects=seen.sum(axis=1))


def metrics(scores: PerScene, presence: np.ndarray,
            step_probs: np.ndarray) -> dict[str, float]:
  """Returns means over scenes, and the average precision over all of them.

  Args:
    scores: of N scenes.
    presence: `[N, T]`, above 0 for objects that are predicted.
    step_probs: `[N, T]`, P(n >= t), by which they are ranked.

  Returns:
    `ari`; with a true object in any scene also `fg_ari`, `miou`, `mbo` (means
    over scenes that have one) and `mask_ap50`.
  """
  everywhere = np.arange(len(scores.ari))
  return {name: statistic(everywhere) for name, statistic in _statistics(
      scores, presence, step_probs).items()}


def metrics_with_intervals(scores: PerScene, presence: np.ndarray,
                           step_probs: np.ndarray) -> dict:
  """Returns `metrics`, each with a 95 % interval, `NAME_interval`.

  The intervals are of the bootstrap over scenes. Arguments as of `metrics`.
  """
  number = len(scores.ari)
  return metrics(scores, presence, step_probs) | {
      f'{name}_interval': bootstrap_interval(statistic, number)
      for name, statistic in _statistics(
          scores, presence, step_probs).items()}


def bootstrap_interval(statistic: Callable[[np.ndarray], float],
                       number: int) -> tuple[float, float]:
  """Returns the 95 % percentile interval of the bootstrap, with fixed seeds.

  Args:
    statistic: a number for scenes, given by their indices.
    number: N, how many scenes there are.
  """
  rng = np.random.default_rng(0)
  values = [statistic(rng.integers(number, size=number))
            for _ in range(_RESAMPLES)]
  low, high = np.nanquantile(values, _LEVELS)
  return float(low), float(high)


def _statistics(scores: PerScene, presence: np.ndarray,
                step_probs: np.ndarray) -> dict[
                    str, Callable[[np.ndarray], float]]:
  """Returns each metric as a function of the indices of scenes."""
  present = presence > 0.

  def precision(chosen: np.ndarray) -> float:
    kept = present[chosen]
    return localisation.average_precision(
        step_probs[chosen][kept], scores.right[chosen][kept],
        int(scores.num_objects[chosen].sum()))

  def mean(values: np.ndarray) -> Callable[[np.ndarray], float]:
    defined = ~np.isnan(values)
    total = np.where(defined, values, 0.)
    return lambda chosen: float(_ratio(
        total[chosen].sum(), defined[chosen].sum()))

  found = {'ari': mean(scores.ari)}
  if scores.num_objects.any():
    found |= {name: mean(getattr(scores, name))
              for name in ('fg_ari', 'miou', 'mbo')}
    found['mask_ap50'] = precision
  return found


def _ious(table: np.ndarray) -> np.ndarray:
  """Returns the IoU of each pair of objects, `[N, M, T]`."""
  shared = table[:, 1:, 1:]
  true, predicted = table.sum(axis=2)[:, 1:], table.sum(axis=1)[:, 1:]
  union = true[:, :, np.newaxis] + predicted[:, np.newaxis] - shared
  return np.where(union > 0, shared / np.maximum(union, 1), 0.)


def _ratio(total: np.ndarray, number: np.ndarray) -> np.ndarray:
  """`total / number`; NaN where there are none."""
  return np.where(number > 0, total / np.maximum(number, 1), np.nan)

"""Localisation metrics: matching by IoU, average precision.

Boxes are (y, x, height, width) in pixels. Letters: `N` scenes, `T` most boxes
that a model predicts for a scene, `M` most objects in a scene, `D` detections.
"""

import numpy as np
from scipy import optimize

from air_tf import boxes as boxes_lib

__all__ = ['average_precision', 'localisation_metrics', 'match']


def match(boxes: np.ndarray, presence: np.ndarray,
          true_boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Matches predicted boxes to true ones, one to one.

  The matching of a scene maximises the sum of IoUs (SciPy's
  `linear_sum_assignment`). Boxes that do not intersect are not matched.

  Args:
    boxes: `[N, T, 4]`.
    presence: `[N, T]`, above 0 for boxes that are present.
    true_boxes: `[N, M, 4]`, padded with NaN.

  Returns:
    int `[N, M]`, the index of the box matched to each true box, or -1; and the
    IoU of the two, `[N, M]`, 0 for boxes that are not matched.
  """
  all_pairs = boxes_lib.iou(true_boxes[:, :, np.newaxis].astype(np.float64),
                  boxes[:, np.newaxis].astype(np.float64))  # [N, M, T]
  all_pairs *= presence[:, np.newaxis] > 0.
  partners = np.full(all_pairs.shape[:2], -1)
  overlaps = np.zeros(all_pairs.shape[:2])
  for pairs, partner, overlap in zip(
      all_pairs, partners, overlaps, strict=True):
    rows, columns = optimize.linear_sum_assignment(pairs, maximize=True)
    shared = pairs[rows, columns] > 0.
    rows, columns = rows[shared], columns[shared]
    partner[rows], overlap[rows] = columns, pairs[rows, columns]
  return partners, overlaps


def average_precision(scores: np.ndarray, right: np.ndarray,
                      num_objects: int) -> float:
  """Returns the area under the precision-recall curve.

  Precision at a recall is the maximum at that recall or above (PASCAL VOC 2010
  and later). Boxes of equal score are added together, so that their order does
  not matter.

  Args:
    scores: `[D]`, confidence of each detection.
    right: bool `[D]`, whether it is a true positive.
    num_objects: number of true objects; with none, the result is NaN.
  """
  if not num_objects or not len(scores):
    return 0. if num_objects else float('nan')
  order = np.argsort(-scores, kind='stable')
  last = np.append(np.diff(scores[order]) != 0., True)  # Of equal scores.
  true_positives = np.cumsum(right[order])[last]
  precision = true_positives / (np.flatnonzero(last) + 1)
  interpolated = np.maximum.accumulate(precision[::-1])[::-1]
  gained = np.diff(true_positives, prepend=0)
  return float(np.sum(gained * interpolated) / num_objects)


def localisation_metrics(boxes: np.ndarray, presence: np.ndarray,
                         step_probs: np.ndarray, true_boxes: np.ndarray
                         ) -> dict[str, float]:
  """Computes localisation metrics over a set of scenes.

  Args:
    boxes: `[N, T, 4]`.
    presence: `[N, T]`, above 0 for boxes that are present.
    step_probs: `[N, T]`, P(n >= t), by which boxes are ranked.
    true_boxes: `[N, M, 4]`, padded with NaN.

  Returns:
    `mean_iou` over true boxes that are matched; `matched`, the fraction of true
    boxes that are; `average_precision` at an IoU threshold of .5.
  """
  partners, overlaps = match(boxes, presence, true_boxes)
  matched = partners >= 0
  num_objects = int((~np.isnan(true_boxes).any(axis=-1)).sum())
  right = np.zeros(presence.shape, bool)
  scene, slot = np.nonzero(overlaps >= .5)
  right[scene, partners[scene, slot]] = True
  present = presence > 0.
  mean = overlaps[matched].mean() if matched.any() else 0.
  return {
      'mean_iou': float(mean),
      'matched': float(matched.sum() / max(num_objects, 1)),
      'average_precision': average_precision(
          step_probs[present], right[present], num_objects)}

"""How well a model's boxes agree with the true ones.

Boxes are (y, x, height, width) in pixels. Letters: `N` scenes, `T` most boxes
that a model gives, `M` most objects a scene holds.
"""

import numpy as np
from scipy import optimize

__all__ = ['average_precision', 'iou', 'localisation_metrics', 'match']


def iou(left: np.ndarray, right: np.ndarray) -> np.ndarray:
  """Intersection over union of boxes `[..., 4]` that broadcast, `[...]`.

  A box without area, or with NaN, has 0 with any other.
  """
  start = np.maximum(left[..., :2], right[..., :2])
  end = np.minimum(left[..., :2] + left[..., 2:],
                   right[..., :2] + right[..., 2:])
  shared = np.prod(np.maximum(end - start, 0.), axis=-1)
  total = (np.prod(left[..., 2:], axis=-1) + np.prod(right[..., 2:], axis=-1)
           - shared)
  found = np.zeros(np.shape(total))
  np.divide(shared, total, out=found, where=total > 0.)
  return found


def match(boxes: np.ndarray, presence: np.ndarray,
          true_boxes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """Pairs a model's boxes with the true ones, each with at most one.

  The pairs of a scene are those with the largest sum of IoUs (Kuhn 1955, the
  Hungarian method, by SciPy). A pair that shares no pixel is no pair.

  Args:
    boxes: `[N, T, 4]`.
    presence: `[N, T]`, above 0 for the boxes that are there.
    true_boxes: `[N, M, 4]`, padded with NaN.

  Returns:
    int `[N, M]`, the number of each true box's partner, or -1; and the IoU of
    the two, `[N, M]`, 0 without a partner.
  """
  all_pairs = iou(true_boxes[:, :, np.newaxis].astype(np.float64),
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
  """Area under the precision-recall curve of boxes ranked by their score.

  Precision at a recall is the best at that recall or above (PASCAL VOC 2010
  and later). Boxes of equal score enter together, so that their order does not
  matter.

  Args:
    scores: `[D]`, how sure the model is of each box it gives.
    right: bool `[D]`, whether the box has found an object of its own.
    num_objects: how many objects there are; with none, the result is NaN.
  """
  if not num_objects or not len(scores):
    return 0. if num_objects else float('nan')
  order = np.argsort(-scores, kind='stable')
  last = np.append(np.diff(scores[order]) != 0., True)  # Of equal scores.
  found = np.cumsum(right[order])[last]
  precision = found / (np.flatnonzero(last) + 1)
  best = np.maximum.accumulate(precision[::-1])[::-1]
  gained = np.diff(found, prepend=0)
  return float(np.sum(gained * best) / num_objects)


def localisation_metrics(boxes: np.ndarray, presence: np.ndarray,
                         taken: np.ndarray, true_boxes: np.ndarray
                         ) -> dict[str, float]:
  """Scores a model's boxes.

  Args:
    boxes: `[N, T, 4]`.
    presence: `[N, T]`, above 0 for the boxes that are there.
    taken: `[N, T]`, the probability of each, by which boxes are ranked.
    true_boxes: `[N, M, 4]`, padded with NaN.

  Returns:
    `mean_iou`, over true boxes that have a partner; `matched`, the share of
    true boxes that do; `average_precision`, a box being right if the IoU with
    its partner is at least .5.
  """
  partners, overlaps = match(boxes, presence, true_boxes)
  has_partner = partners >= 0
  num_objects = int((~np.isnan(true_boxes).any(axis=-1)).sum())
  right = np.zeros(presence.shape, bool)
  scene, slot = np.nonzero(overlaps >= .5)
  right[scene, partners[scene, slot]] = True
  there = presence > 0.
  mean = overlaps[has_partner].mean() if has_partner.any() else 0.
  return {
      'mean_iou': float(mean),
      'matched': float(has_partner.sum() / max(num_objects, 1)),
      'average_precision': average_precision(
          taken[there], right[there], num_objects)}

"""How well places and counts agree, one image after another.

Letters: `N` images, `K` and `L` places in an image. Places are (y, x) in
pixels.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import sparse
from scipy import spatial

__all__ = ['Agreement', 'compare', 'matched', 'middles']


class Agreement(NamedTuple):
  """Places found, against true ones or those of another method."""
  count_accuracy: float  # Share of images with equally many.
  mean_absolute_error: float  # Of their numbers, over images.
  precision: float  # Share of those found that match one of the others.
  recall: float     # Share of the others that match one of those found.
  f1: float
  found: int        # In all images.
  expected: int


def middles(boxes: np.ndarray) -> np.ndarray:
  """Returns the middles `[K, 2]` of boxes `[K, 4]`; rows of NaN are left out.
  """
  boxes = np.asarray(boxes, float).reshape(-1, 4)
  boxes = boxes[~np.isnan(boxes).any(axis=1)]
  return boxes[:, :2] + boxes[:, 2:] / 2.


def matched(left: np.ndarray, right: np.ndarray, tolerance: float) -> int:
  """Returns how many places match, at most, one to one.

  Args:
    left: `[K, 2]`.
    right: `[L, 2]`.
    tolerance: pixels that two places that match may be apart.
  """
  if not len(left) or not len(right):
    return 0
  near = spatial.cKDTree(left).query_ball_tree(
      spatial.cKDTree(right), tolerance)
  graph = sparse.csr_array((
      np.ones(sum(map(len, near)), np.int8),
      np.array([j for row in near for j in row], np.int32),
      np.cumsum([0] + [len(row) for row in near])),
      shape=(len(left), len(right)))
  partners = sparse.csgraph.maximum_bipartite_matching(graph)
  return int((partners >= 0).sum())


def compare(found: Sequence[np.ndarray], expected: Sequence[np.ndarray],
            tolerance: float) -> Agreement:
  """Compares places `[K, 2]` with others `[L, 2]`, in N images.

  Args:
    found: N of them.
    expected: N of them.
    tolerance: see `matched`.
  """
  counts = np.array([[len(x), len(y)] for x, y in zip(
      found, expected, strict=True)])
  difference = counts[:, 0] - counts[:, 1]
  hits = sum(matched(x, y, tolerance)
             for x, y in zip(found, expected, strict=True))
  total, true = counts.sum(axis=0).tolist()
  return Agreement(
      count_accuracy=float((difference == 0).mean()),
      mean_absolute_error=float(np.abs(difference).mean()),
      precision=hits / total if total else float(true == 0),
      recall=hits / true if true else float(total == 0),
      f1=2. * hits / (total + true) if total + true else 1.,
      found=total, expected=true)

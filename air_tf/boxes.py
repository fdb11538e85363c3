"""Boxes of objects, (y, x, height, width) in pixels.

May import: nothing of ours.
"""

import numpy as np

__all__ = ['INK_THRESHOLD', 'iou']

INK_THRESHOLD = .25  # Of an object's brightest pixel; darker ones are no ink.


def iou(left: np.ndarray, right: np.ndarray) -> np.ndarray:
  """Returns the intersection over union of boxes `[..., 4]`, `[...]`.

  The two arguments broadcast. Boxes without area or with NaN have an IoU of 0.
  """
  start = np.maximum(left[..., :2], right[..., :2])
  end = np.minimum(left[..., :2] + left[..., 2:],
                   right[..., :2] + right[..., 2:])
  intersection = np.prod(np.maximum(end - start, 0.), axis=-1)
  union = (np.prod(left[..., 2:], axis=-1) + np.prod(right[..., 2:], axis=-1)
           - intersection)
  ratio = np.zeros(np.shape(union))
  np.divide(intersection, union, out=ratio, where=union > 0.)
  return ratio

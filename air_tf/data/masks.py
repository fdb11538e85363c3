"""Masks of composed scenes: which object each pixel belongs to.

Letters: `N` scenes of `[H, W]` pixels, at most `M` objects a scene. A mask is
uint8: 0 of the ground, k of the k-th object of its scene, from 1 on.
"""

import numpy as np

from air_tf import boxes as boxes_lib

__all__ = ['MOST', 'claim', 'empty', 'is_ink', 'relabel']

MOST = 255  # Objects that a mask can tell apart.



def empty(images: np.ndarray, most: int) -> np.ndarray | None:
  """Returns masks of scenes without objects.

  Args:
    images: `[N, H, W]` or `[N, H, W, 3]`.
    most: M.

  Returns:
    `[N, H, W]`; None if there are more objects than a mask can tell apart.
  """
  return np.zeros(images.shape[:3], np.uint8) if most <= MOST else None


def is_ink(patch: np.ndarray) -> np.ndarray:
  """Returns bool `[h, w]`, which pixels of an object `[h, w]` belong to it.

  Those of at least a quarter of the brightness of its brightest pixel:
  smoothing leaves fainter ones around strokes, which are lost in the noise.
  """
  return (patch > 0) & (patch >= boxes_lib.INK_THRESHOLD * patch.max())


def claim(mask: np.ndarray, row: int, patch: np.ndarray, shown: np.ndarray
          ) -> None:
  """Gives an object the pixels where its ink is brighter than what was there.

  Args:
    mask: `[h, w]` of the part of the scene where the object goes, changed in
      place.
    row: of the object in `boxes`, from 0 on.
    patch: the object, `[h, w]` or `[h, w, 3]`, its brightest channel counts.
    shown: the same part of the image before the object. Of equally bright
      pixels the new one counts.
  """
  if patch.ndim == 3:
    patch, shown = patch.max(axis=-1), shown.max(axis=-1)
  mask[is_ink(patch) & (patch >= shown)] = row + 1


def relabel(mask: np.ndarray, rows: np.ndarray) -> np.ndarray:
  """Returns a mask of some of the objects; the others become ground.

  Args:
    mask: of any shape.
    rows: int `[K]`, of the objects that are kept; they are numbered anew, in
      this order. What a mask cannot tell apart becomes ground too.
  """
  rows = np.asarray(rows, np.int64)[:MOST]
  told = np.flatnonzero(rows < MOST)
  numbers = np.zeros(MOST + 1, np.uint8)
  numbers[rows[told] + 1] = told + 1
  return numbers[mask]

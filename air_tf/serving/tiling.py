"""A picture of any size by overlapping windows: where they lie, what is whose.

Each window has a core, and the cores divide the picture: an object belongs to
the window in whose core its middle lies. Windows reach beyond their cores by
half their overlap, so that an object of up to that many pixels a side is whole
in the window that it belongs to, and pieces at a window's edge belong to
others.

Letters: `W` windows, `K` objects, `P` pairs of objects. Boxes are (y, x,
height, width) in pixels of the picture.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import spatial

from air_tf import boxes as boxes_lib
from air_tf import errors

__all__ = ['Objects', 'Windows', 'depths', 'labels', 'merge',
           'windows']

# Two windows find an object in places that differ by a pixel or so: at the
# border of cores both may say that it is the other's, or their own. Objects so
# far outside of a core are candidates, of which one is taken.
_MARGIN = 4.
_SAME = .5  # Of the boxes' union, or of the fainter object's light, is shared.


class Windows(NamedTuple):
  """Square windows over a picture, in rows from above."""
  size: int
  corners: np.ndarray  # int [W, 2], upper left; negative in a small picture.
  lows: np.ndarray     # float [W, 2], where the core begins; may be -inf.
  highs: np.ndarray    # float [W, 2], where it ends; may be inf.


class Objects(NamedTuple):
  """Objects found in windows, in pixels of the picture."""
  windows: np.ndarray       # int [K], which window found it.
  boxes: np.ndarray         # float [K, 4], around its ink.
  glimpses: np.ndarray      # float [K, 4], of its glimpse.
  scores: np.ndarray        # float [K], probability that it is there.
  corners: np.ndarray       # int [K, 2], upper left of its patch.
  patches: Sequence[np.ndarray]  # K of uint8 [h, w], its light.

  def select(self, which: np.ndarray) -> 'Objects':
    """Returns some of them, by an array of indices."""
    arrays = [x[which] for x in self[:-1]]
    return Objects(*arrays, [self.patches[i] for i in which])


def windows(shape: tuple[int, int], size: int,
            overlap: int | None = None) -> Windows:
  """Covers a picture with windows, evenly.

  Args:
    shape: height and width of the picture.
    size: side of a window. In a picture that is smaller along an axis, it is
      in the middle of the only window there.
    overlap: pixels that neighbours share at least, as many as the largest
      objects have; half a window, if None.

  Raises:
    errors.UserError: if windows do not get on at this overlap.
  """
  overlap = size // 2 if overlap is None else overlap
  if not 0 <= overlap < size:
    raise errors.UserError(
        f'--window_overlap={overlap}: expected 0 or more pixels, and fewer '
        f"than the {size} of the model's images.")
  axes = [_starts(length, size, overlap) for length in shape]
  borders = [np.concatenate([
      [-np.inf], (x[1:] + x[:-1] + size) / 2., [np.inf]]) for x in axes]
  grid = lambda x, y: np.stack(
      np.meshgrid(x, y, indexing='ij'), axis=-1).reshape(-1, 2)
  return Windows(size, grid(*axes), grid(*(x[:-1] for x in borders)),
                 grid(*(x[1:] for x in borders)))


def depths(objects: Objects, tiles: Windows) -> np.ndarray:
  """How deep in the core of its window an object's middle lies, `[K]`.

  The distance in pixels to the nearest border, negative outside.
  """
  middles = objects.boxes[:, :2] + objects.boxes[:, 2:] / 2.
  return np.minimum(middles - tiles.lows[objects.windows],
                    tiles.highs[objects.windows] - middles).min(axis=1)


def merge(objects: Objects, tiles: Windows) -> np.ndarray:
  """Picks each object once, however many windows found it.

  Those in the core of their window are taken, the deepest first, unless one of
  another window that is the same was. An object just outside is taken only if
  another window, too, found it just outside: then nobody else has it.

  Args:
    objects: of all windows.
    tiles: the windows.

  Returns:
    int `[K']`, indices into `objects`, in the order of their windows.
  """
  depth = depths(objects, tiles)
  candidates = np.flatnonzero(depth > -_MARGIN)
  same = _duplicates(objects, candidates)
  kept = set()
  for i in candidates[np.argsort(-depth[candidates], kind='stable')]:
    others = same.get(i, ())
    alone = depth[i] < 0. and not any(depth[j] < 0. for j in others)
    if not alone and not kept.intersection(others):
      kept.add(i)
  return np.array(sorted(kept), np.int64)


def labels(objects: Objects, shape: tuple[int, int]) -> np.ndarray:
  """Returns int32 `[H, W]`: k + 1 where object k is, 0 where none is.

  A pixel is of the object that is brightest there, among those of which it
  has at least a quarter of their brightest pixel.
  """
  result = np.zeros(shape, np.int32)
  brightest = np.zeros(shape, np.uint8)
  for k, ((top, left), patch) in enumerate(
      zip(objects.corners, objects.patches, strict=True)):
    height, width = patch.shape
    region = slice(top, top + height), slice(left, left + width)
    ink = (patch >= boxes_lib.INK_THRESHOLD * patch.max(initial=0)) & (
        patch > brightest[region])
    result[region][ink] = k + 1
    brightest[region][ink] = patch[ink]
  return result


def _starts(length: int, size: int, overlap: int) -> np.ndarray:
  """Where windows begin along an axis, int."""
  if length <= size:
    return np.array([-((size - length) // 2)])
  number = -(-(length - overlap) // (size - overlap))
  return np.round(np.linspace(0, length - size, number)).astype(np.int64)


def _duplicates(objects: Objects, candidates: np.ndarray) -> dict:
  """Maps each candidate to those of other windows that are the same."""
  pairs = _near(objects.boxes, candidates)
  pairs = pairs[objects.windows[pairs[:, 0]] != objects.windows[pairs[:, 1]]]
  found = {}
  overlaps = boxes_lib.iou(*objects.boxes[pairs.T])
  for (i, j), overlap in zip(pairs.tolist(), overlaps, strict=True):
    if overlap >= _SAME or _shared_light(objects, i, j) >= _SAME:
      found.setdefault(i, []).append(j)
      found.setdefault(j, []).append(i)
  return found


def _near(boxes: np.ndarray, candidates: np.ndarray) -> np.ndarray:
  """Returns the pairs `[P, 2]` of candidates whose boxes may intersect."""
  if len(candidates) < 2:
    return np.zeros([0, 2], np.int64)
  boxes = boxes[candidates]
  tree = spatial.cKDTree(boxes[:, :2] + boxes[:, 2:] / 2.)
  pairs = tree.query_pairs(boxes[:, 2:].max(), p=np.inf, output_type='ndarray')
  return candidates[pairs]


def _shared_light(objects: Objects, i: int, j: int) -> float:
  """Returns the share of the fainter object's light that the other has too."""
  corners = objects.corners[[i, j]]
  patches = [objects.patches[k].astype(np.int64) for k in (i, j)]
  low = corners.max(axis=0)
  high = np.min([corner + patch.shape for corner, patch
                 in zip(corners, patches, strict=True)], axis=0)
  if (high <= low).any():
    return 0.
  parts = [patch[tuple(slice(*x) for x in zip(
      low - corner, high - corner, strict=True))]
           for corner, patch in zip(corners, patches, strict=True)]
  faintest = min(patch.sum() for patch in patches)
  return float(np.minimum(*parts).sum() / max(faintest, 1))

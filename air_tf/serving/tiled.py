"""Applies a model to pictures of any size, window by window.

Letters: `B` windows in a batch, `T` most steps of the model, `K` objects in a
picture, `[H, W]` picture (`[H, W, 3]` in colour), `S` side of a window.
"""

from collections.abc import Callable
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from air_tf import boxes as boxes_lib
from air_tf import explain as explain_lib
from air_tf.data import crops
from air_tf.serving import parallel
from air_tf.serving import tiling

__all__ = ['TiledPrediction', 'predict']

# From uint8 images [B, S, S] to the outputs of `serving_default`, numpy arrays;
# called in several threads.
Explain = Callable[[np.ndarray], dict[str, np.ndarray]]


class TiledPrediction(NamedTuple):
  """The objects of one picture, from above, in its pixels."""
  name: str
  image: np.ndarray        # uint8 [H, W], in the model's colours.
  objects: tiling.Objects  # K of them.
  num_windows: int
  num_full: int            # Windows with T objects: perhaps there are more.

  @property
  def num_steps(self) -> int:
    """K, how many objects there are."""
    return len(self.objects.boxes)


def predict(explain: Explain, name: str, image: np.ndarray,
            tiles: tiling.Windows, batch_size: int | None = None,
            progress: Callable[[int], None] = lambda windows: None
            ) -> TiledPrediction:
  """Counts and locates the objects of one picture.

  Beside the picture, a few batches of windows and the objects are in memory.

  Args:
    explain: the model, for instance a `predictor.Predictor`.
    name: of the picture.
    image: uint8 `[H, W]`, in the model's colours.
    tiles: `tiling.windows` over the picture, of the size of the images that
      the model takes.
    batch_size: most windows that the model takes at a time; as
      `explain.batch_size`, if None.
    progress: called with the number of windows of each batch.

  Returns:
    Its objects. Boxes are tight around what the model draws of them.
  """
  parts, num_full = [], 0
  for part, full in _explain_all(explain, tiles, image, batch_size, progress):
    parts.append(part)
    num_full += full
  found = _concatenate(parts)
  kept = found.select(tiling.merge(found, tiles))
  return TiledPrediction(name, image, kept, len(tiles.corners), num_full)


def _explain_all(explain, tiles: tiling.Windows, image: np.ndarray,
                 batch_size: int | None, progress) -> Iterator[
                     tuple[tiling.Objects, int]]:
  """Yields the objects of each batch, and in how many windows T were found."""
  framed, offset = crops.frame(image, tiles.size)

  def explain_part(part: slice):
    corners = tiles.corners[part]
    outputs = explain(np.stack([
        framed[y:y + tiles.size, x:x + tiles.size]
        for y, x in corners + offset]))
    max_steps = outputs['presence'].shape[1]
    return (_objects(outputs, part.start, corners, image.shape[:2]),
            int((outputs['num_steps'] == max_steps).sum()), max_steps)

  *first, max_steps = explain_part(slice(0, 1))  # Which tells T.
  yield tuple(first)
  progress(1)
  size = explain_lib.batch_size(
      max_steps, (tiles.size, tiles.size, *image.shape[2:]), batch_size)
  parts = [slice(start, min(start + size, len(tiles.corners)))
           for start in range(1, len(tiles.corners), size)]
  for part, found in zip(parts, parallel.in_order(explain_part, parts),
                         strict=True):
    yield found[:2]
    progress(part.stop - part.start)


def _objects(outputs: dict[str, np.ndarray], start: int, corners: np.ndarray,
             shape: tuple[int, int]) -> tiling.Objects:
  """Returns the objects of a batch of windows, in pixels of the picture."""
  lights = _lights(outputs)
  rows = []
  for b, t in zip(*np.nonzero(outputs['presence'] > 0.), strict=True):
    offset = [*corners[b], 0., 0.]
    glimpse = outputs['boxes'][b, t] + offset
    box, corner, patch = _patch(lights[b, t], glimpse, corners[b], shape)
    if lights[b, t].any() and not patch.size:
      continue  # It lies beside the picture.
    rows.append((start + b, box, glimpse, outputs['step_probs'][b, t], corner,
                 patch))
  return _stack(rows)


def _stack(rows: list[tuple]) -> tiling.Objects:
  windows, boxes, glimpses, scores, corners, patches = (
      zip(*rows, strict=True) if rows else [()] * 6)
  return tiling.Objects(
      np.array(windows, np.int64), np.reshape(boxes, [-1, 4]).astype(float),
      np.reshape(glimpses, [-1, 4]).astype(float), np.array(scores, float),
      np.reshape(corners, [-1, 2]).astype(np.int64), list(patches))


def _concatenate(parts: list[tiling.Objects]) -> tiling.Objects:
  *arrays, patches = zip(*parts, strict=True)
  return tiling.Objects(*map(np.concatenate, arrays), sum(patches, []))


def _lights(outputs: dict[str, np.ndarray]) -> np.ndarray:
  """Returns what each step changes of the canvas, uint8 `[B, T, S, S]`."""
  canvases = outputs['canvases']
  first = outputs.get('background', np.zeros_like(canvases[:, 0]))
  added = np.abs(np.diff(canvases, axis=1, prepend=first[:, np.newaxis]))
  if added.ndim == 5:  # In colour, as bright as the brightest channel.
    added = added.max(axis=-1)
  return np.round(255. * np.clip(added, 0., 1.)).astype(np.uint8)



def _patch(light: np.ndarray, glimpse: np.ndarray, corner: np.ndarray,
           shape: tuple[int, int]):
  """Cuts an object out of its window.

  Returns:
    The tight box around its ink, (y, x, height, width), and the light in it
    with its corner, all in pixels of the picture. If the object draws nothing
    the box is that of its glimpse, and the patch empty.
  """
  low = np.maximum(0, -corner)  # Where the picture begins in the window.
  high = np.minimum(light.shape, shape - corner)
  inside = light[low[0]:high[0], low[1]:high[1]]
  ink = (inside > 0) & (
      inside >= boxes_lib.INK_THRESHOLD * inside.max(initial=0))
  rows, columns = (np.flatnonzero(ink.any(axis=axis)) for axis in (1, 0))
  if not len(rows):
    return glimpse, np.zeros(2), np.zeros([0, 0], np.uint8)
  start = np.array([rows[0], columns[0]])
  end = np.array([rows[-1], columns[-1]]) + 1
  corner = corner + low + start
  return (np.concatenate([corner, end - start]), corner,
          inside[start[0]:end[0], start[1]:end[1]].copy())

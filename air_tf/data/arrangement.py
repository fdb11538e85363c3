"""Where the objects of a scene go: anywhere, or apart from each other.

Shapes: N scenes, at most M objects a scene. Sizes and positions are in pixels,
always (y, x) or (height, width).
"""

import numpy as np

__all__ = ['NoRoomError', 'arrange', 'pair_without_room']

# Scenes are arranged in chunks: large enough to vectorise, small enough that
# an arrangement that can never succeed is found out within seconds.
_CHUNK = 1_000
_TRIES = 50  # Positions tried for one object before its scene starts over.
# A chunk is given up when its scenes have started over this often together; as
# a few take nearly as long as many, they count as `_FEW`. Hence a scene starts
# over at least 100 times, and the last ones 1,000 times: a rare scene that is
# hard to arrange must not end a run after hours.
_RESTARTS, _FEW = 100_000, 100


class NoRoomError(Exception):
  """The objects of a scene, [M, 2] sizes, found no disjoint places."""


def arrange(rng: np.random.Generator, sizes: np.ndarray, counts: np.ndarray,
            canvas_size: int, overlap: bool) -> np.ndarray:
  """Returns the objects' upper left corners, [N, M, 2]; 0 where there is none.

  Objects are placed one after another, each uniformly over all positions, or
  over what those before it leave free.

  Args:
    rng: source of randomness.
    sizes: [N, M, 2]. They stay as drawn when a scene starts over, or large
      objects would become rare.
    counts: [N].
    canvas_size: side of the scenes.
    overlap: whether objects may overlap.

  Raises:
    NoRoomError: if a scene started over too often.
  """
  corners = np.zeros_like(sizes)
  for start in range(0, len(sizes), _CHUNK):
    pending = np.arange(start, min(start + _CHUNK, len(sizes)))
    restarts = 0
    while pending.size:
      if restarts >= _RESTARTS:
        raise NoRoomError(sizes[pending[0], :counts[pending[0]]].tolist())
      restarts += max(len(pending), _FEW)
      corners[pending], done = _arrange_once(
          rng, sizes[pending], counts[pending], canvas_size, overlap)
      pending = pending[~done]
  return corners


def pair_without_room(sizes: np.ndarray, canvas_size: int
                      ) -> np.ndarray | None:
  """Returns two sizes of objects that have no disjoint places; None if all do.

  Two objects are apart if they are side by side or one above the other.

  Args:
    sizes: int [K, 2]; an object may meet its like.
    canvas_size: side of the scenes.

  Returns:
    [2, 2], the pair that takes most room.
  """
  sizes = np.unique(sizes, axis=0)
  needed = (sizes[:, np.newaxis] + sizes).min(axis=2)  # [K, K] pixels.
  if needed.max() <= canvas_size:
    return None
  return sizes[list(np.unravel_index(needed.argmax(), needed.shape))]


def _arrange_once(rng, sizes, counts, canvas_size, overlap):
  """Returns corners [N, M, 2] and which scenes found room for all, [N] bool."""
  corners = np.zeros_like(sizes)
  done = np.ones(len(sizes), bool)
  for slot in range(sizes.shape[1]):
    todo = np.flatnonzero(done & (counts > slot))
    for _ in range(_TRIES):
      # y and x are two independent draws, each over every position inside.
      corners[todo, slot] = rng.integers(
          canvas_size - sizes[todo, slot], endpoint=True)
      if overlap:
        todo = todo[:0]
      else:
        todo = todo[_hits_earlier(corners[todo], sizes[todo], slot)]
      if not todo.size:
        break
    done[todo] = False
  return corners, done


def _hits_earlier(corners: np.ndarray, sizes: np.ndarray,
                  slot: int) -> np.ndarray:
  """Returns [N] bool, whether box `slot` overlaps one of the slots before."""
  starts, ends = corners, corners + sizes
  # Two boxes are disjoint if along some axis one ends before the other starts.
  apart = ((ends[:, :slot] <= starts[:, slot, np.newaxis])
           | (ends[:, slot, np.newaxis] <= starts[:, :slot]))
  return ~apart.any(axis=2).all(axis=1)

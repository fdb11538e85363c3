"""Objects to scenes: digits scattered over a black canvas, in numpy, seeded.

Shapes: D digit images of 28 x 28 pixels; N scenes of H x W pixels; at most M
objects a scene; K objects in all scenes together. Sizes and positions are in
pixels, always (y, x) or (height, width).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from air_tf import errors

__all__ = ['Scenes', 'compose']

# Scenes are arranged in chunks: large enough to vectorise, small enough that
# an arrangement that can never succeed is found out within seconds.
_CHUNK = 1_000
_TRIES = 50  # Positions tried for one object before its scene starts over.
_RESTARTS = 100  # Times a scene may start over before we call it impossible.


class Scenes(NamedTuple):
  """Images, and what is known of them; None where nothing is."""
  images: np.ndarray         # [N, H, W] uint8.
  counts: np.ndarray | None  # [N] int32, how many objects a scene holds.
  boxes: np.ndarray | None   # [N, M, 4] float32, (y, x, height, width), or NaN.
  labels: np.ndarray | None  # [N, M] int32, which digit, or -1.


def compose(digits: np.ndarray, labels: np.ndarray, *, num_scenes: int,
            canvas_size: int, counts: Sequence[int],
            digit_scale: tuple[float, float] = (1., 1.), overlap: bool = False,
            seed: int | Sequence[int]) -> Scenes:
  """Returns scenes of digits at random positions; equal seeds, equal scenes.

  Counts, digits, scales and positions are independent and uniform. A digit is
  cropped to its ink, resized, and put anywhere that it fits in whole. Without
  `overlap`, each object's position is uniform over what the objects before it
  in the scene leave free. Where objects overlap, the brighter pixel is seen.

  Args:
    digits: uint8 [D, 28, 28], ink bright on black.
    labels: int [D].
    num_scenes: N.
    canvas_size: side of the square scenes, pixels.
    counts: numbers of objects, equally likely; M is the largest, at least 1.
    digit_scale: smallest and largest factor by which a digit is resized.
    overlap: whether the bounding boxes of objects may overlap.
    seed: one or several numbers, none negative.

  Returns:
    `Scenes` with every field. In each scene the objects' rows come first and
    the padding last; boxes are tight around the pixels as drawn.

  Raises:
    errors.UserError: if a digit is blank, or larger than the canvas, or if the
      objects of some scene cannot be kept apart.
  """
  bounds = _ink_bounds(digits)
  _check_largest(bounds, digit_scale, canvas_size)
  rng = np.random.default_rng(seed)
  scene_counts = rng.choice(np.asarray(counts, np.int32), num_scenes)
  present = np.arange(max(1, *counts)) < scene_counts[:, np.newaxis]  # [N, M]
  chosen = rng.integers(len(digits), size=present.sum())
  factors = rng.uniform(*digit_scale, size=len(chosen))
  patches = [_resized(_crop(digits[i], bounds[i]), factor)
             for i, factor in zip(chosen, factors, strict=True)]

  sizes = np.zeros([*present.shape, 2], np.int64)
  sizes[present] = np.reshape([patch.shape for patch in patches], [-1, 2])
  try:
    corners = _arrange(rng, sizes, scene_counts, canvas_size, overlap)
  except _NoRoomError as error:
    raise errors.UserError(_no_room_text(
        error, counts, digit_scale, canvas_size)) from None

  scene_labels = np.full(present.shape, -1, np.int32)
  scene_labels[present] = np.asarray(labels)[chosen]
  boxes = np.concatenate([corners, sizes], axis=-1).astype(np.float32)
  boxes[~present] = np.nan
  scene_of_object, _ = np.nonzero(present)  # [K], in the order of `patches`.
  images = np.zeros([num_scenes, canvas_size, canvas_size], np.uint8)
  _paste(images, scene_of_object, corners[present], patches)
  return Scenes(images, scene_counts, boxes, scene_labels)


def _ink_bounds(images: np.ndarray) -> np.ndarray:
  """Returns [D, 4], (top, left, bottom, right) of pixels above 0, ends open."""
  rows, columns = images.any(axis=2), images.any(axis=1)
  blank = np.flatnonzero(~rows.any(axis=1))
  if blank.size:
    raise errors.UserError(
        f'--digits: {blank.size} of {len(images)} digit images are blank, the '
        f'first is number {blank[0]}; wanted ink in each; leave them out.')
  height, width = images.shape[1:]
  return np.stack([
      rows.argmax(axis=1), columns.argmax(axis=1),
      height - rows[:, ::-1].argmax(axis=1),
      width - columns[:, ::-1].argmax(axis=1)], axis=1)


def _crop(image: np.ndarray, bounds: np.ndarray) -> np.ndarray:
  top, left, bottom, right = bounds
  return image[top:bottom, left:right]


def _resized_side(side: int, factor: float) -> int:
  return max(1, round(side * factor))


def _resized(patch: np.ndarray, factor: float) -> np.ndarray:
  """Returns `patch` resized by `factor`, tight around its ink, never empty."""
  height, width = (_resized_side(side, factor) for side in patch.shape)
  if (height, width) == patch.shape:
    return patch
  # Bilinear: Pillow widens this triangle when it shrinks, so nothing aliases,
  # and its weights are never negative. Bicubic and Lanczos undershoot beside a
  # stroke, and clipped at black that eats thin gaps and shifts tight boxes.
  resized = np.asarray(Image.fromarray(patch).resize(
      (width, height), Image.Resampling.BILINEAR))
  if not resized.any():  # Too faint for the filter, but an object is visible.
    return np.full([1, 1], patch.max())
  return _crop(resized, _ink_bounds(resized[np.newaxis])[0])


def _check_largest(bounds: np.ndarray, digit_scale: tuple[float, float],
                   canvas_size: int) -> None:
  """Raises `UserError` if some digit at its largest exceeds the canvas."""
  side = int((bounds[:, 2:] - bounds[:, :2]).max())
  largest = _resized_side(side, digit_scale[1])
  if largest > canvas_size:
    raise errors.UserError(
        f'--canvas_size={canvas_size}: wanted at least {largest}, the side of '
        f'the largest digit at {_scale_text(digit_scale)}; raise --canvas_size '
        'or lower --digit_scale.')


class _NoRoomError(Exception):
  """The objects of a scene, [M, 2] sizes, found no disjoint places."""


def _arrange(rng: np.random.Generator, sizes: np.ndarray, counts: np.ndarray,
             canvas_size: int, overlap: bool) -> np.ndarray:
  """Returns the objects' upper left corners, [N, M, 2]; 0 where there is none.

  Args:
    rng: source of randomness.
    sizes: [N, M, 2]. They stay as drawn when a scene starts over, or large
      objects would become rare.
    counts: [N].
    canvas_size: side of the scenes.
    overlap: whether objects may overlap.

  Raises:
    _NoRoomError: after `_RESTARTS` restarts of one scene.
  """
  corners = np.zeros_like(sizes)
  for start in range(0, len(sizes), _CHUNK):
    pending = np.arange(start, min(start + _CHUNK, len(sizes)))
    for _ in range(_RESTARTS):
      corners[pending], done = _arrange_once(
          rng, sizes[pending], counts[pending], canvas_size, overlap)
      pending = pending[~done]
      if not pending.size:
        break
    else:
      raise _NoRoomError(sizes[pending[0], :counts[pending[0]]].tolist())
  return corners


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


def _paste(images: np.ndarray, scene_of_object: np.ndarray,
           corners: np.ndarray, patches: Sequence[np.ndarray]) -> None:
  """Draws K patches at `corners` [K, 2] into `images` [N, H, W], in place."""
  for scene, (y, x), patch in zip(
      scene_of_object, corners.tolist(), patches, strict=True):
    height, width = patch.shape
    view = images[scene, y:y + height, x:x + width]
    np.maximum(view, patch, out=view)


def _scale_text(digit_scale: tuple[float, float]) -> str:
  return '--digit_scale=' + ','.join(f'{scale:g}' for scale in digit_scale)


def _no_room_text(error: _NoRoomError, counts, digit_scale, canvas_size) -> str:
  sides = ', '.join(f'{height}x{width}' for height, width in error.args[0])
  return (
      f'--counts={",".join(map(str, counts))} {_scale_text(digit_scale)} '
      f'--canvas_size={canvas_size} --nooverlap do not fit together: found no '
      f'room for {len(error.args[0])} digits of {sides} pixels; '
      'raise --canvas_size, lower --counts or --digit_scale, or use --overlap.')

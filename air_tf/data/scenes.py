"""Objects to scenes: digits scattered over a canvas, in numpy, seeded.

A digit may be any object: a shape, a letter. Shapes: D digit images of 28 x 28
pixels; N scenes of H x W pixels; at most M objects a scene; K objects in all
scenes together. Coloured images have a last axis of size 3 (red, green, blue).
Sizes and positions are in pixels, always (y, x) or (height, width).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from air_tf import errors
from air_tf.data import arrangement
from air_tf.data import backdrops
from air_tf.data import masks as masks_lib

__all__ = ['Drawn', 'Scenes', 'compose', 'draw', 'pad_boxes', 'pad_labels']


class Scenes(NamedTuple):
  """Images, and what is known of them; None where nothing is."""
  images: np.ndarray         # [N, H, W] or [N, H, W, 3] uint8.
  counts: np.ndarray | None  # [N] int32, how many objects a scene holds.
  boxes: np.ndarray | None   # [N, M, 4] float32, (y, x, height, width), or NaN.
  labels: np.ndarray | None  # [N, M] int32, which digit, or -1.
  # [N, H, W] uint8: 0 at pixels of the ground, k at those of `boxes[k - 1]`.
  masks: np.ndarray | None = None

  def select(self, which: slice | np.ndarray) -> 'Scenes':
    """Returns some of the scenes, by a slice or an array of indices."""
    return Scenes(*(None if x is None else x[which] for x in self))

  def __repr__(self) -> str:
    """Shapes instead of pixels."""
    return 'Scenes(' + ', '.join(
        f'{name}={value if value is None else list(value.shape)}'
        for name, value in self._asdict().items()) + ')'


class Drawn(NamedTuple):
  """How many objects each scene holds, and which."""
  counts: np.ndarray         # [N] int32.
  present: np.ndarray        # [N, M] bool, the first ones of each scene.
  labels: np.ndarray         # [N, M] int32, -1 where none is present.
  patches: list[np.ndarray]  # K, cropped and resized, scene after scene.


def compose(digits: np.ndarray, labels: np.ndarray, *, num_scenes: int,
            canvas_size: int, counts: Sequence[int],
            digit_scale: tuple[float, float] = (1., 1.), overlap: bool = False,
            backdrop: str = 'black', backdrop_level: float = 1.,
            masks: bool = False, seed: int | Sequence[int]) -> Scenes:
  """Returns scenes of digits at random positions; equal seeds, equal scenes.

  Counts, digits, scales and positions are independent and uniform. A digit is
  cropped to its ink, resized, and put anywhere that it fits in whole. Without
  `overlap`, each object's position is uniform over what the objects before it
  in the scene leave free. Where objects overlap each other or the backdrop, the
  brighter pixel is seen (of coloured ones, that with the brightest channel).
  Scenes that differ in nothing but the backdrop hold the same objects at the
  same places.

  Args:
    digits: uint8 [D, 28, 28] or [D, 28, 28, 3], ink bright on black.
    labels: int [D].
    num_scenes: N.
    canvas_size: side of the square scenes, pixels.
    counts: numbers of objects, equally likely; M is the largest, at least 1.
    digit_scale: smallest and largest factor by which a digit is resized.
    overlap: whether the bounding boxes of objects may overlap.
    backdrop: what is behind the objects, see `backdrops.KINDS`.
    backdrop_level: brightest value that its pixels can have, 1 is white.
    masks: whether to make masks too, which takes time; see `masks.claim`.
    seed: one or several numbers, none negative.

  Returns:
    `Scenes` with every field, `masks` if asked for. In each scene the objects'
    rows come first and the padding last; boxes are tight around the objects as
    resized, whether or not something brighter hides a part.

  Raises:
    errors.UserError: if a digit is blank, or larger than the canvas, or if the
      objects of some scene cannot be kept apart.
  """
  bounds = _ink_bounds(digits)
  _check_largest(bounds, digit_scale, canvas_size)
  if not overlap and max(counts) > 1:
    _check_pairs(bounds, digit_scale, canvas_size)
  rng = np.random.default_rng(seed)
  drawn = draw(rng, digits, labels, counts, num_scenes, digit_scale)
  present = drawn.present
  sizes = np.zeros([*present.shape, 2], np.int64)
  sizes[present] = np.reshape([x.shape[:2] for x in drawn.patches], [-1, 2])
  try:
    corners = arrangement.arrange(
        rng, sizes, drawn.counts, canvas_size, overlap)
  except arrangement.NoRoomError as error:
    raise errors.UserError(_no_room_text(
        error, counts, digit_scale, canvas_size)) from None
  images = np.zeros(
      [num_scenes, canvas_size, canvas_size, *digits.shape[3:]], np.uint8)
  # The last use of `rng`, so that objects are the same before any backdrop.
  backdrops.KINDS[backdrop](rng, images, backdrop_level, digits)
  scene_of_object, rows = np.nonzero(present)  # [K], in the order of `patches`.
  owners = masks_lib.empty(images, present.shape[1]) if masks else None
  _paste(images, scene_of_object, corners[present], drawn.patches, owners, rows)
  boxes = np.concatenate([corners, sizes], axis=-1)[present]
  return Scenes(images, drawn.counts, pad_boxes(present, boxes), drawn.labels,
                owners)


def draw(rng: np.random.Generator, digits: np.ndarray, labels: np.ndarray,
         counts: Sequence[int], num_scenes: int,
         digit_scale: tuple[float, float]) -> Drawn:
  """Draws the objects of scenes; where they are is another matter.

  Args:
    rng: source of randomness.
    digits: uint8 [D, 28, 28] or [D, 28, 28, 3], bright on black.
    labels: int [D].
    counts: numbers of objects, equally likely; M is the largest, at least 1.
    num_scenes: N.
    digit_scale: smallest and largest factor, uniform in between.

  Raises:
    errors.UserError: if a digit is blank.
  """
  bounds = _ink_bounds(digits)
  scene_counts = rng.choice(np.asarray(counts, np.int32), num_scenes)
  present = np.arange(max(1, *counts)) < scene_counts[:, np.newaxis]
  number = int(present.sum())
  chosen = rng.integers(len(digits), size=number)
  factors = rng.uniform(*digit_scale, size=number)
  patches = [_resized(_crop(digits[i], bounds[i]), factor)
             for i, factor in zip(chosen, factors, strict=True)]
  return Drawn(scene_counts, present,
               pad_labels(present, np.asarray(labels)[chosen]), patches)


def pad_boxes(present: np.ndarray, boxes: np.ndarray) -> np.ndarray:
  """Returns `boxes` [K, 4] as float32 [N, M, 4], NaN where none is `present`.
  """
  padded = np.full([*present.shape, 4], np.nan, np.float32)
  padded[present] = boxes
  return padded


def pad_labels(present: np.ndarray, labels: np.ndarray) -> np.ndarray:
  """Returns `labels` [K] as int32 [N, M], -1 where no object is `present`."""
  padded = np.full(present.shape, -1, np.int32)
  padded[present] = labels
  return padded


def _ink_bounds(images: np.ndarray) -> np.ndarray:
  """Returns [D, 4], (top, left, bottom, right) of pixels above 0, ends open."""
  ink = images if images.ndim == 3 else images.any(axis=3)
  rows, columns = ink.any(axis=2), ink.any(axis=1)
  blank = np.flatnonzero(~rows.any(axis=1))
  if blank.size:
    raise errors.UserError(
        f'--digits: {blank.size} of {len(images)} digit images are blank, the '
        f'first is number {blank[0]}; expected ink in each; leave them out.')
  height, width = images.shape[1:3]
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
  height, width = (_resized_side(side, factor) for side in patch.shape[:2])
  if (height, width) == patch.shape[:2]:
    return patch
  # Bilinear: Pillow widens this triangle when it shrinks, so nothing aliases,
  # and its weights are never negative. Bicubic and Lanczos undershoot beside a
  # stroke, and clipped at black that eats thin gaps and shifts tight boxes.
  resized = Image.fromarray(patch).resize(
      (width, height), Image.Resampling.BILINEAR)
  bounds = resized.getbbox()  # Much faster than `_ink_bounds` for one image.
  if bounds is None:  # Too faint for the filter, but an object is visible.
    return patch.max(axis=(0, 1), keepdims=True)
  left, top, right, bottom = bounds
  return np.asarray(resized)[top:bottom, left:right]


def _check_largest(bounds: np.ndarray, digit_scale: tuple[float, float],
                   canvas_size: int) -> None:
  """Raises `UserError` if some digit at its largest exceeds the canvas."""
  side = int((bounds[:, 2:] - bounds[:, :2]).max())
  largest = _resized_side(side, digit_scale[1])
  if largest > canvas_size:
    raise errors.UserError(
        f'--canvas_size={canvas_size}: expected at least {largest}, the side '
        f'of the largest digit at {_scale_text(digit_scale)}; raise '
        '--canvas_size or lower --digit_scale.')


def _check_pairs(bounds: np.ndarray, digit_scale: tuple[float, float],
                 canvas_size: int) -> None:
  """Raises `UserError` if two digits at their largest have no room.

  Such a pair may be rare: it would end a run after hours.
  """
  sides = np.unique(bounds[:, 2:] - bounds[:, :2], axis=0)
  at = lambda scale: arrangement.pair_without_room(
      np.maximum(1, np.round(sides * scale).astype(int)), canvas_size)
  pair = at(digit_scale[1])
  if pair is None:
    return
  fits = round(digit_scale[1] * 100) / 100
  while at(fits) is not None or fits > digit_scale[1]:
    fits -= .01
  (a, b), (c, d) = pair
  raise errors.UserError(
      f'--digits: objects of up to {a} x {b} and {c} x {d} pixels at '
      f'{_scale_text(digit_scale)} do not fit side by side on '
      f'--canvas_size={canvas_size}; expected '
      f'{_scale_text((min(digit_scale[0], fits), fits))}, a larger '
      '--canvas_size, or --overlap.')


def _paste(images: np.ndarray, scene_of_object: np.ndarray,
           corners: np.ndarray, patches: Sequence[np.ndarray],
           masks: np.ndarray | None, rows: np.ndarray) -> None:
  """Draws K patches at `corners` [K, 2] into N `images`, in place.

  And into their `masks`, unless these are None, as the objects `rows` [K].
  """
  for scene, (y, x), patch, row in zip(
      scene_of_object, corners.tolist(), patches, rows, strict=True):
    height, width = patch.shape[:2]
    view = images[scene, y:y + height, x:x + width]
    if masks is not None:
      masks_lib.claim(
          masks[scene, y:y + height, x:x + width], row, patch, view)
    if patch.ndim == 2:
      np.maximum(view, patch, out=view)
    else:
      brighter = patch.max(axis=-1) >= view.max(axis=-1)
      view[brighter] = patch[brighter]


def _scale_text(digit_scale: tuple[float, float]) -> str:
  return '--digit_scale=' + ','.join(f'{scale:.3g}' for scale in digit_scale)


def _no_room_text(error: arrangement.NoRoomError, counts, digit_scale,
                  canvas_size) -> str:
  sides = ', '.join(f'{height}x{width}' for height, width in error.args[0])
  return (
      f'--counts={",".join(map(str, counts))} {_scale_text(digit_scale)} '
      f'--canvas_size={canvas_size} --nooverlap do not fit together: found no '
      f'room for {len(error.args[0])} digits of {sides} pixels; '
      'raise --canvas_size, lower --counts or --digit_scale, or use --overlap.')

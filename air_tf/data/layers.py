"""Scenes of opaque objects, one in front of the other, composed in numpy.

Shapes: N scenes of H x W pixels in colour; at most M objects a scene; K objects
in all scenes together, D outlines. Sizes and positions are in pixels, always
(y, x) or (height, width).
"""

from collections.abc import Callable
from collections.abc import Sequence

import numpy as np

from air_tf import errors
from air_tf.data import backdrops
from air_tf.data import masks as masks_lib
from air_tf.data import scenes as scenes_lib

__all__ = ['VISIBLE', 'Colours', 'compose']

# Of an object's pixels, at least: where others hide more of one, the scene is
# arranged anew, so that all that are counted can be seen.
VISIBLE = .25
_TRIES, _RESTARTS = 50, 500  # Of an object, and of its scene.

# Draws colours, uint8 [K, 3].
Colours = Callable[[np.random.Generator, int], np.ndarray]


def compose(digits: np.ndarray, labels: np.ndarray, *, num_scenes: int,
            canvas_size: int, counts: Sequence[int],
            digit_scale: tuple[float, float] = (1., 1.), overlap: bool = False,
            backdrop: str = 'black', backdrop_level: float = 1.,
            masks: bool = False, colours: Colours,
            seed: int | Sequence[int]) -> scenes_lib.Scenes:
  """Returns scenes of outlines filled with colours; equal seeds, equal scenes.

  Counts, outlines, scales and colours are independent and uniform. Each object
  is whole inside the scene, at a place that is uniform. With `overlap`, the
  later ones are in front of the earlier ones and of the backdrop; a scene where
  less than a quarter of some object is visible is arranged anew. Without, no
  two objects share a pixel, though their boxes may overlap.

  Args:
    digits: uint8 [D, h, w], how opaque an outline is in each pixel.
    labels: int [D].
    num_scenes: N.
    canvas_size: side of the square scenes, pixels.
    counts: numbers of objects, equally likely; M is the largest, at least 1.
    digit_scale: smallest and largest factor by which an outline is resized.
    overlap: whether objects may hide parts of others.
    backdrop: what is behind the objects, see `backdrops.KINDS`.
    backdrop_level: brightest value that its pixels can have, 1 is white.
    masks: whether to return masks of what is visible.
    colours: draws one colour for each object.
    seed: one or several numbers, none negative.

  Returns:
    `Scenes` with every field, `masks` if asked for. In each scene the objects'
    rows come first, from back to front, and the padding last; boxes are tight
    around the whole objects, whether or not others hide a part.

  Raises:
    errors.UserError: if an object is blank, or the objects of some scene find
      no room.
  """
  rng = np.random.default_rng(seed)
  scene_counts, present, labels, patches = scenes_lib.draw(
      rng, digits, labels, counts, num_scenes, digit_scale)
  fills = colours(rng, len(patches))
  sizes = np.reshape([patch.shape for patch in patches], [-1, 2])
  _check_largest(sizes, canvas_size)
  inks = [_ink(patch) for patch in patches]
  corners = np.zeros_like(sizes)
  images = np.zeros([num_scenes, *[canvas_size] * 2, 3], np.uint8)
  owners = masks_lib.empty(images, present.shape[1]) if masks else None
  ends = np.cumsum(scene_counts)
  for i, (end, count) in enumerate(zip(ends, scene_counts, strict=True)):
    objects = slice(end - count, end)
    corners[objects], mask = _arrange(
        rng, inks[objects], sizes[objects], canvas_size, overlap)
    if owners is not None:
      owners[i] = mask
  # The last use of `rng`, so that objects are the same before any backdrop.
  backdrops.KINDS[backdrop](
      rng, images, backdrop_level, digits[..., np.newaxis].repeat(3, axis=-1))
  _paint(images, np.nonzero(present)[0], corners, patches, fills)
  boxes = scenes_lib.pad_boxes(
      present, np.concatenate([corners, sizes], axis=1))
  return scenes_lib.Scenes(images, scene_counts, boxes, labels, owners)


def _ink(patch: np.ndarray) -> np.ndarray:
  """Returns bool [h, w], the pixels of which an object takes at least half."""
  return patch >= max(1., patch.max() / 2.)


def _check_largest(sizes: np.ndarray, canvas_size: int) -> None:
  largest = sizes.max(initial=0)
  if largest > canvas_size:
    raise errors.UserError(
        f'--canvas_size={canvas_size}: expected at least {largest}, the side '
        'of the largest object; raise --canvas_size or lower --digit_scale.')


def _arrange(rng: np.random.Generator, inks: Sequence[np.ndarray],
             sizes: np.ndarray, canvas_size: int, overlap: bool
             ) -> tuple[np.ndarray, np.ndarray]:
  """Returns corners [n, 2] and the mask [H, W] of one scene of n objects."""
  least = VISIBLE * np.array([np.count_nonzero(ink) for ink in inks])
  for _ in range(_RESTARTS):
    found = _arrange_once(rng, inks, sizes, canvas_size, overlap)
    if found is not None:
      visible = np.bincount(found[1].ravel(), minlength=len(inks) + 1)[1:]
      if (visible >= least).all():
        return found
  raise errors.UserError(
      f'--counts: found no room for {len(inks)} objects on {canvas_size} x '
      f'{canvas_size} pixels; raise --canvas_size, lower --counts or '
      '--digit_scale' + ('.' if overlap else ', or use --overlap.'))


def _arrange_once(rng, inks, sizes, canvas_size, overlap):
  """Returns the same, or None if an object found no room."""
  mask = np.zeros([canvas_size, canvas_size], np.uint16)
  corners = np.zeros([len(inks), 2], np.int64)
  places = (rng.random([len(inks), 1 if overlap else _TRIES, 2])
            * (canvas_size + 1 - sizes)[:, np.newaxis]).astype(np.int64)
  for k, (ink, tries) in enumerate(zip(inks, places.tolist(), strict=True)):
    height, width = ink.shape
    for y, x in tries:
      view = mask[y:y + height, x:x + width]
      if overlap or not view[ink].any():
        break
    else:
      return None
    view[ink] = k + 1
    corners[k] = y, x
  return corners, mask


def _paint(images: np.ndarray, scene_of_object: np.ndarray, corners: np.ndarray,
           patches: Sequence[np.ndarray], fills: np.ndarray) -> None:
  """Draws K patches, filled with colours [K, 3], into N `images`, in place."""
  for scene, (y, x), patch, fill in zip(
      scene_of_object, corners.tolist(), patches, fills, strict=True):
    height, width = patch.shape
    view = images[scene, y:y + height, x:x + width]
    solid = patch == 255
    if np.count_nonzero(solid) == np.count_nonzero(patch):
      view[solid] = fill  # Hard edges take half of the time.
      continue
    opacity = patch[..., np.newaxis].astype(np.uint16)
    # At most 255 * 255 + 127: it fits into 16 bits.
    view[:] = (opacity * fill + (255 - opacity) * view + 127) // 255

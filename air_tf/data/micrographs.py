"""Scenes as a microscope or a telescope sees them, composed in numpy.

Objects lie anywhere, cut at the edges, and may touch. Their light adds up and
is blurred; there is uneven ground under it, and noise on it.

Shapes: N scenes of H x W pixels; at most M objects a scene; K objects in all
scenes together. Sizes and positions are in pixels, always (y, x) or
(height, width).
"""

from collections.abc import Sequence

import numpy as np

from air_tf import errors
from air_tf.data import masks as masks_lib
from air_tf.data import scenes as scenes_lib

__all__ = ['compose']

_TOUCHING = .4  # Chance that an object is moved towards an earlier one.
# Pixels kept free around an object: a gap of one, which the blur fills.
_NEAR = (0, 0), (0, 1), (1, 0), (0, -1), (-1, 0)
_BLURS = (.5, .8, 1.1)  # Pixels, standard deviation; one of these a scene.
_NOISE = .01, .04  # Standard deviation of a pixel's noise, uniform.
_MARGIN = 4  # Pixels around a scene whose light is blurred into it.
_TRIES, _RESTARTS = 50, 200  # Of an object, and then of its scene.
_CHUNK = 500  # Scenes at a time, where there are floats for each pixel.


def compose(digits: np.ndarray, labels: np.ndarray, *, num_scenes: int,
            canvas_size: int, counts: Sequence[int],
            digit_scale: tuple[float, float] = (1., 1.), overlap: bool = False,
            backdrop: str = 'black', backdrop_level: float = .4,
            masks: bool = False, seed: int | Sequence[int]
            ) -> scenes_lib.Scenes:
  """Returns scenes of objects of light; equal seeds, equal scenes.

  Counts, objects and scales are independent and uniform. An object belongs to a
  scene if its middle is inside; it may lie partly outside, and no others are
  seen. Middles are uniform over the scene, or over what is free; but of every
  five objects two are pushed up to another. Without `overlap`, no two objects
  share a pixel, but a pixel apart their light is blurred into one.

  Args:
    digits: uint8 [D, h, w], bright on black.
    labels: int [D].
    num_scenes: N.
    canvas_size: side of the square scenes, pixels.
    counts: numbers of objects, equally likely; M is the largest, at least 1.
    digit_scale: smallest and largest factor by which an object is resized.
    overlap: whether objects may overlap.
    backdrop: 'black'; the ground is always there.
    backdrop_level: brightest value that the ground can have, 1 is white.
    masks: whether to make masks too: where objects overlap, a pixel is of the
      one with most light there, before it is blurred.
    seed: one or several numbers, none negative.

  Returns:
    `Scenes` with every field, `masks` if asked for. In each scene the objects'
    rows come first and the padding last; boxes are tight around the parts of
    objects inside.

  Raises:
    errors.UserError: if there is another backdrop, an object is blank, or the
      objects of some scene find no room.
  """
  if backdrop != 'black':
    raise errors.UserError(
        f'--backdrop={backdrop}: expected black with these objects, which have '
        'uneven ground and noise of their own; see --backdrop_level.')
  rng = np.random.default_rng(seed)
  scene_counts, present, labels, patches = scenes_lib.draw(
      rng, digits, labels, counts, num_scenes, digit_scale)
  ends = np.cumsum(scene_counts)
  images = np.zeros([num_scenes, canvas_size, canvas_size], np.uint8)
  owners = masks_lib.empty(images, present.shape[1]) if masks else None
  corners = np.zeros([len(patches), 2], np.int64)
  for start in range(0, num_scenes, _CHUNK):
    part = images[start:start + _CHUNK]
    light = np.zeros(
        [len(part), *[canvas_size + 2 * _MARGIN] * 2], np.float32)
    for i, canvas in enumerate(light, start):
      objects = slice(ends[i] - scene_counts[i], ends[i])
      corners[objects] = _arrange(rng, patches[objects], canvas_size, overlap)
      for patch, corner in zip(
          patches[objects], corners[objects], strict=True):
        _add(canvas, patch, corner)
      if owners is not None:
        _own(owners[i], patches[objects], corners[objects])
    part[:] = _photograph(rng, light, backdrop_level)
  boxes = scenes_lib.pad_boxes(present, _boxes(corners, patches, canvas_size))
  return scenes_lib.Scenes(images, scene_counts, boxes, labels, owners)


def _arrange(rng, patches: Sequence[np.ndarray], canvas_size: int,
             overlap: bool) -> np.ndarray:
  """Returns upper left corners [n, 2] of the objects of one scene."""
  for _ in range(_RESTARTS):
    corners = _arrange_once(rng, patches, canvas_size, overlap)
    if corners is not None:
      return corners
  raise errors.UserError(
      f'--counts: found no room for {len(patches)} objects on {canvas_size} x '
      f'{canvas_size} pixels; raise --canvas_size, lower --counts or '
      '--digit_scale, or use --overlap.')


def _arrange_once(rng, patches, canvas_size, overlap) -> np.ndarray | None:
  """Returns corners [n, 2], or None if an object found no room."""
  margin = max((max(patch.shape) for patch in patches), default=0) + 1
  taken = np.zeros([canvas_size + 2 * margin] * 2, bool)
  corners = np.zeros([len(patches), 2], np.int64)
  for i, patch in enumerate(patches):
    ink, size = patch > 0, np.array(patch.shape)
    for place in _places(rng, corners[:i], patches[:i], canvas_size):
      corner = np.clip(  # One that is a pixel wide may lie beside its middle.
          np.floor(place - size / 2).astype(np.int64), 1 - size,
          canvas_size - 1)
      y, x = corner + margin
      view = taken[y:y + size[0], x:x + size[1]]
      if overlap or not (view & ink).any():
        break
    else:
      return None
    corners[i] = corner
    for dy, dx in _NEAR:
      taken[y + dy:y + dy + size[0], x + dx:x + dx + size[1]] |= ink
  return corners


def _places(rng, corners, patches, canvas_size):
  """Yields middles to try, each inside the canvas."""
  if len(corners) and rng.random() < _TOUCHING:
    other = rng.integers(len(corners))
    middle = corners[other] + np.array(patches[other].shape) / 2
    angle = rng.uniform(0., 2. * np.pi)
    way = np.array([np.sin(angle), np.cos(angle)])
    for distance in range(4, 2 * max(patches[other].shape)):
      place = middle + distance * way
      if (place >= 0.).all() and (place < canvas_size).all():
        yield place
  yield from rng.uniform(0., canvas_size, [_TRIES, 2])


def _add(canvas: np.ndarray, patch: np.ndarray, corner: np.ndarray) -> None:
  """Adds the light of a patch to a canvas with margins, in place."""
  place, inside = _inside(canvas, patch, corner + _MARGIN)
  canvas[place] += patch[inside] / np.float32(255.)


def _own(mask: np.ndarray, patches: Sequence[np.ndarray],
         corners: np.ndarray) -> None:
  """Draws the mask [H, W] of a scene, in place."""
  most = np.zeros_like(mask)  # Light of the object that a pixel is of.
  for row, (patch, corner) in enumerate(zip(patches, corners, strict=True)):
    place, inside = _inside(mask, patch, corner)
    # Ink is a share of the whole object, also where it is cut.
    ink = np.where(masks_lib.is_ink(patch), patch, 0)[inside]
    masks_lib.claim(mask[place], row, ink, most[place])
    most[place] = np.maximum(most[place], ink)


def _inside(canvas: np.ndarray, patch: np.ndarray, start: np.ndarray):
  """Returns slices of a canvas and of a patch at `start`, where they meet."""
  end = start + patch.shape
  low, high = np.maximum(start, 0), np.minimum(end, canvas.shape)
  (y0, x0), (y1, x1) = low, high
  (top, left), (bottom, right) = low - start, high - start
  return np.s_[y0:y1, x0:x1], np.s_[top:bottom, left:right]


def _photograph(rng, light: np.ndarray, backdrop_level: float) -> np.ndarray:
  """Returns uint8 [N, H, W] of light [N, H + margins, W + margins]."""
  num_scenes, side = len(light), light.shape[1] - 2 * _MARGIN
  blur = rng.integers(len(_BLURS), size=num_scenes)
  images = np.empty([num_scenes, side, side], np.float32)
  for i, stddev in enumerate(_BLURS):
    matrix = _blur(side, stddev)
    images[blur == i] = matrix @ light[blur == i] @ matrix.T
  images += _ground(rng, num_scenes, side, backdrop_level)
  stddev = rng.uniform(*_NOISE, num_scenes).astype(np.float32)
  images += stddev[:, np.newaxis, np.newaxis] * rng.standard_normal(
      images.shape, np.float32)
  return np.round(255. * np.clip(images, 0., 1.)).astype(np.uint8)


def _blur(side: int, stddev: float) -> np.ndarray:
  """Returns the matrix [H, H + margins] of a Gaussian blur, rows sum to 1."""
  distance = (np.arange(side + 2 * _MARGIN) - _MARGIN
              - np.arange(side)[:, np.newaxis]) / stddev
  weights = np.exp(-.5 * distance**2)
  return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)


def _ground(rng, num_scenes: int, side: int, level: float) -> np.ndarray:
  """Returns [N, H, W]: of up to half the level, and a slope of up to half.

  The slope is a random polynomial of second order.
  """
  x = np.linspace(-1., 1., side, dtype=np.float32)
  y = x[:, np.newaxis] + 0. * x
  x = y.T
  terms = np.stack([x, y, x * y, x**2, y**2])  # [5, H, W]
  weights = rng.standard_normal([num_scenes, len(terms)], np.float32)
  slope = np.tensordot(weights, terms, axes=1)
  slope -= slope.min(axis=(1, 2), keepdims=True)
  slope /= slope.max(axis=(1, 2), keepdims=True)
  even, uneven = rng.uniform(0., level / 2., [2, num_scenes, 1, 1])
  return (even + uneven * slope).astype(np.float32)


def _boxes(corners, patches, canvas_size) -> np.ndarray:
  """Returns the boxes [K, 4] of the parts inside."""
  sizes = np.reshape([patch.shape for patch in patches], [-1, 2])
  low = np.maximum(corners, 0)
  high = np.minimum(corners + sizes, canvas_size)
  return np.concatenate([low, high - low], axis=1)

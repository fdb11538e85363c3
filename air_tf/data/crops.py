"""Crops of large pictures as scenes, and pixels that are never trained on.

Letters: `P` pictures, `N` crops of `S` x `S` pixels, `M` most objects of a
crop. A region is a part of a picture. Boxes are (y, x, height, width) in
pixels; of a picture or a crop, whichever is spoken of.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from air_tf import errors
from air_tf.data import masks as masks_lib
from air_tf.data import scenes as scenes_lib

__all__ = ['Picture', 'frame', 'grid', 'hold_out', 'sample']

_ENOUGH = 10  # Pictures, of which a tenth is held out whole.
_HELD_OUT = .2  # Of the longer side of each picture, if they are fewer.
# Smaller parts of an object's box at the edge of a crop are not counted: of a
# digit there may be no ink in them.
_VISIBLE = .25


class Picture(NamedTuple):
  """A picture, or a region of one."""
  image: np.ndarray  # uint8 [H, W] or [H, W, 3].
  boxes: np.ndarray | None = None  # float [K, 4]; None if nobody knows.
  labels: np.ndarray | None = None  # int [K].
  # uint8 [H, W], k on the object `boxes[k - 1]`; only with boxes.
  mask: np.ndarray | None = None


def hold_out(pictures: Sequence[Picture], size: int, path: str
             ) -> tuple[list[Picture], list[Picture]]:
  """Returns (training, held-out) regions without a pixel in both.

  From ten pictures on, each tenth is held out whole. Of fewer, the last fifth
  of the longer side of each is, at least a crop wide; those too small for that
  are trained on.

  Args:
    pictures: P of them.
    size: S, side of a crop.
    path: where they come from, for the error.

  Raises:
    errors.UserError: if nothing can be held out.
  """
  if len(pictures) >= _ENOUGH:
    held = [i % _ENOUGH == _ENOUGH - 1 for i in range(len(pictures))]
    return ([x for x, out in zip(pictures, held, strict=True) if not out],
            [x for x, out in zip(pictures, held, strict=True) if out])
  train, test = [], []
  for picture in pictures:
    length, axis = max(zip(picture.image.shape[:2], (0, 1), strict=True))
    border = length - max(size, round(_HELD_OUT * length))
    if border < size:
      train.append(picture)
      continue
    train.append(_region(picture, axis, 0, border))
    test.append(_region(picture, axis, border, length))
  if not test:
    raise errors.UserError(
        f'--scenes={path}: found no picture with a side of {2 * size} pixels, '
        f'two crops of --crop={size}, of which one could be held out; lower '
        '--crop, or give --test_scenes.')
  return train, test


def sample(pictures: Sequence[Picture], number: int, size: int, augment: bool,
           seed: int | Sequence[int]) -> scenes_lib.Scenes:
  """Returns random crops, every place in all pictures equally likely.

  Args:
    pictures: P of them. A smaller one is in the middle of the crop, on its
      median.
    number: N.
    size: S.
    augment: whether each is turned by quarters and mirrored at random.
    seed: one or several numbers, none negative.

  Returns:
    The crops. Objects of which at least a quarter of the box is inside are
    those of a crop, their boxes cut at its edges; without boxes in all
    pictures, nothing is known of them. Masks are cut likewise, and lesser parts
    of objects are ground.
  """
  rng = np.random.default_rng(seed)
  places = np.array([_places(x.image.shape, size) for x in pictures])  # [P, 2]
  weights = places.prod(axis=1) / places.prod(axis=1).sum()
  which = rng.choice(len(pictures), number, p=weights)
  corners = rng.integers(places[which])
  turns = rng.integers(8, size=number) if augment else np.zeros(number, int)
  return _cut(pictures, which, corners, turns, size)


def grid(pictures: Sequence[Picture], size: int, most: int
         ) -> scenes_lib.Scenes:
  """Returns crops that cover pictures evenly, half a crop apart.

  Args:
    pictures: P of them.
    size: S.
    most: crops; if there are more, some are left out evenly.

  Returns:
    As `sample`.
  """
  rows = []
  for i, picture in enumerate(pictures):
    axes = [np.unique(np.append(np.arange(0, n, max(1, size // 2)), n - 1))
            for n in _places(picture.image.shape, size)]
    rows += [(i, y, x) for y in axes[0] for x in axes[1]]
  rows = np.array(rows)
  if len(rows) > most:
    rows = rows[np.linspace(0, len(rows) - 1, most).astype(int)]
  return _cut(pictures, rows[:, 0], rows[:, 1:], np.zeros(len(rows), int), size)


def frame(image: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
  """Makes a small picture at least S x S, on its median, which is its ground.

  Args:
    image: uint8 `[H, W]`.
    size: S.

  Returns:
    The picture, itself if it is large enough; and (y, x) of its corner there.
  """
  missing = np.maximum(0, size - np.array(image.shape[:2]))
  top, left = before = missing // 2
  if not missing.any():
    return image, before
  framed = np.empty([*(image.shape[:2] + missing), *image.shape[2:]], np.uint8)
  framed[:] = np.median(image, axis=(0, 1)).astype(np.uint8)
  framed[top:top + image.shape[0], left:left + image.shape[1]] = image
  return framed, before


def _framed(picture: Picture, size: int) -> Picture:
  image, before = frame(picture.image, size)
  if picture.boxes is None:
    return Picture(image)
  mask = picture.mask
  if mask is not None:
    after = np.array(image.shape[:2]) - mask.shape - before
    mask = np.pad(mask, np.stack([before, after], axis=1))
  return picture._replace(
      image=image, boxes=picture.boxes + [*before, 0, 0], mask=mask)


def _region(picture: Picture, axis: int, start: int, end: int) -> Picture:
  """Returns a part of a picture along an axis, with the objects in it."""
  part = (slice(None),) * axis + (slice(start, end),)
  image = picture.image[part]
  if picture.boxes is None:
    return Picture(image)
  corner = np.zeros(2)
  corner[axis] = start
  # All that reach into it: what of them is visible depends on the crop.
  _, kept = _clipped(picture.boxes, corner, image.shape[:2], 0.)
  moved = picture.boxes[kept] - [*corner, 0., 0.]
  return Picture(
      image, moved, None if picture.labels is None else picture.labels[kept],
      None if picture.mask is None
      else masks_lib.relabel(picture.mask[part], kept))


def _places(shape: Sequence[int], size: int) -> tuple[int, int]:
  """Places of a crop along each axis."""
  return tuple(max(1, length - size + 1) for length in shape[:2])


def _cut(pictures, which, corners, turns, size: int) -> scenes_lib.Scenes:
  """Cuts crops from pictures `which` [N] at `corners` [N, 2]."""
  images = np.empty(
      [len(which), size, size, *pictures[0].image.shape[2:]], np.uint8)
  framed = [_framed(x, size) for x in pictures]
  masks = None
  if all(x.mask is not None for x in pictures):
    masks = np.empty(images.shape[:3], np.uint8)
  objects = []
  for n, (i, (y, x), turn) in enumerate(
      zip(which, corners, turns, strict=True)):
    picture = framed[i]
    images[n] = _turned(picture.image[y:y + size, x:x + size], turn)
    if picture.boxes is not None:
      boxes, kept = _clipped(picture.boxes, (y, x), (size, size), _VISIBLE)
      if masks is not None:
        masks[n] = _turned(masks_lib.relabel(
            picture.mask[y:y + size, x:x + size], kept), turn)
      objects.append((_turned_boxes(boxes, turn, size),
                      None if picture.labels is None else picture.labels[kept]))
  if len(objects) < len(which):  # Nothing is known of some.
    return scenes_lib.Scenes(images, None, None, None)
  return _padded(images, objects)._replace(masks=masks)


def _padded(images: np.ndarray, objects: list) -> scenes_lib.Scenes:
  counts = np.array([len(boxes) for boxes, _ in objects], np.int32)
  present = np.arange(max(1, counts.max())) < counts[:, np.newaxis]
  boxes = scenes_lib.pad_boxes(
      present, np.concatenate([x for x, _ in objects]))
  labels = None
  if all(x is not None for _, x in objects):
    labels = scenes_lib.pad_labels(
        present, np.concatenate([x for _, x in objects]))
  return scenes_lib.Scenes(images, counts, boxes, labels)


def _clipped(boxes: np.ndarray, corner: Sequence[int], shape: Sequence[int],
             visible: float) -> tuple[np.ndarray, np.ndarray]:
  """Cuts boxes `[K, 4]` at a frame.

  Returns:
    Those of which more than nothing and at least a share `visible` is inside,
    in pixels of the frame, and their indices.
  """
  low = np.maximum(boxes[:, :2] - corner, 0.)
  high = np.minimum(boxes[:, :2] + boxes[:, 2:] - corner, shape)
  sides = np.maximum(high - low, 0.)
  area = sides.prod(axis=1)
  kept = np.flatnonzero((area > 0.) & (
      area >= visible * boxes[:, 2:].prod(axis=1)))
  return np.concatenate([low, sides], axis=1)[kept], kept


def _turned(image: np.ndarray, turn: int) -> np.ndarray:
  """Applies one of eight symmetries: quarter turns, of 4 on after mirroring."""
  if turn >= 4:
    image = image[:, ::-1]
  return np.rot90(image, turn % 4)


def _turned_boxes(boxes: np.ndarray, turn: int, size: int) -> np.ndarray:
  """Applies the same to boxes `[K, 4]` of an image of S x S."""
  y, x, height, width = boxes.T
  if turn >= 4:
    x = size - x - width
  for _ in range(turn % 4):  # Counterclockwise, as `np.rot90`.
    y, x, height, width = size - x - width, y, width, height
  return np.stack([y, x, height, width], axis=1)

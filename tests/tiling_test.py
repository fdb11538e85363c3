"""Windows over a picture, whose objects are whose, and each of them once."""

import itertools

import numpy as np
import pytest
from scipy import ndimage

from air_tf import errors
from air_tf.serving import tiled
from air_tf.serving import tiling

SIZE, STEPS = 16, 6


def square(windows, rows, patches=None):
  """Objects with these boxes, each full of light."""
  boxes = np.array(rows, float).reshape(-1, 4)
  patches = patches or [np.full(x[2:].astype(int), 200, np.uint8)
                        for x in boxes]
  return tiling.Objects(
      np.array(windows, int), boxes, boxes, np.ones(len(boxes)),
      boxes[:, :2].astype(int), patches)


# --- Geometry -----------------------------------------------------------------
def test_windows_by_hand():
  # (28 - 4) / (16 - 4) = 2 windows across, from 0 and 28 - 16; the border of
  # their cores is in the middle of what they share, 12 ... 16.
  found = tiling.windows((16, 28), 16, 4)
  assert found.corners.tolist() == [[0, 0], [0, 12]]
  assert found.lows.tolist() == [[-np.inf, -np.inf], [-np.inf, 14.]]
  assert found.highs.tolist() == [[np.inf, 14.], [np.inf, np.inf]]


@pytest.mark.parametrize('shape,overlap', [
    ((16, 16), 8), ((17, 40), 8), ((100, 31), 0), ((61, 64), 15), ((5, 90), 3)])
def test_windows_cover_evenly_and_cores_divide(shape, overlap):
  found = tiling.windows(shape, SIZE, overlap)
  covered, owners = np.zeros(shape, int), np.zeros(shape, int)
  middles = np.stack(np.mgrid[:shape[0], :shape[1]], axis=-1) + .4
  for corner, low, high in zip(found.corners, found.lows, found.highs):
    y, x = np.maximum(corner, 0)
    covered[y:corner[0] + SIZE, x:corner[1] + SIZE] += 1
    owners += ((middles >= low) & (middles < high)).all(axis=-1)
  assert (covered > 0).all() and (owners == 1).all()
  for axis in (0, 1):
    starts = np.unique(found.corners[:, axis])
    if len(starts) > 1:
      assert np.diff(starts).max() <= SIZE - overlap
      assert np.ptp(np.diff(starts)) <= 1
      assert (starts[0], starts[-1]) == (0, shape[axis] - SIZE)


def test_a_window_reaches_beyond_its_core_by_half_the_overlap():
  found = tiling.windows((200, 200), SIZE, 6)
  inner = np.isfinite(found.lows)
  assert ((found.lows - found.corners)[inner] >= 3.).all()
  inner = np.isfinite(found.highs)
  assert ((found.corners + SIZE - found.highs)[inner] >= 3.).all()


@pytest.mark.parametrize('overlap', [-1, 16, 40])
def test_an_overlap_that_leaves_nothing_is_refused(overlap):
  with pytest.raises(errors.UserError, match='--window_overlap.*16'):
    tiling.windows((50, 50), 16, overlap)


# --- Merging ------------------------------------------------------------------
TWO = tiling.windows((16, 28), 16, 4)  # The border of the cores is at x = 14.


@pytest.mark.parametrize('windows,boxes,expected', [
    # A piece at the edge of window 0; window 1 has it whole, and owns it.
    ([0, 1], [(5, 13, 4, 3), (5, 13, 4, 8)], [1]),
    # Both have it in their own cores, because they differ by a pixel or so.
    ([0, 1], [(5, 11, 4, 5), (5, 12, 4, 5)], [0]),
    # Each thinks that it is the other's: one is taken nevertheless.
    ([0, 1], [(5, 12, 4, 5), (5, 11, 4, 5)], [0]),
    # Just outside, and nobody else finds anything there.
    ([0], [(5, 12, 4, 5)], []),
    # Two objects of one window are two, however much they share.
    ([0, 0], [(5, 5, 4, 5), (5, 5, 4, 4)], [0, 1]),
    # Neighbours in different windows that hardly touch.
    ([0, 1], [(5, 9, 4, 5), (5, 14, 4, 5)], [0, 1]),
    # A small one inside of a large one of another window: all its light.
    ([0, 1], [(4, 2, 10, 18), (5, 14, 3, 3)], [0]),
    ([], [], []),
])
def test_each_object_once(windows, boxes, expected):
  assert tiling.merge(square(windows, boxes), TWO).tolist() == expected


def test_light_tells_objects_from_each_other_where_boxes_hardly_can():
  # Of two crossing diagonals, boxes share more than light.
  diagonal = np.eye(6, dtype=np.uint8) * 200
  boxes = [(5, 9, 6, 6), (5, 12, 6, 6)]  # An IoU of 1 / 3.
  objects = square([0, 1], boxes, [diagonal, diagonal])
  assert len(tiling.merge(objects, TWO)) == 2
  lit = [np.zeros([6, 6], np.uint8) for _ in boxes]
  lit[0][:, 3:] = lit[1][:, :3] = 90  # The same pixels of the picture.
  assert len(tiling.merge(square([0, 1], boxes, lit), TWO)) == 1


def test_labels_are_of_the_brightest():
  objects = square([0, 0], [(1, 1, 2, 3), (1, 2, 2, 3)], [
      np.array([[100, 100, 10], [100, 100, 100]], np.uint8),
      np.array([[90, 200, 200], [110, 0, 200]], np.uint8)])
  assert tiling.labels(objects, (4, 6)).tolist() == [
      [0, 0, 0, 0, 0, 0], [0, 1, 1, 2, 2, 0], [0, 1, 2, 1, 2, 0], [0] * 6]


# --- With a model -------------------------------------------------------------
class Stand:
  """Finds bright squares apart from each other, as a model that is right.

  Attributes:
    largest: images in the largest batch.
  """

  def __init__(self):
    self.largest = 0

  def __call__(self, images):
    self.largest = max(self.largest, len(images))
    boxes = np.zeros([len(images), STEPS, 4], np.float32)
    canvases = np.zeros([len(images), STEPS, SIZE, SIZE], np.float32)
    counts = np.zeros(len(images), np.int32)
    for n, image in enumerate(images):
      parts, found = ndimage.label(image > 127)
      counts[n] = min(found, STEPS)
      for t, (rows, columns) in enumerate(ndimage.find_objects(parts)[:STEPS]):
        boxes[n, t] = (rows.start - 1, columns.start - 1,  # A margin of one.
                       rows.stop - rows.start + 2,
                       columns.stop - columns.start + 2)
        canvases[n, t:] += (parts == t + 1) * .8
    presence = np.arange(STEPS) < counts[:, np.newaxis]
    probs = np.eye(STEPS + 1)[counts] * .86 + .02
    return {'num_steps': counts, 'presence': presence.astype(np.float32),
            'boxes': boxes * presence[..., np.newaxis], 'canvases': canvases,
            'step_probs': np.cumsum(probs[:, :0:-1], axis=1)[:, ::-1]}


def explained(model, image, overlap=None, **options):
  tiles = tiling.windows(image.shape, SIZE, overlap)
  return tiled.predict(model, 'a', image, tiles, **options)


def picture(shape, boxes):
  image = np.full(shape, 10, np.uint8)
  for y, x, height, width in boxes:
    image[y:y + height, x:x + width] = 255
  return image


def scattered(shape, seed):
  """Squares of 4 to 6 pixels, no two of which touch."""
  rng = np.random.default_rng(seed)
  taken, boxes = np.zeros(shape, bool), []
  for side, y, x in zip(rng.integers(4, 7, 400),
                        rng.integers(0, shape[0] - 6, 400),
                        rng.integers(0, shape[1] - 6, 400)):
    region = slice(max(0, y - 1), y + side + 1), slice(max(0, x - 1),
                                                       x + side + 1)
    if not taken[region].any():
      taken[region] = True
      boxes.append((y, x, side, side))
  return boxes


@pytest.mark.parametrize('shape', [(90, 75), (16, 200), (33, 17)])
def test_every_object_is_found_once(shape):
  boxes = scattered(shape, sum(shape))
  found = explained(Stand(), picture(shape, boxes), 8)
  assert sorted(map(tuple, found.objects.boxes)) == sorted(boxes)
  image = tiling.labels(found.objects, shape)
  assert image.max() == len(boxes)
  np.testing.assert_array_equal(image > 0, picture(shape, boxes) > 127)


@pytest.mark.parametrize('shape', [(16, 16), (9, 12), (16, 7)])
def test_a_picture_no_larger_than_a_window_is_explained_as_it_is(shape):
  boxes = [(0, 1, 3, 3), (5, 2, 4, 4)]
  image = picture(shape, boxes)
  found = explained(Stand(), image)
  top, left = (SIZE - shape[0]) // 2, (SIZE - shape[1]) // 2
  frame = np.full([SIZE, SIZE], 10, np.uint8)
  frame[top:top + shape[0], left:left + shape[1]] = image
  plain = Stand()(frame[np.newaxis])
  assert found.num_windows == 1 and found.num_steps == plain['num_steps'][0]
  np.testing.assert_array_equal(
      found.objects.glimpses,
      plain['boxes'][0, :2] - np.array([top, left, 0, 0]))
  np.testing.assert_allclose(found.objects.boxes, boxes)
  np.testing.assert_allclose(found.objects.scores, [.98, .96])


def test_full_windows_are_counted():
  boxes = [(y, x, 3, 3) for y, x in itertools.product((1, 6, 11), repeat=2)]
  found = explained(Stand(), picture((16, 16), boxes))
  assert (found.num_steps, found.num_full) == (STEPS, 1)


def test_batches_are_bounded_and_progress_is_reported():
  stand, done = Stand(), []
  found = explained(stand, picture((100, 100), []), 8, batch_size=7,
                    progress=done.append)
  assert stand.largest == 7 and sum(done) == found.num_windows == 144
  assert found.num_steps == 0 and found.objects.boxes.shape == (0, 4)


def test_memory_does_not_grow_with_the_picture():
  import tracemalloc
  peaks = []
  for side in (128, 512):
    image = picture((side, side), scattered((side, side), 0)[:20])
    tracemalloc.start()
    explained(Stand(), image, batch_size=32)
    peaks.append(tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
  assert peaks[1] < 2 * peaks[0], peaks


def test_what_draws_nothing_has_the_box_of_its_glimpse():
  dark = lambda images: Stand()(images) | {
      'canvases': np.zeros([len(images), STEPS, SIZE, SIZE], np.float32)}
  found = explained(dark, picture((16, 16), [(5, 5, 4, 4)]))
  assert found.objects.boxes.tolist() == [[4., 4., 6., 6.]]
  assert tiling.labels(found.objects, (16, 16)).max() == 0


def test_the_background_is_no_object():
  ground = np.full([1, SIZE, SIZE], .5, np.float32)
  def with_ground(images):
    answer = Stand()(images)
    return answer | {'canvases': answer['canvases'] + ground[:, np.newaxis],
                     'background': np.repeat(ground, len(images), 0)}
  found = explained(with_ground, picture((16, 16), [(5, 5, 4, 4)]))
  assert found.objects.boxes.tolist() == [[5., 5., 4., 4.]]

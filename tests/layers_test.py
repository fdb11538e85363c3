"""Tests of layers.py and of the scenes made of it: opaque objects."""

import functools
import hashlib

import data_util
import numpy as np
import pytest

from air_tf.data import digits as digits_lib
from air_tf.data import dsprites_like
from air_tf.data import layers
from air_tf.data import tetrominoes_like

RED, GREEN = [200, 0, 0], [0, 100, 50]


def blocks(*sizes, value=255):
  digits = np.zeros([len(sizes), 28, 28], np.uint8)
  for digit, size in zip(digits, sizes):
    digit[3:3 + size, 4:4 + size] = value
  return digits


def alternate(rng, number):
  return np.array([RED, GREEN] * number, np.uint8)[:number]


def compose(digits=None, **options):
  digits = blocks(6) if digits is None else digits
  return layers.compose(
      digits, np.arange(len(digits)), **dict(
          num_scenes=200, canvas_size=12, counts=(0, 2), overlap=True,
          masks=True, colours=alternate, seed=0) | options)


MADE = compose()


def test_the_later_is_in_front_and_hides():
  overlapping = 0
  for image, count, boxes, mask in zip(
      MADE.images, MADE.counts, MADE.boxes, MADE.masks):
    expected = np.zeros([12, 12, 3], np.uint8)
    owner = np.zeros([12, 12], np.uint8)
    for k in range(count):
      y, x, height, width = boxes[k].astype(int)
      assert (height, width) == (6, 6)
      overlapping += owner[y:y + 6, x:x + 6].any()
      expected[y:y + 6, x:x + 6] = [RED, GREEN][k]
      owner[y:y + 6, x:x + 6] = k + 1
    np.testing.assert_array_equal(image, expected)
    np.testing.assert_array_equal(mask, owner)
  assert overlapping > 50


def test_fields_agree():
  assert set(MADE.counts) == {0, 2}
  present = ~np.isnan(MADE.boxes[..., 0])
  np.testing.assert_array_equal(present.sum(axis=1), MADE.counts)
  np.testing.assert_array_equal(MADE.labels >= 0, present)


def test_a_quarter_of_each_object_is_visible_at_least():
  # On 8 pixels, the later block would hide 25 of 36 pixels or more in a fourth
  # of the scenes.
  made = compose(canvas_size=8, counts=(2,), num_scenes=400)
  visible = np.array([(mask == 1).sum() for mask in made.masks])
  assert visible.min() >= 9
  assert (visible < 14).any()  # Those that hide less are not touched.


def test_without_overlap_no_pixel_is_shared_but_boxes_may():
  corner = np.zeros([1, 28, 28], np.uint8)
  corner[0, :6, :2] = corner[0, 4:6, :6] = 255  # An L of 20 pixels.
  made = compose(corner, canvas_size=14, counts=(3,), overlap=False)
  shared = 0
  for mask, boxes in zip(made.masks, made.boxes):
    assert [(mask == k).sum() for k in (1, 2, 3)] == [20] * 3
    y, x = np.abs(boxes[0, :2] - boxes[1, :2])
    shared += y < 6 and x < 6
  assert shared > 5


def test_asking_for_masks_changes_nothing_else():
  without = compose(masks=False)
  assert without.masks is None
  data_util.assert_same(MADE._replace(masks=None), without)


@pytest.mark.parametrize('backdrop', ['grey', 'colour', 'noise', 'clutter'])
def test_objects_are_opaque_before_any_backdrop(backdrop):
  made = compose(backdrop=backdrop, backdrop_level=1.)
  for name in ('counts', 'boxes', 'labels', 'masks'):
    np.testing.assert_array_equal(getattr(made, name), getattr(MADE, name))
  inside = MADE.masks > 0
  np.testing.assert_array_equal(made.images[inside], MADE.images[inside])
  assert made.images[~inside].max() > 200


def test_soft_edges_are_blended_worked_by_hand():
  # 51 of 255 is a fifth: a fifth of red on four fifths of the ground.
  soft = blocks(6)
  soft[0, 3:9, 9] = 51
  made = compose(soft, counts=(1,), backdrop='grey', backdrop_level=1.,
                 canvas_size=20)
  for image, (box,), mask in zip(made.images, made.boxes, made.masks):
    y, x = box[:2].astype(int)
    ground = image[~mask.astype(bool)][0 if y or x else -1].astype(float)
    red = [200, 0, 0] if image[y, x, 0] == 200 else GREEN
    np.testing.assert_array_equal(image[y, x], red)
    np.testing.assert_allclose(
        image[y, x + 5], .2 * np.array(red) + .8 * ground, atol=.5001)
    assert mask[y, x + 5] == 0 and mask[y, x + 4] == 1  # At least a half.


def test_places_are_uniform_over_all_that_fit():
  made = compose(counts=(1,), canvas_size=9, num_scenes=4_000)
  corners, frequency = np.unique(
      made.boxes[:, 0, :2].astype(int), axis=0, return_counts=True)
  assert len(corners) == 16 and corners.min() == 0 and corners.max() == 3
  # 250 each, standard deviation 15.3: correct code fails once in 10^6.
  assert abs(frequency - 250).max() < 90


@pytest.mark.parametrize('options, fragments', [
    (dict(canvas_size=5), ['--canvas_size=5', 'at least 6']),
    (dict(counts=(4,), canvas_size=11, overlap=False),
     ['4 objects on 11 x 11', '--overlap']),
    (dict(counts=(5,), canvas_size=6), ['5 objects on 6 x 6'])])
def test_what_does_not_fit_is_a_user_error(options, fragments):
  data_util.assert_user_error(
      fragments, functools.partial(compose, **options | {'num_scenes': 3}))


@pytest.mark.parametrize('source, options, expected', [
    ('dsprites_like', dict(canvas_size=64, counts=(2, 3, 4, 5), overlap=True,
                           backdrop='grey'), '5327cf77ee1f245f'),
    ('dsprites_like', dict(canvas_size=48, counts=(0, 1, 2),
                           digit_scale=(.5, .9)), '666ee6a01c8021bf'),
    ('tetrominoes_like', dict(canvas_size=35, counts=(3,)),
     '65398ce871ec5b57')])
def test_scenes_never_change(source, options, expected):
  # Whoever changes these values changes what runs are trained and tested on,
  # and has to raise `datasets._CACHE_VERSION`.
  digits = digits_lib.load(source)
  made = digits_lib.composer(source)(
      digits.test_images, digits.test_labels, num_scenes=20, masks=True, seed=1,
      **options)
  digest = hashlib.sha256(b''.join(field.tobytes() for field in made))
  assert digest.hexdigest()[:16] == expected


# --- dSprites-like ------------------------------------------------------------
OUTLINES, LABELS = dsprites_like.make(1_500, seed=0)


def test_outlines_have_the_areas_of_geometry():
  """Square: 20^2 = 400. Ellipse: pi 13.5 9 = 381.7. Heart: about 3.66 10^2."""
  areas = (OUTLINES > 0).sum(axis=(1, 2))
  for label, area in enumerate([400., 381.7, 366.]):
    mine = areas[LABELS == label]
    # Scales are uniform from .5 to 1: of their squares, the mean is 7 / 12.
    np.testing.assert_allclose(mine.mean(), area * 7 / 12, rtol=.05)
    np.testing.assert_allclose(mine.max(), area, rtol=.05)
    np.testing.assert_allclose(mine.min(), area / 4, rtol=.06)
  assert set(np.unique(OUTLINES)) == {0, 255}
  edge = OUTLINES.copy()
  edge[:, 1:-1, 1:-1] = 0
  assert not edge.any()


def test_outlines_are_split_and_turned_all_ways():
  digits = dsprites_like.load()
  assert 3_500 < len(digits.train_images) < 5_000
  assert len(digits.train_labels) == len(digits.train_images)
  assert len(digits.test_images) == 1_000
  assert not (data_util.hashes(digits.train_images)
              & data_util.hashes(digits.test_images))
  hearts = OUTLINES[LABELS == 2] > 0
  weights = hearts / hearts.sum(axis=(1, 2), keepdims=True)
  half = np.arange(32) < 16
  # The lobes are wider than the tip: it points up, down, left and right alike.
  assert .4 < np.mean(weights[:, half].sum(axis=(1, 2)) > .5) < .6


def test_colours_are_never_grey():
  rgb = dsprites_like._colours(np.random.default_rng(0), 2_000).astype(int)
  assert rgb.shape == (2_000, 3)
  # Value and saturation are .5 at least: so is their product .25.
  assert np.ptp(rgb, axis=1).min() >= 62 and rgb.max(axis=1).min() >= 127
  assert len(np.unique(rgb.argmax(axis=1))) == 3


# --- Tetrominoes-like ---------------------------------------------------------
def test_there_are_19_outlines_of_four_joined_squares():
  outlines = tetrominoes_like.OUTLINES
  assert len(outlines) == 19
  assert len({(x.shape, x.tobytes()) for x in outlines}) == 19
  for blocks_ in outlines:
    assert blocks_.sum() == 4 and blocks_.any(axis=0).all()
    assert blocks_.any(axis=1).all()
    # Joined: squares share at least three sides.
    assert (blocks_[1:] & blocks_[:-1]).sum() + (
        blocks_[:, 1:] & blocks_[:, :-1]).sum() >= 3


def test_tetrominoes_do_not_overlap_and_some_touch():
  digits = tetrominoes_like.load()
  made = tetrominoes_like.compose(
      digits.test_images, digits.test_labels, num_scenes=200, canvas_size=35,
      counts=(3,), masks=True, seed=0)
  touching = 0
  for image, mask in zip(made.images, made.masks):
    assert ((image > 0).any(axis=-1) == (mask > 0)).all()
    for k in range(3):
      assert (mask == k + 1).sum() == 100
      colour, = np.unique(image[mask == k + 1], axis=0)
      assert set(colour) == {0, 255}
    right = (mask[:, 1:] != mask[:, :-1]) & (mask[:, 1:] > 0) & (
        mask[:, :-1] > 0)
    touching += right.any()
  assert touching > 20
  assert set(made.labels.ravel()) == set(range(19))
  assert len(np.unique(made.images.reshape(-1, 3), axis=0)) == 7


def test_scenes_of_more_objects_than_a_mask_tells_apart():
  made = compose(blocks(1), counts=(300,), canvas_size=40, overlap=False,
                 num_scenes=2)
  assert made.masks is None and made.images.any(axis=-1).sum() == 600

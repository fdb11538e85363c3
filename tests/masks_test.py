"""Tests of masks.py, and of the masks of composed scenes and of crops."""

import data_util
import numpy as np
import pytest

from air_tf.data import crops
from air_tf.data import digits as digits_lib
from air_tf.data import large_pictures
from air_tf.data import masks as masks_lib
from air_tf.data import micrographs
from air_tf.data import scene_files
from air_tf.data import scenes as scenes_lib


def compose(function=scenes_lib.compose, source='embedded', **options):
  digits = digits_lib.load(source)
  return function(digits.test_images, digits.test_labels, **{
      'num_scenes': 60, 'canvas_size': 50, 'counts': (0, 1, 2, 3), 'seed': 3,
      'masks': True, 'digit_scale': (.6, .9)} | options)


def boxes_of(mask, number):
  rows, columns = np.nonzero(mask == number)
  return [rows.min(), columns.min(), np.ptp(rows) + 1, np.ptp(columns) + 1]


def test_ink_is_from_a_quarter_of_the_brightest_pixel_on():
  patch = np.array([[0, 49, 50, 200]], np.uint8)
  np.testing.assert_array_equal(
      masks_lib.is_ink(patch), [[False, False, True, True]])
  assert not masks_lib.is_ink(np.zeros([2, 2], np.uint8)).any()


def test_the_brighter_object_claims_a_pixel_worked_by_hand():
  mask = np.array([[1, 1, 1, 0, 0]], np.uint8)
  shown = np.array([[90, 80, 70, 0, 100]], np.uint8)
  patch = np.array([[80, 80, 80, 9, 80]], np.uint8)
  masks_lib.claim(mask, 4, patch, shown)
  # Fainter; as bright; brighter; a fringe; behind the backdrop.
  np.testing.assert_array_equal(mask, [[1, 5, 5, 0, 0]])


@pytest.mark.parametrize('source', ['embedded', 'sprites'])
@pytest.mark.parametrize('overlap', [False, True])
def test_asking_for_masks_changes_nothing_else(source, overlap):
  with_masks = compose(source=source, overlap=overlap)
  without = compose(source=source, overlap=overlap, masks=False)
  assert without.masks is None
  data_util.assert_same(with_masks._replace(masks=None), without)


@pytest.mark.parametrize('source', ['embedded', 'sprites'])
def test_masks_of_objects_apart_cover_the_bright_pixels(source):
  scenes = compose(source=source)
  assert scenes.masks.dtype == np.uint8
  bright = scenes.images.reshape(*scenes.masks.shape, -1).max(axis=-1)
  for n, (image, mask) in enumerate(zip(bright, scenes.masks, strict=True)):
    assert set(np.unique(mask)) == set(range(scenes.counts[n] + 1))
    for k in range(scenes.counts[n]):
      y, x, height, width = scenes.boxes[n, k].astype(int)
      inside = np.s_[y:y + height, x:x + width]
      ink = image[inside]
      np.testing.assert_array_equal(
          (mask == k + 1)[inside], ink >= .25 * ink.max())
      assert (mask == k + 1).sum() == (mask[inside] == k + 1).sum()


def test_of_overlapping_objects_the_brighter_one_has_the_pixel():
  # In their own size, and of three brightnesses: the label says which it is.
  digits = digits_lib.load('embedded').test_images[:30] // np.repeat(
      np.array([1, 2, 3], np.uint8), 10)[:, np.newaxis, np.newaxis]
  scenes = scenes_lib.compose(
      digits, np.arange(30), num_scenes=60, canvas_size=28, counts=(2,),
      overlap=True, masks=True, seed=3)
  won = np.zeros(2, int)  # Pixels where both have ink, by whose they are.
  for image, mask, boxes, labels in zip(
      scenes.images, scenes.masks, scenes.boxes.astype(int), scenes.labels):
    alone = np.zeros([2, 28, 28], np.uint8)
    for one, (y, x, height, width), label in zip(alone, boxes, labels):
      rows, columns = np.nonzero(digits[label])
      one[y:y + height, x:x + width] = digits[label][
          rows.min():rows.max() + 1, columns.min():columns.max() + 1]
    np.testing.assert_array_equal(image, alone.max(axis=0))
    first, second = (masks_lib.is_ink(one) for one in alone)
    seen = second & (alone[1] >= alone[0])  # Of equally bright ones, too.
    np.testing.assert_array_equal(mask, np.where(seen, 2, 1 * first))
    won += [(mask[first & second] == k).sum() for k in (1, 2)]
  assert won.min() > 500


def test_no_pixel_behind_a_brighter_backdrop_is_an_objects():
  plain = compose(overlap=True)
  noisy = compose(overlap=True, backdrop='noise', backdrop_level=1.)
  lost = (plain.masks > 0) & (noisy.masks == 0)
  assert lost.any() and not ((plain.masks == 0) & (noisy.masks > 0)).any()
  assert (noisy.images > plain.images)[lost].all()


def test_more_objects_than_a_mask_can_tell_apart_have_none():
  images = np.zeros([3, 9, 9, 3], np.uint8)
  assert masks_lib.empty(images, 255).shape == (3, 9, 9)
  assert masks_lib.empty(images, 256) is None


@pytest.mark.parametrize('overlap', [False, True])
def test_masks_of_micrographs_are_cut_and_claimed(overlap):
  options = dict(function=micrographs.compose, source='blobs', counts=(0, 3, 4),
                 overlap=overlap, digit_scale=(.9, 1.))
  scenes = compose(**options)
  data_util.assert_same(
      scenes._replace(masks=None), compose(**options | {'masks': False}))
  for n, mask in enumerate(scenes.masks):
    assert mask.max(initial=0) <= scenes.counts[n]
    # The outermost pixels of a blob are a fringe; others may hide more of it.
    fringe = 99 if overlap else 2
    for k in np.unique(mask[mask > 0]):
      y, x, height, width = boxes_of(mask, k)
      top, left, h, w = scenes.boxes[n, k - 1]
      assert 0 <= y - top <= fringe and 0 <= x - left <= fringe
      assert 0 <= top + h - y - height <= fringe
      assert 0 <= left + w - x - width <= fringe
    if not overlap:
      assert mask.max(initial=0) == scenes.counts[n]


def test_light_that_counts_most_claims_a_pixel():
  patches = [np.full([4, 4], 100, np.uint8), np.full([4, 4], 200, np.uint8),
             np.full([4, 4], 150, np.uint8)]
  mask = np.zeros([6, 6], np.uint8)
  micrographs._own(mask, patches, np.array([[0, 0], [1, 1], [-2, 4]]))
  np.testing.assert_array_equal(mask, [
      [1, 1, 1, 1, 3, 3], [1, 2, 2, 2, 2, 3], [1, 2, 2, 2, 2, 0],
      [1, 2, 2, 2, 2, 0], [0, 2, 2, 2, 2, 0], [0] * 6])


def test_a_fringe_is_one_of_the_whole_object_where_it_is_cut():
  patch = np.array([[40, 200]], np.uint8)  # The brighter part is outside.
  mask = np.zeros([1, 4], np.uint8)
  micrographs._own(mask, [patch], np.array([[0, 3]]))
  assert not mask.any()


def test_relabel_drops_and_renumbers():
  mask = np.array([0, 1, 2, 3, 255], np.uint8)
  np.testing.assert_array_equal(
      masks_lib.relabel(mask, [2, 0]), [0, 2, 0, 1, 0])
  np.testing.assert_array_equal(masks_lib.relabel(mask, []), [0] * 5)
  kept = masks_lib.relabel(mask, np.arange(300))
  np.testing.assert_array_equal(kept, mask)


@pytest.mark.parametrize('augment', [False, True])
def test_crops_cut_masks_with_their_objects(augment):
  mosaic = compose(num_scenes=2, canvas_size=120, counts=(12,), overlap=False)
  pictures = large_pictures.from_scenes(mosaic)
  cut = crops.sample(pictures, 40, 48, augment, seed=0)
  assert cut.masks.shape == (40, 48, 48)
  for n, mask in enumerate(cut.masks):
    values = set(np.unique(mask)) - {0}
    assert values <= set(range(1, cut.counts[n] + 1))
    for k in range(cut.counts[n]):
      y, x, height, width = cut.boxes[n, k].astype(int)
      mine = mask == k + 1
      assert mine.sum() == mine[y:y + height, x:x + width].sum()
      if height > 8 and width > 8:
        ink = cut.images[n, y:y + height, x:x + width]
        assert mine.any() and (ink[mine[y:y + height, x:x + width]] > 9).all()


def test_crops_of_small_pictures_frame_their_masks():
  image = np.full([3, 5], 7, np.uint8)
  mask = np.array([[0, 0, 0, 0, 0], [0, 1, 1, 0, 0], [0] * 5], np.uint8)
  cut = crops.grid([crops.Picture(image, np.array([[1., 1., 1., 2.]]), None,
                                  mask)], 8, 9)
  y, x, height, width = cut.boxes[0, 0].astype(int)
  assert boxes_of(cut.masks[0], 1) == [y, x, height, width]
  assert (cut.masks[0] == 1).sum() == 2


def test_held_out_regions_keep_masks():
  mosaic = compose(num_scenes=1, canvas_size=150, counts=(20,))
  train, test = crops.hold_out(large_pictures.from_scenes(mosaic), 30, 'x')
  assert train[0].mask.shape == train[0].image.shape
  for picture in train + test:
    for k, (y, x, height, width) in enumerate(picture.boxes.astype(int)):
      inside = picture.mask[max(y, 0):y + height, max(x, 0):x + width]
      assert (inside == k + 1).sum() == (picture.mask == k + 1).sum()
  number = sum((mosaic.masks > 0).ravel())
  assert sum((x.mask > 0).sum() for x in train + test) == number


def test_masks_go_through_scene_files(tmp_path):
  path = str(tmp_path / 'x.npz')
  scenes = compose()
  scene_files.write(path, scenes)
  data_util.assert_same(scene_files.read(path), scenes)
  few = scenes.select(np.array([3, 1]))
  np.testing.assert_array_equal(few.masks, scenes.masks[[3, 1]])

"""Crops of large pictures: their truth, their regions, their symmetries."""

import numpy as np
import pytest

from air_tf import errors
from air_tf.data import crops


def numbered(height, width, start=0):
  """A picture whose every pixel is different: uint8 pairs, as two channels."""
  values = np.arange(start, start + height * width, dtype=np.int64)
  image = np.stack([values % 251, values // 251, values * 0], axis=-1)
  return image.reshape(height, width, 3).astype(np.uint8)


def pixels(images):
  return {tuple(x) for x in np.reshape(images, [-1, 3]).tolist()}


def painted(shape, boxes):
  """A picture whose object k has the value k + 1."""
  image = np.zeros(shape, np.uint8)
  for k, (y, x, height, width) in enumerate(boxes):
    image[y:y + height, x:x + width] = k + 1
  return image


BOXES = np.array([(2, 3, 4, 6), (12, 8, 5, 3), (20, 22, 8, 8)], float)
PICTURE = crops.Picture(
    painted((30, 40), BOXES.astype(int)), BOXES, np.array([7, 8, 9]))


@pytest.mark.parametrize('augment', [False, True])
def test_boxes_and_labels_follow_the_pixels(augment):
  scenes = crops.sample([PICTURE], 300, 12, augment, seed=3)
  assert scenes.images.shape == (300, 12, 12) and scenes.counts.max() == 2
  for image, count, boxes, labels in zip(*scenes[:4]):
    expected = set()
    for k in range(3):
      rows, columns = np.nonzero(image == k + 1)
      area = BOXES[k, 2:].prod()
      if len(rows) >= area / 4:  # A quarter of it is inside.
        expected.add((rows.min(), columns.min(), np.ptp(rows) + 1,
                      np.ptp(columns) + 1, k + 7))
    assert np.isnan(boxes[count:]).all() and (labels[count:] == -1).all()
    assert expected == {(*box, label) for box, label in zip(
        boxes[:count].tolist(), labels[:count])}


def test_all_eight_symmetries_of_a_place_occur_and_no_other():
  image = numbered(8, 8)
  scenes = crops.sample([crops.Picture(image)], 200, 8, True, seed=0)
  expected = {np.rot90(x, turn).tobytes() for turn in range(4)
              for x in (image, image[:, ::-1])}
  assert {x.tobytes() for x in scenes.images} == expected
  plain = crops.sample([crops.Picture(image)], 20, 8, False, seed=0)
  assert {x.tobytes() for x in plain.images} == {image.tobytes()}
  assert plain.counts is None and plain.boxes is None


def test_every_place_of_all_pictures_is_equally_likely():
  # 3 x 5 places in one picture, 1 x 1 in the other, which is of that size.
  pictures = [crops.Picture(numbered(6, 8)),
              crops.Picture(numbered(4, 4, start=100))]
  images = crops.sample(pictures, 3_200, 4, False, seed=1).images
  _, frequencies = np.unique(images[:, 0, 0], axis=0, return_counts=True)
  assert len(frequencies) == 16
  # 200 expected, a standard deviation of 13.7: 5 of them.
  assert abs(frequencies - 200).max() < 69


def test_equal_seeds_give_equal_crops():
  first, again, other = (crops.sample([PICTURE], 9, 10, True, seed=seed)
                         for seed in ((1, 2), (1, 2), (1, 3)))
  np.testing.assert_array_equal(first.images, again.images)
  assert not np.array_equal(first.images, other.images)


@pytest.mark.parametrize('shapes', [
    [(40, 60)], [(60, 30)], [(20, 20), (9, 50)], [(10, 12)] * 23,
    [(35, 20)] * 3 + [(8, 8)]])
def test_no_pixel_is_trained_on_and_held_out(shapes):
  starts = np.cumsum([0] + [h * w for h, w in shapes])
  pictures = [crops.Picture(numbered(*shape, start=start))
              for shape, start in zip(shapes, starts)]
  train, test = crops.hold_out(pictures, 10, 'x')
  ours = pixels(np.concatenate([x.image.reshape(-1, 3) for x in train]))
  theirs = pixels(np.concatenate([x.image.reshape(-1, 3) for x in test]))
  assert not ours & theirs and len(ours | theirs) == starts[-1]
  assert all(min(x.image.shape[:2]) >= 10 or x.image.shape[:2] in shapes
             or x.image.shape[0] in (9, 8) for x in train + test)
  assert .08 < len(theirs) / starts[-1] < .51
  crop = crops.grid(test, 10, 1_000).images
  assert not pixels(crop) - theirs - {(0, 0, 0)} or min(min(s) for s in shapes
                                                        ) < 10


def test_a_region_has_the_objects_that_reach_into_it():
  picture = crops.Picture(np.zeros([20, 50], np.uint8), np.array(
      [(2, 5, 4, 4), (3, 38, 4, 4), (9, 45, 4, 4.)]), np.array([1, 2, 3]))
  train, test = crops.hold_out([picture], 10, 'x')  # The last 10 columns.
  assert train[0].image.shape == (20, 40) and test[0].image.shape == (20, 10)
  assert train[0].boxes.tolist() == [[2, 5, 4, 4], [3, 38, 4, 4]]
  assert test[0].boxes.tolist() == [[3, -2, 4, 4], [9, 5, 4, 4]]
  assert test[0].labels.tolist() == [2, 3]
  # Half of object 2 is in the crop: it counts, and its box is cut.
  scenes = crops.grid(test, 10, 100)
  assert scenes.boxes[0, 0].tolist() == [3., 0., 4., 2.]


def test_what_cannot_be_held_out_is_refused():
  small = [crops.Picture(np.zeros([15, 12], np.uint8))] * 9
  with pytest.raises(errors.UserError, match='a.png.*20 pixels.*--crop=10'):
    crops.hold_out(small, 10, 'a.png')


def test_a_grid_covers_everything_half_a_crop_apart():
  image = numbered(17, 23)
  found = crops.grid([crops.Picture(image)], 8, 1_000).images
  assert pixels(found) == pixels(image)
  assert len(found) == 4 * 5  # From 0, 4, 8, 9 and from 0, 4, 8, 12, 15.
  assert len(crops.grid([crops.Picture(image)], 8, 7).images) == 7


def test_a_small_picture_is_framed_by_its_median():
  image = np.full([3, 20], 40, np.uint8)
  image[0, :8] = 200
  framed, corner = crops.frame(image, 6)
  assert framed.shape == (6, 20) and corner.tolist() == [1, 0]
  np.testing.assert_array_equal(framed[1:4], image)
  assert (np.delete(framed, [1, 2, 3], axis=0) == 40).all()
  boxes = np.array([(0., 0., 1., 8.)])
  scenes = crops.grid([crops.Picture(image[:, :6], boxes[:, :4])], 6, 10)
  assert scenes.boxes[0].tolist() == [[1., 0., 1., 6.]]
  same, corner = crops.frame(framed, 6)
  assert same is framed and corner.tolist() == [0, 0]

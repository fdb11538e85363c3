"""Runs on crops of pictures: what is read, held out, refused, repeated."""

import dataclasses

import numpy as np
from PIL import Image
import pytest
import tiny

from air_tf import errors
from air_tf.data import crops
from air_tf.data import datasets
from air_tf.data import large_pictures
from air_tf.data import scene_files
from air_tf.data import scenes as scenes_lib


def some_pictures(number=2, height=60, width=90, seed=0):
  rng = np.random.default_rng(seed)
  return rng.integers(0, 200, [number, height, width], np.uint8)


@pytest.fixture
def folder(tmp_path):
  path = tmp_path / 'pictures'
  path.mkdir()
  for i, image in enumerate(some_pictures()):
    Image.fromarray(image[:60 - i * 7]).save(path / f'{i}.png')
  return path


def config(path, **changes):
  return tiny.config(**(dict(
      scenes=str(path), crop=16, augment=True, num_train_scenes=30) | changes))


def is_part(crop, image):
  views = np.lib.stride_tricks.sliding_window_view(image, crop.shape)
  return (views == crop).all(axis=(2, 3)).any()


def test_crops_of_a_folder_are_new_in_each_pool_and_their_own(folder):
  pools, test = datasets.load(config(folder, augment=False))
  first, second = pools(0), pools(1)
  assert first.images.shape == (30, 16, 16) and first.counts is None
  assert not np.array_equal(first.images, second.images)
  # The last fifth of 90 columns is held out.
  whole = some_pictures()
  for crop in first.images:
    assert any(is_part(crop, x[:, :72]) for x in whole)
  for crop in test.images:
    assert any(is_part(crop, x[:, 72:]) for x in whole)
  again, _ = datasets.load(config(folder, augment=False, seed=9))
  np.testing.assert_array_equal(again(1).images, second.images)


def test_without_refreshing_all_pools_are_one(folder):
  pools, _ = datasets.load(config(folder, refresh_every=0))
  assert pools(0) is pools(7)


def test_augmenting_turns_training_crops_alone(folder):
  plain, test = datasets.load(config(folder, augment=False))
  turned, same = datasets.load(config(folder))
  assert not np.array_equal(plain(0).images, turned(0).images)
  np.testing.assert_array_equal(test.images, same.images)


def test_truth_of_scene_files_is_kept(tmp_path):
  images = np.zeros([3, 40, 40], np.uint8)
  boxes = np.full([3, 2, 4], np.nan, np.float32)
  for n in range(3):
    images[n, 5:11, 8:15] = 200
    boxes[n, 0] = (5, 8, 6, 7)
  scene_files.write(str(tmp_path / 'x.npz'), scenes_lib.Scenes(
      images, np.ones(3, np.int32), boxes, None))
  pools, test = datasets.load(config(tmp_path / 'x.npz'))
  scenes = pools(0)
  assert set(scenes.counts) == {0, 1} and test.counts.sum() == 0
  for image, count, box in zip(scenes.images, scenes.counts, scenes.boxes):
    if count:
      y, x, height, width = box[0].astype(int)
      assert (image[y:y + height, x:x + width] == 200).all()


def test_test_scenes_of_their_own(folder, tmp_path):
  Image.fromarray(some_pictures(1, 20, 20, seed=5)[0]).save(tmp_path / 't.png')
  pools, test = datasets.load(config(
      folder, test_scenes=str(tmp_path / 't.png'), augment=False))
  assert len(test.images) == 4
  assert any(not is_part(crop, x[:, :72]) for crop in pools(0).images
             for x in some_pictures())


def test_test_scenes_are_grey_where_those_to_train_on_are(folder, tmp_path):
  other = tmp_path / 'other'
  other.mkdir()
  pixels = np.stack([some_pictures(1)[0]] * 3, axis=-1) // [1, 2, 3]
  Image.fromarray(pixels.astype(np.uint8)).save(other / 'colour.png')
  pools, test = datasets.load(config(folder, test_scenes=str(other)))
  assert test.images.shape[1:] == pools(0).images.shape[1:] == (16, 16)
  pools, test = datasets.load(config(other, test_scenes=str(folder)))
  assert test.images.shape[1:] == pools(0).images.shape[1:] == (16, 16, 3)


def test_published_sets_have_no_crops(folder):
  for changes in dict(scenes='clevr.h5'), dict(max_objects=3):
    with pytest.raises(errors.UserError, match='--crop beside a published'):
      datasets.load(config(folder, **changes))


def test_pictures_that_are_all_left_out_are_refused(folder, tmp_path):
  broken = tmp_path / 'broken'
  broken.mkdir()
  (broken / 'a.png').write_bytes(b'no picture')
  with pytest.raises(errors.UserError, match='none that can be read'):
    datasets.load(config(folder, test_scenes=str(broken), on_error='skip'))


def test_one_in_colour_makes_all_coloured(folder):
  Image.fromarray(np.full([30, 30, 3], (90, 10, 10), np.uint8)).save(
      folder / 'c.png')
  found = large_pictures.read(str(folder))
  assert {x.image.shape[2:] for x in found} == {(3,)}
  grey = large_pictures.recoloured(found, 1)
  assert {x.image.ndim for x in grey} == {2}
  _, test = datasets.load(config(folder))
  assert datasets.with_image_shape(config(folder), test).channels == 3


@pytest.mark.parametrize('changes,text', [
    (dict(crop=40), 'found no picture with a side of 80'),
    (dict(crop=7), 'from 8 to 1024'),
    (dict(object_size=16.), 'more than --object_size=16')])
def test_crops_that_cannot_be_are_refused(tmp_path, changes, text):
  Image.fromarray(some_pictures(1, 60, 60)[0]).save(tmp_path / 'a.png')
  with pytest.raises(errors.UserError, match=text):
    datasets.load(config(tmp_path / 'a.png', **changes))


@pytest.mark.parametrize('changes,flag', [
    (dict(scenes=''), '--crop=16'), (dict(crop=0), '--augment')])
def test_flags_that_need_each_other(changes, flag):
  with pytest.raises(errors.UserError, match=flag):
    config('x', **changes)


def test_the_crop_is_the_size_of_the_images(folder):
  given = config(folder, crop=20)
  _, test = datasets.load(given)
  assert datasets.with_image_shape(given, test) == dataclasses.replace(
      given, canvas_size=20)
  assert crops.grid(large_pictures.split(given)[1], 20, 99).images.shape == (
      test.images.shape)

"""Tests of datasets.py: composed scenes, their cache, and the user's files."""

import dataclasses
import os

import data_util
import numpy as np
from PIL import Image
import pytest

from air_tf import config as config_lib
from air_tf.data import datasets
from air_tf.data import digits as digits_lib
from air_tf.data import scene_files
from air_tf.data import scenes as scenes_lib

FULL = data_util.some_scenes()


def load(config):
  """Returns the first pool of training scenes, and the test scenes."""
  pools, test = datasets.load(config)
  return pools(0), test


@pytest.fixture(name='path')
def _path(tmp_path):
  return str(tmp_path / 'scenes.npz')


@pytest.fixture(name='config')
def _config(tmp_path):
  return config_lib.Config(cache_dir=str(tmp_path / 'cache'),
                           num_train_scenes=40, num_test_scenes=30,
                           refresh_every=0)


@pytest.fixture(name='num_composed')
def _num_composed(monkeypatch):
  """Returns a list that grows by one with every call of `scenes.compose`."""
  calls, compose = [], scenes_lib.compose
  def counted(*args, **kwargs):
    calls.append(1)
    return compose(*args, **kwargs)
  monkeypatch.setattr(scenes_lib, 'compose', counted)
  return calls


def test_composed_scenes_follow_the_flags(config):
  config = dataclasses.replace(config, canvas_size=64, counts=(1, 3),
                               digit_scale=(.5, .6))
  train, test = load(config)
  assert train.images.shape == (40, 64, 64)
  assert test.images.shape == (30, 64, 64)
  for scenes in (train, test):
    assert set(scenes.counts) == {1, 3}
    assert 9 <= np.nanmax(scenes.boxes[..., 2]) <= 12


@pytest.mark.parametrize('refresh_every', [0, 10])
def test_composed_scenes_have_their_backdrop(config, refresh_every):
  config = dataclasses.replace(config, counts=(0,), backdrop='noise',
                               backdrop_level=.2, refresh_every=refresh_every)
  for scenes in load(config):
    assert scenes.images.max() == 51  # .2 * 255.


def test_sprites_are_split():
  digits = digits_lib.load('sprites')
  assert digits.train_images.shape == (5000, 28, 28, 3)
  assert digits.test_images.shape == (1000, 28, 28, 3)
  train, test = (data_util.hashes(x) for x in digits[::2])
  assert (len(train), len(test)) == (5000, 1000) and not train & test


def test_size_and_channels_are_those_of_the_scenes(tmp_path, path):
  coloured = str(tmp_path / 'coloured.npz')
  scene_files.write(path, FULL)
  scene_files.write(coloured, FULL._replace(
      images=np.stack([FULL.images] * 3, axis=-1)))
  for file, shape in ((path, (40, 40)), (coloured, (40, 40, 3))):
    config = config_lib.Config(scenes=file, canvas_size=32)
    train, test = load(config)
    assert train.images.shape[1:] == test.images.shape[1:] == shape
    config = datasets.with_image_shape(config, test)
    assert config.image_shape == shape
    assert config.glimpse_shape == (20, 20, *shape[2:])
  data_util.assert_user_error(
      [f'{coloured}: images: found 40 x 40 pixels in colour',
       f'expected 40 x 40 pixels, as in --scenes={path}'], datasets.load,
      config_lib.Config(scenes=path, test_scenes=coloured))


def test_scenes_hold_digits_of_their_own_split_only(config):
  """Full-size digits are copied pixel by pixel, so they can be recognised."""
  digits = digits_lib.load('embedded')
  def cropped(images):
    return {image[np.ix_(image.any(1), image.any(0))].tobytes()
            for image in images}
  def pasted(scenes):
    return {image[y:y + height, x:x + width].tobytes()
            for image, boxes in zip(scenes.images, scenes.boxes, strict=True)
            for y, x, height, width in boxes[boxes[:, 0] >= 0].astype(int)}
  train, test = load(dataclasses.replace(
      config, num_train_scenes=400, num_test_scenes=300))
  assert pasted(train) <= cropped(digits.train_images)
  assert pasted(test) <= cropped(digits.test_images)
  assert not pasted(train) & pasted(test)


def test_splits_differ_in_more_than_their_digits(tmp_path, config):
  # With the same digits in both splits, only the random draws can differ.
  digits = data_util.random_digits()
  digits = digits._replace(test_images=digits.train_images,
                           test_labels=digits.train_labels)
  data_util.write_idx(tmp_path, digits)
  train, test = load(dataclasses.replace(
      config, digits=str(tmp_path), num_test_scenes=40, canvas_size=70))
  seen = train.counts > 0
  train_hashes = data_util.hashes(train.images[seen])
  assert not train_hashes & data_util.hashes(test.images)


def test_seed_of_the_run_changes_nothing(config, num_composed):
  first = load(config)
  again = load(dataclasses.replace(config, seed=7))
  assert len(num_composed) == 2
  for left, right in zip(first, again, strict=True):
    data_util.assert_same(left, right)


def test_cache_returns_what_was_composed(config, num_composed):
  first = load(config)
  assert len(num_composed) == 2 and len(os.listdir(config.cache_dir)) == 2
  again = load(config)
  assert len(num_composed) == 2 and len(os.listdir(config.cache_dir)) == 2
  for left, right in zip(first, again, strict=True):
    data_util.assert_same(left, right)


@pytest.mark.parametrize('changes, num_new', [
    (dict(canvas_size=60), 2), (dict(counts=(0, 2)), 2),
    (dict(counts=(2, 1, 0)), 2), (dict(digit_scale=(.9, 1.)), 2),
    (dict(digit_scale=(1., 1.1)), 2), (dict(overlap=True), 2),
    (dict(backdrop='noise'), 2), (dict(backdrop='texture'), 2),
    (dict(backdrop_level=.3), 2),
    (dict(num_train_scenes=41), 1), (dict(num_test_scenes=31), 1),
    (dict(learning_rate=.1, max_steps=4), 0)])
def test_each_scene_flag_misses_the_cache(config, num_composed, changes,
                                          num_new):
  load(config)
  config = dataclasses.replace(config, **changes)
  cached = load(config)
  assert len(num_composed) == 2 + num_new
  fresh = load(dataclasses.replace(
      config, cache_dir=config.cache_dir + '2'))
  for left, right in zip(cached, fresh, strict=True):
    data_util.assert_same(left, right)


@pytest.mark.parametrize('field, num_new', [
    ('train_images', 1), ('train_labels', 1), ('test_images', 1)])
def test_changed_digits_miss_the_cache(tmp_path, config, num_composed, field,
                                       num_new):
  digits = data_util.random_digits()
  source = tmp_path / 'digits'
  source.mkdir()
  data_util.write_idx(source, digits)
  config = dataclasses.replace(config, digits=str(source), canvas_size=70)
  load(config)
  changed = getattr(digits, field).copy()
  changed.flat[0] ^= 1
  data_util.write_idx(source, digits._replace(**{field: changed}))
  load(config)
  assert len(num_composed) == 2 + num_new


@pytest.mark.parametrize('damage', [
    lambda data: data[:len(data) // 2], lambda data: b'',
    lambda data: data[:500] + bytes([data[500] ^ 255]) + data[501:]])
def test_damaged_cache_is_made_again(config, num_composed, damage):
  first = load(config)
  for name in os.listdir(config.cache_dir):
    path = os.path.join(config.cache_dir, name)
    with open(path, 'rb') as file:
      data = file.read()
    with open(path, 'wb') as file:
      file.write(damage(data))
  again = load(config)
  assert len(num_composed) == 4
  for left, right in zip(first, again, strict=True):
    data_util.assert_same(left, right)
  load(config)
  assert len(num_composed) == 4


def test_unwritable_cache_is_no_error(tmp_path, config, num_composed):
  blocked = tmp_path / 'file'
  blocked.write_text('not a folder')
  config = dataclasses.replace(config, cache_dir=str(blocked / 'cache'))
  train, test = load(config)
  assert len(train.images) == 40 and len(test.images) == 30
  assert len(num_composed) == 2


def test_a_tenth_of_a_scene_file_is_held_out(path):
  scene_files.write(path, FULL)
  train, test = load(config_lib.Config(scenes=path))
  assert (len(train.images), len(test.images)) == (18, 2)
  whole = {image.tobytes(): i for i, image in enumerate(FULL.images)}
  assert len(whole) == 20
  order = [whole[image.tobytes()] for part in (train, test)
           for image in part.images]
  assert sorted(order) == list(range(20))
  data_util.assert_same(
      FULL.select(order[:18]), train)
  data_util.assert_same(
      FULL.select(order[18:]), test)
  for left, right in zip((train, test), load(
      config_lib.Config(scenes=path, seed=5)), strict=True):
    data_util.assert_same(left, right)


def test_two_images_without_anything_else_are_enough(path):
  np.savez(path, images=FULL.images[:2])
  train, test = load(config_lib.Config(scenes=path))
  assert len(train.images) == len(test.images) == 1
  assert train.counts is None and test.boxes is None


def test_one_image_cannot_be_split(path):
  np.savez(path, images=FULL.images[:1])
  data_util.assert_user_error(
      [path, 'at least 2', '--test_scenes'],
      datasets.load, config_lib.Config(scenes=path))


def test_test_scenes_are_taken_whole(tmp_path, path):
  other = str(tmp_path / 'other.npz')
  scene_files.write(path, FULL)
  scene_files.write(other, data_util.some_scenes(5))
  train, test = load(
      config_lib.Config(scenes=path, test_scenes=other))
  data_util.assert_same(train, FULL)
  data_util.assert_same(test, data_util.some_scenes(5))


def test_test_scenes_of_another_size_are_a_user_error(tmp_path, path):
  other = str(tmp_path / 'other.npz')
  scene_files.write(path, FULL)
  np.savez(other, images=FULL.images[:, 1:, 1:])
  data_util.assert_user_error(
      [other, '39 x 39', '40 x 40', f'--scenes={path}'],
      datasets.load, config_lib.Config(scenes=path, test_scenes=other))


def test_a_folder_of_pictures_is_as_good_as_a_scene_file(tmp_path):
  # 20 x 10 pixels, fitted into 40 x 40: a column of black of 10 to each side.
  for i in range(10):
    Image.fromarray(np.full([20, 10], 10 * i + 50, np.uint8)).save(
        tmp_path / f'{i}.png')
  config = config_lib.Config(scenes=str(tmp_path), canvas_size=40)
  train, test = load(config)
  assert train.images.shape == (9, 40, 40) and test.images.shape == (1, 40, 40)
  assert train.counts is None
  assert datasets.with_image_shape(config, test) == config
  everything = np.concatenate([train.images, test.images])
  assert not everything[:, :, :10].any() and not everything[:, :, 30:].any()
  assert sorted(everything[:, 20, 20]) == list(range(50, 150, 10))
  # A single picture in colour makes all of them coloured.
  Image.new('RGB', (40, 40), (9, 99, 200)).save(tmp_path / 'a.png')
  train, test = load(config)
  assert train.images.shape[1:] == (40, 40, 3)
  assert datasets.with_image_shape(config, test).channels == 3


def test_a_folder_without_pictures_is_a_user_error(tmp_path):
  (tmp_path / 'notes.txt').write_text('')
  data_util.assert_user_error(
      [str(tmp_path), 'without pictures'],
      datasets.load, config_lib.Config(scenes=str(tmp_path)))


@pytest.mark.parametrize('which', ['scenes', 'test_scenes'])
def test_more_objects_than_steps_are_a_user_error(tmp_path, path, which):
  crowded = str(tmp_path / 'crowded.npz')
  scene_files.write(path, FULL)
  scene_files.write(crowded, data_util.some_scenes(max_count=3))
  flags = {'scenes': path, 'test_scenes': path, which: crowded}
  data_util.assert_user_error(
      [crowded, 'up to 3', '--max_steps=2'],
      datasets.load, config_lib.Config(max_steps=2, **flags))


def test_one_fixed_set_serves_all_pools(config):
  pools, _ = datasets.load(config)
  assert pools(0) is pools(7)


def test_pools_are_fresh_and_repeat_in_any_order(config):
  config = dataclasses.replace(config, refresh_every=10)
  pools, test = datasets.load(config)
  first = [pools(k) for k in range(3)]
  again, _ = datasets.load(config)
  for k in 2, 0, 1:  # As after a resumption: no matter what came before.
    data_util.assert_same(again(k), first[k])
  everything = np.concatenate([x.images for x in first] + [test.images])
  busy = everything[everything.any((1, 2))]  # Empty scenes are all alike.
  assert len(np.unique(busy, axis=0)) == len(busy) > 80


def test_pools_hold_training_digits_only(config, monkeypatch):
  seen = []
  compose = scenes_lib.compose
  def noted(images, labels, **options):
    seen.append(len(images))
    return compose(images, labels, **options)
  monkeypatch.setattr(scenes_lib, 'compose', noted)
  load(dataclasses.replace(config, refresh_every=10))
  digits = digits_lib.load('embedded')
  assert seen[0] == len(digits.test_images)
  assert set(seen[1:]) == {len(digits.train_images)}

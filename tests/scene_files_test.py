"""Tests of scene_files.py, and of files.py through it."""

import os

import data_util
import numpy as np
import pytest

from air_tf import errors
from air_tf.data import scene_files
from air_tf.data import scenes as scenes_lib


@pytest.fixture(name='path')
def _path(tmp_path):
  return str(tmp_path / 'scenes.npz')


@pytest.mark.parametrize('known', [
    ('images', 'counts', 'boxes', 'labels', 'masks'), ('images', 'masks'),
    ('images', 'counts', 'boxes', 'labels'), ('images', 'counts'), ('images',)])
def test_scene_file_round_trip(tmp_path, known):
  scenes = data_util.some_scenes()._replace(**{
      key: None for key in scenes_lib.Scenes._fields if key not in known})
  path = tmp_path / 'new folder' / 'scenes.npz'
  scene_files.write(str(path), scenes)
  data_util.assert_same(scene_files.read(str(path)), scenes)
  assert os.listdir(path.parent) == ['scenes.npz']  # No temporary file is left.
  with np.load(path, allow_pickle=False) as archive:
    assert set(archive.files) == set(known)


def test_coloured_scenes_round_trip(path):
  grey = data_util.some_scenes()
  colours = np.stack([grey.images, grey.images // 2, 255 - grey.images], -1)
  scenes = grey._replace(images=colours)
  scene_files.write(path, scenes)
  data_util.assert_same(scene_files.read(path), scenes)
  np.savez(path, images=colours / 255.)
  np.testing.assert_array_equal(scene_files.read(path).images, colours)


def test_failed_write_leaves_the_old_file(path, monkeypatch):
  scene_files.write(path, data_util.some_scenes())
  def fail(file, **_):
    file.write(b'half')
    raise OSError('disk full')
  monkeypatch.setattr(np, 'savez_compressed', fail)
  data_util.assert_user_error(
      [path, 'disk full'], scene_files.write, path, data_util.some_scenes(5))
  data_util.assert_same(scene_files.read(path), data_util.some_scenes())
  assert os.listdir(os.path.dirname(path)) == ['scenes.npz']


@pytest.mark.parametrize('dtype', [np.float16, np.float32, np.float64])
def test_float_images_are_scaled(path, dtype):
  levels = np.arange(256, dtype=np.uint8).reshape([1, 16, 16])
  floats = np.maximum(levels - .4, 0.) / 255.  # To be rounded, not cut off.
  np.savez(path, images=floats.astype(dtype))
  found = scene_files.read(path).images
  assert found.dtype == np.uint8
  np.testing.assert_array_equal(found, levels)


def test_other_integers_are_taken_and_unknown_keys_ignored(path):
  scenes = data_util.some_scenes()
  np.savez(path, images=scenes.images, counts=scenes.counts.astype(np.uint8),
           boxes=scenes.boxes.astype(np.float64),
           labels=scenes.labels.astype(np.int8), masks=scenes.masks,
           comment='mine')
  data_util.assert_same(scene_files.read(path), scenes)


@pytest.mark.parametrize('known, refused', [
    (('boxes', 'labels', 'counts'), True), (('labels',), True),
    (('counts',), True), ((), False)])
def test_masks_are_held_against_what_is_known(path, known, refused):
  scene = int(np.flatnonzero(FULL.counts == 1)[0])
  arrays = {key: getattr(FULL, key) for key in ('images', *known)}
  np.savez(path, **arrays, masks=at(FULL.masks, (scene, 0, 0), 2))
  if refused:
    data_util.assert_user_error(
        [f'masks: found 2 in scene {scene}'], scene_files.read, path)
  else:
    assert scene_files.read(path).masks[scene, 0, 0] == 2


def test_masks_of_other_integers_are_taken(path):
  np.savez(path, images=FULL.images, masks=FULL.masks.astype(np.int64))
  found = scene_files.read(path).masks
  assert found.dtype == np.uint8
  np.testing.assert_array_equal(found, FULL.masks)


def test_black_images_are_taken(path):
  np.savez(path, images=np.zeros([2, 9, 9], np.uint8))
  assert scene_files.read(path).images.shape == (2, 9, 9)


at = data_util.at
FULL = data_util.some_scenes()
FLOATS = FULL.images / 255.
BAD_ARRAYS = {
    'float_255': ('images', FLOATS * 255,
                  ['float64 from 0 to 2', '0...1', 'divide']),
    'complex': ('images', FLOATS * 1j, ['complex128', 'array of numbers']),
    'negative': ('images', FLOATS - .5, ['-0.5', '0...1']),
    'nan': ('images', at(FLOATS, (0, 0, 0), np.nan), ['not finite']),
    'int64': ('images', FULL.images.astype(int) << 20,
              ['int64 from 0 to 2', 'uint8']),
    'zero_one': ('images', (FULL.images > 99).astype(np.uint8),
                 ['0 to 1', 'multiply by 255']),
    'one_row': ('images', FULL.images[0, 0], ['[40]', '[N, H, W]']),
    'transparent': ('images', np.zeros([20, 40, 40, 4], np.uint8),
                    ['[20, 40, 40, 4]', '[N, H, W, 3]']),
    'five_axes': ('images', np.zeros([20, 40, 40, 3, 1], np.uint8),
                  ['[20, 40, 40, 3, 1]', '[N, H, W, 3]']),
    'oblong_colour': ('images', np.zeros([20, 39, 40, 3], np.uint8),
                      ['[20, 39, 40, 3]', 'square']),
    'oblong': ('images', FULL.images[:, 1:], ['[20, 39, 40]', 'square']),
    'empty': ('images', FULL.images[:0], ['[0, 40, 40]', 'at least one']),
    'objects': ('images', np.array([[None]]), ['Python objects']),
    'counts_rank': ('counts', FULL.counts[:, np.newaxis], ['[20, 1]', '[20]']),
    'counts_size': ('counts', FULL.counts[:3], ['[3]', '[20]']),
    'counts_float': ('counts', FULL.counts * 1., ['float64', 'int32']),
    'counts_negative': ('counts', at(FULL.counts, 3, -1),
                        ['out of range', '0 ...']),
    'counts_huge': ('counts', at(FULL.counts.astype(int), 3, 2**32 + 1),
                    ['out of range']),
    'boxes_rank': ('boxes', FULL.boxes[0], ['[2, 4]', '[20, M, 4]']),
    'boxes_size': ('boxes', FULL.boxes[:, :, :3], ['[20, 2, 3]', '[20, M, 4]']),
    'boxes_num': ('boxes', FULL.boxes[:9], ['[9, 2, 4]', '[20, M, 4]']),
    'boxes_int': ('boxes', np.zeros([20, 2, 4], int), ['int64', 'float32']),
    'boxes_padding': ('boxes', np.ones([20, 2, 4], np.float32),
                      ['2 objects', 'NaN', '`counts`']),
    'boxes_zeros': ('boxes', np.nan_to_num(FULL.boxes),
                    ['(0, 0, 0, 0)', 'above 0', 'NaN in rows without']),
    'labels_rank': ('labels', FULL.labels[:, 0], ['[20]', '[20, 2]']),
    'labels_slots': ('labels', FULL.labels[:, :1], ['[20, 1]', '[20, 2]']),
    'labels_float': ('labels', FULL.labels * 1., ['float64', 'int32']),
    'masks_rank': ('masks', FULL.masks[0], ['[40, 40]', 'uint8 [20, 40, 40]']),
    'masks_size': ('masks', FULL.masks[:, 1:], ['[20, 39, 40]']),
    'masks_float': ('masks', FULL.masks / 1., ['float64', 'uint8']),
    'masks_huge': ('masks', FULL.masks.astype(int) + 300, ['302', '0 ... 255']),
    'masks_negative': ('masks', FULL.masks.astype(int) - 1, ['from -1']),
    'masks_objects': ('masks', at(FULL.masks, (7, 0, 0), 3),
                      ['3 in scene 7', 'no such object', 'row k - 1']),
    'labels_padding': ('labels', np.zeros([20, 2], int), ['2 objects', '-1']),
}


@pytest.mark.parametrize('key, array, fragments', BAD_ARRAYS.values(),
                         ids=BAD_ARRAYS.keys())
def test_bad_array_is_a_user_error(path, key, array, fragments):
  np.savez(path, **{**FULL._asdict(), key: array})
  data_util.assert_user_error(
      [f'{path}: {key}: found ', 'expected', *fragments], scene_files.read,
      path)


def test_file_without_images_is_a_user_error(path):
  np.savez(path, image=FULL.images, counts=FULL.counts)
  data_util.assert_user_error(
      [path, 'images', 'counts, image;', 'expected'], scene_files.read, path)


def test_missing_file_is_a_user_error(path):
  data_util.assert_user_error([path, 'no such file'], scene_files.read, path)


@pytest.mark.parametrize('data', [
    b'', b'images', b'PK\x03\x04 no more', b'\x93NUMPY\x01\0'])
def test_file_of_another_kind_is_a_user_error(tmp_path, path, data):
  (tmp_path / 'scenes.npz').write_bytes(data)
  data_util.assert_user_error(
      [path, 'not an .npz file'], scene_files.read, path)


def test_single_array_is_a_user_error(path):
  with open(path, 'wb') as file:
    np.save(file, FULL.images)
  data_util.assert_user_error([path, 'a single array'], scene_files.read, path)


def test_damaged_bytes_raise_nothing_but_user_errors(tmp_path, path):
  scene_files.write(path, FULL)
  data = np.fromfile(path, np.uint8)
  rng = np.random.default_rng(0)
  num_refused = 0
  for trial in range(300):
    damaged = data.copy()
    damaged[rng.integers(len(data), size=3)] = rng.integers(256, size=3)
    damaged[-1 - rng.integers(300)] = rng.integers(256)  # The zip directory.
    if trial % 3 == 0:
      damaged = damaged[:rng.integers(len(data))]
    damaged.tofile(path)
    try:
      scene_files.read(path)
    except errors.UserError:
      num_refused += 1
  assert num_refused > 250

"""Tests of published.py, tfrecords.py and hdf5.py, on files of their schemas.

The published sets are large: the files here are small, with the same features
of the same shapes, in the same order and compression.
"""

import data_util
import h5py
import numpy as np
import pytest
import tensorflow as tf

from air_tf import config as config_lib
from air_tf.data import datasets
from air_tf.data import published
from air_tf.data import scene_files
from air_tf.evaluation import report


def floats(number):
  return tf.train.Feature(float_list=tf.train.FloatList(value=[0.] * number))


def list_of_bytes(array):
  """One entry for each value, as the published files have them."""
  return tf.train.Feature(bytes_list=tf.train.BytesList(
      value=[bytes([x]) for x in array.astype(np.uint8).ravel()]))


def layers_of(owner, most):
  """Returns [most, H, W] masks of 0 or 255, from the object of each pixel."""
  return 255 * (owner == np.arange(most)[:, np.newaxis, np.newaxis])


def write(path, images, owners, most, last=False, factors=('visibility',),
          compression='GZIP'):
  """Writes [N, H, W, C] images and [N, H, W] owners of `most` masks."""
  with tf.io.TFRecordWriter(str(path), compression) as writer:
    for image, owner in zip(images, owners):
      masks = layers_of(owner, most)
      features = {name: floats(most) for name in factors} | {
          'image': list_of_bytes(image), 'mask': list_of_bytes(
              np.moveaxis(masks, 0, -1) if last else masks)}
      writer.write(tf.train.Example(features=tf.train.Features(
          feature=features)).SerializeToString())
  return str(path)


DSPRITES = dict(last=True, factors=(
    'x', 'y', 'shape', 'visibility', 'orientation', 'scale'))


def scenes_of(number, side, most, channels=3, seed=0):
  """Returns random images, and owners: of 1 ... most - 1 squares each."""
  rng = np.random.default_rng(seed)
  images = rng.integers(0, 256, [number, side, side, channels], np.uint8)
  owners = np.zeros([number, side, side], np.int64)
  for n, owner in enumerate(owners):
    for k in range(1, 2 + n % (most - 1)):
      owner[6 * k - 4:6 * k, 2:2 + 3 * k] = k
  return images, owners


def check(found, images, owners):
  if images.shape[3] == 1:
    images = images[..., 0]
  np.testing.assert_array_equal(found.images, images)
  np.testing.assert_array_equal(found.masks, owners)
  assert found.images.dtype == found.masks.dtype == np.uint8
  np.testing.assert_array_equal(found.counts, owners.max(axis=(1, 2)))
  for count, boxes in zip(found.counts, found.boxes):
    for k in range(len(boxes)):
      np.testing.assert_array_equal(
          boxes[k], [6 * k + 2, 2, 4, 3 * k + 3] if k < count else [np.nan] * 4)
  assert found.labels is None


@pytest.mark.parametrize('side, most, channels, options', [
    (64, 6, 3, DSPRITES), (64, 5, 3, DSPRITES), (64, 4, 1, DSPRITES),
    (35, 4, 3, dict(factors=('x', 'y', 'shape', 'visibility')))])
def test_records_are_read(tmp_path, side, most, channels, options):
  images, owners = scenes_of(7, side, most, channels)
  path = write(tmp_path / 'a.tfrecords', images, owners, most, **options)
  check(published.read(path), images, owners)
  check(published.read(path, num_scenes=3), images[:3], owners[:3])


def test_records_without_compression_are_read(tmp_path):
  images, owners = scenes_of(2, 35, 4)
  path = write(tmp_path / 'a.TFRECORD', images, owners, 4, compression='')
  check(published.read(path), images, owners)


def test_four_masks_of_a_room_are_ground(tmp_path):
  images, owners = scenes_of(5, 64, 4)
  walls = np.where(owners > 0, owners + 3, np.arange(64) % 4)
  path = write(tmp_path / 'objects_room_train.tfrecords', images, walls, 7,
               factors=())
  check(published.read(path), images, owners)


def clevr(path, counts, most=11):
  """Writes images whose pixels say where they are, and their owners."""
  rows, columns = np.mgrid[:240, :320]
  image = np.stack([rows, columns // 2, 0 * rows], axis=-1)
  owners = np.zeros([len(counts), 240, 320], np.int64)
  for owner, count in zip(owners, counts):
    for k in range(1, count + 1):  # The first one is outside of the crop.
      owner[100:130, 25 * k:25 * k + 12] = k
  return write(path, [image] * len(counts), owners, most), owners


def test_clevr_is_cropped_and_resized(tmp_path):
  path, owners = clevr(tmp_path / 'clevr.tfrecords', [2, 8])
  whole = published.read(path, side=192)
  np.testing.assert_array_equal(whole.images[0, :, 0, 0], np.arange(29, 221))
  np.testing.assert_array_equal(
      whole.images[0, 0, :, 1], np.arange(64, 256) // 2)
  # Column 64 is the first: objects 1 and 2 are left of it.
  assert list(whole.counts) == [0, 6]
  cut = owners[1, 29:221, 64:256]
  np.testing.assert_array_equal(whole.masks[1], np.maximum(cut, 2) - 2)
  small = published.read(path)
  assert small.images.shape == (2, 128, 128, 3)
  assert small.masks.shape == (2, 128, 128)
  # Half a pixel of three quarters less: bilinear on a ramp is exact.
  expected = 29 + 1.5 * (np.arange(128) + .5) - .5
  np.testing.assert_allclose(
      small.images[0, 1:-1, 5, 0], expected[1:-1], atol=.51)
  y, x, height, width = small.boxes[1, 0]
  assert (height, width) == (20, 8) and (y, x) == (round(71 / 1.5),
                                                   round(11 / 1.5))


def test_scenes_of_more_objects_are_left_out_before_they_are_cropped(tmp_path):
  path, _ = clevr(tmp_path / 'clevr.tfrecords', [3, 7, 6, 10, 1])
  found = published.read(path, num_scenes=3, max_objects=6)
  np.testing.assert_array_equal(found.counts, [1, 4, 0])
  data_util.assert_user_error(
      [path, 'none of at most --max_objects=2'],
      lambda: published.read(
          clevr(tmp_path / 'clevr.tfrecords', [3])[0], max_objects=2))


def write_hdf5(path, images, owners, **arrays):
  arrays = {'image': images, 'mask': owners[..., np.newaxis].astype(np.uint8),
            'num_actual_objects': np.zeros([len(images), 1]),
            'visibility': np.zeros([len(images), 4])} | arrays
  with h5py.File(path, 'w') as file:
    for name, array in arrays.items():
      if array is not None:
        file.create_dataset(name, data=array)
  return str(path)


def test_hdf5_is_read(tmp_path):
  images, owners = scenes_of(150, 35, 4)
  path = write_hdf5(tmp_path / 'tetrominoes-full.hdf5', images, owners)
  check(published.read(path), images, owners)
  check(published.read(path, num_scenes=70), images[:70], owners[:70])
  few = published.read(path, max_objects=1)
  check(few, images[::3], owners[::3])
  walls = np.where(owners > 0, owners + 3, np.arange(35) % 4)
  path = write_hdf5(tmp_path / 'objects_room_train-full.h5', images, walls)
  check(published.read(path), images, owners)


def config(path, **options):
  return config_lib.Config(**dict(
      scenes=path, max_steps=4, object_size=10.) | options)


def test_a_run_holds_the_first_ones_out(tmp_path, monkeypatch):
  assert published.EVALUATED == 320
  monkeypatch.setattr(published, 'EVALUATED', 32)
  images, owners = scenes_of(400, 35, 4)
  path = write_hdf5(tmp_path / 'tetrominoes-full.hdf5', images, owners)
  pools, test = datasets.load(config(path))
  check(test, images[:32], owners[:32])
  train = pools(0)
  assert train.masks is None
  np.testing.assert_array_equal(train.images, images[32:])
  pools, test = datasets.load(config(path, num_train_scenes=100))
  check(test, images[:32], owners[:32])
  np.testing.assert_array_equal(pools(0).images, images[32:132])
  few = write_hdf5(tmp_path / 'few.hdf5', images[:100], owners[:100])
  pools, test = datasets.load(config(few))
  assert len(test.images) == 10 and len(pools(0).images) == 90
  other = write_hdf5(tmp_path / 'other.hdf5', images[::-1], owners[::-1])
  pools, test = datasets.load(config(path, test_scenes=other))
  np.testing.assert_array_equal(pools(0).images, images)
  check(test, images[::-1][:32], owners[::-1][:32])
  pools, _ = datasets.load(config(path, test_scenes=other,
                                  num_train_scenes=100))
  np.testing.assert_array_equal(pools(0).images, images[:100])
  one = write_hdf5(tmp_path / 'one.hdf5', images[:1], owners[:1])
  data_util.assert_user_error(['one image', 'at least 2'], datasets.load,
                              config(one))


def test_a_run_takes_the_size_and_the_most_objects(tmp_path):
  path, _ = clevr(tmp_path / 'clevr.tfrecords', [3, 7, 5])
  pools, test = datasets.load(config(path, canvas_size=32, max_objects=6))
  assert test.images.shape == (1, 32, 32, 3) and len(pools(0).images) == 1
  seen = report.read_scenes(path, (32, 32, 3), 7)
  assert seen.images.shape == (3, 32, 32, 3)
  data_util.assert_user_error(
      ['up to 5 objects', '--max_steps=4'], datasets.load, config(path))


def test_most_objects_are_asked_of_published_sets_alone(tmp_path):
  path = str(tmp_path / 'a.npz')
  scene_files.write(path, data_util.some_scenes())
  data_util.assert_user_error(
      [path, '--max_objects=6', 'published'], datasets.load,
      config(path, max_objects=6, object_size=5.))
  data_util.assert_user_error(
      ['--max_objects=6', '--scenes'], lambda: config('', max_objects=6))


def test_scene_files_read_published_sets(tmp_path):
  images, owners = scenes_of(5, 35, 4)
  path = write(tmp_path / 'a.tfrecords', images, owners, 4)
  check(scene_files.read(path), images, owners)


# --- Files that are none ------------------------------------------------------
@pytest.mark.parametrize('data', [
    b'', b'nothing', b'\x1f\x8b', b'\x1f\x8bnothing', b'\x89HDF\r\n\x1a\n',
    b'\xff' * 64])
@pytest.mark.parametrize('name', ['a.tfrecords', 'a.h5'])
def test_other_files_are_user_errors(tmp_path, name, data):
  path = tmp_path / name
  path.write_bytes(data)
  data_util.assert_user_error([str(path)], published.read, str(path))


def test_missing_files_are_user_errors(tmp_path):
  data_util.assert_user_error(
      ['no such file'], published.read, str(tmp_path / 'a.h5'))


@pytest.mark.parametrize('at', [.3, .95])
def test_damaged_records_are_user_errors(tmp_path, at):
  images, owners = scenes_of(6, 35, 4)
  path = write(tmp_path / 'a.tfrecords', images, owners, 4)
  data = bytearray(open(path, 'rb').read())
  data[int(at * len(data))] ^= 255
  open(path, 'wb').write(data)
  data_util.assert_user_error([path, 'damaged'], published.read, path)
  open(path, 'wb').write(data[:int(at * len(data))])
  data_util.assert_user_error([path, 'damaged'], published.read, path)


def test_records_of_other_things_are_user_errors(tmp_path):
  images, owners = scenes_of(1, 35, 4)
  path = write(tmp_path / 'a.tfrecords', images[:, :30, :30],
               owners[:, :30, :30], 4)
  data_util.assert_user_error(
      ['image: found 2,700 bytes', '3,675'], published.read, path)
  path = write(tmp_path / 'a.tfrecords', images, owners[:, 1:], 4)
  data_util.assert_user_error(
      ['mask: found 4,760 bytes', '35 x 35'], published.read, path)
  with tf.io.TFRecordWriter(path, 'GZIP') as writer:
    writer.write(tf.train.Example(features=tf.train.Features(
        feature={'picture': list_of_bytes(images)})).SerializeToString())
  data_util.assert_user_error(
      ['image: found only', 'picture', 'list of bytes'], published.read, path)


@pytest.mark.parametrize('changes, fragments', [
    (dict(image=None), ['image: found only mask', 'an array']),
    (dict(mask=np.zeros([6, 35, 35], np.uint8)), ['mask: found uint8 [6, 35']),
    (dict(image=np.zeros([6, 35, 35, 3])), ['image: found float64']),
    (dict(image=np.zeros([6, 35, 30, 3], np.uint8),
          mask=np.zeros([6, 35, 30, 1], np.uint8)), ['35 x 30', 'square']),
    (dict(image=np.zeros([0, 35, 35, 3], np.uint8)), ['[0, 35, 35, 3]'])])
def test_hdf5_of_other_things_is_a_user_error(tmp_path, changes, fragments):
  path = write_hdf5(tmp_path / 'a.h5', *scenes_of(6, 35, 4), **changes)
  data_util.assert_user_error([path, *fragments], published.read, path)


def test_hdf5_that_points_to_other_files_is_refused(tmp_path):
  images, owners = scenes_of(6, 35, 4)
  write_hdf5(tmp_path / 'secret.h5', images, owners)
  path = write_hdf5(tmp_path / 'a.h5', images, owners, image=None)
  with h5py.File(path, 'a') as file:
    file['image'] = h5py.ExternalLink('secret.h5', 'image')
  data_util.assert_user_error(['image'], published.read, path)
  path = write_hdf5(tmp_path / 'b.h5', images, owners, image=None)
  images.tofile(tmp_path / 'raw')
  with h5py.File(path, 'a') as file:
    file.create_dataset('image', images.shape, np.uint8, external=[
        (str(tmp_path / 'raw'), 0, images.nbytes)])
  data_util.assert_user_error(['in other files'], published.read, path)


def test_too_many_scenes_for_memory_are_a_user_error(tmp_path):
  path = write_hdf5(tmp_path / 'a.h5', *scenes_of(6, 35, 4))
  data_util.assert_user_error(
      ['GiB', '--num_train_scenes'], lambda: published.read(path, 10**12))

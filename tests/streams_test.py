"""Scenes that stay on disk: what is trained is as if they were in memory."""

import data_util
import numpy as np
import pytest
import run_util
import tensorflow as tf
import tiny

from air_tf import experiment
from air_tf.data import datasets
from air_tf.data import npz
from air_tf.data import scene_files
from air_tf.data import streams
from air_tf.training import trainer as trainer_lib

SCENES = tiny.scenes(60)


@pytest.fixture(name='large')
def _large(monkeypatch):
  """Makes every uncompressed array a large one."""
  monkeypatch.setattr(npz, '_LARGE', 0)


def write(path, compressed=False):
  save = np.savez_compressed if compressed else np.savez
  save(path, images=SCENES.images, counts=SCENES.counts)
  return str(path)


def test_an_uncompressed_array_is_mapped_and_a_compressed_one_read(
    tmp_path, large):
  read = lambda name, compressed: scene_files.read(
      write(tmp_path / name, compressed)).images
  mapped, loaded = read('a.npz', False), read('b.npz', True)
  assert isinstance(mapped, np.memmap) and not isinstance(loaded, np.memmap)
  np.testing.assert_array_equal(mapped, SCENES.images)
  np.testing.assert_array_equal(loaded, SCENES.images)


def test_small_files_are_read(tmp_path):
  images = scene_files.read(write(tmp_path / 'a.npz')).images
  assert not isinstance(images, np.memmap)


@pytest.mark.parametrize('test_scenes', [False, True])
def test_the_same_scenes_are_streamed_as_read(
    tmp_path, monkeypatch, test_scenes):
  path = write(tmp_path / 'a.npz')
  config = tiny.config(scenes=path, test_scenes=path if test_scenes else '')
  pools, test = datasets.load(config)
  monkeypatch.setattr(npz, '_LARGE', 0)
  streamed, same_test = datasets.load(config)
  images = streamed(0).images
  assert isinstance(images, streams.MappedImages)
  assert images.shape == pools(0).images.shape
  assert len(images) == images.shape[0]
  np.testing.assert_array_equal(images, pools(0).images)
  np.testing.assert_array_equal(images[3:5], pools(0).images[3:5])
  np.testing.assert_array_equal(same_test.images, test.images)


@pytest.mark.parametrize('damage', [
    lambda data: data[:len(data) // 2], lambda data: data[40:]])
def test_a_damaged_large_file_is_a_user_error(tmp_path, large, damage):
  path = tmp_path / 'a.npz'
  write(path)
  path.write_bytes(damage(path.read_bytes()))
  data_util.assert_user_error([str(path)], scene_files.read, str(path))


def test_large_floats_are_refused(tmp_path, large):
  path = str(tmp_path / 'a.npz')
  np.savez(path, images=SCENES.images / 255.)
  data_util.assert_user_error(
      [path, 'float64', 'uint8', 'so large'], scene_files.read, path)


@pytest.mark.slow
def test_batches_are_those_of_scenes_in_memory(tmp_path, large):
  # From an iteration in the middle, as after a resumption, in two calls.
  images = streams.MappedImages(
      scene_files.read(write(tmp_path / 'a.npz')).images, np.arange(60)[::-1])
  memory, disk = (
      tiny.trainer(copy, max_steps=1, counts=(0, 1)) for copy in range(2))
  for trainer in memory, disk:
    trainer.iteration.assign(5)
  scenes, stream = memory.make_input(images[:]), disk.make_input(images)
  for iterations in 3, 4:
    memory.train(scenes, tf.constant(iterations))
    disk.train(stream, tf.constant(iterations))
  for a, b in zip(memory.variables, disk.variables, strict=True):
    np.testing.assert_array_equal(a, b)
  assert disk.run_iterations.experimental_get_tracing_count() == 1


@pytest.mark.slow
def test_a_whole_run_ends_with_the_same_bits(tmp_path, monkeypatch):
  # Pools change at the fifth iteration, and measuring takes no batch away.
  config = tiny.config(scenes=write(tmp_path / 'a.npz'), num_iterations=8,
                       refresh_every=5, gradient_variance_every=2,
                       max_steps=2)
  def run(name):
    with tiny.eagerly():
      experiment.run(config, str(tmp_path / name))
  copies, make_input = [], trainer_lib.Trainer.make_input
  monkeypatch.setattr(trainer_lib.Trainer, 'make_input', lambda *args: (
      copies.append(args) or make_input(*args)))
  run('memory')
  assert len(copies) == 1  # The pools of a file are the same images.
  monkeypatch.setattr(npz, '_LARGE', 0)
  run('disk')
  run_util.assert_same_end(tmp_path / 'memory', tmp_path / 'disk')

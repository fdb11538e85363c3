"""Tests of digits.py: every source, none over the network."""

import gzip
import sys
import types

import data_util
import numpy as np
import pytest

from air_tf import config as config_lib
from air_tf import digit_sources
from air_tf.data import digits as digits_lib
from air_tf.data import scene_files
from air_tf.data import sprites


def test_embedded_digits_look_like_mnist():
  digits = digits_lib.load('embedded')
  assert digits.train_images.shape == (1437, 28, 28)
  assert digits.test_images.shape == (360, 28, 28)
  for images, labels in (digits[:2], digits[2:]):
    assert images.dtype == np.uint8 and labels.dtype == np.int32
    assert set(labels) == set(range(10))
    ink = images > 0
    assert ink[:, 4:24, 4:24].sum() == ink.sum()  # The frame is black.
    # MNIST digits are 20 pixels high; narrower than high; grey, not faint.
    assert ink.any(2).sum(1).mean() > 19.5
    assert 13 < ink.any(1).sum(1).mean() < 17
    assert images.max((1, 2)).min() > 200
    assert images[ink].min() >= 16


def test_embedded_digits_are_scikit_learns():
  # Averaging back to 8 x 8 must return the original, and the label be its own.
  from sklearn import datasets as sklearn_datasets
  bunch = sklearn_datasets.load_digits()
  original = bunch.images.reshape([-1, 64])
  digits = digits_lib.load('embedded')
  centres = (4 + (np.arange(8) + .5) * 2.5).astype(int)
  small = digits.test_images[:, centres][:, :, centres].reshape([-1, 64])
  distances = ((small[:, np.newaxis] * (16 / 255) - original)**2).sum(-1)
  nearest = distances.argmin(1)
  assert len(set(nearest)) == len(nearest)
  np.testing.assert_array_equal(bunch.target[nearest], digits.test_labels)


def test_no_embedded_digit_is_in_both_splits():
  digits = digits_lib.load('embedded')
  train = data_util.hashes(digits.train_images)
  test = data_util.hashes(digits.test_images)
  assert not train & test
  assert (len(train), len(test)) == (1437, 360)


def test_embedded_split_never_changes():
  # Whoever changes these values lets old models be tested on what they saw.
  digits = digits_lib.load('embedded')
  assert digits.test_labels[:12].tolist() == [
      2, 8, 2, 6, 6, 7, 1, 9, 8, 5, 2, 8]
  assert digits.train_labels[:12].tolist() == [
      6, 5, 3, 4, 4, 4, 8, 8, 7, 0, 9, 6]


@pytest.mark.parametrize('names', [
    data_util.IDX_FILES,
    [name + '.gz' for name in data_util.IDX_FILES],
    [name.replace('-idx', '.idx') for name in data_util.IDX_FILES],
    [name.replace('-idx', '.idx') + '.gz' for name in data_util.IDX_FILES],
])
def test_idx_folder(tmp_path, names):
  digits = data_util.random_digits()
  data_util.write_idx(tmp_path, digits, names)
  data_util.assert_same(digits_lib.load(str(tmp_path)), digits)


def test_keras_npz(tmp_path):
  digits = data_util.random_digits()
  path = str(tmp_path / 'mnist.npz')
  np.savez(path, x_train=digits.train_images,
           y_train=digits.train_labels.astype(np.uint8),
           x_test=digits.test_images, y_test=digits.test_labels)
  data_util.assert_same(digits_lib.load(path), digits)


def fake_keras(monkeypatch, load_data):
  mnist = types.SimpleNamespace(load_data=load_data)
  monkeypatch.setitem(sys.modules, 'keras', types.SimpleNamespace(
      datasets=types.SimpleNamespace(mnist=mnist)))


def test_mnist_comes_from_keras(monkeypatch):
  digits = data_util.random_digits()
  fake_keras(monkeypatch, lambda: (digits[:2], digits[2:]))
  data_util.assert_same(digits_lib.load('mnist'), digits)


def test_failed_download_is_a_user_error(monkeypatch):
  def fail():
    raise Exception('URL fetch failure:\n no route to host')
  fake_keras(monkeypatch, fail)
  data_util.assert_user_error(
      ['--digits=mnist', 'no route to host', 'mnist.npz', 'IDX'],
      digits_lib.load, 'mnist')


def test_unknown_source_is_a_user_error():
  data_util.assert_user_error(
      ['--digits=nowhere', 'no such file', 'embedded', 'mnist'],
      digits_lib.load, 'nowhere')


@pytest.mark.parametrize('index, damage, fragments', [
    (0, lambda data: data[:-1], ['5487 bytes', '5488', '[7, 28, 28]']),
    (0, lambda data: data + b'x', ['5489 bytes', '5488']),
    (0, lambda data: data[:9], ['header', '9 bytes', '16']),
    (0, lambda data: b'', ['magic number', 'nothing', '00000803']),
    (1, lambda data: b'\0\0\x08\x03' + data[4:], ['00000803', '00000801']),
    (1, lambda data: gzip.compress(data)[:-6], ['cannot be read']),
    (1, lambda data: b'\x1f\x8bx', ['cannot be read']),
    (1, lambda data: data_util.idx_bytes(np.zeros(6)),
     ['train labels', '[6]', '[7]']),
    (2, lambda data: data_util.idx_bytes(np.zeros([3, 28, 27])),
     ['test images', '[3, 28, 27]', '[D, 28, 28]']),
    (2, lambda data: data_util.idx_bytes(np.zeros([0, 28, 28])),
     ['at least one']),
])
def test_damaged_idx_is_a_user_error(tmp_path, index, damage, fragments):
  digits = data_util.random_digits()
  data_util.write_idx(tmp_path, digits)
  file = tmp_path / data_util.IDX_FILES[index]
  file.write_bytes(damage(file.read_bytes()))
  data_util.assert_user_error(
      [str(tmp_path), *fragments], digits_lib.load, str(tmp_path))


def test_missing_idx_file_is_a_user_error(tmp_path):
  data_util.write_idx(tmp_path, data_util.random_digits())
  (tmp_path / data_util.IDX_FILES[3]).unlink()
  data_util.assert_user_error(
      [str(tmp_path), 't10k-labels-idx1-ubyte.gz'],
      digits_lib.load, str(tmp_path))


def test_npz_of_something_else_is_not_a_digit_source(tmp_path):
  path = str(tmp_path / 'scenes.npz')
  scene_files.write(path, data_util.some_scenes())
  data_util.assert_user_error(
      [path, 'x_train', 'boxes, counts, images, labels'], digits_lib.load, path)


def test_help_and_errors_name_every_source():
  by_path = [spec.text for spec in digit_sources.BY_PATH]
  text = config_lib.Config.__dataclass_fields__['digits'].metadata['help']
  for name, spec in digit_sources.BY_NAME.items():
    assert f'{name!r} ({spec.text})' in text
  assert all(kind in text for kind in by_path)
  data_util.assert_user_error(
      [*map(repr, digit_sources.BY_NAME), *by_path], digits_lib.load, 'nowhere')


def test_a_source_is_an_entry_and_a_function(monkeypatch, tmp_path):
  # Of a module that exists, as tests add none to the package.
  digits = data_util.random_digits()
  monkeypatch.setattr(sprites, 'mine', lambda *path: digits, raising=False)
  spec = digit_sources.DigitSource('sprites.mine', 'mine', ('*.mine',))
  monkeypatch.setitem(digit_sources.BY_NAME, 'mine', spec)
  monkeypatch.setattr(digit_sources, 'BY_PATH', (spec,))
  (tmp_path / 'a.mine').touch()
  for source in 'mine', str(tmp_path), str(tmp_path / 'a.mine'):
    data_util.assert_same(digits_lib.load(source), digits)


@pytest.mark.parametrize('name, fragment', [
    ('notes.txt', 'a file of no known kind'), ('', 'a folder without files')])
def test_path_of_no_known_kind_is_a_user_error(name, fragment, tmp_path):
  (tmp_path / 'notes.txt').touch()
  data_util.assert_user_error(
      [f'--digits={tmp_path / name}', fragment, 'IDX', 'Omniglot'],
      digits_lib.load, str(tmp_path / name))


TORCHVISION = ('MNIST/raw', 'FashionMNIST/raw', 'raw')


@pytest.mark.parametrize('folder', TORCHVISION)
def test_the_layout_of_torchvision_is_known(folder, tmp_path):
  digits = data_util.random_digits()
  (tmp_path / folder).mkdir(parents=True)
  data_util.write_idx(tmp_path / folder, digits)
  data_util.assert_same(digits_lib.load(str(tmp_path)), digits)
  data_util.assert_same(digits_lib.load(str(tmp_path / folder)), digits)


def test_several_sets_are_told_apart_by_their_path(tmp_path):
  for folder in TORCHVISION[:2]:
    (tmp_path / folder).mkdir(parents=True)
    data_util.write_idx(tmp_path / folder, data_util.random_digits())
  data_util.assert_user_error(
      ['several sets', 'FashionMNIST', 'named'], digits_lib.load, str(tmp_path))


def test_images_of_emnist_are_turned_upright(tmp_path):
  digits = data_util.random_digits()
  on_side = digits._replace(
      train_images=digits.train_images.swapaxes(1, 2),
      test_images=digits.test_images.swapaxes(1, 2))
  names = lambda split: [f'emnist-{split}-{x}-ubyte.gz' for x in (
      'train-images-idx3', 'train-labels-idx1', 'test-images-idx3',
      'test-labels-idx1')]
  data_util.write_idx(tmp_path, on_side, names('letters'))
  data_util.assert_same(digits_lib.load(str(tmp_path)), digits)
  others = data_util.random_digits(num_train=5)
  data_util.write_idx(tmp_path, others, names('balanced'))
  data_util.assert_user_error(
      ['several sets, emnist-balanced-, emnist-letters-', 'one of its files'],
      digits_lib.load, str(tmp_path))
  data_util.assert_same(
      digits_lib.load(str(tmp_path / names('letters')[0])), digits)

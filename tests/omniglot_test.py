"""Tests of omniglot.py, on zip files laid out as the public ones are."""

import io
import zipfile

import data_util
import numpy as np
from PIL import Image
import pytest

from air_tf.data import digits as digits_lib
from air_tf.data import omniglot


def character(seed):
  """Returns bool [105, 105], True where there is ink: a bar, 3 pixels wide."""
  ink = np.zeros([105, 105], bool)
  y, x = np.random.default_rng(seed).integers(20, 80, size=2)
  ink[y:y + 3, 10:x] = True
  return ink


def png(ink):
  """Returns a PNG file of 1 bit per pixel, black on white."""
  return data_util.png(~ink)


def middle(image):
  """Returns the centre of mass, (y, x), of pixels that are one square each."""
  image = image.astype(float)
  return np.array([image.sum(1) @ (np.arange(len(image)) + .5),
                   image.sum(0) @ (np.arange(len(image)) + .5)]) / image.sum()


def write(path, contents):
  with zipfile.ZipFile(path, 'w') as archive:
    for name, data in contents.items():
      archive.writestr(name, data)


TRAIN = {'images_background/': b'', 'images_background/Greek/': b''} | {
    f'images_background/{alphabet}/character{k:02}/{k:04}_{j:02}.png':
    png(character([0, a, k, j]))
    for a, alphabet in enumerate(['Latin', 'Greek'])
    for k in (1, 2) for j in (1, 2, 3)}
TEST = {f'images_evaluation/Oriya/character{k:02}/{k:04}_01.png':
        png(character([1, k])) for k in (1, 2, 3)}


@pytest.fixture(name='folder')
def _folder(tmp_path):
  write(tmp_path / omniglot.TRAIN, TRAIN)
  write(tmp_path / omniglot.TEST, TEST)
  return tmp_path


def test_characters_are_small_and_bright_on_black(folder):
  images, _ = omniglot.read(str(folder / omniglot.TRAIN))
  assert images.dtype == np.uint8 and images.shape == (12, 28, 28)
  names = sorted(name for name in TRAIN if name.endswith('.png'))
  for name, image in zip(names, images, strict=True):
    with Image.open(io.BytesIO(TRAIN[name])) as picture:
      assert picture.mode == '1'
      ink = ~np.asarray(picture)
    assert image.max() == 255
    assert image[0, 0] == 0
    # The ink's middle, from the upper left corner, in pixels of 28.
    np.testing.assert_allclose(middle(image), middle(ink) / 3.75, atol=.1)


def test_labels_are_characters(folder):
  """Greek before Latin, two characters each, three drawings of every one."""
  _, labels = omniglot.read(str(folder / omniglot.TRAIN))
  assert labels.dtype == np.int32
  assert labels.tolist() == [0] * 3 + [1] * 3 + [2] * 3 + [3] * 3


def test_source_has_other_characters_for_testing(folder):
  digits = digits_lib.load(str(folder))
  assert digits.train_images.shape == (12, 28, 28)
  assert digits.test_images.shape == (3, 28, 28)
  assert digits.test_labels.dtype == np.int32
  assert digits.train_labels.max() == 3
  assert digits.test_labels.tolist() == [4, 5, 6]


@pytest.mark.parametrize('name', [omniglot.TRAIN, omniglot.TEST])
def test_missing_zip_is_a_user_error(folder, name):
  (folder / name).unlink()
  data_util.assert_user_error(
      [f'{folder / name}: no such file', omniglot.TRAIN, omniglot.TEST],
      digits_lib.load, str(folder))


@pytest.mark.parametrize('name', [omniglot.TRAIN, omniglot.TEST])
def test_path_of_one_zip_is_a_user_error(folder, name):
  data_util.assert_user_error(
      [f'--digits={folder / name}', 'the folder', omniglot.TRAIN],
      digits_lib.load, str(folder / name))


@pytest.mark.parametrize('contents, fragments', [
    ({'readme.txt': b''}, ['characters', 'no .png file']),
    ({'a/b/1.png': b'no picture'}, ['damaged', 'fetch it again']),
    ({'a/b/1.png': png(character(0)[:, 1:])}, ['a/b/1.png', '105 x 104',
                                               '105 x 105']),
    ({'a/b/1.png': png(np.zeros([105, 105], bool))}, ['a/b/1.png', 'no ink']),
])
def test_zip_of_something_else_is_a_user_error(folder, contents, fragments):
  path = folder / omniglot.TEST
  write(path, contents)
  data_util.assert_user_error([f'{path}: ', *fragments], digits_lib.load,
                              str(folder))


@pytest.mark.parametrize('damage', [
    lambda data: data[:len(data) // 2], lambda data: b'',
    lambda data: data.replace(b'IDAT', b'IDLE', 1)])
def test_damaged_zip_is_a_user_error(folder, damage):
  path = folder / omniglot.TRAIN
  path.write_bytes(damage(path.read_bytes()))
  data_util.assert_user_error(
      [f'{path}: ', 'damaged', 'fetch it again'], digits_lib.load, str(folder))

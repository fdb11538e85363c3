"""Small digits and scenes, their files, and assertions about reading them."""

import gzip
import io
import struct
import zlib

import numpy as np
from PIL import Image
import pytest

from air_tf import config as config_lib
from air_tf import errors
from air_tf.data import datasets
from air_tf.data import digits as digits_lib
from air_tf.data import scene_files
from air_tf.data import scenes as scenes_lib

IDX_FILES = ('train-images-idx3-ubyte', 'train-labels-idx1-ubyte',
             't10k-images-idx3-ubyte', 't10k-labels-idx1-ubyte')
KERAS = ('x_train', 'y_train', 'x_test', 'y_test')  # Keys of its mnist.npz.


def refusal(function, *args, **kwargs):
  """Returns the text of the `UserError` that a call raises: one line."""
  with pytest.raises(errors.UserError) as raised:
    function(*args, **kwargs)
  text = str(raised.value)
  assert '\n' not in text, text
  return text


def assert_user_error(fragments, function, *args, **kwargs):
  """Asserts a `UserError` of one line that holds all `fragments`."""
  text = refusal(function, *args, **kwargs)
  for fragment in fragments:
    assert fragment in text, text


def assert_same(left, right):
  """Asserts that two NamedTuples hold equal arrays of equal types."""
  assert type(left) is type(right)
  for a, b in zip(left, right, strict=True):
    assert (a is None) == (b is None)
    if a is not None:
      assert a.dtype == b.dtype
      np.testing.assert_array_equal(a, b)


def at(array, index, value):
  """Returns a copy of `array` that holds `value` at `index`."""
  array = array.copy()
  array[index] = value
  return array


def random_digits(num_train=7, num_test=3):
  rng = np.random.default_rng(0)
  images = rng.integers(0, 256, [num_train + num_test, 28, 28], np.uint8)
  labels = rng.integers(0, 10, num_train + num_test, np.int32)
  return digits_lib.Digits(images[:num_train], labels[:num_train],
                           images[num_train:], labels[num_train:])


def idx_bytes(array):
  """Returns `array` as an IDX file, written out by hand."""
  header = struct.pack('>HBB', 0, 8, array.ndim)
  sizes = b''.join(struct.pack('>i', size) for size in array.shape)
  return header + sizes + array.astype(np.uint8).tobytes()


def write_idx(folder, digits, names=IDX_FILES):
  for name, array in zip(names, digits, strict=True):
    data = idx_bytes(array)
    (folder / name).write_bytes(
        gzip.compress(data) if name.endswith('.gz') else data)


def some_scenes(num_scenes=20, max_count=2):
  """Returns scenes whose every image is different."""
  digits = random_digits()
  return scenes_lib.compose(
      digits.train_images, digits.train_labels, num_scenes=num_scenes,
      canvas_size=40, counts=range(1, max_count + 1), digit_scale=(.5, .5),
      masks=True, seed=0)


def png(pixels):
  """Returns a PNG file of pixels, as Pillow writes it."""
  file = io.BytesIO()
  Image.fromarray(pixels).save(file, 'PNG')
  return file.getvalue()


def png_by_hand(height, width, bits, kind, rows=b''):
  """Returns a PNG file, written out by hand: one that Pillow does not write.

  Args:
    height: that the header says.
    width: as well.
    bits: of each channel.
    kind: PNG's colour type.
    rows: their bytes, each row after a byte for its filter.
  """
  chunk = lambda name, data: struct.pack('>I', len(data)) + name + data + (
      struct.pack('>I', zlib.crc32(name + data)))
  return b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack(
      '>IIBBBBB', width, height, bits, kind, 0, 0, 0)) + chunk(
          b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b'')


def hashes(images):
  return {image.tobytes() for image in images}


def read_scenes(path):
  return scene_files.read(str(path))


def read_digits(path):
  return digits_lib.load(str(path))


def train_on(path, **changes):
  """Returns what a run with --scenes=path is given."""
  return datasets.load(config_lib.Config(scenes=str(path), **changes))

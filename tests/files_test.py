"""Tests of files.py: whole files, and one error text."""

import data_util
import numpy as np
from PIL import Image
import pytest

from air_tf import errors
from air_tf import files


def names(folder):
  return sorted(path.name for path in folder.iterdir())


def test_each_kind_of_file_comes_back(tmp_path):
  folder = tmp_path / 'made' / 'on the way'
  files.write_text(folder / 'a.txt', 'σ ≥ 1\n')
  files.write_bytes(str(folder / 'b'), b'\0\1')
  arrays = {'x': np.arange(3), 'y': np.eye(2)}
  files.write_npz(folder / 'c.npz', arrays)
  pixels = np.random.default_rng(0).integers(0, 256, [4, 5, 3], np.uint8)
  files.write_png(folder / 'd.png', pixels)
  assert (folder / 'a.txt').read_text(encoding='utf-8') == 'σ ≥ 1\n'
  assert (folder / 'b').read_bytes() == b'\0\1'
  with np.load(folder / 'c.npz') as read:
    for name, array in arrays.items():
      np.testing.assert_array_equal(read[name], array)
  with Image.open(folder / 'd.png') as image:
    assert image.format == 'PNG'
    np.testing.assert_array_equal(np.asarray(image), pixels)
  assert names(folder) == ['a.txt', 'b', 'c.npz', 'd.png']


def test_the_old_file_stands_until_the_new_one_is_whole(tmp_path):
  path = tmp_path / 'file'
  files.write_text(path, 'old')
  with files.atomic(path) as temporary:
    temporary.write_text('ne')
    assert path.read_text() == 'old'
    temporary.write_text('new')
  assert path.read_text() == 'new' and names(tmp_path) == ['file']


@pytest.mark.parametrize('error, raised', [
    (OSError(28, 'No space left on device'), errors.DiskFull),
    (OSError(122, 'Disk quota exceeded'), errors.DiskFull),
    (OSError(30, 'Read-only file system'), errors.UserError),
    (KeyboardInterrupt(), KeyboardInterrupt)])
def test_a_failure_leaves_the_old_file_and_nothing_else(
    tmp_path, error, raised):
  path = tmp_path / 'file'
  files.write_text(path, 'old')
  with pytest.raises(raised):
    with files.atomic(path) as temporary:
      temporary.write_text('half')
      raise error
  assert path.read_text() == 'old' and names(tmp_path) == ['file']


def test_users_read_which_path_and_why(tmp_path):
  (tmp_path / 'file').write_text('in the way')
  path = tmp_path / 'file' / 'a.txt'
  for write, content in ((files.write_text, ''), (files.write_bytes, b''),
                         (files.write_npz, {}),
                         (files.write_png, np.zeros([2, 2], np.uint8))):
    data_util.assert_user_error(
        [str(path), 'cannot be written', 'File exists', 'expected'],
        write, path, content)


def test_other_errors_are_turned_only_if_named():
  with pytest.raises(errors.UserError, match=r'--out=a: .*\(two lines\)'):
    with files.unwritable_as_user_error('--out=a', (KeyError, RuntimeError)):
      raise RuntimeError('two\nlines')
  with pytest.raises(ValueError, match='^kept$'):
    with files.unwritable_as_user_error('--out=a'):
      raise ValueError('kept')

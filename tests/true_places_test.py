"""Places of objects from tables and label images, each written here."""

import os

import numpy as np
from PIL import Image
import pytest

from air_tf import errors
from air_tf.data import true_places
from air_tf.serving import mask_files

SHAPE = 20, 30


def labels():
  """Two objects, whose middles are (4, 5) and (12.5, 21)."""
  image = np.zeros(SHAPE, np.uint16)
  image[2:6, 3:7] = 7
  image[10:15, 20:22] = 300
  return image


MIDDLES = [[4., 5.], [12.5, 21.]]


@pytest.mark.parametrize('header, offset', [
    ('y,x', 0.), ('x,name,y', 0.), ('Y,X', 0.), ('index,axis-0,axis-1', .5)])
def test_tables_of_points(tmp_path, header, offset):
  values = {'y': 4., 'x': 5., 'Y': 4., 'X': 5., 'axis-0': 3.5, 'axis-1': 4.5}
  row = ','.join(str(values.get(name, 'a')) for name in header.split(','))
  (tmp_path / 'points.CSV').write_text(f'{header}\n{row}\n', 'utf-8-sig')
  found, = true_places.read(str(tmp_path / 'points.CSV'), [SHAPE])
  np.testing.assert_array_equal(found, [[4., 5.]])


@pytest.mark.parametrize('name', ['a.png', 'a.tif', 'a.npy'])
def test_label_images(tmp_path, name):
  path = tmp_path / name
  if name.endswith('npy'):
    np.save(path, labels())
  else:
    Image.fromarray(labels()).save(path)
  found, = true_places.read(str(path), [SHAPE])
  np.testing.assert_allclose(found, MIDDLES)


def test_colours_of_a_palette_are_labels(tmp_path):
  (tmp_path / 'a.png').write_bytes(mask_files.png(labels().astype(np.uint8)))
  found, = true_places.read(str(tmp_path / 'a.png'), [SHAPE])
  np.testing.assert_allclose(sorted(found.tolist()), MIDDLES)


def test_the_parts_of_a_mask_are_objects(tmp_path):
  Image.fromarray(((labels() > 0) * 255).astype(np.uint8)).save(
      tmp_path / 'a.png')
  found, = true_places.read(str(tmp_path / 'a.png'), [(*SHAPE, 3)])
  np.testing.assert_allclose(found, MIDDLES)


def test_a_folder_has_one_label_image_for_each_picture(tmp_path):
  Image.fromarray(labels()).save(tmp_path / 'b.png')
  Image.fromarray(labels() * 0).save(tmp_path / 'a.png')
  none, both = true_places.read(str(tmp_path), [SHAPE, SHAPE])
  assert none.shape == (0, 2)
  np.testing.assert_allclose(both, MIDDLES)
  with pytest.raises(errors.UserError, match='2 label images for 3 pictures'):
    true_places.read(str(tmp_path), [SHAPE] * 3)


@pytest.mark.parametrize('text, fragment', [
    ('', 'no points'), ('y,x\n', 'no points'), ('a,b\n1,2\n', 'columns y and'),
    ('y,x\n1,left\n', 'left.*expected numbers'), ('y,x\n1\n', 'expected num'),
    ('y,x\n1,31\n', 'outside of the picture'), ('y,x\n-1,3\n', 'outside'),
    ('y,x\nnan,3\n', 'outside'), ('y,x\n"1,2', 'no table')])
def test_a_table_that_is_none(tmp_path, text, fragment):
  (tmp_path / 'a.csv').write_text(text)
  with pytest.raises(errors.UserError, match=fragment):
    true_places.read(str(tmp_path / 'a.csv'), [SHAPE])


def test_what_does_not_fit(tmp_path):
  with pytest.raises(errors.UserError, match='cannot be read'):
    true_places.read(str(tmp_path / 'a.csv'), [SHAPE])
  (tmp_path / 'a.csv').write_text('y,x\n1,1\n')
  with pytest.raises(errors.UserError, match='for 2 pictures'):
    true_places.read(str(tmp_path / 'a.csv'), [SHAPE] * 2)
  np.save(tmp_path / 'a.npy', labels()[1:])
  with pytest.raises(errors.UserError, match=r'whole numbers \[20, 30'):
    true_places.read(str(tmp_path / 'a.npy'), [SHAPE])
  np.save(tmp_path / 'b.npy', np.full(SHAPE, .5, np.float32))
  with pytest.raises(errors.UserError, match='whole numbers'):
    true_places.read(os.fspath(tmp_path / 'b.npy'), [SHAPE])

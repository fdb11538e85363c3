"""What is written of pictures: JSON, tables, label images, marks."""

import csv
import io
import json

import numpy as np
from PIL import Image
import pytest

from air_tf import errors
from air_tf.plotting import marks
from air_tf.serving import object_tables
from air_tf.serving import tiled
from air_tf.serving import tiled_files
from air_tf.serving import tiling

BOXES = np.array([(2., 4., 3., 5.), (10., 1., 2., 2.)])


def prediction(name='a[1].tif', number=2):
  boxes = np.resize(BOXES, [number, 4])
  patches = [np.full(box[2:].astype(int), 200, np.uint8) for box in boxes]
  return tiled.TiledPrediction(
      name, np.zeros([14, 12], np.uint8), tiling.Objects(
          np.zeros(number, int), boxes, boxes, np.resize([.75, 1.], number),
          boxes[:, :2].astype(int), patches), 1, 0)


def rows(text):
  return list(csv.DictReader(io.StringIO(text)))


def test_json_by_hand():
  assert json.loads(object_tables.json_line(prediction())) == {
      'image': 'a[1].tif', 'num_steps': 2, 'boxes': BOXES.tolist(),
      'scores': [.75, 1.]}


def test_a_table_has_the_middle_for_napari_and_for_imagej(tmp_path):
  with tiled_files.Writer(tiled_files.Targets(
      csv=str(tmp_path / 'objects'))) as writer:
    writer.write(prediction())
    writer.write(prediction('b.png', 0))
    writer.write(prediction('c.png', 1))
  found = rows((tmp_path / 'objects').read_text())
  # The box covers rows 2, 3, 4 and columns 4 ... 8. The middle pixel is (3, 6),
  # whose middle is (3.5, 6.5) from the corner of the picture.
  assert found[0] == {
      'index': '1', 'image': 'a[1].tif', 'axis-0': '3.0', 'axis-1': '6.0',
      'score': '0.75', 'X': '6.5', 'Y': '3.5', 'BX': '4.0', 'BY': '2.0',
      'Width': '5.0', 'Height': '3.0'}
  assert [(x['image'], x['index']) for x in found] == [
      ('a[1].tif', '1'), ('a[1].tif', '2'), ('c.png', '1')]


def test_boxes_are_rectangles_of_napari():
  text = io.StringIO()
  object_tables.write_boxes(text, BOXES)
  found = rows(text.getvalue())
  assert list(found[0]) == [
      'index', 'shape-type', 'vertex-index', 'axis-0', 'axis-1']
  corners = [[float(x['axis-0']), float(x['axis-1'])] for x in found[4:]]
  # Pixels 10 and 11 by 1 and 2, whose edges are at halves.
  assert corners == [[9.5, .5], [9.5, 2.5], [11.5, 2.5], [11.5, .5]]
  assert {x['shape-type'] for x in found} == {'rectangle'}


def test_files_of_each_picture(tmp_path):
  targets = tiled_files.Targets(
      tables=str(tmp_path / 'tables'), masks=str(tmp_path / 'masks'))
  with tiled_files.Writer(targets) as writer:
    writer.write(prediction())
    writer.write(prediction())
  assert sorted(x.name for x in (tmp_path / 'tables').iterdir()) == [
      f'0000{n}_a_1.tif_{kind}.csv' for n in (0, 1)
      for kind in ('boxes', 'points')]
  with Image.open(tmp_path / 'masks' / '00001_a_1.tif.tif') as mask:
    labels = np.asarray(mask)
  assert labels.dtype == np.uint16 and labels.shape == (14, 12)
  assert (labels[2:5, 4:9] == 1).all() and (labels[10:12, 1:3] == 2).all()
  assert (labels > 0).sum() == 15 + 4


def test_more_objects_than_sixteen_bits_have_names_for(tmp_path):
  with tiled_files.Writer(tiled_files.Targets(masks=str(tmp_path))) as writer:
    writer.write(prediction('x', 70_000))
  with Image.open(next(tmp_path.iterdir())) as mask:
    assert np.asarray(mask).dtype == np.int32


def test_the_folder_of_a_table_is_made(tmp_path):
  path = tmp_path / 'new' / 'table.csv'
  with tiled_files.Writer(tiled_files.Targets(csv=str(path))):
    pass
  assert path.read_text().startswith('index,image,')


def test_names_of_files_are_not_too_long(tmp_path):
  name = 'é' * 150 + '.png'  # 304 bytes.
  targets = tiled_files.Targets(tables=str(tmp_path), masks=str(tmp_path))
  with tiled_files.Writer(targets) as writer:
    writer.write(prediction(name, 1))
  assert len(list(tmp_path.iterdir())) == 3


def test_what_cannot_be_written_is_a_user_error(tmp_path):
  (tmp_path / 'file').touch()
  with pytest.raises(errors.UserError, match='--csv=.*file'):
    tiled_files.Writer(tiled_files.Targets(csv=str(tmp_path / 'file/x')))


@pytest.mark.parametrize('shape', [(600, 20), (600, 20, 3)])
def test_boxes_are_drawn_around_their_pixels(shape):
  image = np.zeros(shape, np.uint8)
  image[2:5, 4:9] = 255
  found = marks.mark(image, BOXES[:1])
  assert found.shape == (600, 20, 3)
  coloured = found[..., 0] != found[..., 2]
  rows, columns = np.nonzero(coloured)
  assert (rows.min(), rows.max()) == (2, 4)
  assert (columns.min(), columns.max()) == (4, 8)
  assert coloured.sum() == 2 * 5 + 2  # Its outline alone.


def test_small_pictures_are_enlarged():
  found = marks.mark(np.zeros([100, 40], np.uint8), np.array([(5, 5, 10, 10)]))
  assert found.shape == (600, 240, 3)
  rows, _ = np.nonzero(found[..., 0])
  assert (rows.min(), rows.max()) == (30, 89)

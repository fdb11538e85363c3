import csv
import io
import json
import threading
import time

import numpy as np
import pytest
import tiny

from air_tf import errors
from air_tf.data import images as images_lib
from air_tf.serving import parallel
from air_tf.serving import predictor
from air_tf.serving import writers


class Stand:
  """Finds in each image one object whose box is around its bright pixels."""
  image_shape = (20, 20)
  max_steps = 2

  def __init__(self):
    self.batches = []

  def detect(self, images):
    self.batches.append(len(images))
    boxes = np.zeros([len(images), 2, 4], np.float32)
    for image, box in zip(images, boxes):
      rows, columns = np.nonzero(image > 127)
      box[0] = (rows.min(), columns.min(), np.ptp(rows) + 1,
                np.ptp(columns) + 1)
    return {'num_steps': np.ones(len(images), np.int32), 'tight_boxes': boxes,
            'num_steps_probs': np.tile([.1, .7, .2], [len(images), 1]),
            'step_probs': np.tile([.9, .2], [len(images), 1])}


def named(num_images, shape=(20, 20)):
  for i in range(num_images):
    image = np.zeros(shape, np.uint8)
    image[shape[0] // 2:, :shape[1] // 2] = 255
    yield f'{i}', image


def test_images_are_drawn_a_batch_at_a_time_and_keep_their_order(monkeypatch):
  monkeypatch.setattr(parallel, '_num_threads', lambda: 1)
  drawn = []
  stand = Stand()
  source = (drawn.append(name) or (name, image) for name, image in named(7))
  found = predictor.predict(stand, source, batch_size=3)
  assert next(found).name == '0'
  deadline = time.monotonic() + 20.
  while len(stand.batches) < 2 and time.monotonic() < deadline:
    time.sleep(.01)
  time.sleep(.05)  # In which it would draw the third, if it did.
  assert len(drawn) == 6 and stand.batches == [3, 3]  # One batch ahead.
  assert [x.name for x in found] == [str(i) for i in range(1, 7)]
  assert stand.batches == [3, 3, 1]


def test_a_batch_of_large_images_is_a_small_one(monkeypatch):
  monkeypatch.setattr(parallel, '_num_threads', lambda: 1)
  # Two of 400 bytes and four canvases of 1,600 in each of three batches.
  monkeypatch.setattr(predictor, '_MOST_BYTES', 3 * 2 * (400 + 4 * 1600))
  stand = Stand()
  found = list(predictor.predict(stand, named(5), batch_size=4))
  assert len(found) == 5 and stand.batches == [2, 2, 1]


def test_what_was_found_before_an_error_is_not_lost():
  def source():
    yield from named(5)
    raise errors.UserError('a damaged file')
  found = []
  with pytest.raises(errors.UserError, match='damaged'):
    for prediction in predictor.predict(Stand(), source(), batch_size=2):
      found.append(prediction.name)
  assert found == ['0', '1', '2', '3']


def test_a_caller_that_stops_leaves_no_thread(monkeypatch):
  monkeypatch.setattr(parallel, '_num_threads', lambda: 1)
  before = threading.active_count()
  found = predictor.predict(Stand(), named(9), batch_size=2)
  next(found)
  assert threading.active_count() > before
  found.close()
  assert threading.active_count() == before


def test_resized_boxes_are_told_in_pixels_of_the_image_as_given():
  found, = predictor.predict(Stand(), named(1, (60, 40)), 4, resize=True)
  assert found.image.shape == (60, 40)
  np.testing.assert_allclose(found.boxes, [[30., 0., 30., 20.]], atol=3.)


def test_another_size_is_refused_without_resize():
  with pytest.raises(errors.UserError, match='60 x 40.*20 x 20.*--resize'):
    list(predictor.predict(Stand(), named(1, (60, 40)), 4))


def test_reports_agree():
  found = list(predictor.predict(Stand(), named(2), 4))
  found[1] = found[1]._replace(boxes=found[1].boxes[:0], name='a, "b"')
  file = io.StringIO(newline='')
  table = writers.CsvWriter(file, max_steps=2)
  for prediction in found:
    table.write(prediction)
  file.seek(0)
  rows = list(csv.DictReader(file))
  assert [row['image'] for row in rows] == ['0', 'a, "b"']
  for prediction, row in zip(found, rows):
    line = json.loads(writers.json_line(prediction))
    assert line['image'] == row['image'] and line['count'] == int(row['count'])
    assert line['probabilities'] == [float(row[f'p_{n}']) for n in range(3)]
  assert [rows[0][f'{key}_1'] for key in ('y', 'x', 'height', 'width')] == [
      '10.0', '0.0', '10.0', '10.0']
  assert rows[0]['y_2'] == rows[1]['y_1'] == rows[1]['width_2'] == ''


def test_a_stack_goes_through(tmp_path):
  np.save(tmp_path / 'a.npy', tiny.scenes(9, size=20).images | 200)
  source = images_lib.open_source(str(tmp_path / 'a.npy'))
  found = list(predictor.predict(Stand(), source.read(), 4))
  assert [x.name for x in found] == [
      f'{tmp_path}/a.npy[{i}]' for i in range(9)]

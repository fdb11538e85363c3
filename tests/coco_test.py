"""Tests of serving/coco.py and serving/mask_files.py.

The texts below were made by pycocotools 2.0.11, `mask.encode`.
"""

import io
import json

import numpy as np
from PIL import Image
import pytest

from air_tf.serving import coco
from air_tf.serving import mask_files
from air_tf.serving import predictor


def ring():
  mask = np.zeros([40, 60], bool)
  mask[3:30, 5:40], mask[10:12, 8:20], mask[0, 0] = True, False, True
  return mask


def decode(encoded):
  """The inverse, as it is described: a second implementation."""
  values, bits, shift = [], 0, 0
  for byte in encoded['counts'].encode():
    group = byte - 48
    bits |= (group & 31) << shift
    shift += 5
    if not group & 32:
      values.append(bits - (1 << shift) * bool(group & 16))
      bits, shift = 0, 0
  for i in range(3, len(values)):
    values[i] += values[i - 2]
  height, width = encoded['size']
  flat = np.repeat(np.arange(len(values)) % 2, values)
  return flat.reshape(width, height).T.astype(bool)


def test_text_is_that_of_pycocotools():
  assert coco.encode(ring()) == {'size': [40, 60], 'counts': (
      '01Z6j0SJ0000\\OE;;EE;;EE;;EE;;EE;;EE;;EE;;EE;;EE;;EE;;EE;;EE;;90000000'
      '0000000000000000000000000000000mh0')}
  assert coco.encode(np.zeros([3, 5], bool))['counts'] == '?'
  assert coco.encode(np.ones([3, 5], bool))['counts'] == '0?'


def test_what_is_encoded_is_read_back():
  rng = np.random.default_rng(0)
  for share in (0., .01, .5, .99, 1.):
    for height, width in rng.integers(1, 90, [20, 2]):
      mask = rng.random([height, width]) < share
      np.testing.assert_array_equal(decode(coco.encode(mask)), mask)


def prediction(name='a'):
  mask = np.zeros([4, 6], np.uint8)
  mask[1:3, 2:6] = 1
  mask[2, 3] = 3  # The second has no pixel.
  return predictor.Prediction(
      name, mask, np.full(4, .25), np.zeros([3, 4]), mask,
      np.array([.75, .5, .25]))


def test_objects_have_boxes_around_their_pixels():
  first, third = coco.annotations(prediction(), 7)
  assert first['bbox'] == [2, 1, 4, 2] and third['bbox'] == [3, 2, 1, 1]
  assert (first['score'], third['score']) == (.75, .25)
  assert first['image_id'] == 7
  assert decode(first['segmentation']).sum() == 7


def test_a_folder_holds_label_images_and_all_objects(tmp_path):
  with mask_files.MaskWriter(str(tmp_path / 'new')) as writer:
    writer.write(prediction('a/b.png'))
    writer.write(prediction('scenes.npz[3]'))
  assert sorted(x.name for x in (tmp_path / 'new').iterdir()) == [
      '00000_b.png.png', '00001_scenes.npz_3.png', 'coco.json']
  with Image.open(tmp_path / 'new' / '00000_b.png.png') as image:
    np.testing.assert_array_equal(np.asarray(image), prediction().mask)
  made = json.loads((tmp_path / 'new' / 'coco.json').read_text())
  assert [x['file_name'] for x in made['images']] == [
      'a/b.png', 'scenes.npz[3]']
  assert [x['image_id'] for x in made['annotations']] == [0, 0, 1, 1]
  assert [x['id'] for x in made['annotations']] == [1, 2, 3, 4]


def test_nothing_ends_a_file_of_objects_that_was_broken_off(tmp_path):
  with pytest.raises(KeyError), mask_files.MaskWriter(str(tmp_path)) as writer:
    writer.write(prediction())
    raise KeyError
  assert not (tmp_path / 'coco.json').exists()


def test_objects_differ_in_colour_and_the_ground_is_black():
  mask = np.arange(256, dtype=np.uint8).reshape(16, 16)
  with Image.open(io.BytesIO(mask_files.png(mask))) as image:
    colours = np.asarray(image.convert('RGB')).reshape(-1, 3)
  assert not colours[0].any() and colours[1:].max(axis=1).min() == 255
  assert len(np.unique(colours[:20], axis=0)) == 20

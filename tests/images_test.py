import tracemalloc

import data_util
import numpy as np
from PIL import Image
import pytest

from air_tf.data import colours
from air_tf.data import images as images_lib
from air_tf.data import stacks

PIXELS = np.random.default_rng(0).integers(0, 256, [7, 6, 6], np.uint8)
COLOURED = np.stack([PIXELS, PIXELS // 2, 255 - PIXELS], axis=-1)


def read(path):
  source = images_lib.open_source(str(path))
  found = list(source.read_pixels())
  assert len(found) == source.num_images
  return [name for name, _ in found], [image for _, image in found]


@pytest.mark.parametrize('name', ['a.npy', 'a.npz', 'small.npz'])
@pytest.mark.parametrize('kind', [np.uint8, np.float32, np.float64])
@pytest.mark.parametrize('pixels', [PIXELS, COLOURED], ids=['grey', 'coloured'])
def test_stacks_give_their_images_in_order(
    name, kind, pixels, tmp_path, monkeypatch):
  monkeypatch.setattr(stacks, '_CHUNK_BYTES', 3 * pixels[0].size)
  path = tmp_path / name
  stack = pixels if kind is np.uint8 else (pixels / 255.).astype(kind)
  if name == 'a.npy':
    np.save(path, stack)
  else:
    save = np.savez_compressed if name == 'small.npz' else np.savez
    save(path, counts=np.zeros(7, np.int32), images=stack)
  names, found = read(path)
  assert names == [f'{path}[{i}]' for i in range(7)]
  np.testing.assert_array_equal(found, pixels)


def test_memory_does_not_grow_with_a_stack(tmp_path, monkeypatch):
  monkeypatch.setattr(stacks, '_CHUNK_BYTES', 1 << 16)
  np.savez_compressed(tmp_path / 'a.npz',
                      images=np.full([2_000, 64, 64], 7, np.uint8))
  tracemalloc.start()
  count = sum(1 for _ in images_lib.open_source(str(tmp_path / 'a.npz')).read())
  _, peak = tracemalloc.get_traced_memory()
  tracemalloc.stop()
  assert count == 2_000 and peak < 2e6  # The whole is 8.2e6 bytes.


def test_a_folder_gives_its_pictures_by_name_and_no_other_files(tmp_path):
  for name, image in zip(('b.png', 'a.PNG', 'c.bmp'), PIXELS):
    Image.fromarray(image).save(tmp_path / name)
  (tmp_path / 'notes.txt').write_text('not a picture')
  (tmp_path / 'deeper').mkdir()
  names, found = read(tmp_path)
  assert names == [str(tmp_path / name) for name in ('a.PNG', 'b.png', 'c.bmp')]
  np.testing.assert_array_equal(found, PIXELS[[1, 0, 2]])


def test_pictures_keep_their_colours_and_transparent_parts_become_black(
    tmp_path):
  Image.fromarray(PIXELS[0].astype(np.uint16) * 257).save(tmp_path / '16.png')
  np.testing.assert_array_equal(read(tmp_path / '16.png')[1][0], PIXELS[0])
  rgba = np.tile(np.uint8([200, 100, 50, 255]), [6, 6, 1])
  rgba[:3, :, 3] = 0
  Image.fromarray(rgba).save(tmp_path / 'rgba.png')
  found = read(tmp_path / 'rgba.png')[1][0]
  assert np.all(found[:3] == 0) and np.all(found[3:] == [200, 100, 50])


def test_colours_become_grey_by_their_luma_and_grey_three_channels():
  # .299 * 200 + .587 * 100 + .114 * 50 = 124.2.
  grey, coloured = PIXELS[0], np.tile(np.uint8([200, 100, 50]), [6, 6, 1])
  np.testing.assert_array_equal(
      colours.recolour(coloured, 1), np.full([6, 6], 124))
  np.testing.assert_array_equal(
      colours.recolour(grey, 3), np.stack([grey] * 3, axis=-1))
  assert colours.recolour(grey, 1) is grey
  assert colours.recolour(coloured, 3) is coloured


@pytest.mark.parametrize('array, expected', [
    (PIXELS[0, 0], 'uint8 [6]'), (PIXELS[:0], 'uint8 [0, 6, 6]'),
    (np.stack([PIXELS] * 4, axis=-1), 'uint8 [7, 6, 6, 4]'),
    (COLOURED[np.newaxis], 'uint8 [1, 7, 6, 6, 3]'),
    (PIXELS.astype(np.int64) << 20, 'int64'), (PIXELS / 1., 'floats in 0...1'),
    (PIXELS * np.nan, 'not finite'), (PIXELS // 128, 'multiply by 255'),
    (np.asfortranarray(PIXELS), 'C order'), (np.array([[[{}]]]), 'object')])
def test_stacks_that_cannot_be_used_are_named(array, expected, tmp_path):
  path = tmp_path / 'a.npy'
  np.save(path, array)
  data_util.assert_user_error([str(path), expected], lambda: read(path))


def test_damage_is_named(tmp_path):
  path = tmp_path / 'a.npy'
  np.save(path, PIXELS)
  whole = path.read_bytes()
  path.write_bytes(whole[:-40])
  data_util.assert_user_error(
      [str(path), '212 bytes for uint8 [7, 6, 6]', '252', 'cut short'],
      lambda: read(path))
  path.write_bytes(whole[:20])
  data_util.assert_user_error([str(path), 'damaged'], lambda: read(path))
  (tmp_path / 'b.npz').write_bytes(b'no archive')
  data_util.assert_user_error(['b.npz'], lambda: read(tmp_path / 'b.npz'))
  np.savez(tmp_path / 'c.npz', pictures=PIXELS)
  data_util.assert_user_error(
      ['images', 'only pictures'], lambda: read(tmp_path / 'c.npz'))
  (tmp_path / 'empty').mkdir()
  data_util.assert_user_error(
      ['without pictures'], lambda: read(tmp_path / 'empty'))


@pytest.mark.parametrize('shape', [
    (40, 20), (20, 40), (5, 10), (33, 33), (40, 20, 3)])
def test_fitted_boxes_come_back_where_they_were(shape):
  image = np.zeros(shape, np.uint8)
  y, x = shape[0] // 5, shape[1] // 2
  height, width = shape[0] // 5, shape[1] // 5
  image[y:y + height, x:x + width] = 255
  fitted, place = images_lib.fit(image, (60, 60))
  assert fitted.shape == (60, 60, *shape[2:])
  rows, columns = np.nonzero(fitted > 127)[:2]
  box = np.array([rows.min(), columns.min(), np.ptp(rows) + 1,
                  np.ptp(columns) + 1])
  np.testing.assert_allclose(
      place.boxes(box), [y, x, height, width], atol=1. / min(place.scales))
  assert place[1:] == tuple(  # In the middle.
      (60 - round(side * scale)) // 2
      for side, scale in zip(shape, place.scales))
  np.testing.assert_allclose(  # Proportions are kept.
      box[2] / box[3], height / width, rtol=.15)


@pytest.mark.parametrize('shape', [(3_000, 4_000), (2_000, 10), (7, 3)])
def test_the_whole_content_is_the_whole_picture(shape):
  fitted, place = images_lib.fit(np.full(shape, 255, np.uint8), (50, 50))
  rows, columns = np.nonzero(fitted)
  box = [rows.min(), columns.min(), np.ptp(rows) + 1, np.ptp(columns) + 1]
  np.testing.assert_allclose(place.boxes(np.array(box)), [0, 0, *shape])


@pytest.mark.parametrize('shape', [(40, 20), (5, 10), (33, 33), (90, 61)])
def test_fitted_masks_come_back_where_they_were(shape):
  mask = np.zeros(shape, np.uint8)
  mask[shape[0] // 5:shape[0] // 2, shape[1] // 4:-1] = 200
  fitted, place = images_lib.fit(mask, (60, 60))
  found = place.mask(np.uint8(fitted > 100), shape) > 0
  assert found.shape == shape
  # But for pixels at the edge.
  assert (found != (mask > 0)).sum() <= sum(shape) / max(1., *place.scales)


def test_an_image_of_the_right_size_is_left_alone():
  fitted, place = images_lib.fit(PIXELS[0], (6, 6))
  assert fitted is PIXELS[0] or np.array_equal(fitted, PIXELS[0])
  assert place == ((1., 1.), 0., 0.)

"""Truths and sizes that cannot be are refused; odd ones are one warning."""

import data_util
import numpy as np
import pytest

from air_tf import config as config_lib
from air_tf import errors
from air_tf import scene_options
from air_tf.data import datasets
from air_tf.data import digits as digits_lib
from air_tf.data import plausibility
from air_tf.data import scene_files
from air_tf.data import scenes as scenes_lib

pytestmark = pytest.mark.slow

FULL = data_util.some_scenes()
DIGITS = data_util.random_digits()

at, train_on = data_util.at, data_util.train_on
read_scenes, read_digits = data_util.read_scenes, data_util.read_digits
refused = data_util.assert_user_error


@pytest.mark.parametrize('changes, fragments', [
    (dict(x_train=(DIGITS.train_images > 99).astype(np.uint8)),
     ['train images', '0 to 1', 'multiply by 255']),
    (dict(x_test=DIGITS.test_images > 99), ['test images', 'bool']),
    (dict(y_train=at(DIGITS.train_labels, 2, -1)), ['train labels', '-1']),
    (dict(y_test=np.full(3, 2**40)), ['test labels', '2**31']),
    (dict(y_test=np.eye(3, 10)), ['test labels', '[3, 10]']),
    (dict(x_train=np.uint8(7)), ['train images', 'uint8 []'])])
def test_digits_that_cannot_be(tmp_path, changes, fragments):
  np.savez(tmp_path / 'a.npz', **dict(
      zip(data_util.KERAS, DIGITS, strict=True)) | changes)
  refused(['a.npz', 'expected', *fragments], read_digits, tmp_path / 'a.npz')


def suspicions(caplog, function, *args, **kwargs):
  """Returns the warnings that reading gives."""
  caplog.clear()
  with caplog.at_level('WARNING'):
    function(*args, **kwargs)
  return [x.getMessage() for x in caplog.records if x.levelname == 'WARNING']


@pytest.mark.parametrize('change, text', [
    (lambda d: d._replace(train_images=255 - d.train_images),
     'train images look dark on light'),
    (lambda d: d._replace(test_images=d.train_images[:9],
                          test_labels=d.train_labels[:9]),
     '100% of the test images are training images'),
    (lambda d: d._replace(test_images=d.test_images // 16), 'nearly black')])
def test_odd_digits_are_one_warning(tmp_path, caplog, change, text):
  digits = digits_lib.load('embedded')
  path = tmp_path / 'a.npz'
  save = lambda digits: np.savez(path, **dict(
      zip(data_util.KERAS, digits, strict=True)))
  save(digits)
  assert not suspicions(caplog, read_digits, path)
  save(change(digits))
  warning, = suspicions(caplog, read_digits, path)
  assert text in warning and str(path) in warning


# --- Truths -------------------------------------------------------------------
BOXES = FULL.boxes
NUM = 20


@pytest.mark.parametrize('value, fragments', [
    ((3., 3., np.inf, 5.), ['inf', 'finite']),
    ((3., -np.inf, 5., 5.), ['-inf', 'finite']),
    ((3., np.nan, 5., 5.), ['(3, nan, 5, 5)', 'four times NaN']),
    ((np.nan, 3., 5., 5.), ['four times NaN']),
    ((3., 3., 0., 5.), ['(3, 3, 0, 5)', 'above 0']),
    ((3., 3., 5., -5.), ['-5', 'above 0']),
    ((40., 3., 5., 5.), ['inside the 40 x 40']),
    ((3., -9., 5., 5.), ['inside the 40 x 40']),
    ((3., 3., 1e30, 5.), ['10 times the 40 x 40']),
    ((3., 3., 5., 401.), ['10 times the 40 x 40'])])
def test_boxes_that_cannot_be(tmp_path, value, fragments):
  path = tmp_path / 'a.npz'
  np.savez(path, **FULL._asdict() | {
      'boxes': at(BOXES.astype(np.float64), (7, 0), value)})
  refused([f'{path}: boxes: found', 'row 0 of scene 7', *fragments],
          read_scenes, path)


@pytest.mark.parametrize('changes, fragments', [
    (dict(counts=at(FULL.counts, 4, 1_601), boxes=None, labels=None),
     ['1,601 objects in scene 4', 'at most 1,600, its pixels']),
    (dict(counts=FULL.counts + 2), ['boxes', 'as in `counts`']),
    (dict(counts=at(FULL.counts, 0, -3)), ['counts', 'from -3', '0 ...']),
    (dict(labels=at(FULL.labels, (0, 0), -2)), ['labels', 'from -2', '-1 ...']),
    (dict(labels=FULL.labels[:, ::-1]), ['labels', 'order of `boxes`']),
    (dict(counts=np.int32(3)), ['counts', 'int32 []']),
    (dict(counts=FULL.counts.astype(np.complex64)), ['counts', 'complex']),
    (dict(images=np.uint8(3)), ['images', 'uint8 []'])])
def test_truths_that_cannot_be(tmp_path, changes, fragments):
  path = tmp_path / 'a.npz'
  np.savez(path, **{key: x for key, x in (FULL._asdict() | changes).items()
                    if x is not None})
  refused([f'{path}: ', 'expected', *fragments], read_scenes, path)


@pytest.mark.parametrize('change', [
    lambda x: x.astype(x.dtype.newbyteorder('>')), np.asfortranarray,
    lambda x: np.repeat(x, 2, axis=0)[::2]])
def test_arrays_in_any_order_are_the_same(tmp_path, change):
  np.savez(tmp_path / 'a.npz', **{
      key: change(x) for key, x in FULL._asdict().items()})
  data_util.assert_same(read_scenes(tmp_path / 'a.npz'), FULL)


def clear_scenes(num_scenes=60, canvas_size=40, **changes):
  """Scenes of digits that stand out, as people have them."""
  digits = digits_lib.load('embedded')
  return scenes_lib.compose(digits.test_images, digits.test_labels, **dict(
      num_scenes=num_scenes, canvas_size=canvas_size, counts=(0, 1, 2),
      digit_scale=(.5, .7), seed=0) | changes)


CLEAR = clear_scenes()


def corners(boxes):
  return np.concatenate([boxes[..., :2], boxes[..., :2] + boxes[..., 2:]], -1)


@pytest.mark.parametrize('change, reading', [
    (lambda b: corners(b)[..., [1, 0, 3, 2]], '(x1, y1, x2, y2);'),
    (corners, '(y1, x1, y2, x2);'), (lambda b: b / 40.,
                                '(y, x, height, width), as fractions'),
    (lambda b: corners(b)[..., [1, 0, 3, 2]] / 40.,
     '(x1, y1, x2, y2), as fractions'),
    (lambda b: b[..., [1, 0, 3, 2]], '(x, y, width, height);'),
    (lambda b: np.concatenate([b[..., :2] + b[..., 2:] / 2, b[..., 2:]], -1),
     '(y, x, height, width) of their centres')])
@pytest.mark.parametrize('backdrop', ['black', 'noise', 'grid'])
def test_boxes_in_other_units_are_one_warning(
    tmp_path, caplog, change, reading, backdrop):
  scenes = clear_scenes(backdrop=backdrop)
  path = tmp_path / 'a.npz'
  scene_files.write(str(path), scenes._replace(boxes=change(scenes.boxes)))
  warning, = suspicions(caplog, train_on, path)
  assert f'boxes look like {reading}' in warning and str(path) in warning
  assert 'expected (y, x, height, width) in pixels' in warning


@pytest.mark.parametrize('change, text', [
    (lambda x: x * 0, 'all images are black'),
    (lambda x: 255 - x, 'dark on light'),
    (lambda x: np.repeat(x[1:2], len(x), axis=0), 'images are the same'),
    (lambda x: x // 16, 'nearly black (at most 15 of 255)')])
def test_odd_images_are_one_warning(tmp_path, caplog, change, text):
  path, other = str(tmp_path / 'a.npz'), str(tmp_path / 'b.npz')
  np.savez(path, images=CLEAR.images)
  np.savez(other, images=change(clear_scenes(seed=1).images))
  warning, = suspicions(
      caplog, train_on, path, test_scenes=other)
  assert text in warning and other in warning


def test_testing_on_training_scenes_is_one_warning(tmp_path, caplog):
  path, other = str(tmp_path / 'a.npz'), str(tmp_path / 'b.npz')
  np.savez(path, images=CLEAR.images)
  np.savez(other, images=CLEAR.images[20:30])
  for test in (path, other):
    warning, = suspicions(caplog, train_on, path, test_scenes=test)
    assert '100% of the test images are training images' in warning
  np.savez(path, images=np.tile(CLEAR.images[:20], (5, 1, 1)))
  warning, = suspicions(caplog, train_on, path)  # A tenth is held out.
  assert 'of the test images are training images' in warning


@pytest.mark.parametrize('changes', [
    *(dict(backdrop=kind, backdrop_level=level)
      for kind in scene_options.BACKDROPS for level in (.4, 1.)),
    dict(counts=(3,), overlap=True), dict(counts=(1,), digit_scale=(1., 1.)),
    dict(canvas_size=100, counts=(0, 9)), dict(digit_scale=(.1, .1)),
    dict(canvas_size=24, counts=(1,), digit_scale=(1., 1.)),
    dict(num_scenes=2, counts=(2,)), dict(num_scenes=1, counts=(1,))])
@pytest.mark.parametrize('source', ['embedded', 'sprites'])
def test_good_scenes_of_all_kinds_pass_without_a_warning(source, changes):
  digits = digits_lib.load(source)
  for seed in range(3):
    scenes = scenes_lib.compose(
        digits.train_images, digits.train_labels, **dict(
            num_scenes=50, canvas_size=50, counts=(0, 1, 2), seed=seed
            ) | changes)
    assert plausibility.scene_suspicions(scenes) == []


# --- Sizes --------------------------------------------------------------------
@pytest.mark.parametrize('side, fragments', [
    (4, ['4 x 4 pixels', 'from 8 to 1024']),
    (1_100, ['1100 x 1100 pixels', 'from 8 to 1024']),
    (20, ['20 x 20 pixels', '--object_size=22', 'lower --object_size'])])
def test_sizes_of_a_file_are_said_of_the_file(tmp_path, side, fragments):
  path = tmp_path / 'a.npz'
  np.savez(path, images=np.full([3, side, side], 9, np.uint8))
  refused([f'{path}: images: found', *fragments], train_on, path)
  with pytest.raises(errors.UserError) as raised:
    train_on(path)
  assert 'canvas_size' not in str(raised.value)


def test_the_size_of_the_file_is_what_objects_are_compared_with(tmp_path):
  path = tmp_path / 'a.npz'
  scene_files.write(str(path), clear_scenes(canvas_size=80))
  _, test = train_on(path, object_size=60.)
  config = datasets.with_image_shape(
      config_lib.Config(scenes=str(path), object_size=60.), test)
  assert config.canvas_size == 80 and config.scale_prior_mean > 0.
  refused(['--object_size=60', '--canvas_size=50'], config_lib.Config,
          object_size=60.)

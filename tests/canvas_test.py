import data_util
import numpy as np
from PIL import Image

from air_tf.plotting import canvas


def test_a_box_is_plotted_where_it_is():
  image = np.zeros([20, 20])
  empty = canvas.rgb(canvas.plot_boxes(image, np.zeros([0, 4])))
  boxed = canvas.rgb(canvas.plot_boxes(image, np.array([[2., 10., 4., 8.]])))
  rows, columns = np.nonzero(np.any(empty != boxed, axis=-1))
  height, width = empty.shape[:2]
  # The axes fill .02 ... .98 of the width and .12 ... .98 of the height.
  x = lambda column: (column / width - .02) / .96 * 20
  y = lambda row: (row / height - .12) / .86 * 20
  np.testing.assert_allclose(
      [x(columns.min()), x(columns.max()), y(rows.min()), y(rows.max())],
      [10., 18., 2., 6.], atol=.3)


def test_bytes_and_floats_look_alike():
  image = np.random.default_rng(0).integers(0, 256, [9, 9, 3], np.uint8)
  plot = lambda x: canvas.rgb(canvas.plot_boxes(x, np.zeros([0, 4])))
  np.testing.assert_array_equal(plot(image), plot(image / 255.))
  assert np.any(plot(image) != plot(image // 2))


def test_save_writes_what_rgb_shows_and_makes_the_folder(tmp_path):
  path = tmp_path / 'new' / 'figure.png'
  fig = canvas.plot_boxes(np.eye(5), np.array([[1., 1., 2., 2.]]), 'title')
  canvas.save(fig, path)
  with Image.open(path) as picture:
    np.testing.assert_array_equal(
        np.asarray(picture.convert('RGB')), canvas.rgb(fig))
  assert [file.name for file in path.parent.iterdir()] == ['figure.png']


def test_a_figure_that_cannot_be_written_is_a_user_error(tmp_path):
  (tmp_path / 'file').touch()
  path = tmp_path / 'file' / 'figure.png'
  data_util.assert_user_error(
      [str(path), 'cannot be written'], canvas.save,
      canvas.plot_boxes(np.eye(5), np.zeros([0, 4])), path)

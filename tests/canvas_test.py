import matplotlib.image
import numpy as np
import tiny

from air_tf import explain as explain_lib
from air_tf import model as model_lib
from air_tf.plotting import canvas


def answer_for(num_images):
  images = tiny.images(num_images)
  model = model_lib.AIRModel(tiny.config())
  model.infer(images)
  return images.numpy(), {
      name: value.numpy() for name, value in explain_lib.explain(
          model, images).as_dict().items()}


def test_progress_shows_its_images_in_order():
  images, answer = answer_for(2)
  answer['num_steps'][:], answer['presence'][:] = 3, 1.
  pixels = canvas.rgb(canvas.progress(images, answer))
  darker = canvas.rgb(canvas.progress(images * [[[1.]], [[0.]]], answer))
  changed = np.argwhere(np.any(pixels != darker, axis=-1))
  # The second input only: right of the first, in the first row.
  assert changed[:, 1].min() > pixels.shape[1] * .5
  assert changed[:, 0].max() < pixels.shape[0] * .25


def test_progress_marks_wrong_counts_and_draws_present_boxes_only():
  images, answer = answer_for(1)
  answer['num_steps'][:], answer['presence'][:] = 1, [1., 0., 0.]
  texts = lambda fig: [t.get_text() for t in fig.axes[0].texts]
  assert any(text == '1 of 2 ✗' for text in texts(
      canvas.progress(images, answer, np.array([2]))))
  fig = canvas.progress(images, answer, np.array([1]))
  assert any(text == '1 of 1' for text in texts(fig))
  assert len(fig.axes[0].patches) == 1


def test_progress_gives_the_probability_that_a_step_is_taken():
  images, answer = answer_for(1)
  answer['num_steps_probs'][:] = [.1, .2, .3, .4]
  texts = [t.get_text() for t in canvas.progress(
      images, answer).axes[0].texts]
  assert texts[-3:] == ['90 %', '70 %', '40 %']


def test_overlay_draws_a_box_where_it_is():
  image = np.zeros([20, 20])
  empty = canvas.rgb(canvas.draw_boxes(image, np.zeros([0, 4])))
  boxed = canvas.rgb(canvas.draw_boxes(image, np.array([[2., 10., 4., 8.]])))
  rows, columns = np.nonzero(np.any(empty != boxed, axis=-1))
  height, width = empty.shape[:2]
  # The axes fill .02 ... .98 of the width and .12 ... .98 of the height.
  x = lambda column: (column / width - .02) / .96 * 20
  y = lambda row: (row / height - .12) / .86 * 20
  np.testing.assert_allclose(
      [x(columns.min()), x(columns.max()), y(rows.min()), y(rows.max())],
      [10., 18., 2., 6.], atol=.3)


def test_save_writes_a_png_and_makes_the_folder(tmp_path):
  path = tmp_path / 'new' / 'figure.png'
  canvas.save(canvas.draw_boxes(np.eye(5), np.zeros([0, 4]), 'title'), path)
  assert matplotlib.image.imread(path).shape == (275, 250, 4)
  assert [file.name for file in path.parent.iterdir()] == ['figure.png']

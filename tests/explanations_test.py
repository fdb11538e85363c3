"""Tests of plotting/explanations.py and plotting/samples.py."""

import collections

import numpy as np

from air_tf import plotting
from air_tf.plotting import canvas
from air_tf.plotting import explanations
from air_tf.plotting import samples


def make(counts, num_steps=3):
  """Returns images [N, 16, 16], and an explanation with the given counts."""
  rng = np.random.default_rng(0)
  counts = np.array(counts)
  num_images = len(counts)
  pmf = np.tile([.1, .2, .3, .4], [num_images, 1])
  return rng.random([num_images, 16, 16]), {
      'num_steps': counts, 'num_steps_probs': pmf,
      'step_probs': np.tile([.9, .7, .4], [num_images, 1]),
      'presence': 1. * (np.arange(num_steps) < counts[:, np.newaxis]),
      'boxes': np.full([num_images, num_steps, 4], 5.),
      'tight_boxes': np.full([num_images, num_steps, 4], 5.),
      'canvases': rng.random([num_images, num_steps, 16, 16]),
      'glimpses': rng.random([num_images, num_steps, 6, 6]),
      'reconstruction': rng.random([num_images, 16, 16])}


def texts(fig):
  return [text.get_text() for axes in fig.axes for text in axes.texts]


def test_progress_shows_its_images_in_order():
  images, explanation = make([3, 3])
  pixels = canvas.rgb(explanations.progress(images, explanation))
  darker = canvas.rgb(
      explanations.progress(images * [[[1.]], [[0.]]], explanation))
  changed = np.argwhere(np.any(pixels != darker, axis=-1))
  # The second input only: right of the first, in the first row.
  assert changed[:, 1].min() > pixels.shape[1] * .5
  assert changed[:, 0].max() < pixels.shape[0] * .25


def test_progress_marks_wrong_counts_and_plots_present_boxes_only():
  images, explanation = make([1])
  assert '1 of 2 ✗' in texts(
      explanations.progress(images, explanation, np.array([2])))
  fig = explanations.progress(images, explanation, np.array([1]))
  assert '1 of 1' in texts(fig)
  assert len(fig.axes[0].patches) == 1
  faint = [image for image in fig.axes[0].images if image.get_alpha() < 1.]
  assert len(faint) == 4  # Canvas and glimpse of two absent steps.


def test_progress_gives_the_probability_that_a_step_is_taken():
  assert texts(explanations.progress(*make([2])))[-3:] == [
      '90 %', '70 %', '40 %']


def test_progress_takes_named_tuples_and_bytes():
  images, explanation = make([1, 2])
  images = np.round(255. * images).astype(np.uint8)
  tuple_type = collections.namedtuple('Tuple', [*explanation, 'background'])
  as_tuple = tuple_type(**explanation, background=None)
  np.testing.assert_array_equal(
      canvas.rgb(plotting.progress(images, as_tuple, np.array([1, 1]))),
      canvas.rgb(plotting.progress(
          images / 255., explanation, np.array([1, 1]))))


def test_film_strip_has_a_row_per_step_and_says_where_it_stops():
  attended = np.zeros([3, 6, 6])
  def plot(count):
    images, explanation = make([count])
    return explanations.film_strip(
        images[0], attended, {name: x[0] for name, x in explanation.items()})
  fig = plot(2)
  assert len(fig.axes[0].images) == 2 * 4 and len(fig.axes[0].patches) == 2 * 2
  assert 'stop' in texts(fig) and 'step 3\nP = 40 %' in texts(fig)
  fig = plot(3)
  assert len(fig.axes[0].images) == 3 * 4 and 'stop' not in texts(fig)
  assert 'stop' in texts(plot(0))


def test_worst_errors_show_boxes_and_distribution():
  images, explanation = make([1, 2])
  fig = explanations.worst_errors(images, explanation, np.array([2, 2]))
  assert {'1 of 2 ✗', '2 of 2'} <= set(texts(fig))
  bars = fig.axes[0].patches[1:5]  # After the one box of the first scene.
  np.testing.assert_allclose(
      [-bar.get_height() for bar in bars], [.1, .2, .3, .4])
  assert bars[2].get_facecolor() == (0., 0., 0., 1.) != bars[1].get_facecolor()


def test_balanced_selection_takes_counts_in_turn_the_first_of_each():
  counts = np.array([0, 0, 0, 1, 2, 2, 1, 0])
  select = explanations.balanced_selection
  assert select(counts, 8, 5).tolist() == [4, 3, 0, 5, 6]
  assert select(None, 8, 3).tolist() == [0, 1, 2]
  assert sorted(select(counts, 8, 99)) == list(range(8))


def test_grid_puts_each_image_in_its_row_and_column():
  images = np.random.default_rng(0).random([2, 3, 4, 4])
  fig = samples.grid(images, ['a', 'b'], ['1', '2', '3'])
  pictures = fig.axes[0].images
  assert len(pictures) == 6 and texts(fig) == ['a', 'b', '1', '2', '3']
  for picture in pictures:
    left, _, _, top = picture.get_extent()
    column, row = (round(x / (1. + canvas.GAP)) for x in (left, top))
    np.testing.assert_array_equal(picture.get_array(), images[row, column])


def test_principal_directions_are_those_that_codes_were_made_along():
  rng = np.random.default_rng(0)
  scales = np.array([.1, 3., 1., .5])
  directions, fractions = samples.principal_directions(
      rng.normal(size=[5_000, 4]) * scales, 2)
  np.testing.assert_allclose(
      directions, [[0., 3., 0., 0.], [0., 0., 1., 0.]], atol=.15)
  np.testing.assert_allclose(
      fractions, (scales ** 2)[1:3] / np.sum(scales ** 2), atol=.02)

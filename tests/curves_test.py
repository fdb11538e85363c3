import numpy as np

from air_tf.plotting import canvas
from air_tf.plotting import curves as curves_lib
from air_tf.plotting import explanations
from air_tf.plotting import gallery


def lines(steps=(10, 20)):
  return [{'step': step, 'split': split, 'elbo': step + i, 'kl_what': 3.,
           'log_likelihood': 2. * step, 'kl_where': 1., 'kl_num_steps': 1.,
           'count_accuracy': .9, 'count_accuracy/0': 1.,
           'count_accuracy/10': .8}
          for step in steps for i, split in enumerate(('train', 'test'))]


def texts(fig):
  return [text.get_text() for axes in fig.axes for text in axes.texts]


def test_accuracy_has_a_curve_a_count_on_a_scale_of_mistakes():
  axes, = curves_lib.accuracy(
      [x for x in lines() if x['split'] == 'test'], num_scenes=50).axes
  found = {line.get_label(): line for line in axes.get_lines()}
  assert list(found) == ['all scenes', 'true count 0', 'true count 10']
  np.testing.assert_allclose(found['all scenes'].get_ydata(), .1)
  np.testing.assert_allclose(found['true count 10'].get_ydata(), .2)
  np.testing.assert_allclose(found['true count 0'].get_ydata(), .01)  # Top.
  assert axes.get_ylim() == (1., .01)
  names = [text.get_text() for text in axes.get_yticklabels()]
  assert names[0] == '0 %' and names[-1] == 'all right' and '90 %' in names


def test_elbo_has_a_panel_more_for_a_background():
  fig = curves_lib.elbo([x | {'kl_background': 4.} for x in lines()])
  assert fig.axes[-1].get_title() == 'KL background'
  np.testing.assert_array_equal(fig.axes[-1].get_lines()[0].get_ydata(), [4, 4])
  assert fig.legends


def test_elbo_has_a_panel_a_term_and_both_splits():
  panels = curves_lib.elbo(lines()).axes
  assert panels[0].get_title() == 'ELBO'
  held_out, training = panels[0].get_lines()
  np.testing.assert_array_equal(held_out.get_ydata(), [11., 21.])
  np.testing.assert_array_equal(training.get_ydata(), [10., 20.])
  np.testing.assert_array_equal(
      panels[1].get_lines()[0].get_ydata(), [20., 40.])


def test_policy_puts_each_glimpse_in_the_panel_and_colour_of_its_step():
  boxes = np.array([[[0., 0., 4., 8.], [10., 10., 2., 2.]],
                    [[2., 2., 4., 4.], [0., 0., 0., 0.]]])
  presence = np.array([[1., 1.], [1., 0.]])
  panels = curves_lib.policy(boxes, presence, (20, 30)).axes
  first, second = (panel.collections[0].get_offsets() for panel in panels[1:])
  assert sorted(first.tolist()) == [[4., 2.], [4., 4.]]  # (x, y).
  assert second.tolist() == [[11., 11.]]
  assert panels[1].get_title() == 'glimpse 1: 2 of\n2 scenes'
  assert panels[0].get_xlim() == (0., 30.) and panels[0].get_ylim() == (20., 0.)
  shades = panels[0].collections[0].get_facecolors()[:, :3]
  assert len(np.unique(shades, axis=0)) == 2


def test_label_efficiency_has_a_panel_a_task():
  curves = {'latents': [.5, .9], 'pixels': [.1, .2], 'chance': .5}
  panels = curves_lib.label_efficiency(
      [100, 1000], {'one': curves, 'two': curves}).axes
  assert [axes.get_title() for axes in panels] == ['one', 'two']
  np.testing.assert_allclose(panels[0].get_lines()[0].get_ydata(), [50., 90.])
  assert [text.get_text() for text in panels[0].get_xticklabels()] == [
      '100', '1,000']


def story(count):
  rng = np.random.default_rng(0)
  return {'num_steps': np.array(count), 'boxes': np.ones([3, 4]) * 5.,
          'num_steps_probs': np.array([.1, .2, .3, .4]),
          'glimpses': rng.random([3, 6, 6]),
          'canvases': rng.random([3, 16, 16])}


def test_film_strip_has_a_row_a_step_and_says_where_it_stops():
  image, seen = np.zeros([16, 16]), np.zeros([3, 6, 6])
  fig = explanations.film_strip(image, seen, story(2))
  assert len(fig.axes[0].images) == 2 * 4 and len(fig.axes[0].patches) == 2 * 2
  assert 'stop' in texts(fig) and 'step 3\ntaken: 40 %' in texts(fig)
  fig = explanations.film_strip(image, seen, story(3))
  assert len(fig.axes[0].images) == 3 * 4 and 'stop' not in texts(fig)
  assert 'stop' in texts(explanations.film_strip(image, seen, story(0)))


def test_worst_shows_the_boxes_and_what_was_thought():
  answer = {'num_steps': np.array([1, 2]), 'boxes': np.ones([2, 3, 4]) * 5.,
            'num_steps_probs': np.array([[.1, .6, .2, .1], [0., 0., 1., 0.]]),
            'reconstruction': np.zeros([2, 16, 16])}
  fig = explanations.worst(np.zeros([2, 16, 16]), answer, np.array([2, 2]))
  assert {'1 of 2 ✗', '2 of 2'} <= set(texts(fig))
  bars = fig.axes[0].patches[1:5]  # Behind the one box of the first scene.
  np.testing.assert_allclose(
      [-bar.get_height() for bar in bars], [.1, .6, .2, .1])
  assert bars[2].get_facecolor() == (0., 0., 0., 1.) != bars[1].get_facecolor()


def test_principal_directions_are_those_that_codes_were_made_along():
  rng = np.random.default_rng(0)
  scales = np.array([.1, 3., 1., .5])
  found, shares = gallery.principal_directions(
      rng.normal(size=[5_000, 4]) * scales, 2)
  np.testing.assert_allclose(
      found, [[0., 3., 0., 0.], [0., 0., 1., 0.]], atol=.15)
  np.testing.assert_allclose(
      shares, (scales ** 2)[1:3] / np.sum(scales ** 2), atol=.02)


def test_spread_takes_counts_in_turn_the_first_of_each():
  counts = np.array([0, 0, 0, 1, 2, 2, 1, 0])
  assert canvas.spread(counts, 8, 5).tolist() == [4, 3, 0, 5, 6]
  assert canvas.spread(None, 8, 3).tolist() == [0, 1, 2]
  assert sorted(canvas.spread(counts, 8, 99)) == list(range(8))

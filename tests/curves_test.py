import numpy as np

from air_tf.plotting import curves as curves_lib


def lines(steps=(10, 20)):
  return [{'step': step, 'split': split, 'elbo': step + i, 'kl_what': 3.,
           'log_likelihood': 2. * step, 'kl_where': 1., 'kl_num_steps': 1.,
           'count_accuracy': .9, 'count_accuracy/0': 1.,
           'count_accuracy/10': .8}
          for step in steps for i, split in enumerate(('train', 'test'))]


def test_accuracy_has_a_curve_a_count_on_a_scale_of_mistakes():
  axes, = curves_lib.accuracy(
      [x for x in lines() if x['split'] == 'test'], num_scenes=50).axes
  curves = {line.get_label(): line for line in axes.get_lines()}
  assert list(curves) == ['all scenes', 'true count 0', 'true count 10']
  np.testing.assert_allclose(curves['all scenes'].get_ydata(), .1)
  np.testing.assert_allclose(curves['true count 10'].get_ydata(), .2)
  np.testing.assert_allclose(curves['true count 0'].get_ydata(), .01)  # Top.
  assert axes.get_ylim() == (1., .01)
  names = [text.get_text() for text in axes.get_yticklabels()]
  assert names[0] == '0 %' and names[-1] == '100 %' and '90 %' in names


def test_accuracy_has_a_gap_where_a_true_count_was_not_measured():
  measured = [x for x in lines((10, 20, 30)) if x['split'] == 'test']
  del measured[1]['count_accuracy/10']
  curve = curves_lib.accuracy(measured, num_scenes=50).axes[0].get_lines()[2]
  np.testing.assert_allclose(curve.get_ydata(), [.2, np.nan, .2])


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
  assert panels[1].get_title() == 'step 1: 2 of\n2 scenes'
  assert panels[0].get_xlim() == (0., 30.) and panels[0].get_ylim() == (20., 0.)
  shades = panels[0].collections[0].get_facecolors()[:, :3]
  assert len(np.unique(shades, axis=0)) == 2


def test_label_efficiency_has_a_panel_a_task():
  curves = {'latents': [[.4, .9], [.5, .8], [.9, 1.]], 'pixels': [[.1, .2]],
            'chance': .5}
  panels = curves_lib.label_efficiency(
      [100, 1000], {'one': curves, 'two': curves}).axes
  assert [axes.get_title() for axes in panels] == ['one', 'two']
  np.testing.assert_allclose(panels[0].get_lines()[0].get_ydata(), [50., 90.])
  assert [text.get_text() for text in panels[0].get_xticklabels()] == [
      '100', '1,000']
  band = panels[0].collections[0].get_paths()[0].vertices
  assert {40., 80., 90., 100.} <= set(band[:, 1].round(6))


def test_elbo_leaves_out_what_a_line_of_somebody_else_lacks():
  measured = lines()
  for name in 'log_likelihood', 'kl_what':
    del measured[-1][name]
  shown = {axes.get_title(): axes.get_lines()
           for axes in curves_lib.elbo(measured).axes if axes.get_lines()}
  assert sorted(len(line.get_xdata()) for x in shown.values() for line in x
                ).count(1) == 2

import numpy as np

from air_tf.plotting import canvas
from air_tf.plotting import seeds as seeds_lib

PUBLISHED = seeds_lib.Published('read off', [(20, .5)], [(5, 10, .2, .4)])


def test_counting_curves_have_a_panel_a_recipe_and_a_curve_a_seed():
  curve = [10, 20], [.25, .75]
  fig = seeds_lib.counting_curves(
      {'one': {0: curve, 4: curve}, 'two': {4: curve}}, PUBLISHED)
  assert [axes.get_title() for axes in fig.axes] == ['one', 'two']
  lines = [{line.get_label(): line for line in axes.get_lines()}
           for axes in fig.axes]
  assert [set(x) for x in lines] == [
      {'seed 0', 'seed 4', 'read off'}, {'seed 4', 'read off'}]
  np.testing.assert_allclose(lines[0]['seed 0'].get_ydata(), [25., 75.])
  # A seed has one colour in all panels.
  assert lines[0]['seed 4'].get_color() == lines[1]['seed 4'].get_color()
  assert lines[0]['seed 0'].get_color() != lines[0]['seed 4'].get_color()
  names = [text.get_text() for text in fig.legends[0].get_texts()]
  assert sorted(names) == ['read off', 'read off: range', 'seed 0', 'seed 4']


def test_what_is_published_is_in_every_panel_as_marks_and_ranges():
  fig = seeds_lib.counting_curves(
      {'one': {0: ([1], [1.])}, 'two': {0: ([1], [1.])}}, PUBLISHED)
  for axes in fig.axes:
    mark, = [x for x in axes.get_lines() if x.get_label() == 'read off']
    assert mark.get_xydata().tolist() == [[20., 50.]]
    assert mark.get_linestyle() == 'None'  # Nobody knows what is between.
    box, = (x.get_paths()[0].get_extents() for x in axes.collections)
    assert (box.x0, box.x1) == (5., 10.)
    np.testing.assert_allclose([box.y0, box.y1], [20., 40.])


def ladder(rungs):
  return seeds_lib.ladder(
      [seeds_lib.Rung(*x) for x in rungs], .95, 100, num_scenes=50).axes


def marks(axes):
  """(x, row, mark) of each run, without the line at the level."""
  return [(*np.round(line.get_xydata()[0], 6), line.get_marker())
          for line in axes.get_lines() if line.get_marker() != 'None']


def test_ladder_has_a_mark_a_seed_in_the_row_of_its_rung():
  left, right = ladder([('first', [.5, 1.], [None, 80]),
                        ('second', [.96], [20])])
  assert [x.get_text() for x in left.get_yticklabels()] == ['first', 'second']
  assert left.get_ylim()[0] > left.get_ylim()[1]  # The first is on top.
  # The axis ends at half a mistake in 50 scenes.
  assert [x[::2] for x in marks(left)] == [(.5, 'x'), (.01, 'o'), (.04, 'o')]
  assert [round(x[1]) for x in marks(left)] == [0, 0, 1]
  assert len({x[1] for x in marks(left)}) == 3  # None hides another.
  assert [x[::2] for x in marks(right)] == [
      (115., 'x'), (80., 'o'), (20., 'o')]


def test_ladder_tells_who_never_got_there_and_who_did_not_stay():
  left, right = ladder([('lost', [.5, .5], [40, None])])
  assert [x[2] for x in marks(left)] == ['x', 'x']
  assert [x[2] for x in marks(right)] == ['o', 'x']
  ticks = dict(zip(np.round(right.get_xticks(), 6), (
      x.get_text() for x in right.get_xticklabels())))
  assert ticks[115.] == 'never' and ticks[100.] == '100'
  assert {'0 of 2', 'successes'} == {x.get_text() for x in right.texts}


def test_scan_maps_have_a_row_a_recipe_and_the_colours_of_steps():
  counts = np.zeros([2, 5, 5], int)
  counts[0, 0, 0] = counts[1, 4, 2] = 4
  counts[:, 1, 1] = [3, 1]
  counts[0, 3, 3] = 1
  fig = seeds_lib.scan_maps({
      'one': {0: (counts, [.5, .25]), 1: (counts, None)},
      'two': {3: (np.zeros([2, 5, 5], int), None)}})
  one, other, two, empty = fig.axes
  assert [x.get_title() for x in (one, other, two)] == [
      'seed 0', 'seed 1', 'seed 3']
  assert [one.get_ylabel(), two.get_ylabel()] == ['one', 'two']
  assert not empty.axison
  shown = one.images[0].get_array()
  colour = lambda t: np.array([int(canvas.step_colour(t)[i:i + 2], 16) / 255.
                               for i in (1, 3, 5)])
  close = lambda found, expected: np.testing.assert_allclose(
      found, expected, atol=1e-6)
  close(shown[0, 0], colour(0))
  close(shown[4, 2], colour(1))
  close(shown[1, 1], .75 * colour(0) + .25 * colour(1))
  close(shown[3, 3], (colour(0) + shown[2, 2]) / 2.)  # A quarter as many.
  close(shown[2, 2], shown[2, 2, 0])  # Nothing there: grey.
  # (right, down): y points down in a map.
  arrow, = one.texts
  np.testing.assert_allclose(
      np.subtract(arrow.xy, arrow.xyann), [.4, .2], atol=1e-6)
  assert one.get_ylim() == (1., 0.)
  assert not other.texts
  assert [x.get_text() for x in two.texts] == ['no glimpse']

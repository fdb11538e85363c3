"""Animations: what each frame shows, and what the file holds."""

import numpy as np
from PIL import Image
import pytest

from air_tf import errors
from air_tf.plotting import canvas
from air_tf.plotting import films
from air_tf.studies import training_film
from air_tf.training import summaries


def explanation(counts, num_steps=2):
  """Boxes in the middle; the canvas after step t is t / T everywhere."""
  shape = len(counts), num_steps
  return dict(
      num_steps=np.array(counts),
      boxes=np.tile([4., 4., 8., 8.], [*shape, 1]),
      glimpses=np.ones([*shape, 4, 4]),
      canvases=np.broadcast_to(
          np.arange(1, num_steps + 1)[:, None, None] / num_steps,
          [*shape, 16, 16]))


def frames(*counts):
  return list(films.explained(
      np.zeros([len(counts), 16, 16]), np.full([len(counts), 2, 4, 4], .5),
      explanation(counts)))


def panel(frame, column):
  """The colour in the corner of a panel, inside of its edge."""
  rows, columns = frame.pixels.shape[:2]
  pitch = 1. + 2 * canvas.GAP
  unit = columns / (canvas.GAP + 4 * pitch)
  x = round((canvas.GAP + column * pitch + .06) * unit)
  y = round((.3 + .06) * unit)
  return tuple(int(v) for v in frame.pixels[y, x])


def test_each_step_fills_its_panels_one_after_another():
  found = frames(2)
  assert len(found) == 1 + 2 * 4 + 1
  read = [panel(frame, 1)[0] for frame in found]
  infer = [panel(frame, 2)[0] for frame in found]
  write = [panel(frame, 3)[0] for frame in found]
  empty, half = 238, 128  # Matplotlib rounds up.
  assert read == [empty, empty, *3 * [half], empty, *4 * [half]]
  assert infer == [empty] * 3 + [255] * 2 + [empty] * 2 + [255] * 3
  assert write == [0] * 4 + [half] * 4 + [255] * 2


def test_a_box_is_shown_where_attention_is():
  before, attend = frames(1)[:2]
  colour = tuple(int(canvas.STEP_COLOURS[0][i:i + 2], 16) for i in (1, 3, 5))
  has = lambda frame: (np.abs(
      frame.pixels.astype(int) - colour).sum(-1) < 60).sum() > 50
  assert not has(before) and has(attend)


def test_without_objects_it_stops_at_once():
  found = frames(0)
  assert len(found) == 2
  assert panel(found[1], 3) == (0, 0, 0)


def test_a_gif_repeats_with_all_frames_and_their_times(tmp_path):
  path = tmp_path / 'new' / 'film.gif'
  found = frames(1, 0)
  films.save_gif(iter(found), path)
  with Image.open(path) as picture:
    assert picture.n_frames == len(found) == 8
    assert picture.info['loop'] == 0
    for i, frame in enumerate(found):
      picture.seek(i)
      assert picture.info['duration'] == round(1000 * frame.seconds)
      error = np.abs(np.asarray(picture.convert('RGB')).astype(float)
                     - frame.pixels)
      assert error.mean() < 3.


def test_what_cannot_be_written_is_one_line(tmp_path):
  (tmp_path / 'file').touch()
  with pytest.raises(errors.UserError, match='cannot be written'):
    films.save_gif(frames(0), tmp_path / 'file' / 'film.gif')
  with pytest.raises(ValueError, match='no frame'):
    films.save_gif([], tmp_path / 'film.gif')


def test_training_is_filmed_from_its_events(tmp_path):
  assert training_film.frames(tmp_path) == []
  writer = summaries.Writer(tmp_path)
  levels = {100: 0, 500: 120, 1000: 250}
  for iteration, level in levels.items():
    writer.image('progress', np.full([40, 70, 3], level, np.uint8), iteration)
  # The run was resumed: iteration 500 was drawn again.
  writer.image('progress', np.full([40, 70, 3], 60, np.uint8), 500)
  writer.flush()
  found = training_film.frames(tmp_path)
  assert [int(frame.pixels[-1, 0, 0]) for frame in found] == [0, 60, 250]
  assert found[0].pixels.shape == (424, 700, 3)
  assert found[-1].seconds > found[0].seconds


def test_cards_of_scenes_are_put_together(tmp_path):
  writer = summaries.Writer(tmp_path)
  writer.image('progress', np.zeros([40, 70, 3], np.uint8), 1)  # Before.
  for iteration, height in ((1, 10), (2, 20)):
    cards = np.full([7, height, 14, 3], 30 * iteration, np.uint8)
    cards[5] = 200  # The first of the second row.
    writer.images('scenes', cards, iteration)
  writer.flush()
  first, second = (frame.pixels for frame in training_film.frames(tmp_path))
  # Five in a row, each 140 pixels wide; both frames as high as the larger.
  assert first.shape == second.shape == (24 + 2 * 200, 700, 3)
  middle = lambda pixels, row, column, height: pixels[
      24 + int((row + .5) * height), int((column + .5) * 140), 0]
  assert middle(second, 0, 4, 200) == middle(second, 1, 1, 200) == 60
  assert middle(second, 1, 0, 200) == 200
  assert middle(second, 1, 2, 200) == 255  # There is no eighth.
  assert middle(first, 0, 0, 100) == 30 and middle(first, 2, 0, 100) == 255


def test_long_training_is_thinned_out_evenly(tmp_path):
  writer = summaries.Writer(tmp_path)
  for i in range(100):
    writer.image('progress', np.full([2, 4, 3], 2 * i, np.uint8), i)
  writer.flush()
  levels = [int(f.pixels[-1, 0, 0]) for f in training_film.frames(tmp_path)]
  assert len(levels) == 40 and levels[0] == 0 and levels[-1] == 198
  assert set(np.diff(levels)) == {4, 6}

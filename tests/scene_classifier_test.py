import numpy as np
import pytest
import tiny

from air_tf.studies import scene_classifier


def codes(num, seed):
  """Codes of three classes, and their classes."""
  rng = np.random.default_rng(seed)
  y = rng.integers(3, size=num)
  x = np.eye(3, 5)[y] + .3 * rng.normal(size=[num, 5])
  return x.astype(np.float32), y


def images(num, seed):
  """A white square on coloured noise, on the left or on the right."""
  rng = np.random.default_rng(seed)
  y = rng.integers(2, size=num)
  x = rng.integers(60, size=[num, 16, 16, 3])
  rows, columns = rng.integers(12, size=num), rng.integers(4, size=num)
  for image, row, column in zip(x, rows, columns + 8 * y, strict=True):
    image[row:row + 4, column:column + 4] += 150
  return x.astype(np.uint8), y


# Compiling takes most of the time: one dropout where two say no more.
@pytest.mark.parametrize('make, dropouts', [(codes, (0., .5)), (images, (0.,))])
def test_what_tells_classes_apart_is_learnt(make, dropouts, monkeypatch):
  monkeypatch.setattr(scene_classifier, '_EPOCHS', 6)
  monkeypatch.setattr(scene_classifier, '_DROPOUTS', dropouts)
  found = scene_classifier.accuracy(
      *make(300, 1), *make(300, 2), num_answers=3)
  # The best classifier of these codes has .94.
  assert found >= .9


def test_answers_that_inputs_do_not_tell_are_left_to_chance(monkeypatch):
  monkeypatch.setattr(scene_classifier, '_EPOCHS', 6)
  monkeypatch.setattr(scene_classifier, '_DROPOUTS', (0.,))
  (x, _), (x_test, _) = codes(300, 1), codes(1_000, 2)
  rng = np.random.default_rng(3)
  y, y_test = rng.integers(2, size=300), rng.integers(2, size=1_000)
  found = scene_classifier.accuracy(x, y, x_test, y_test, num_answers=2)
  # Six standard deviations: a right classifier fails once in 10^9.
  assert abs(found - .5) < 6. * np.sqrt(.25 / 1_000)


def test_equal_seeds_give_equal_networks(monkeypatch):
  monkeypatch.setattr(scene_classifier, '_EPOCHS', 2)
  monkeypatch.setattr(scene_classifier, '_UPDATES', 3)
  monkeypatch.setattr(scene_classifier, '_PATIENCE', 1)
  data = *codes(100, 1), *codes(300, 2)
  with tiny.eagerly():
    first, again, other = (scene_classifier.accuracy(
        *data, num_answers=3, seed=seed) for seed in (0, 0, 1))
  assert first == again != other


def test_training_is_as_long_as_was_best_on_the_scenes_it_is_tried_on(
    monkeypatch):
  monkeypatch.setattr(scene_classifier, '_UPDATES', 5)
  x, _ = codes(60, 1)
  y = np.random.default_rng(3).integers(3, size=60)  # Can only be overfitted.
  trial = scene_classifier._try(x, y, 20, 0., 3, 5, seed=0)
  assert trial.epochs < 40 and trial.loss < 1.3 and trial.dropout == 0.

import itertools

import numpy as np
import pytest

from air_tf import boxes as boxes_lib
from air_tf.evaluation import localisation


def random_boxes(shape, seed):
  rng = np.random.default_rng(seed)
  return np.concatenate([rng.integers(-3, 12, [*shape, 2]),
                         rng.integers(1, 9, [*shape, 2])], axis=-1) * 1.


def painted(box):
  y, x, height, width = box.astype(int) + [5, 5, 0, 0]
  canvas = np.zeros([30, 30], bool)
  canvas[y:y + height, x:x + width] = True
  return canvas


def test_iou_counts_pixels():
  left, right = random_boxes([200], 0), random_boxes([200], 1)
  for a, b, iou in zip(left, right, boxes_lib.iou(left, right)):
    pixels, others = painted(a), painted(b)
    np.testing.assert_allclose(
        iou, (pixels & others).sum() / (pixels | others).sum())


def test_iou_of_nothing_is_zero():
  box = np.array([1., 1., 2., 2.])
  for nothing in (np.full(4, np.nan), np.zeros(4), np.array([1., 1., 0., 2.])):
    assert boxes_lib.iou(box, nothing) == boxes_lib.iou(
        nothing, nothing) == 0.


def test_match_is_the_best_of_all_assignments():
  boxes, true = random_boxes([40, 3], 2), random_boxes([40, 3], 3)
  partners, overlaps = localisation.match(boxes, np.ones([40, 3]), true)
  for i in range(40):
    best = max(sum(boxes_lib.iou(true[i, m], boxes[i, t])
                   for m, t in enumerate(order))
               for order in itertools.permutations(range(3)))
    np.testing.assert_allclose(overlaps[i].sum(), best)
    used = partners[i][partners[i] >= 0]
    assert len(set(used)) == len(used)
    assert np.all((partners[i] >= 0) == (overlaps[i] > 0.))


def test_match_leaves_absent_boxes_and_padding_alone():
  box = [2., 2., 4., 4.]
  boxes = np.array([[box, box]])
  true = np.array([[box, [np.nan] * 4]])
  partners, overlaps = localisation.match(boxes, np.array([[0., 1.]]), true)
  assert partners.tolist() == [[1, -1]] and overlaps.tolist() == [[1., 0.]]


def test_average_precision_by_hand():
  # Ranked: right, wrong, right, wrong; of 4 objects 2 are found. Precision
  # 1 at recall 1/4, 2/3 at 2/4, and nothing beyond.
  average_precision = localisation.average_precision(
      np.array([.2, .9, .7, .8]), np.array([False, True, True, False]), 4)
  np.testing.assert_allclose(average_precision, (1. + 2. / 3.) / 4.)
  # A late rise counts for the recalls before it: precisions 0, 1/2, 2/3.
  average_precision = localisation.average_precision(
      np.array([3., 2., 1.]), np.array([False, True, True]), 2)
  np.testing.assert_allclose(average_precision, 2. / 3.)


@pytest.mark.parametrize('order', list(itertools.permutations(range(3))))
def test_average_precision_does_not_depend_on_the_order_of_ties(order):
  right = np.array([True, False, True])[list(order)]
  average_precision = localisation.average_precision(np.ones(3), right, 2)
  np.testing.assert_allclose(average_precision, 2. / 3.)


def test_average_precision_of_nothing():
  nothing = np.zeros(0), np.zeros(0, bool)
  assert localisation.average_precision(*nothing, 3) == 0.
  assert np.isnan(localisation.average_precision(*nothing, 0))


def test_metrics_of_one_hit_one_near_miss_and_one_false_alarm():
  nan = [np.nan] * 4
  true = np.array([[[0., 0., 4., 4.], [10., 10., 4., 4.]], [nan, nan]])
  boxes = np.array([[[0., 0., 4., 4.], [10., 13., 4., 4.]],
                    [[1., 1., 5., 5.], [0., 0., 0., 0.]]])
  presence = np.array([[1., 1.], [1., 0.]])
  step_probs = np.array([[.9, .8], [.7, .1]])
  metrics = localisation.localisation_metrics(
      boxes, presence, step_probs, true)
  # The second shares a column of 4 pixels of 28.
  np.testing.assert_allclose(metrics['mean_iou'], (1. + 4. / 28.) / 2.)
  assert metrics['matched'] == 1. and metrics['average_precision'] == .5

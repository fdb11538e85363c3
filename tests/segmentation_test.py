"""Tests of evaluation/segmentation.py."""

import itertools

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from air_tf.evaluation import segmentation

# Two objects of four pixels; the first is found but for a pixel, the second is
# split in two.
TRUE = np.array([[[1, 1, 1, 1, 0, 0], [2, 2, 2, 2, 0, 0]]], np.uint8)
FOUND = np.array([[[1, 1, 1, 0, 0, 0], [2, 2, 3, 3, 3, 0]]], np.uint8)


def scores(true, found, num_true=None, num_found=None):
  return segmentation.per_scene(segmentation.contingency(
      true, found, num_true or int(true.max()), num_found or int(found.max())))


def random_masks(num_scenes=40, side=7, seed=0):
  """Blocks of objects, and predictions that mix some of their pixels up."""
  rng = np.random.default_rng(seed)
  true = rng.integers(0, 4, [num_scenes, side, side]).astype(np.uint8)
  true[0], true[1] = 0, rng.integers(0, 2, [side, side])
  found = (true + rng.integers(0, 2, true.shape) * (
      rng.random(true.shape) < .4)).astype(np.uint8)
  found[2] = 0
  return true, found


def slow_overlaps(true, found):
  """IoU of each pair of objects, by sets of pixels."""
  pixels = lambda mask: [set(zip(*np.nonzero(mask == k))) for k in
                         range(1, mask.max() + 1) if (mask == k).any()]
  return [[len(a & b) / len(a | b) for b in pixels(found)]
          for a in pixels(true)]


def slow_matched(rows):
  """The best sum of IoUs over all one-to-one matchings, tried one by one."""
  columns = len(rows[0]) if rows else 0
  padded = [row + [0.] * len(rows) for row in rows]
  return max(sum(row[j] for row, j in zip(padded, order)) for order in
             itertools.permutations(range(columns + len(rows)), len(rows)))


def test_a_worked_example():
  result = scores(TRUE, FOUND)
  # Pixels of objects: {3, 1}, {2, 2} shared. 28 pairs; 3 + 1 + 1 together in
  # both, 12 in the truth, 3 + 1 + 1 in the prediction: 12 * 5 / 28 expected.
  assert result.fg_ari[0] == pytest.approx((5 - 60 / 28) / (8.5 - 60 / 28))
  # IoUs .75 with the first; .5 with the second, 2 / 5 with the third.
  assert result.miou[0] == result.mbo[0] == pytest.approx((.75 + .5) / 2)
  np.testing.assert_array_equal(result.right, [[True, True, False]])
  assert result.num_objects[0] == 2


def test_rand_indices_are_those_of_scikit_learn():
  true, found = random_masks()
  result = scores(true, found)
  for n, (left, right) in enumerate(zip(true, found, strict=True)):
    assert result.ari[n] == pytest.approx(sklearn_metrics.adjusted_rand_score(
        left.ravel(), right.ravel()))
    inside = left > 0
    if inside.any():
      assert result.fg_ari[n] == pytest.approx(
          sklearn_metrics.adjusted_rand_score(left[inside], right[inside]))
    else:
      assert np.isnan(result.fg_ari[n])


def test_a_scene_of_one_object_is_all_or_nothing():
  true = np.array([[[1, 1, 1, 0]]] * 3)
  found = np.array([[[2, 2, 2, 0]], [[2, 2, 1, 0]], [[0, 0, 0, 0]]])
  np.testing.assert_array_equal(scores(true, found).fg_ari, [1., 0., 1.])


def test_overlaps_are_those_of_sets_of_pixels():
  true, found = random_masks()
  result = scores(true, found)
  for n, (left, right) in enumerate(zip(true, found, strict=True)):
    rows = slow_overlaps(left, right)
    if not rows:
      assert np.isnan(result.miou[n]) and np.isnan(result.mbo[n])
      continue
    best = [max(row, default=0.) for row in rows]
    assert result.mbo[n] == pytest.approx(np.mean(best))
    assert result.miou[n] == pytest.approx(slow_matched(rows) / len(rows))


def test_one_mask_over_two_objects_counts_for_one():
  true, found = np.array([[[1, 1, 1, 2, 2]]]), np.array([[[1, 1, 1, 1, 1]]])
  result = scores(true, found)
  assert result.mbo[0] == pytest.approx((.6 + .4) / 2)
  assert result.miou[0] == pytest.approx(.6 / 2)


def test_an_object_of_no_pixel_is_left_out():
  true = np.array([[[0, 2, 2, 0]]])  # The first is behind the second.
  result = scores(true, true)
  assert result.num_objects[0] == 1
  assert result.miou[0] == result.mbo[0] == 1.


def test_precision_ranks_masks_by_the_probability_of_their_step():
  result = scores(TRUE, FOUND)
  presence = np.ones([1, 3])
  precision = lambda *probs: segmentation.metrics(
      result, presence, np.array([probs]))['mask_ap50']
  assert precision(.9, .8, .1) == 1.
  assert precision(.9, .8, .95) == pytest.approx(2 / 3)


def test_means_leave_out_scenes_without_objects():
  true = np.concatenate([TRUE, np.zeros_like(TRUE)])
  found = np.concatenate([FOUND, np.zeros_like(FOUND)])
  found[1, 0, 0] = 1  # A single pixel in an empty scene: a Rand index of 0.
  result = segmentation.metrics(
      scores(true, found), np.ones([2, 3]), np.ones([2, 3]))
  assert result['miou'] == pytest.approx(.625)
  assert result['ari'] == pytest.approx(
      sklearn_metrics.adjusted_rand_score(TRUE.ravel(), FOUND.ravel()) / 2)


def test_without_any_object_only_the_index_over_all_pixels_is_left():
  nothing = np.zeros([2, 3, 3], int)
  result = segmentation.metrics(
      scores(nothing, nothing, 1, 2), np.zeros([2, 2]), np.zeros([2, 2]))
  assert result == {'ari': 1.}


def test_intervals_of_a_mean_are_those_of_theory(monkeypatch):
  """Of n values: 1.96 standard errors, std / sqrt(n), to either side.

  Of 10,000 resamples, the width has a relative standard deviation of .95 %, the
  middle one of .5 % of the width: right code would fail with one seed in two
  million. A width 10 % off, as of 92 % or 97 % intervals, passes as rarely; of
  those 5 % off, half are seen.
  """
  monkeypatch.setattr(segmentation, '_RESAMPLES', 10_000)
  values = np.random.default_rng(1).normal(size=10_000)
  low, high = segmentation.bootstrap_interval(
      lambda i: values[i].mean(), len(values))
  width = 2. * 1.96 * values.std() / np.sqrt(len(values))
  assert high - low == pytest.approx(width, rel=.05)
  assert (low + high) / 2. == pytest.approx(values.mean(), abs=.025 * width)


def test_every_metric_gets_an_interval_around_it():
  true, found = random_masks()
  result = segmentation.metrics_with_intervals(
      scores(true, found), np.ones([40, 4]),
      np.random.default_rng(0).random([40, 4]))
  names = {'ari', 'fg_ari', 'miou', 'mbo', 'mask_ap50'}
  assert set(result) == names | {f'{name}_interval' for name in names}
  for name in names:
    low, high = result[f'{name}_interval']
    assert 0. <= low < result[name] < high <= 1.
    assert high - low < .3

import itertools

import numpy as np
import pytest

from air_tf.evaluation import places


def best_by_trying(left, right, tolerance):
  """The largest number of pairs, over all ways to choose partners."""
  if len(left) > len(right):
    left, right = right, left
  return max((sum(np.hypot(*(left[i] - right[j])) <= tolerance
                  for i, j in enumerate(order))
              for order in itertools.permutations(range(len(right)),
                                                  len(left))), default=0)


@pytest.mark.parametrize('seed', range(20))
def test_matched_is_the_most_of_all_pairings(seed):
  rng = np.random.default_rng(seed)
  left, right = (rng.uniform(0, 9, [rng.integers(0, 6), 2]) for _ in range(2))
  assert places.matched(left, right, 3.) == best_by_trying(left, right, 3.)


def test_a_chain_is_matched_in_full():
  # Taking the nearest first would pair the two in the middle, and lose two.
  left, right = np.array([[0, 0], [0, 5.]]), np.array([[0, 2.9], [0, -2.5]])
  assert places.matched(left, right, 3.) == 2


def test_agreement_by_hand():
  at = lambda *x: np.array([(y, 0.) for y in x]).reshape(-1, 2)
  found = [at(0, 10), at(), at(5, 6), at(3)]
  expected = [at(1, 30), at(), at(5), at(3)]
  # 1 of 2, nothing, 1 of 2, 1 of 1; counts are right in 3 of 4 images.
  assert places.compare(found, expected, 2.) == places.Agreement(
      .75, .25, precision=3 / 5, recall=3 / 4, f1=6 / 9, found=5, expected=4)


def test_nothing_against_nothing_and_something():
  none, some = [np.zeros([0, 2])], [np.ones([3, 2])]
  assert places.compare(none, none, 1.).f1 == 1.
  assert places.compare(none, some, 1.)[2:5] == (0., 0., 0.)
  assert places.compare(some, none, 1.)[2:5] == (0., 0., 0.)


def test_middles_leave_padding_out():
  boxes = np.array([[2, 4, 6, 8], [np.nan] * 4, [0, 0, 1, 1]])
  assert places.middles(boxes).tolist() == [[5., 8.], [.5, .5]]

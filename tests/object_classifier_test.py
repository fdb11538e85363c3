import numpy as np
import pytest
import tensorflow as tf

from air_tf.evaluation import predictions as predictions_lib
from air_tf.studies import object_classifier as oc


def one_hot(digits):
  return tf.one_hot(digits, 10)


def random_digits(shape, seed=0):
  rng = np.random.default_rng(seed)
  return tf.constant(rng.dirichlet(np.ones(10), shape), tf.float32)


def test_known_digits_give_their_sum_and_order():
  digits = one_hot([[7, 5, 1], [2, 9, 1], [4, 4, 1], [3, 0, 0], [9, 9, 9]])
  presence = tf.constant(
      [[1., 1., 0.], [1., 1., 0.], [1., 1., 0.], [1., 0., 0.], [1., 1., 1.]])
  assert tf.argmax(oc.sums(digits, presence), 1).numpy().tolist() == [
      12, 11, 8, 3, 27]
  # Equal digits do not ascend; one digit alone has no order.
  assert oc.ascending(digits, presence)[:, 1].numpy().tolist() == [
      0., 1., 0., .5, 0.]


def test_distributions_are_those_of_all_pairs():
  digits, presence = random_digits([6, 2]), tf.ones([6, 2])
  pairs = np.einsum('bi,bj->bij', digits[:, 0], digits[:, 1])
  i, j = np.indices([10, 10])
  sums = np.stack([pairs[:, i + j == s].sum(axis=1) for s in range(19)], axis=1)
  np.testing.assert_allclose(oc.sums(digits, presence), sums, rtol=1e-5)
  np.testing.assert_allclose(
      oc.ascending(digits, presence)[:, 1], pairs[:, i < j].sum(axis=1),
      rtol=1e-5)


def test_no_object_sums_to_zero_and_one_step_has_no_order():
  digits, presence = random_digits([2, 1]), tf.zeros([2, 1])
  np.testing.assert_array_equal(
      oc.sums(digits, presence)[:, 0], tf.ones([2]))
  np.testing.assert_array_equal(oc.ascending(digits, presence), [[.5] * 2] * 2)


def test_objects_go_from_left_to_right_with_absent_ones_last():
  predictions = predictions_lib.Predictions(
      num_steps=None, num_steps_probs=None, boxes=None, tight_boxes=None,
      squared_error=None, presence=np.array([[1., 0., 1.]]),
      where=np.array([[[.5, .6, .1], [.4, -.9, .2], [.4, -.6, .2]]]),
      what=np.array([[[1., 2.], [3., 4.], [5., 6.]]], np.float32))
  found = oc.from_predictions(predictions)
  assert found.what.tolist() == [[[5., 6.], [1., 2.], [3., 4.]]]
  assert found.presence.tolist() == [[1., 1., 0.]]


def scenes(num, seed):
  """Scenes whose codes are their digits with noise, and what they answer."""
  rng = np.random.default_rng(seed)
  prototypes = np.random.default_rng(0).normal(size=[10, 6])
  digits = rng.integers(10, size=[num, 2])
  what = prototypes[digits] + .1 * rng.normal(size=[num, 2, 6])
  return oc.Objects(what.astype(np.float32), np.ones([num, 2], np.float32)), {
      'sum': digits.sum(axis=1), 'ascending': np.diff(digits)[:, 0] > 0}


@pytest.mark.parametrize('task', ['sum', 'ascending'])
def test_labels_of_scenes_teach_objects(task, monkeypatch):
  # With these codes, one start in two ends at .6 to .8 of sums.
  monkeypatch.setattr(oc, '_UPDATES', 400)
  monkeypatch.setattr(oc, '_HIDDEN', 32)
  monkeypatch.setattr(oc, '_DECAYS', (1e-4,))
  (train, answers), (test, expected) = scenes(600, 1), scenes(500, 2)
  found = oc.accuracy(task, train, answers[task].astype(int), test,
                      expected[task].astype(int))
  assert found >= .95

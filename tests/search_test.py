import numpy as np
import pytest
import tensorflow as tf

from air_tf import encoders
from air_tf import modules
from air_tf import search as search_lib


def searched(features, query=None):
  """Searches `features` with weights for which the brightest place wins."""
  search = search_lib.Search()
  query = tf.zeros([len(features), 3]) if query is None else query
  search(tf.constant(features, tf.float32), query)
  for variable in search.trainable_variables:
    variable.assign(tf.ones(variable.shape))
  return search(tf.constant(features, tf.float32), query)


def test_search_finds_the_place_and_what_is_there():
  # On 4 x 5 places, half maps from the middle: row 3 is y = .75, column 0 is
  # x = -.8.
  features = np.zeros([2, 4, 5, 2])
  features[0, 3, 0] = 3., 2.
  features[1, 0, 2] = 1., 4.
  found = searched(features)
  np.testing.assert_allclose(
      found.place, [[-.8, .75], [0., -.75]], atol=1e-3)
  np.testing.assert_allclose(found.features, [[3., 2.], [1., 4.]], atol=1e-2)


def test_search_chooses_one_of_two_and_not_the_middle():
  features = np.zeros([1, 1, 9, 2])
  features[0, 0, 1] = 2., 2.
  features[0, 0, 7] = 2., 2.01
  found = searched(features)
  np.testing.assert_allclose(found.place, [[2. * 7.5 / 9. - 1., 0.]], atol=.02)


def test_search_finds_what_lies_between_two_places():
  features = np.zeros([1, 9, 1, 2])
  features[0, 2:4, 0] = 2.
  np.testing.assert_allclose(
      searched(features).place, [[0., 2. * 3. / 9. - 1.]], atol=.02)


def test_features_of_every_place_get_a_gradient():
  features = np.zeros([1, 1, 9, 2], np.float32)
  features[0, 0, 1] = .01  # Chosen, but only just.
  features = tf.constant(features)
  with tf.GradientTape() as tape:
    tape.watch(features)
    seen = searched(features).features[0, 0]
  gradient = tape.gradient(seen, features)[0, 0, :, 0]
  assert np.all(gradient > .05), 'each of nine places, near enough alike'


def test_a_place_pulls_only_at_its_neighbours():
  features = np.zeros([1, 1, 9, 2], np.float32)
  features[0, 0, 1] = .01
  features = tf.constant(features)
  with tf.GradientTape() as tape:
    tape.watch(features)
    x = searched(features).place[0, 0]
  gradient = tape.gradient(x, features)[0, 0, :, 0].numpy()
  assert gradient[0] < -1e-3 and gradient[2] > 1e-3
  np.testing.assert_allclose(gradient[3:], 0., atol=1e-5)


def test_a_query_points_where_all_places_look_the_same():
  search = search_lib.Search()
  features, query = tf.zeros([2, 1, 9, 2]), tf.constant([[1., 0.], [0., 1.]])
  search(features, query)
  named = lambda part: next(
      v for v in search.trainable_variables if part in v.name)
  named('point').assign(100. * tf.one_hot([2, 6], 9))
  np.testing.assert_allclose(
      search(features, query).place[:, 0], [5. / 9. - 1., 13. / 9. - 1.],
      atol=1e-5)
  for variable in named('score'), named('keys/w'):
    variable.assign(tf.ones_like(variable))
  seen = features + tf.one_hot([4], 9)[:, tf.newaxis, :, tf.newaxis]
  np.testing.assert_allclose(  # But not away from what is plain to see.
      search(seen, query).place[:, 0], [0., 0.], atol=1e-5)


def test_what_is_searched_for_decides_what_is_found():
  # ELU is nearly flat far below 0: there the query tells keys apart.
  features = np.zeros([1, 1, 4, 1], np.float32)
  features[0, 0, :, 0] = 1., 2., 3., 4.
  places = [searched(np.tile(features, [1, 1, 1, 1]), tf.fill([1, 3], q)).place
            for q in (0., -3.)]
  assert places[0][0, 0] > places[1][0, 0] + .1


def test_atanh_by_logs_is_atanh_up_to_the_ends():
  x = tf.concat([tf.linspace(-.99, .99, 1001), [-1e-4, 0., 1e-4]], axis=0)
  with tf.GradientTape(persistent=True) as tape:
    tape.watch(x)
    found, expected = search_lib._atanh(x), tf.atanh(x)
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7)
  np.testing.assert_allclose(
      tape.gradient(found, x), tape.gradient(expected, x), rtol=1e-5)


def test_a_search_may_end_at_the_edge_of_the_image():
  # The offset points far outside: the mean is the largest shift, and finite.
  estimator = modules.GaussianEstimator(3, 4, mean_init=[0., 99., -99.])
  locate = search_lib.SearchLocator(
      search_lib.Search(), estimator, object_scale=.4, window_size=4)
  posterior = locate(
      tf.zeros([2, 5]), tf.zeros([2, 8, 8]), tf.zeros([2, 3, 3, 2]))
  np.testing.assert_allclose(
      tf.tanh(posterior.mean[:, 1:]), [[.99, -.99]] * 2, rtol=1e-5)


@pytest.mark.parametrize('channels', [[], [3]])
def test_the_window_of_a_pair_is_that_of_residual_and_explained(channels):
  estimator = modules.GaussianEstimator(3, 4)
  locate = search_lib.SearchLocator(
      search_lib.Search(), estimator, object_scale=.4, window_size=4)
  images, explained = (
      tf.random.stateless_uniform([2, 8, 8, *channels], [0, i])
      for i in range(2))
  posterior = lambda x: locate(tf.ones([2, 5]), x, tf.ones([2, 3, 3, 2])).mean
  posterior(encoders.Pair(images, None))  # Makes the variables.
  for variable in estimator.trainable_variables:
    variable.assign(tf.random.stateless_normal(variable.shape, [1, 2]))
  for x in (None, explained):
    expected = encoders.Pair(images, x).stack()
    np.testing.assert_allclose(
        posterior(encoders.Pair(images, x)), posterior(expected), atol=1e-5)
  first = posterior(encoders.Pair(images, None))
  assert np.any(posterior(encoders.Pair(images, explained)) != first)

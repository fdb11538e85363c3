import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from air_tf import modules

RNG = np.random.default_rng(0)


def test_gaussian_estimator_starts_where_it_is_told():
  estimator = modules.GaussianEstimator(
      3, 16, mean_init=[-1., 0., 2.], stddev_init=.3)
  gaussian = estimator(RNG.normal(size=[4, 10]).astype(np.float32))
  np.testing.assert_allclose(gaussian.mean, [[-1., 0., 2.]] * 4, atol=.2)
  np.testing.assert_allclose(gaussian.stddev, np.full([4, 3], .3), atol=.05)


def test_steps_predictor_and_decoder_start_at_their_bias():
  hidden = np.zeros([2, 8], np.float32)
  np.testing.assert_allclose(
      modules.StepsPredictor(bias=.75)(hidden), [.75, .75])
  glimpse = modules.Decoder([5, 5], 16, bias=-2.)(hidden)
  np.testing.assert_allclose(
      glimpse, np.full([2, 5, 5], 1. / (1. + np.exp(2.))), rtol=1e-5)


def test_decoder_gives_every_channel_of_every_pixel_a_unit_of_its_own():
  decoder = modules.Decoder([4, 5, 3], 16, bias=0.)
  glimpse = decoder(np.ones([1, 2], np.float32))
  assert glimpse.shape == [1, 4, 5, 3]
  units = decoder._pixels.b
  assert units.shape == [60]
  for i, place in ((0, (0, 0, 0)), (1, (0, 0, 1)), (3, (0, 1, 0)),
                   (59, (3, 4, 2))):
    units.assign(100. * tf.one_hot(i, 60))
    np.testing.assert_array_equal(
        np.argwhere(decoder(np.ones([1, 2], np.float32))[0] == 1.), [place])


def test_networks_have_the_blogs_layers():
  shapes = lambda module, size: [
      tuple(v.shape) for v in (module(tf.zeros([1, size])),
                               module)[1].trainable_variables
      if v.shape.rank == 2]
  encoder = modules.encoder(256, name='encoder')
  assert shapes(encoder, 100) == [(100, 256), (256, 256)]
  predictor = modules.StepsPredictor(0.)
  assert shapes(predictor, 256) == [(256, 128), (128, 64), (64, 1)]
  baseline = modules.Baseline()
  assert shapes(baseline, 40) == [(40, 256), (256, 128), (128, 1)]
  decoder = modules.Decoder([20, 20], 256, 0.)
  assert shapes(decoder, 50) == [(50, 256), (256, 256), (256, 400)]
  estimator = modules.GaussianEstimator(50, 256)
  assert sorted(shapes(estimator, 400)) == [
      (256, 100), (256, 256), (400, 256)]


def test_encoder_ends_in_an_activation():
  output = modules.encoder(64, name='encoder')(
      RNG.normal(size=[8, 10]).astype(np.float32) * 100.)
  assert np.min(output) >= -1. and np.max(output) > 1.  # ELU's range.


@pytest.mark.parametrize('shape', [
    (8, 20), (21, 50), (51, 64), (21, 50, 3)])
def test_conv_encoder_sees_every_pixel(shape):
  images = tf.constant(RNG.normal(size=[2, *shape]), tf.float32)
  encoder = modules.ConvEncoder(16)
  with tf.GradientTape() as tape:
    tape.watch(images)
    features = encoder(images)
  assert features.shape == [2, 16]
  assert np.all(tape.gradient(features, images) != 0.)


def test_conv_encoder_knows_a_pattern_at_every_place():
  # Its two layers stride by 8 pixels together: a pattern moved by 8 pixels
  # has the same features one field on.
  pattern = RNG.random([10, 10])
  images = np.zeros([2, 60, 60], np.float32)
  images[0, 22:32, 22:32] = images[1, 30:40, 22:32] = pattern
  x = modules.ConvEncoder(16).features(images)
  np.testing.assert_allclose(x[0, 1:-2], x[1, 2:-1], atol=1e-5)
  assert np.max(np.abs(x[0, 1:-2] - x[1, 1:-2])) > .01


@pytest.mark.parametrize('shape', [(2, 50, 50, 2), (2, 37, 22, 3)])
def test_features_are_those_of_strided_convolutions(shape):
  images = tf.constant(RNG.normal(size=shape), tf.float32)
  encoder = modules.ConvEncoder(16)
  x = encoder.features(images)
  y = images
  # Variables in the order of their names: conv_0/b, conv_0/w, conv_1/b, ...
  b_0, w_0, b_1, w_1 = encoder.trainable_variables
  for w, b, stride in (w_0, b_0, 4), (w_1, b_1, 2):
    y = tf.pad(y, [[0, 0], [stride] * 2, [stride] * 2, [0, 0]])
    y = tf.nn.relu(tf.nn.conv2d(y, w, stride, 'VALID') + b)
  assert x.shape == y.shape
  np.testing.assert_allclose(x, y, atol=1e-5)


def test_baseline_joins_all_its_inputs():
  baseline = modules.Baseline()
  x = [tf.constant(RNG.normal(size=shape), tf.float32)
       for shape in ([3, 4, 4], [3, 2, 5], [3, 6])]
  value = baseline(*x)
  assert value.shape == [3]
  for i in range(3):
    changed = [part + float(i == j) for j, part in enumerate(x)]
    assert np.all(baseline(*changed) != value)


@pytest.mark.parametrize('batch_size', [1, 3])
def test_one_trace_serves_every_batch_size(batch_size):
  predictor = modules.StepsPredictor(0.)
  predictor(tf.zeros([1, 8]))
  @tf.function(input_signature=[tf.TensorSpec([None, 8])])
  def predict(hidden):
    return predictor(hidden)
  assert predict(tf.zeros([batch_size, 8])).shape == [batch_size]
  assert isinstance(predictor, snt.Module)


def test_lstm_agrees_with_sonnets():
  # Sonnet's input is the two parts side by side; its gates are i, f, g, o too.
  ours, theirs = modules.LSTM(4), snt.LSTM(4)
  fixed, inputs = (tf.constant(RNG.normal(size=[3, n]), tf.float32)
                   for n in (5, 2))
  hidden, cell = (tf.constant(RNG.normal(size=[3, 4]), tf.float32)
                  for _ in range(2))
  state = modules.LSTMState(hidden, cell)
  ours(ours.gate_inputs(fixed), inputs, state)
  for variable in ours.trainable_variables:
    variable.assign(RNG.normal(size=variable.shape))
  joined = tf.concat([fixed, inputs], axis=-1)
  theirs(joined, snt.LSTMState(hidden, cell))
  step = ours._step.w
  theirs.input_to_hidden.assign(tf.concat([ours._fixed.w, step[4:]], axis=0))
  theirs.hidden_to_hidden.assign(step[:4])
  theirs.b.assign(  # Sonnet keeps the forget gate's 1 in its bias.
      ours._fixed.b + tf.constant([0.] * 4 + [1.] * 4 + [0.] * 8))
  found = ours(ours.gate_inputs(fixed), inputs, state)
  output, expected = theirs(joined, snt.LSTMState(hidden, cell))
  np.testing.assert_allclose(found.hidden, output, rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(found.cell, expected.cell, rtol=1e-5, atol=1e-6)


def searched(features, query=None):
  """Searches `features` for the brightest place, which is told from others."""
  search = modules.Search()
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


def test_search_decides_for_one_of_two_and_not_for_the_middle():
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


def test_any_place_can_become_the_one_found():
  features = np.zeros([1, 1, 9, 2], np.float32)
  features[0, 0, 1] = .01  # Decided, but by little.
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
  search = modules.Search()
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

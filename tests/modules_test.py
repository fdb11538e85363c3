import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf

from air_tf import modules

RNG = np.random.default_rng(0)


def test_gaussian_estimator_starts_at_its_initial_values():
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


@pytest.mark.parametrize('channels', [(), (3,)])
def test_a_stencil_decoder_starts_half_bright_and_at_its_bias(channels):
  decoder = modules.StencilDecoder([4, 5, *channels], 16, bias=-2.)
  colours, logits = decoder(tf.zeros([2, 8]))
  assert colours.shape == [2, *(channels or (1,))]
  np.testing.assert_allclose(colours, np.full(colours.shape, .5))
  np.testing.assert_allclose(logits, np.full([2, 4, 5], -2.), rtol=1e-5)


def test_a_stencil_decoder_gives_every_pixel_and_channel_a_unit_of_its_own():
  decoder = modules.StencilDecoder([4, 5, 3], 16, bias=0.)
  decoder(tf.ones([1, 2]))
  units = decoder._pixels.b
  assert units.shape == [3 + 20]
  for i in range(23):
    units.assign(100. * tf.one_hot(i, 23))
    colours, logits = decoder(tf.zeros([1, 2]))
    flat = np.concatenate([colours[0], tf.sigmoid(np.ravel(logits))])
    np.testing.assert_array_equal(np.flatnonzero(flat == 1.), [i])


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

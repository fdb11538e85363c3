import numpy as np
import pytest
from scipy import ndimage
import sonnet as snt
import tensorflow as tf

from air_tf import modules

RNG = np.random.default_rng(0)
# Scale, shift_x, shift_y: inside, over an edge, tiny, all, and outside.
PLACES = np.array([[.4, .1, -.3], [.5, .8, -.9], [.1, 0., 0.], [1., 0., 0.],
                   [.3, -1., 1.], [.2, 1.5, 0.]], np.float32)


def images(height=12, width=15):
  return RNG.random([len(PLACES), height, width]).astype(np.float32)


def bilinear(image, y, x):
  """Bilinear sample of one point, zeros outside: a plain loop over pixels."""
  value = 0.
  for i in range(image.shape[0]):
    for j in range(image.shape[1]):
      value += (image[i, j] * max(0., 1. - abs(y - i))
                * max(0., 1. - abs(x - j)))
  return value


def read_by_loop(image, place, size):
  scale, shift_x, shift_y = place
  height, width = image.shape
  glimpse = np.zeros([size, size])
  for i in range(size):
    for j in range(size):
      # Centre of glimpse pixel (i, j) in -1 ... 1, then in image pixels.
      v = shift_y + scale * ((i + .5) / size * 2. - 1.)
      u = shift_x + scale * ((j + .5) / size * 2. - 1.)
      glimpse[i, j] = bilinear(
          image, (v + 1.) / 2. * height - .5, (u + 1.) / 2. * width - .5)
  return glimpse


def test_read_agrees_with_a_loop():
  x = images()
  expected = [read_by_loop(*pair, size=5) for pair in zip(x, PLACES)]
  np.testing.assert_allclose(
      modules.read(x, tf.constant(PLACES), 5), expected, atol=1e-5)


def test_read_agrees_with_scipy():
  x = images()
  glimpses = modules.read(x, tf.constant(PLACES), 7)
  for image, (scale, shift_x, shift_y), glimpse in zip(x, PLACES, glimpses):
    centres = (np.arange(7) + .5) / 7 * 2. - 1.
    rows = (shift_y + scale * centres + 1.) / 2. * 12 - .5
    columns = (shift_x + scale * centres + 1.) / 2. * 15 - .5
    # A black frame, because scipy cuts off at the outermost pixel's centre.
    expected = ndimage.map_coordinates(
        np.pad(image, 1), np.meshgrid(rows + 1, columns + 1, indexing='ij'),
        order=1, mode='constant')
    np.testing.assert_allclose(glimpse, expected, atol=1e-5)


def test_write_agrees_with_scipy():
  glimpses = RNG.random([len(PLACES), 6, 6]).astype(np.float32)
  written = modules.write(glimpses, tf.constant(PLACES), 12, 15)
  for glimpse, (scale, shift_x, shift_y), image in zip(
      glimpses, PLACES, written):
    y = (np.arange(12) + .5) / 12 * 2. - 1.
    x = (np.arange(15) + .5) / 15 * 2. - 1.
    rows = ((y - shift_y) / scale + 1.) / 2. * 6 - .5
    columns = ((x - shift_x) / scale + 1.) / 2. * 6 - .5
    expected = ndimage.map_coordinates(
        np.pad(glimpse, 1), np.meshgrid(rows + 1, columns + 1, indexing='ij'),
        order=1, mode='constant')
    np.testing.assert_allclose(image, expected, atol=1e-5)


def test_each_channel_is_read_and_written_as_if_it_were_grey():
  places = tf.constant(PLACES)
  for size in ([12, 15], [6, 6]):
    x = RNG.random([len(PLACES), *size, 3]).astype(np.float32)
    for act in (lambda x: modules.read(x, places, 5),
                lambda x: modules.write(x, places, 9, 14)):
      found = act(x).numpy()
      assert found.shape[3:] == (3,) and np.any(found > .5)
      for channel in range(3):
        np.testing.assert_allclose(
            found[..., channel], act(x[..., channel]), atol=1e-6)


def test_the_whole_image_at_its_own_size_is_read_and_written_unchanged():
  x = RNG.random([2, 9, 9]).astype(np.float32)
  whole = tf.constant([[1., 0., 0.]] * 2)
  np.testing.assert_allclose(modules.read(x, whole, 9), x, atol=1e-5)
  np.testing.assert_allclose(modules.write(x, whole, 9, 9), x, atol=1e-5)


def test_shift_x_is_right_and_shift_y_is_down():
  x = np.zeros([1, 10, 10], np.float32)
  x[0, 2, 7] = 1.  # Row 2 (up), column 7 (right).
  seen = modules.read(x, tf.constant([[.3, .5, -.5]]), 3)
  assert np.sum(seen) > .5
  assert np.sum(modules.read(x, tf.constant([[.3, -.5, .5]]), 3)) == 0.


def test_reading_what_was_written_gives_it_back():
  glimpse = ndimage.gaussian_filter(RNG.random([8, 8]), 1.5)[np.newaxis]
  place = tf.constant([[.5, .25, -.25]])
  image = modules.write(tf.constant(glimpse, tf.float32), place, 64, 64)
  back = modules.read(image, place, 8)
  inner = np.s_[:, 1:-1, 1:-1]  # Edges fade into the black outside.
  np.testing.assert_allclose(back[inner], glimpse[inner], atol=.02)


def test_read_and_write_pass_gradients_to_place_and_pixels():
  place = tf.Variable([[.5, .1, .2]])
  x = tf.Variable(RNG.random([1, 12, 12]).astype(np.float32))
  with tf.GradientTape() as tape:
    loss = tf.reduce_sum(tf.square(
        modules.write(modules.read(x, place, 5), place, 12, 12)))
  gradients = tape.gradient(loss, [place, x])
  assert np.all(gradients[0] != 0.) and np.any(gradients[1] != 0.)


@pytest.mark.parametrize('scale', [1e-3, 1e-10, 1e-20, 1e-38])
def test_gradients_are_finite_however_small_the_scale(scale):
  # A weight of 0 times a slope of 1 / scale^2 = inf is NaN: it ended a run.
  place = tf.Variable([[scale, .1, .2]])
  with tf.GradientTape() as tape:
    loss = tf.reduce_sum(modules.write(tf.ones([1, 5, 5]), place, 12, 12))
  assert np.all(np.isfinite(tape.gradient(loss, place)))


def test_boxes_in_pixels_by_hand():
  # Scale .4 of 50 is 20; centre x = (.5 + 1) * 25 = 37.5, y = 12.5.
  box = modules.boxes(tf.constant([.4, .5, -.5]), 50, 50)
  np.testing.assert_allclose(box, [2.5, 27.5, 20., 20.], atol=1e-5)


def test_box_frames_what_is_written():
  place = tf.constant([[.3, .4, -.2]])
  image = modules.write(tf.ones([1, 6, 6]), place, 60, 60)[0].numpy()
  y, x, height, width = modules.boxes(place, 60, 60)[0].numpy()
  rows, columns = np.nonzero(image > .5)
  np.testing.assert_allclose(
      [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1],
      [y, x, y + height, x + width], atol=1.01)


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
  encoder = modules.ConvEncoder(16)
  encoder(images)
  x = images[..., np.newaxis]
  for layer in encoder.submodules:
    if isinstance(layer, snt.Conv2D):
      x = tf.nn.relu(layer(x))
  np.testing.assert_allclose(x[0, 1:-2], x[1, 2:-1], atol=1e-5)
  assert np.max(np.abs(x[0, 1:-2] - x[1, 1:-2])) > .01


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
  ours(ours.drive(fixed), inputs, state)
  for variable in ours.trainable_variables:
    variable.assign(RNG.normal(size=variable.shape))
  joined = tf.concat([fixed, inputs], axis=-1)
  theirs(joined, snt.LSTMState(hidden, cell))
  step = ours._step.w
  theirs.input_to_hidden.assign(tf.concat([ours._fixed.w, step[4:]], axis=0))
  theirs.hidden_to_hidden.assign(step[:4])
  theirs.b.assign(  # Sonnet keeps the forget gate's 1 in its bias.
      ours._fixed.b + tf.constant([0.] * 4 + [1.] * 4 + [0.] * 8))
  found = ours(ours.drive(fixed), inputs, state)
  output, expected = theirs(joined, snt.LSTMState(hidden, cell))
  np.testing.assert_allclose(found.hidden, output, rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(found.cell, expected.cell, rtol=1e-5, atol=1e-6)

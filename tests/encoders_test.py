import numpy as np
import pytest
import tensorflow as tf

from air_tf import encoders

RNG = np.random.default_rng(0)


@pytest.mark.parametrize('shape', [
    (8, 20), (21, 50), (51, 64), (21, 50, 3)])
def test_conv_encoder_sees_every_pixel(shape):
  images = tf.constant(RNG.normal(size=[2, *shape]), tf.float32)
  encoder = encoders.ConvEncoder(16)
  with tf.GradientTape() as tape:
    tape.watch(images)
    summary = encoder(images).summary
  assert summary.shape == [2, 16]
  assert np.all(tape.gradient(summary, images) != 0.)


def test_conv_encoder_knows_a_pattern_at_every_place():
  # Its two layers stride by 8 pixels together: a pattern moved by 8 pixels
  # has the same features one field on.
  pattern = RNG.random([10, 10])
  images = np.zeros([2, 60, 60], np.float32)
  images[0, 22:32, 22:32] = images[1, 30:40, 22:32] = pattern
  x = encoders.ConvEncoder(16)(images).features
  np.testing.assert_allclose(x[0, 1:-2], x[1, 2:-1], atol=1e-5)
  assert np.max(np.abs(x[0, 1:-2] - x[1, 1:-2])) > .01


@pytest.mark.parametrize('shape', [(2, 50, 50, 2), (2, 37, 22, 3)])
def test_features_are_those_of_strided_convolutions(shape):
  images = tf.constant(RNG.normal(size=shape), tf.float32)
  encoder = encoders.ConvEncoder(16)
  x = encoder(images).features
  y = images
  # Variables in the order of their names: conv_0/b, conv_0/w, conv_1/b, ...
  b_0, w_0, b_1, w_1 = encoder.trainable_variables[:4]
  for w, b, stride in (w_0, b_0, 4), (w_1, b_1, 2):
    y = tf.pad(y, [[0, 0], [stride] * 2, [stride] * 2, [0, 0]])
    y = tf.nn.relu(tf.nn.conv2d(y, w, stride, 'VALID') + b)
  assert x.shape == y.shape
  np.testing.assert_allclose(x, y, atol=1e-5)


@pytest.mark.parametrize('kind', ['conv', 'mlp'])
@pytest.mark.parametrize('shape', [(2, 21, 50), (2, 21, 14, 3)])
def test_a_pair_is_encoded_as_the_stack_of_residual_and_explained(kind, shape):
  images, explained = (
      tf.constant(RNG.normal(size=shape), tf.float32) for _ in range(2))
  encoder = encoders.make(kind, 16, 'encoder')
  stacked = lambda x: encoder(tf.stack([images - x, x], axis=-1))
  stacked(explained)
  for variable in encoder.trainable_variables:
    variable.assign(RNG.normal(scale=.1, size=variable.shape))

  def gradients(encode):
    with tf.GradientTape() as tape:
      tape.watch([images, explained])
      summary = encode(explained).summary
    return [summary] + tape.gradient(
        summary, [images, explained, *encoder.trainable_variables])

  pairs = lambda x: encoder.pairs(images)(x)
  for found, expected in zip(gradients(pairs), gradients(stacked), strict=True):
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
  for found, expected in zip(
      pairs(None), stacked(tf.zeros_like(images)), strict=True):
    if found is not None:
      np.testing.assert_allclose(found, expected, atol=1e-5)

import numpy as np
import pytest
import tensorflow as tf

from air_tf import convolutions


def random(*shape):
  return tf.constant(np.random.default_rng(0).normal(size=shape), tf.float32)


@pytest.mark.parametrize('shape', [(2, 20, 20), (2, 6, 6, 4)])
def test_features_of_glimpses_are_those_of_strided_convolutions(shape):
  glimpses = random(*shape)
  layers = convolutions.GlimpseConvolutions()
  x = layers(glimpses)
  y = tf.reshape(glimpses, [*shape[:3], -1])
  b_0, w_0, b_1, w_1 = layers.trainable_variables
  assert w_0.shape[-1] == 16 and w_1.shape == [4, 4, 16, 32]
  for w, b in (w_0, b_0), (w_1, b_1):
    y = tf.pad(y, [[0, 0], [2] * 2, [2] * 2, [0, 0]])
    y = tf.nn.relu(tf.nn.conv2d(y, w, 2, 'VALID') + b)
  np.testing.assert_allclose(x, tf.reshape(y, [2, -1]), atol=1e-5)


@pytest.mark.parametrize('stride', [2, 3])
def test_transposed_is_that_of_tensorflow(stride):
  layer = convolutions.TransposedConvolution(5, stride)
  x = random(2, 4, 6, 3)
  found = layer(x)
  layer.b.assign(tf.range(5.))
  w = tf.reshape(layer.w, [2, 2, 3, stride, stride, 5])
  # The first S rows of the kernel are for the next row of the map, the others
  # for this one; the same for columns.
  kernel = tf.reshape(tf.transpose(w[::-1, ::-1], [0, 3, 1, 4, 5, 2]),
                      [2 * stride, 2 * stride, 5, 3])
  full = tf.nn.conv2d_transpose(
      x, kernel, [2, 5 * stride, 7 * stride, 5], stride, padding='VALID')
  expected = full[:, stride:-stride, stride:-stride]
  np.testing.assert_allclose(found, expected, atol=1e-5)
  np.testing.assert_allclose(layer(x), expected + tf.range(5.), atol=1e-5)


@pytest.mark.parametrize('shape', [(20, 20), (21, 13), (6, 6, 3)])
def test_a_decoder_fills_its_glimpse(shape):
  pixels = convolutions.GlimpsePixels(shape, output_scale=.1)
  features = tf.Variable(random(2, 8))
  with tf.GradientTape(persistent=True) as tape:
    found = pixels(features)
  assert found.shape == (2, np.prod(shape))
  # No pixel is left out, and none is another's.
  assert len(np.unique(found.numpy())) == found.numpy().size
  for v in (features, *pixels.trainable_variables):
    assert np.any(tape.gradient(found, v))


def test_the_last_layer_starts_as_small_as_it_is_told():
  scales = [np.std(_filled(scale).trainable_variables[3]) for scale in (1., .1)]
  assert 5. < scales[0] / scales[1] < 20.


def _filled(scale):
  tf.random.set_seed(0)
  pixels = convolutions.GlimpsePixels([20, 20], scale)
  pixels(random(1, 8))
  assert pixels.trainable_variables[3].shape == (2, 2, 16, 4)
  return pixels

import numpy as np
import pytest
import tensorflow as tf
import tiny

from air_tf import cell as cell_lib


def make(batch_size=3, **changes):
  config = tiny.config(**changes)
  cell = cell_lib.AIRCell(config)
  images = tiny.images(batch_size)
  noise = tf.random.stateless_normal([batch_size, 3 + 4], seed=[1, 2])
  take = lambda state, noise=noise, images=images: cell(
      images, cell.encode(images), state, noise)
  return cell, take


def test_shapes():
  cell, take = make()
  step, state = take(cell.initial_state())
  assert step.hidden.shape == [3, 8]
  assert cell.step_logits(step.hidden).shape == [3]
  assert step.where.shape == step.where_posterior.mean.shape == [3, 3]
  assert step.what.shape == step.what_posterior.stddev.shape == [3, 4]
  glimpses, written = cell.write(step.what, step.where, 16, 16)
  assert glimpses.shape == [3, 6, 6] and written.shape == [3, 16, 16]
  assert state.where.shape == [3, 3] and state.lstm.hidden.shape == [3, 8]


def test_latents_are_mean_plus_stddev_times_noise():
  cell, take = make()
  noise = tf.random.stateless_normal([3, 7], seed=[5, 6])
  step, _ = take(cell.initial_state(), noise)
  mean, stddev = step.where_posterior
  logits = mean + stddev * noise[:, :3]
  np.testing.assert_allclose(step.where[:, 0], tf.sigmoid(logits[:, 0]),
                             rtol=1e-5)
  np.testing.assert_allclose(step.where[:, 1:], tf.tanh(logits[:, 1:]),
                             rtol=1e-5, atol=1e-6)
  np.testing.assert_allclose(
      step.what,
      step.what_posterior.mean + step.what_posterior.stddev * noise[:, 3:],
      rtol=1e-5, atol=1e-6)


def test_zero_noise_gives_the_means():
  cell, take = make()
  step, _ = take(cell.initial_state(), tf.zeros([3, 7]))
  np.testing.assert_array_equal(step.what, step.what_posterior.mean)


@pytest.mark.parametrize('part', ['where', 'what'])
def test_latents_of_the_step_before_feed_the_lstm(part):
  cell, take = make()
  _, state = take(cell.initial_state())
  other = state._replace(**{part: getattr(state, part) + .5})
  first, second = take(state)[0].hidden, take(other)[0].hidden
  assert np.all(np.any(np.abs(first - second) > 1e-6, axis=-1))


def test_state_carries_the_latents():
  cell, take = make()
  step, state = take(cell.initial_state())
  np.testing.assert_array_equal(state.where, step.where)
  np.testing.assert_array_equal(state.what, step.what)


def test_initial_state_is_trainable_and_the_same_for_all():
  cell, take = make()
  take(cell.initial_state())
  names = [v.name for v in cell.trainable_variables]
  assert any('initial_hidden' in name for name in names)
  assert any('initial_cell' in name for name in names)
  cell._initial_hidden.assign(tf.range(8, dtype=tf.float32))
  np.testing.assert_array_equal(
      cell.initial_state().lstm.hidden, [np.arange(8)])


def test_what_depends_on_the_image_inside_the_glimpse():
  cell, take = make()
  state = cell.initial_state()
  encoded = cell.encode(tiny.images(3))
  zero = tf.zeros([3, 7])
  seen, _ = cell(tiny.images(3), encoded, state, zero)
  black, _ = cell(tf.zeros([3, 16, 16]), encoded, state, zero)
  np.testing.assert_array_equal(seen.where, black.where)
  assert np.all(np.any(seen.what != black.what, axis=-1))


def test_place_found_is_corrected_in_halves_of_an_object():
  config = tiny.config(image_encoder='search')
  cell = cell_lib.AIRCell(config)
  images = tiny.images(3)
  # The object found is in the lower right, not so near the edge that half an
  # object further is outside.
  images *= tf.pad(tf.ones([1, 4, 4]), [[0, 0], [8, 4], [8, 4]])
  step = lambda: cell(images, cell.encode(images), cell.initial_state(),
                      tf.zeros([3, 7]))[0]
  take = lambda: step().where.numpy()
  take()
  estimator = cell._where_estimator.trainable_variables
  for variable in estimator:
    variable.assign(tf.zeros(variable.shape))
  found = take()
  np.testing.assert_allclose(found[:, 0], 7. / 16., rtol=1e-5)
  bias = next(v for v in estimator if v.shape == [6])
  # Scale, x, y; deviations. A tenth of it counts.
  bias.assign([0., 0., -10., 0., 0., 0.])
  np.testing.assert_allclose(
      take() - found, [[0., 0., -.99 * 7. / 16.]] * 3, atol=1e-5)
  np.testing.assert_allclose(  # As a share of scale, and of a side.
      step().where_posterior.stddev,
      [config.where_stddev_init * np.array([1., 14. / 16., 14. / 16.])] * 3,
      rtol=1e-5)


def test_pixels_around_the_place_found_decide_where_the_object_is():
  cell, _ = make(image_encoder='search')
  images, state, zero = tiny.images(3), cell.initial_state(), tf.zeros([3, 7])
  encoded = cell.encode(images)
  where = lambda encoded: cell(images, encoded, state, zero)[0].where.numpy()
  other = encoded._replace(images=tf.zeros_like(images))
  assert np.all(where(encoded) != where(other))

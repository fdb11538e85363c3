import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf
import tiny

from air_tf import config as config_lib
from air_tf import estimators
from air_tf import model as model_lib
from air_tf import prior

GOLDEN = pathlib.Path(__file__).parent / 'golden.json'
PRIOR = prior.truncated_geometric(np.log(.1), 3)


def make(**changes):
  model = model_lib.AIRModel(tiny.config(**changes))
  model.infer(tiny.images(channels=model.config.channels))
  return model


def test_shapes_at_every_batch_size_from_one_trace():
  model = make()
  @tf.function(input_signature=[tf.TensorSpec([None, 16, 16])])
  def infer(images):
    inference = model.infer(images, seed=tf.constant([1, 2]))
    return inference._replace(num_steps=inference.num_steps.log_pmf())
  for batch_size in 1, 4:
    inference = infer(tiny.images(batch_size))
    assert inference.num_steps.shape == [batch_size, 4]
    assert inference.where.shape == [batch_size, 3, 3]
    assert inference.what.shape == [batch_size, 3, 4]
    assert inference.glimpses.shape == [batch_size, 3, 6, 6]
    assert inference.canvases.shape == [batch_size, 4, 16, 16]
  assert infer.experimental_get_tracing_count() == 1


@pytest.mark.parametrize('channels, shape, wanted', [
    (1, [16, 16], 'must be .B, H, W.'),
    (1, [2, 16, 16, 3], 'must be .B, H, W.'),
    (1, [2, 16, 16, 1], 'must be .B, H, W.'),
    (3, [2, 16, 16], 'must be .B, H, W, 3.'),
    (3, [2, 16, 16, 1], 'must be .B, H, W, 3.')])
def test_refuses_what_is_not_a_batch_of_images(channels, shape, wanted):
  model = model_lib.AIRModel(tiny.config(channels=channels))
  with pytest.raises(ValueError, match=wanted):
    model.infer(tf.zeros(shape))


@pytest.mark.parametrize('channels, colours', [(1, []), (3, [3])])
def test_canvases_are_sums_of_the_first_objects(channels, colours):
  model = make(channels=channels)
  inference = model.infer(
      tiny.images(channels=channels), seed=tf.constant([1, 2]))
  assert inference.glimpses.shape == [3, 3, 6, 6, *colours]
  np.testing.assert_array_equal(
      inference.canvases[:, 0], np.zeros([3, 16, 16, *colours]))
  for n in range(1, 4):  # The generative half draws the same.
    presence = model_lib.count_presence(tf.fill([3], n), 3)
    drawn = model.draw(inference.what, inference.where, presence, 16, 16)
    np.testing.assert_allclose(inference.canvases[:, n], drawn, atol=1e-5)


def test_means_repeat_and_samples_follow_their_seed():
  model, x = make(), tiny.images()
  what = lambda seed: model.infer(
      x, None if seed is None else tf.constant(seed)).what.numpy()
  np.testing.assert_array_equal(what(None), what(None))
  np.testing.assert_array_equal(what([1, 2]), what([1, 2]))
  assert np.all(what([1, 2]) != what([1, 3]))


def test_noise_differs_between_examples_and_steps():
  noise = tf.stack(make()._noise(5, 3, tf.constant([1, 2]), 1)).numpy()
  rows = noise.reshape(15, -1)
  assert len(np.unique(rows, axis=0)) == 15


@pytest.mark.parametrize('channels', [1, 3])
def test_elbo_term_by_term_against_numpy(channels):
  model = make(pixel_stddev=.4, scale_prior_mean=-.7, scale_prior_stddev=.6,
               shift_prior_stddev=.8, channels=channels)
  x = tiny.images(channels=channels)
  tiny.fill(model.trainable_variables)  # Away from the prior, where KL is 0.
  inference = model.infer(x, seed=tf.constant([1, 2]))
  terms = model.elbo_terms(x, inference, PRIOR)

  # log N(x; c, .4^2), summed over pixels and channels, for each count.
  difference = x.numpy()[:, np.newaxis] - inference.canvases.numpy()
  log_likelihood = np.sum(
      -.5 * (difference / .4)**2 - np.log(.4) - .5 * np.log(2. * np.pi),
      axis=tuple(range(2, difference.ndim)))
  np.testing.assert_allclose(terms.log_likelihood, log_likelihood, rtol=1e-5)

  # KL(N(m, s) || N(a, b)) = log(b / s) + (s^2 + (m - a)^2) / (2 b^2) - 1 / 2.
  def kl(posterior, a, b):
    m, s = posterior.mean.numpy(), posterior.stddev.numpy()
    return np.sum(
        np.log(b / s) + (s**2 + (m - a)**2) / (2 * b**2) - .5, axis=-1)
  np.testing.assert_allclose(
      terms.kl_what, kl(inference.what_posterior, 0., 1.), rtol=1e-4)
  np.testing.assert_allclose(
      terms.kl_where,
      kl(inference.where_posterior, np.array([-.7, 0., 0.]),
         np.array([.6, .8, .8])), rtol=1e-4)

  # The three sums over n, written out.
  q = np.exp(terms.log_posterior.numpy())
  log_p = np.log(.1**np.arange(4.) / np.sum(.1**np.arange(4.)))
  expected = np.sum(q * log_likelihood, axis=-1)
  elbo = estimators.weigh(terms, terms.log_posterior, expected)
  kl_what = sum(q[:, t + 1:].sum(-1) * terms.kl_what.numpy()[:, t]
                for t in range(3))
  kl_steps = np.sum(q * (np.log(q) - log_p), axis=-1)
  np.testing.assert_allclose(elbo.reconstruction, expected, rtol=1e-5)
  np.testing.assert_allclose(elbo.kl_what, kl_what, rtol=1e-4)
  np.testing.assert_allclose(elbo.kl_num_steps, kl_steps, rtol=1e-4)
  np.testing.assert_allclose(
      elbo.elbo, expected - kl_what - elbo.kl_where.numpy() - kl_steps,
      rtol=1e-5)


def test_settle_keeps_the_first_objects():
  inference = make().infer(tiny.images())
  scene = model_lib.settle(inference, tf.constant([0, 2, 3]))
  np.testing.assert_array_equal(
      scene.presence, [[0, 0, 0], [1, 1, 0], [1, 1, 1]])
  np.testing.assert_array_equal(scene.reconstruction[0], np.zeros([16, 16]))
  np.testing.assert_array_equal(
      scene.reconstruction[1], inference.canvases[1, 2])
  np.testing.assert_array_equal(scene.canvases[1, 0], inference.canvases[1, 1])
  np.testing.assert_array_equal(scene.canvases[1, 2], inference.canvases[1, 2])


def test_drawing_ignores_absent_objects_even_of_scale_zero():
  model = make()
  what = tf.ones([2, 3, 4])
  where = tf.constant([[[.5, .1, .1], [0., 0., 0.], [0., 0., 0.]]] * 2)
  presence = model_lib.count_presence(tf.constant([1, 0]), 3)
  drawn = model.draw(what, where, presence, 16, 16)
  assert np.all(np.isfinite(drawn)) and np.any(drawn[0] > 0.)
  np.testing.assert_array_equal(drawn[1], np.zeros([16, 16]))


def test_samples_of_the_prior_hold_what_was_asked_for():
  drawn = make().sample_prior(tf.constant([0, 3]), tf.constant([1, 2]), 16, 16)
  np.testing.assert_array_equal(drawn[0], np.zeros([16, 16]))
  assert np.sum(drawn[1]) > 0.


_ENCODERS = {
    'mlp': {
        'image_encoder/linear_0/w': (2500, 256),
        'image_encoder/linear_0/b': (256,),
        'image_encoder/linear_1/w': (256, 256),
        'image_encoder/linear_1/b': (256,)},
    'conv': {
        'image_encoder/conv_0/w': (8, 8, 1, 16),
        'image_encoder/conv_0/b': (16,),
        'image_encoder/conv_1/w': (4, 4, 16, 16),
        'image_encoder/conv_1/b': (16,),
        'image_encoder/mlp/linear_0/w': (7 * 7 * 16, 256),
        'image_encoder/mlp/linear_0/b': (256,),
        'image_encoder/mlp/linear_1/w': (256, 256),
        'image_encoder/mlp/linear_1/b': (256,)}}


@pytest.mark.parametrize('image_encoder', config_lib.IMAGE_ENCODERS)
def test_inventory_of_variables(image_encoder):
  model = model_lib.AIRModel(config_lib.Config(image_encoder=image_encoder))
  model.infer(tf.zeros([1, 50, 50]))
  found = {v.name.removeprefix('air/air_cell/').removesuffix(':0'):
           tuple(v.shape) for v in model.trainable_variables}
  layers = {
      'steps_predictor/mlp': [(256, 128), (128, 64), (64, 1)],
      'where_estimator/hidden': [(256, 256), (256, 256)],
      'glimpse_encoder/hidden': [(400, 256), (256, 256)],
      'glimpse_decoder/hidden': [(50, 256), (256, 256)],
  }
  expected = _ENCODERS[image_encoder] | {
      'initial_hidden': (256,), 'initial_cell': (256,),
      'lstm/fixed/w': (256, 1024), 'lstm/fixed/b': (1024,),
      'lstm/step/w': (256 + 3 + 50, 1024),
      'glimpse_decoder/pixels/w': (256, 400),
      'glimpse_decoder/pixels/b': (400,)}
  for name, shapes in layers.items():
    for i, shape in enumerate(shapes):
      expected[f'{name}/linear_{i}/w'] = shape
      expected[f'{name}/linear_{i}/b'] = shape[1:]
  for name, size in ('where_estimator', 3), ('glimpse_encoder', 50):
    expected[f'{name}/mean_and_stddev/w'] = (256, 2 * size)
    expected[f'{name}/mean_and_stddev/b'] = (2 * size,)
  assert found == expected


@pytest.mark.parametrize('channels', [1, 3])
@pytest.mark.parametrize('name', config_lib.ESTIMATORS)
def test_every_variable_gets_a_gradient(name, channels):
  model, estimator = make(channels=channels), estimators.make(name)
  x = tiny.images(8, channels=channels)
  with tf.GradientTape() as tape:
    estimate = estimator(estimators.draw(
        model, x, PRIOR, tf.constant(.5), tf.constant([1, 2]),
        tf.constant([3, 4]), tiny.config(estimator=name).particles,
        getattr(estimator, 'reparameterise', True)))
    loss = estimate.loss + estimate.auxiliary_loss
  variables = model.trainable_variables + tuple(
      getattr(estimator, 'trainable_variables', ()))
  dead = [v.name for v, g in zip(variables, tape.gradient(loss, variables))
          if g is None or not np.any(g)]
  assert not dead


def test_golden_values():
  """Stored outputs of a model with known weights; see tests/README.md."""
  model, x = make(), tiny.images()
  tiny.fill(model.trainable_variables)
  inference = model.infer(x)
  terms = model.elbo_terms(x, inference, PRIOR)
  found = {
      'step_logits': inference.num_steps.step_logits,
      'where': inference.where, 'what': inference.what,
      'canvas_sums': tf.reduce_sum(inference.canvases, axis=[2, 3]),
      'log_likelihood': terms.log_likelihood, 'kl_what': terms.kl_what,
      'kl_where': terms.kl_where}
  found = {name: value.numpy().tolist() for name, value in found.items()}
  if not GOLDEN.exists():
    GOLDEN.write_text(json.dumps(found, indent=1))
    pytest.fail(f'wrote {GOLDEN.name}: read it, commit it, run again')
  for name, expected in json.loads(GOLDEN.read_text()).items():
    np.testing.assert_allclose(
        found[name], expected, rtol=1e-4, atol=1e-4, err_msg=name)

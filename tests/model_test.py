import functools
import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf
import tiny

from air_tf import config as config_lib
from air_tf import elbo as elbo_lib
from air_tf import estimators
from air_tf import explain as explain_lib
from air_tf import model as model_lib
from air_tf import prior


@functools.cache
def num_steps_prior():
  return prior.truncated_geometric(np.log(.1), 3)


def make(**changes):
  model = model_lib.AIRModel(tiny.config(**changes))
  model.infer(tiny.images(channels=model.config.channels))
  return model


@pytest.mark.slow
def test_shapes_at_every_batch_size_from_one_trace():
  model = make()
  @tf.function(input_signature=[tf.TensorSpec([None, 16, 16])])
  def infer(images):
    return model.infer(images, seed=tf.constant([1, 2]))
  for batch_size in 1, 4:
    inference = infer(tiny.images(batch_size))
    assert inference.num_steps_posterior.log_pmf().shape == [batch_size, 4]
    assert inference.where.shape == [batch_size, 3, 3]
    assert inference.what.shape == [batch_size, 3, 4]
    assert inference.glimpses.shape == [batch_size, 3, 6, 6]
    assert inference.canvases.shape == [batch_size, 4, 16, 16]
  assert infer.experimental_get_tracing_count() == 1


@pytest.mark.parametrize('channels, shape, expected', [
    (1, [16, 16], 'must be .B, H, W.'),
    (1, [2, 16, 16, 3], 'must be .B, H, W.'),
    (1, [2, 16, 16, 1], 'must be .B, H, W.'),
    (3, [2, 16, 16], 'must be .B, H, W, 3.'),
    (3, [2, 16, 16, 1], 'must be .B, H, W, 3.')])
def test_refuses_what_is_not_a_batch_of_images(channels, shape, expected):
  model = model_lib.AIRModel(tiny.config(channels=channels))
  with pytest.raises(ValueError, match=expected):
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
    presence = prior.presence_mask(tf.fill([3], n), 3)
    drawn = model.decode(inference.what, inference.where, presence, 16, 16)
    np.testing.assert_allclose(inference.canvases[:, n], drawn, atol=1e-5)


def test_means_repeat_and_samples_follow_their_seed():
  model, x = make(), tiny.images()
  what = lambda seed: model.infer(
      x, None if seed is None else tf.constant(seed)).what.numpy()
  np.testing.assert_array_equal(what(None), what(None))
  np.testing.assert_array_equal(what([1, 2]), what([1, 2]))
  assert np.all(what([1, 2]) != what([1, 3]))


def test_noise_differs_between_examples_and_steps():
  steps, background = make()._noise(5, tf.constant([1, 2]), 1)
  noise = tf.stack(steps).numpy()
  rows = noise.reshape(15, -1)
  assert len(np.unique(rows, axis=0)) == 15
  assert len(np.unique(background, axis=0)) == 5


@pytest.mark.parametrize('channels', [1, 3])
def test_elbo_term_by_term_against_numpy(channels):
  model = make(pixel_stddev=.4, object_size=16 * .331812, scale_prior_stddev=.6,
               shift_prior_stddev=.8, channels=channels)
  x = tiny.images(channels=channels)
  tiny.fill(model.trainable_variables)  # Away from the prior, where KL is 0.
  inference = model.infer(x, seed=tf.constant([1, 2]))
  terms = model.elbo_terms(x, inference, num_steps_prior())

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
  elbo = elbo_lib.elbo_under(terms, terms.log_posterior, expected)
  kl_what = sum(q[:, t + 1:].sum(-1) * terms.kl_what.numpy()[:, t]
                for t in range(3))
  kl_steps = np.sum(q * (np.log(q) - log_p), axis=-1)
  np.testing.assert_allclose(elbo.log_likelihood, expected, rtol=1e-5)
  np.testing.assert_allclose(elbo.kl_what, kl_what, rtol=1e-4)
  np.testing.assert_allclose(elbo.kl_num_steps, kl_steps, rtol=1e-4)
  np.testing.assert_allclose(
      elbo.elbo, expected - kl_what - elbo.kl_where.numpy() - kl_steps,
      rtol=1e-5)


@pytest.mark.parametrize('difference', [False, True])
def test_a_step_of_dair_sees_what_those_before_it_drew(difference):
  model, x = make(difference=difference), tiny.images()
  before = model.infer(x).where.numpy()
  pixels = next(v for v in model.trainable_variables
                if v.name.endswith('glimpse_decoder/pixels/b:0'))
  pixels.assign_add(tf.ones_like(pixels))  # Changes what is drawn, no more.
  change = np.abs(model.infer(x).where.numpy() - before).max(axis=(0, 2))
  assert change[0] == 0.
  assert np.all((change[1:] > 0.) == difference)


@pytest.mark.parametrize('channels, colours', [(1, []), (3, [3])])
def test_dair_encodes_what_is_left_and_what_is_explained(
    channels, colours, monkeypatch):
  model = make(channels=channels, **tiny.DAIR)
  x = tiny.images(channels=channels)
  seen = tiny.encoded(model, monkeypatch)
  canvases = model.infer(x, seed=tf.constant([1, 2])).canvases
  assert len(seen) == 3
  for step, pair in enumerate(seen):
    assert pair.shape == [3, 16, 16, *colours, 2]
    np.testing.assert_allclose(pair[..., 1], canvases[:, step], atol=1e-6)
    np.testing.assert_allclose(pair[..., 0], x - canvases[:, step], atol=1e-6)


def test_dair_learns_through_what_it_drew():
  model, x = make(**tiny.DAIR), tiny.images()
  pixels = next(v for v in model.trainable_variables
                if v.name.endswith('glimpse_decoder/pixels/w:0'))
  with tf.GradientTape() as tape:
    second = model.infer(x).where_logits[:, 1]
  assert np.any(tape.gradient(second, pixels))


def test_another_number_of_steps_is_not_checked_as_a_training():
  model = make(num_particles=5, max_steps=3)  # 4^5 sums are few, 7^5 too many.
  assert model.with_max_steps(6).config.max_steps == 6
  assert model.with_max_steps(1).config.max_steps == 1  # With up to 3 objects.
  assert model.config.max_steps == 3


def test_more_steps_than_in_training_begin_with_the_same():
  model, x = make(**tiny.DAIR), tiny.images()
  longer = model.with_max_steps(5)
  few, many = model.infer(x), longer.infer(x)
  assert many.what.shape == [3, 5, 4] and model.config.max_steps == 3
  np.testing.assert_allclose(many.where[:, :3], few.where, atol=1e-6)
  np.testing.assert_allclose(many.num_steps_posterior.step_logits[:, :3],
                             few.num_steps_posterior.step_logits, atol=1e-6)
  assert longer.trainable_variables == model.trainable_variables


@pytest.mark.parametrize('difference', [False, True])
def test_objects_are_looked_for_before_the_background(difference, monkeypatch):
  model = make(background=True, difference=difference)
  x, seen = tiny.images(), tiny.encoded(model, monkeypatch)
  inference = model.infer(x, seed=tf.constant([1, 2]))
  background = inference.background.image
  first = seen[0][..., 0] if difference else seen[0]
  np.testing.assert_allclose(first, x - background, atol=1e-6)
  np.testing.assert_array_equal(inference.canvases[:, 0], background)
  drawn = model.decode(inference.what, inference.where, tf.ones([3, 3]), 16, 16)
  np.testing.assert_allclose(
      inference.canvases[:, 3], background + drawn, atol=1e-5)


def test_background_is_paid_for_once_whatever_the_count():
  model, x = make(background=True), tiny.images()
  tiny.fill(model.trainable_variables)
  inference = model.infer(x, seed=tf.constant([1, 2]))
  terms = model.elbo_terms(x, inference, num_steps_prior())
  mean, stddev = (y.numpy() for y in inference.background.posterior)
  code = inference.background.code.numpy()
  # KL(N(m, s) || N(0, 1)) = (s^2 + m^2 - 1) / 2 - log s, summed.
  kl = np.sum(.5 * (stddev**2 + mean**2 - 1.) - np.log(stddev), axis=-1)
  # log N(c; 0, 1) - log N(c; m, s): the constants cancel.
  ratio = np.sum(.5 * ((code - mean) / stddev)**2 + np.log(stddev)
                 - .5 * code**2, axis=-1)
  np.testing.assert_allclose(terms.kl_background, kl, rtol=1e-4)
  np.testing.assert_allclose(terms.log_ratio_background, ratio, rtol=1e-3,
                             atol=1e-3)
  without = terms._replace(kl_background=0., log_ratio_background=0.)
  for name, paid in ('cumulative_kl', kl), ('cumulative_log_ratio', ratio):
    difference = getattr(terms, name) - getattr(without, name)
    np.testing.assert_allclose(
        difference, np.tile(paid[:, np.newaxis], [1, 4]), atol=1e-3)
  elbo, other = (elbo_lib.expected_elbo(x, terms.log_posterior)
                 for x in (terms, without))
  np.testing.assert_allclose(elbo.elbo, other.elbo - kl, rtol=1e-5)
  np.testing.assert_allclose(elbo.kl_background, kl, rtol=1e-4)


def test_backgrounds_of_samples_differ_and_constants_have_no_gradient():
  model, x = make(background=True), tf.tile(tiny.images(1), [3, 1, 1])
  inference = model.infer(x, seed=tf.constant([1, 2]))
  assert len(np.unique(inference.background.code, axis=0)) == 3
  means = model.infer(x).background
  np.testing.assert_array_equal(means.code, means.posterior.mean)
  weights = [v for v in model.trainable_variables if 'posterior' in v.name]
  with tf.GradientTape() as tape:
    image = model.infer(
        x, tf.constant([1, 2]), reparameterise=False).background.image
  assert all(g is None for g in tape.gradient(image, weights))


def test_dreams_have_a_background_and_drawings_have_none():
  model = make(background=True)
  dreams = model.sample_prior(tf.constant([0, 0]), tf.constant([1, 2]), 16, 16)
  assert np.all(dreams > 0.) and np.any(dreams[0] != dreams[1])
  drawn = model.decode(tf.zeros([1, 3, 4]), tf.fill([1, 3, 3], .5),
                     tf.zeros([1, 3]), 16, 16)
  np.testing.assert_array_equal(drawn, np.zeros([1, 16, 16]))


def test_reconstruct_keeps_the_first_objects():
  inference = make().infer(tiny.images())
  scene = explain_lib.reconstruct(inference, tf.constant([0, 2, 3]))
  np.testing.assert_array_equal(
      scene.presence, [[0, 0, 0], [1, 1, 0], [1, 1, 1]])
  np.testing.assert_array_equal(scene.image[0], np.zeros([16, 16]))
  np.testing.assert_array_equal(
      scene.image[1], inference.canvases[1, 2])
  np.testing.assert_array_equal(scene.canvases[1, 0], inference.canvases[1, 1])
  np.testing.assert_array_equal(scene.canvases[1, 2], inference.canvases[1, 2])


def test_drawing_ignores_absent_objects_even_of_scale_zero():
  model = make()
  what = tf.ones([2, 3, 4])
  where = tf.constant([[[.5, .1, .1], [0., 0., 0.], [0., 0., 0.]]] * 2)
  presence = prior.presence_mask(tf.constant([1, 0]), 3)
  drawn = model.decode(what, where, presence, 16, 16)
  assert np.all(np.isfinite(drawn)) and np.any(drawn[0] > 0.)
  np.testing.assert_array_equal(drawn[1], np.zeros([16, 16]))


def test_samples_of_the_prior_hold_what_was_asked_for():
  drawn = make().sample_prior(tf.constant([0, 3]), tf.constant([1, 2]), 16, 16)
  np.testing.assert_array_equal(drawn[0], np.zeros([16, 16]))
  assert np.sum(drawn[1]) > 0.


def mlp(name, *sizes):
  """Names and shapes of the weights and biases of an MLP."""
  found = {}
  for i, shape in enumerate(zip(sizes, sizes[1:])):
    found[f'{name}/linear_{i}/w'] = shape
    found[f'{name}/linear_{i}/b'] = shape[1:]
  return found


def linear(name, inputs, outputs):
  return {f'{name}/w': (inputs, outputs), f'{name}/b': (outputs,)}


def conv_encoder(name, channels):
  return mlp(f'{name}/mlp', 7 * 7 * 16, 256, 256) | {
      f'{name}/conv_0/w': (8, 8, channels, 16), f'{name}/conv_0/b': (16,),
      f'{name}/conv_1/w': (4, 4, 16, 16), f'{name}/conv_1/b': (16,)}


def gaussian(name, inputs, size):
  return mlp(f'{name}/hidden', inputs, 256, 256) | linear(
      f'{name}/mean_and_stddev', 256, 2 * size)


@pytest.mark.parametrize('image_encoder', config_lib.IMAGE_ENCODERS)
@pytest.mark.parametrize('difference', [False, True])
def test_inventory_of_variables(image_encoder, difference):
  model = model_lib.AIRModel(config_lib.Config(
      image_encoder=image_encoder, difference=difference))
  model.infer(tf.zeros([1, 50, 50]))
  found = {v.name.removeprefix('air/air_cell/').removesuffix(':0'):
           tuple(v.shape) for v in model.trainable_variables}
  channels = 2 if difference else 1  # What is left, and what is explained.
  expected = (
      mlp('image_encoder', 2500 * channels, 256, 256)
      if image_encoder == 'mlp' else conv_encoder('image_encoder', channels))
  located = 256
  if image_encoder == 'search':
    expected |= linear('search/keys', 16, 32) | {
        'search/query/w': (256, 32), 'search/score/w': (32, 1),
        'search/point/w': (256, 7 * 7)}
    located += 16 + 2 + 400 * channels  # And a look around there.
  expected |= {
      'initial_hidden': (256,), 'initial_cell': (256,),
      'lstm/step/w': (256 + 3 + 50, 1024)}
  expected |= linear('lstm/fixed', 256, 1024)
  expected |= mlp('steps_predictor/mlp', 256, 128, 64, 1)
  expected |= gaussian('where_estimator', located, 3)
  expected |= gaussian('glimpse_encoder', 400, 50)
  expected |= mlp('glimpse_decoder/hidden', 50, 256, 256)
  expected |= linear('glimpse_decoder/pixels', 256, 400)
  assert found == expected


def test_inventory_of_the_background():
  model = model_lib.AIRModel(config_lib.Config(background=True))
  model.infer(tf.zeros([1, 50, 50]))
  prefix = 'air/background/'
  found = {v.name.removeprefix(prefix).removesuffix(':0'): tuple(v.shape)
           for v in model.trainable_variables if v.name.startswith(prefix)}
  assert found == (
      conv_encoder('image_encoder', 1) | gaussian('posterior', 256, 16)
      | mlp('decoder/hidden', 16, 256, 256)
      | linear('decoder/pixels', 256, 2500))


@pytest.mark.parametrize('changes', [
    dict(image_encoder='mlp'),
    dict(channels=3, background=True, **tiny.DAIR)], ids=['blog', 'all'])
@pytest.mark.parametrize('name', config_lib.ESTIMATORS)
def test_every_variable_gets_a_gradient(name, changes):
  model, estimator = make(**changes), estimators.make(name)
  channels = model.config.channels
  x = tiny.images(8, channels=channels)
  with tf.GradientTape() as tape:
    estimate = estimator(estimators.make_inputs(
        model, x, num_steps_prior(), tf.constant(.5), tf.constant([1, 2]),
        tf.constant([3, 4]), tiny.config(estimator=name).particles,
        estimator.reparameterise))
    loss = estimate.loss + estimate.auxiliary_loss
  variables = model.trainable_variables + tuple(
      estimator.trainable_variables)
  dead = [v.name for v, g in zip(variables, tape.gradient(loss, variables))
          if g is None or not np.any(g)]
  assert not dead


@pytest.mark.parametrize('changes, missing', [
    (dict(image_encoder='mlp'), {'search', 'background'}),
    (dict(), {'search', 'background'}),
    (dict(background=True, **tiny.DAIR), set())])
def test_groups_hold_every_variable_once(changes, missing):
  model = make(**changes)
  groups = model.variable_groups()
  grouped = [v.name for group in groups.values() for v in group]
  assert sorted(grouped) == sorted(v.name for v in model.trainable_variables)
  assert len({v.ref() for group in groups.values() for v in group}) == len(
      model.trainable_variables)
  assert {'encoder', 'search', 'lstm', 'steps_predictor', 'where',
          'glimpse_encoder', 'decoder', 'background'} - set(groups) == missing
  # By what they are, not what they are called: the background has an encoder.
  assert all('background' not in v.name for v in groups['encoder'])


@pytest.mark.parametrize('golden, changes', [
    # A median size of sigmoid(-.2) of the image.
    ('golden.json', dict(object_size=16 * .450166, scale_prior_stddev=.2)),
    ('golden_all.json', dict(background=True, **tiny.DAIR))])
def test_golden_values(golden, changes):
  """Stored outputs of a model with known weights; see tests/README.md."""
  golden = pathlib.Path(__file__).with_name(golden)
  model, x = make(**changes), tiny.images()
  tiny.fill(model.trainable_variables)
  inference = model.infer(x)
  terms = model.elbo_terms(x, inference, num_steps_prior())
  found = {
      'step_logits': inference.num_steps_posterior.step_logits,
      'where': inference.where, 'what': inference.what,
      'canvas_sums': tf.reduce_sum(inference.canvases, axis=[2, 3]),
      'log_likelihood': terms.log_likelihood, 'kl_what': terms.kl_what,
      'kl_where': terms.kl_where}
  if inference.background is not None:
    found['kl_background'] = terms.kl_background
  found = {name: value.numpy().tolist() for name, value in found.items()}
  if not golden.exists():
    golden.write_text(json.dumps(found, indent=1))
    pytest.fail(f'wrote {golden.name}: read it, commit it, run again')
  for name, expected in json.loads(golden.read_text()).items():
    np.testing.assert_allclose(
        found[name], expected, rtol=1e-4, atol=1e-4, err_msg=name)

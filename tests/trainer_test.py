import functools

import numpy as np
import pytest
import sonnet as snt
import tensorflow as tf
import tiny

from air_tf import config as config_lib
from air_tf import noise
from air_tf.data import streams
from air_tf.training import optimizers

ONE_STEP = dict(max_steps=1, counts=(0, 1))


@functools.cache
def train_scenes():
  return tf.constant(tiny.scenes(40).images)


def make(copy=0, **changes):
  """As `tiny.trainer`; two steps are enough of most."""
  return tiny.trainer(copy, **(dict(max_steps=2) | changes))


def values(module):
  return [v.numpy() for v in module.variables]


def assert_equal(first, second):
  for a, b in zip(first, second, strict=True):
    np.testing.assert_array_equal(a, b)


VARIANTS = [*(dict(estimator=name) for name in config_lib.ESTIMATORS),
            dict(estimator='marginal', optimizer='rmsprop', num_particles=2),
            dict(estimator='nvil', optimizer='rmsprop', moving_signal=True)]


@pytest.mark.slow
@pytest.mark.group('variants')
@pytest.mark.parametrize('options', VARIANTS, ids=str)
def test_trains_and_reports(options):
  trainer, estimator = make(**options), options['estimator']
  before = values(trainer.model)
  with tiny.eagerly():
    means, last = trainer.run_iterations(train_scenes(), tf.constant(3))
  assert trainer.iteration.numpy() == 3
  assert np.all(np.isfinite(list(means.values())))
  for a, b in zip(before, values(trainer.model)):
    assert np.any(a != b)  # Every variable moves.
  assert {'elbo', 'log_likelihood', 'kl_what', 'kl_where', 'kl_num_steps',
          'expected_num_steps', 'exploration', 'prior_log_success',
          'learning_rate', 'gradient_norm'} <= set(last)
  assert ('learning_signal/variance' in last) == (
      estimator in ('reinforce', 'nvil', 'nvil_per_step', 'vimco'))
  assert ('baseline_loss' in last) == estimator.startswith('nvil')


@pytest.mark.slow
@pytest.mark.group('lowered')
@pytest.mark.parametrize('options', [
    x for x in VARIANTS if x not in (  # Others of these are lowered.
        dict(estimator='marginal'), dict(estimator='nvil'))], ids=str)
def test_xla_takes_the_whole_step(options):
  # It refuses here what it cannot compile. Its code then takes another five
  # seconds to generate, which `test_equal_seeds_are_bit_identical` does.
  trainer = make(**options)
  step = tf.function(
      trainer._step.python_function, jit_compile=True, autograph=False)
  hlo = step.experimental_get_compiler_ir(
      trainer.next_images(train_scenes()))(stage='hlo')
  assert hlo.startswith('HloModule') and 'custom-call' not in hlo


@pytest.mark.slow
def test_baseline_of_nvil_is_trained():
  trainer = make(estimator='nvil')
  before = values(trainer.estimator)
  with tiny.eagerly():
    trainer.train(train_scenes(), tf.constant(1))
  for a, b in zip(before, values(trainer.estimator), strict=True):
    assert np.any(a != b)


@pytest.mark.parametrize('estimator', config_lib.ESTIMATORS)
@pytest.mark.slow
def test_auxiliary_training_moves_the_estimator_alone(estimator):
  trainer = make(estimator=estimator)
  model = values(trainer.model)
  own = trainer.estimator.trainable_variables
  before = [v.numpy() for v in own]
  trainer.train_auxiliary(train_scenes(), tf.constant(2))
  assert_equal(model, values(trainer.model))
  assert all(np.any(a != b) for a, b in zip(before, own))
  assert bool(own) == (estimator in ('nvil', 'nvil_per_step', 'rebar'))


@pytest.mark.slow
def test_importance_weighted_bound_is_above_the_elbo_and_rises_with_particles():
  # In the mean; here of 40 batches of 4, and by nats.
  bounds = []
  for particles in 2, 6:
    trainer = make(num_particles=particles, max_steps=3)
    estimate = tf.function(
        lambda i: trainer.estimate(tiny.images(4), i))  # noqa: B023
    estimates = [estimate(tf.constant(i)) for i in range(40)]
    bounds.append(np.mean([-x.loss for x in estimates]))
    elbo = np.mean([np.mean(x.elbo.elbo) for x in estimates])
    assert bounds[-1] > elbo + 1.
  assert bounds[1] > bounds[0] + 1.


def test_an_object_costs_much_at_first_and_little_later():
  trainer = make()
  for iteration, success in (0, 1e-5), (500, 1e-5), (501, .1), (9_999, .1):
    trainer.iteration.assign(iteration)
    log_pmf = trainer.num_steps_prior().log_pmf().numpy()
    np.testing.assert_allclose(np.diff(log_pmf), np.log(success), rtol=1e-5)


def test_counts_are_shared_with_their_prefixes():
  # E n becomes (1 - share) E n + share (E n + P(n > 0)) / 2, but for noise in
  # what earlier steps saw.
  def expected(share):
    trainer = make(max_steps=3, prefix_share=share, exploration_init=0.,
                   exploration_final=0.)
    elbo = trainer.estimate(tiny.images(4), tf.constant(1)).elbo
    inference = trainer.model.infer(tiny.images(4), tf.constant([0, 0]))
    some = 1. - tf.exp(inference.num_steps_posterior.log_pmf())[:, 0]
    return elbo.expected_num_steps, some
  (whole, some), (shared, _) = expected(0.), expected(.8)
  np.testing.assert_allclose(
      shared, .2 * whole + .8 * (whole + some) / 2., rtol=1e-2)
  assert np.all(shared < whole - .1)


def test_wake_wake_samples_are_constants():
  # What and where reach the decoder, and no gradient comes back through them:
  # the likelihood alone trains only the decoder.
  trainer = make(estimator='rws')
  x = tiny.images()
  variables = trainer.model.trainable_variables
  with tf.GradientTape() as tape:
    inference = trainer.model.infer(
        x, seed=tf.constant([1, 2]), reparameterise=False)
    total = tf.reduce_sum(trainer.model.elbo_terms(
        x, inference, trainer.num_steps_prior()).log_likelihood)
  for variable, gradient in zip(variables, tape.gradient(total, variables)):
    assert (gradient is not None) == ('glimpse_decoder' in variable.name)


@pytest.mark.parametrize('changes', [
    dict(), dict(background=True), dict(compositing='over')], ids=str)
def test_the_posterior_of_wake_wake_has_no_gradient_in_the_decoder(changes):
  # Later steps see what earlier ones drew: that is a constant, too.
  trainer = make(estimator='rws', **tiny.DAIR, **changes)
  x = tiny.images()
  variables = trainer.model.trainable_variables
  with tf.GradientTape() as tape:
    inference = trainer.model.infer(
        x, seed=tf.constant([1, 2]), reparameterise=False)
    terms = trainer.model.elbo_terms(x, inference, trainer.num_steps_prior())
    total = tf.reduce_sum(terms.log_posterior) - tf.reduce_sum(terms.log_ratio)
  for variable, gradient in zip(variables, tape.gradient(total, variables)):
    assert 'decoder' not in variable.name or gradient is None, variable.name


@pytest.mark.parametrize('option, names', [
    ('decoder_init_scale', ['glimpse_decoder/pixels/w']),
    ('where_init_scale', ['where_estimator/mean_and_stddev/w']),
    ('steps_init_scale', ['steps_predictor/mlp/linear_2/w'])])
def test_scales_of_the_outputs_act_at_the_start(option, names):
  plain = make()
  scaled = make(**{option: 10.})
  for module in 'model', 'ema_model':
    for a, b in zip(getattr(plain, module).trainable_variables,
                    getattr(scaled, module).trainable_variables):
      factor = 10. if any(name in a.name for name in names) else 1.
      np.testing.assert_allclose(b, factor * a, rtol=1e-6)


@pytest.mark.parametrize('options', [
    dict(), pytest.param(dict(jit_compile=True, **ONE_STEP), marks=[
        pytest.mark.slow, pytest.mark.group('compiled')])], ids=str)
def test_equal_seeds_are_bit_identical(options, tmp_path):
  trainer = make(**options)
  trainer.train(train_scenes(), tf.constant(5))
  after_5 = values(trainer)
  saved = tf.train.Checkpoint(trainer=trainer).write(str(tmp_path / 'saved'))
  trainer.train(train_scenes(), tf.constant(3))
  after_8 = values(trainer)
  again = make(**options)  # The same, compiled already, as it was at first.
  again.train(train_scenes(), tf.constant(5))
  assert_equal(after_5, values(again))
  # Also from a checkpoint, after it went another way.
  again.train(train_scenes(), tf.constant(2))
  tf.train.Checkpoint(trainer=again).read(saved).assert_consumed()
  assert again.iteration == 5
  again.train(train_scenes(), tf.constant(3))
  assert_equal(after_8, values(again))


@pytest.fixture(name='idle', scope='module')
def _idle():
  """A trainer that tests look at, set to an iteration, and do not train."""
  return make(refresh_every=2)


def test_scenes_are_taken_in_every_form(idle):
  arrays = tiny.scenes(40)
  stream = idle.make_input(streams.MappedImages(arrays.images, np.arange(40)))
  expected = idle.next_images(train_scenes())
  for form in (arrays.images, train_scenes(), arrays, lambda pool: arrays,
               stream, idle.make_input(arrays)):
    np.testing.assert_array_equal(
        idle.next_images(idle.make_input(form)), expected)


def test_a_source_is_asked_for_the_pool_of_the_iteration(idle):
  asked = []
  for iteration in range(5):
    idle.iteration.assign(iteration)
    idle.make_input(lambda pool: asked.append(pool) or tiny.scenes())
  assert asked == [0, 0, 1, 1, 2]


@pytest.mark.slow
def test_train_returns_means_and_is_traced_once():
  one, many = (make(copy) for copy in range(2))
  each = [one.train(scenes, n)['elbo'] for scenes, n in (
      (train_scenes(), 1), (train_scenes().numpy(), tf.constant(1, tf.int64)),
      (train_scenes(), 2))]
  np.testing.assert_allclose(
      many.train(train_scenes(), iterations=4)['elbo'],
      np.mean([each[0], each[1], each[2], each[2]]), rtol=1e-5)
  assert each[0] != each[1]
  assert one.run_iterations.experimental_get_tracing_count() == 1
  assert_equal(values(one), values(many))


@pytest.mark.parametrize('images, found', [
    (np.zeros([5, 16, 16], np.float32), r'float32 and shape \[5, 16, 16\]'),
    (np.zeros([5, 8, 16], np.uint8), r'uint8 and shape \[5, 8, 16\]'),
    (np.zeros([16, 16], np.uint8), r'uint8 and shape \[16, 16\]')])
def test_other_images_are_refused(idle, images, found):
  with pytest.raises(ValueError, match=found + r'; expected uint8 .* 16, 16\]'):
    idle.train(images, 1)
  with pytest.raises(ValueError, match='`iterations` is 0; expected at least'):
    idle.train(train_scenes(), 0)


@pytest.mark.slow
def test_works_inside_a_function_of_the_users():
  inside = make()

  @tf.function
  def train(scenes):
    elbos = [inside.train(scenes, iterations=n)['elbo'] for n in (2, 1)]
    posterior = inside.ema_model.infer(tiny.images(2)).num_steps_posterior
    return elbos, posterior.log_pmf()

  elbos, log_pmf = train(train_scenes())
  assert np.all(np.isfinite(elbos)) and elbos[0] != elbos[1]
  assert inside.iteration == 3 and log_pmf.shape == [2, 3]
  with pytest.raises(ValueError, match='Inside a `tf.function`, `scenes` must'):
    tf.function(lambda: inside.train(lambda pool: tiny.scenes(), 1))()


def test_repr_is_short_also_inside_a_function(idle):
  size = sum(v.size for v in values(idle.model))
  idle.iteration.assign(1_200)
  expected = (
      f"Trainer(estimator='marginal', parameters={size:,}, iteration=1,200)")
  assert repr(idle) == expected
  texts = []
  tf.function(lambda: texts.append(repr(idle)))()
  assert texts == [expected]


@pytest.mark.slow
def test_other_seeds_differ_in_weights_batches_and_noise():
  first, other = (make(seed=s) for s in (0, 1))
  assert any(np.any(a != b) for a, b in zip(values(first), values(other)))
  images = first.next_images(train_scenes())
  assert np.any(images != other.next_images(train_scenes()))
  for ours, theirs in zip(other.variables, first.variables, strict=True):
    ours.assign(theirs)
  assert first.estimate(images).loss != other.estimate(images).loss


@pytest.mark.parametrize('iteration, expected', [
    (0, .9), (750, .5), (1_500, .1), (9_999, .1)])
def test_the_exploration_floor_falls_over_its_own_iterations(
    idle, iteration, expected):
  idle.iteration.assign(iteration)
  np.testing.assert_allclose(idle._exploration(), expected, rtol=1e-6)


@pytest.mark.slow
def test_how_iterations_are_grouped_changes_nothing():
  whole, parts = (make(copy) for copy in range(2))
  whole.train(train_scenes(), tf.constant(5))
  for iterations in 1, 3, 1:
    parts.train(train_scenes(), tf.constant(iterations))
  assert_equal(values(whole), values(parts))
  assert whole.run_iterations.experimental_get_tracing_count() == 1
  assert parts.run_iterations.experimental_get_tracing_count() == 1


@pytest.mark.slow
@pytest.mark.group('compiled')
def test_compiled_or_not_takes_the_same_step(monkeypatch):
  # At posterior means, for XLA's generator of random numbers is another one.
  monkeypatch.setattr(noise, 'normal', lambda shape, *_, **__: tf.zeros(shape))
  images = streams.to_pixels(train_scenes()[:4])
  trainers = [make('without noise', jit_compile=jit_compile,
                   optimizer='rmsprop', **ONE_STEP)
              for jit_compile in (True, False)]
  before = values(trainers[0].model)
  compiled, plain = (
      {name: value.numpy() for name, value in trainer._step(images).items()}
      for trainer in trainers)
  assert set(compiled) == set(plain)
  for name, value in plain.items():
    np.testing.assert_allclose(compiled[name], value, 1e-4, 1e-6, err_msg=name)
  # Adam would move each weight by its rate, however small the gradient is.
  moved = [(a - old, b - old) for a, b, old in zip(
      *(values(x.model) for x in trainers), before, strict=True)]
  for ours, theirs in moved:
    np.testing.assert_allclose(ours, theirs, atol=.02 * np.abs(theirs).max())
  assert np.mean([np.any(theirs) for _, theirs in moved]) > .8


def test_every_scene_is_drawn(idle):
  # A scene of 10 is missed by 200 draws with probability .9^200 < 1e-9.
  grey = np.arange(10, dtype=np.uint8)[:, np.newaxis, np.newaxis]
  scenes = idle.make_input(np.tile(grey, [1, 16, 16]))
  seen = set()
  for i in range(50):
    idle.iteration.assign(i)
    images = idle.next_images(scenes).numpy()
    assert np.all(images == images[:, :1, :1])
    seen |= set(np.rint(255. * images[:, 0, 0]).astype(int))
  assert seen == set(range(10))


@pytest.mark.slow
def test_learning_rate_acts():
  def moved(rate):
    trainer = make(learning_rate=rate)
    before = values(trainer.model)
    with tiny.eagerly():
      trainer.train(train_scenes(), tf.constant(1))
    return np.mean([np.mean(np.abs(a - b)) for a, b in zip(
        before, values(trainer.model))])
  np.testing.assert_allclose(moved(1e-3) / moved(1e-4), 10., rtol=.01)


def test_a_number_that_is_not_finite_stops_the_loop_at_its_iteration():
  trainer = make()
  variable = trainer.model.trainable_variables[0]
  trainer.train(train_scenes(), tf.constant(2))
  variable.assign(variable * np.nan)
  _, last = trainer.run_iterations(train_scenes(), tf.constant(50))
  assert trainer.iteration.numpy() == 3
  assert not np.isfinite(last['elbo'])


@pytest.mark.slow
def test_average_follows_the_weights():
  trainer = make()
  start = values(trainer.ema_model)
  assert_equal(start, values(trainer.model))
  # It moves every tenth iteration; in a young run it then keeps 10 / 100.
  trainer.train(train_scenes(), tf.constant(9))
  assert_equal(start, values(trainer.ema_model))
  trainer.train(train_scenes(), tf.constant(1))
  for a, b, c in zip(start, values(trainer.model), values(trainer.ema_model)):
    np.testing.assert_allclose(c, .1 * a + .9 * b, rtol=1e-4, atol=1e-6)
  # Later it keeps the decay of ten iterations.
  trainer.iteration.assign(99_999)
  before = values(trainer.ema_model)
  keep = trainer.config.ema_decay**10
  trainer.train(train_scenes(), tf.constant(1))
  for a, b, c in zip(before, values(trainer.model), values(trainer.ema_model)):
    np.testing.assert_allclose(
        c, keep * a + (1. - keep) * b, rtol=1e-4, atol=1e-6)


def optimizer(**changes):
  config = tiny.config(decay_iterations=0, **changes)
  return optimizers.Optimizer(config, config.learning_rate, name='test')


def test_rmsprop_starts_as_tensorflow_1_did():
  # By hand, for one gradient g: ms = .9 + .1 g^2, mg = .1 g, and the step is
  # rate * g / sqrt(ms - mg^2 + 1e-10), as momentum starts at 0.
  variable = tf.Variable([1., 1.])
  rmsprop = optimizer(optimizer='rmsprop', learning_rate=.01, clip_norm=0.)
  rmsprop.initialize([variable])
  np.testing.assert_array_equal(variable, [1., 1.])
  g = np.array([2., -.5])
  rmsprop.apply([tf.constant(g, tf.float32)], [variable], tf.constant(0))
  step = .01 * g / np.sqrt(.9 + .1 * g**2 - (.1 * g)**2 + 1e-10)
  np.testing.assert_allclose(variable, 1. - step, rtol=1e-6)
  # Second step: momentum .9 of the first.
  rmsprop.apply([tf.constant(g, tf.float32)], [variable], tf.constant(1))
  ms, mg = .81 + .19 * g**2, .19 * g
  second = .9 * step + .01 * g / np.sqrt(ms - mg**2 + 1e-10)
  np.testing.assert_allclose(variable, 1. - step - second, rtol=1e-5)


def test_adam_takes_its_first_step_as_sonnets():
  ours, theirs = tf.Variable([1., 1.]), tf.Variable([1., 1.])
  adam = optimizer(learning_rate=.01, clip_norm=0.)
  adam.initialize([ours])
  reference = snt.optimizers.Adam(.01)
  for i in range(3):
    g = tf.constant([2., -.5]) * (i + 1.)
    adam.apply([g], [ours], tf.constant(i))
    reference.apply([g], [theirs])
  np.testing.assert_array_equal(ours, theirs)


def test_clipping_bounds_the_norm_and_reports_it_as_it_was():
  rmsprop = optimizer(optimizer='rmsprop', learning_rate=.01, clip_norm=1.)
  variable = tf.Variable([0., 0.])
  rmsprop.initialize([variable])
  norm, rate = rmsprop.apply([tf.constant([30., 40.])], [variable],
                             tf.constant(0))
  np.testing.assert_allclose([norm, rate], [50., .01])
  g = np.array([.6, .8])
  np.testing.assert_allclose(
      variable, -.01 * g / np.sqrt(.9 + .1 * g**2 - (.1 * g)**2), rtol=1e-5)

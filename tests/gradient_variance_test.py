import functools

import numpy as np
import pytest
import stat_util
import tensorflow as tf
import tiny

from air_tf import config as config_lib
from air_tf import errors
from air_tf.data import streams
from air_tf.estimators import base
from air_tf.studies import gradient_variance
from air_tf.training import cards
from air_tf.training import gradient_monitor


@functools.cache
def train_scenes():
  return tf.constant(tiny.scenes(40).images)


@functools.cache
def few_images():
  return tiny.images(4)


@functools.cache
def many_images():
  """For 256 samples of n at a time."""
  return tf.tile(tiny.images(1), [256, 1, 1])


make = functools.partial(tiny.trainer, max_steps=2)


@functools.cache
def exact_gradients(particles, repeats):
  """Of `marginal`, on the images and weights of the test of unbiasedness."""
  exact = make(num_particles=particles, max_steps=3)
  tiny.fill(exact.model.trainable_variables)
  return gradients(exact, repeats, many_images())


def gradients(trainer, repeats, images):
  """Gradients of all variables, `[repeats, parameters]`."""
  def one(repeat):
    with tf.GradientTape() as tape:
      loss = trainer.estimate(images, repeat).loss
    return tf.concat([tf.reshape(g, [-1]) for g in tape.gradient(
        loss, trainer.model.trainable_variables)], axis=0)
  with tiny.eagerly():
    return np.stack([one(tf.constant(i)) for i in range(repeats)])


def parameter_groups(trainer):
  """The group of each parameter, in the order of `gradients`."""
  indices = gradient_monitor.indices_by_group(trainer.model)
  group_of = {i: group for group, some in indices.items() for i in some}
  return np.concatenate([
      np.repeat(group_of[i], v.shape.num_elements())
      for i, v in enumerate(trainer.model.trainable_variables)])


@pytest.mark.parametrize('changes, more', [
    ({}, set()), (tiny.DAIR, {'search'}),
    (dict(background=True), {'background'})])
def test_every_variable_is_in_one_group(changes, more):
  model = make(**changes).model
  groups = gradient_monitor.indices_by_group(model)
  assert set(groups) == more | {
      'encoder', 'lstm', 'steps_predictor', 'where', 'glimpse_encoder',
      'decoder'}
  assert sorted(sum(groups.values(), [])) == list(
      range(len(model.trainable_variables)))
  names = {group: [model.trainable_variables[i].name for i in indices]
           for group, indices in groups.items()}
  for group, part in (
      ('encoder', 'air_cell/image_encoder/'), ('decoder', 'glimpse_decoder/'),
      ('where', 'where_estimator/'), ('search', '/search/'),
      ('background', '/background/')):
    assert all(part in name for name in names.get(group, []))


def test_every_variable_has_a_curve_of_its_own():
  model = make(background=True).model
  tags = gradient_monitor.tags(model)
  groups = model.variable_groups()
  assert len(tags) == len(model.trainable_variables) + len(groups)
  for group in groups:
    of_group = [tags[x] for x in tags if x.startswith(
        f'gradient_variance/{group}/')]
    assert sum(of_group, []) == tags[f'gradient_variance/{group}']
  name = model.trainable_variables[
      tags['gradient_variance/where/where_estimator/hidden/linear_0/w'][0]].name
  assert name == 'trainer/air/air_cell/where_estimator/hidden/linear_0/w:0'


@pytest.mark.slow
def test_variance_is_numpys():
  trainer = make(estimator='reinforce')
  with tiny.eagerly():
    found = gradient_variance.measure(trainer, few_images(), 7)
  variances = gradients(trainer, 7, few_images()).var(axis=0, ddof=1)
  groups = parameter_groups(trainer)
  assert set(found) == {*groups, 'all'}
  for group in set(groups):
    np.testing.assert_allclose(
        found[group]['total'], variances[groups == group].mean(), rtol=1e-3)
    assert found[group]['parameters'] == np.sum(groups == group)
  np.testing.assert_allclose(found['all']['total'], variances.mean(), rtol=1e-3)


def test_the_parts_are_told_apart():
  with tiny.eagerly():
    marginal = gradient_variance.measure(make(), few_images(), 5)
    reinforce = gradient_variance.measure(
        make(estimator='reinforce'), few_images(), 5)
  assert marginal['encoder']['score'] == 0.
  assert marginal['encoder']['backpropagation'] == marginal['encoder']['total']
  assert reinforce['steps_predictor']['score'] > 10. * marginal[
      'steps_predictor']['total']
  assert reinforce['decoder']['score'] == 0.  # It has no part in q(n).


@pytest.mark.slow
def test_two_gradients_estimate_the_variance_without_bias():
  # 150 measurements; sees a bias of a fifth of the variance of `where`.
  trainer = make()
  watch = gradient_monitor.Monitor(trainer)
  scene = tiny.scenes(8).images[-1:]  # One, so that all batches are equal.
  pairs = []
  for i in range(150):
    trainer.iteration.assign(10_000_000 + i)  # New seeds; schedules have ended.
    pairs.append(watch(tf.constant(scene))['gradient_variance/where'])
  batch = streams.to_pixels(np.repeat(scene, 4, axis=0))
  expected = gradient_variance.measure(trainer, batch, 300)['where']['total']
  stat_util.assert_mean_matches(pairs, expected, resolution=expected)


@pytest.mark.slow
@tiny.eagerly()
def test_monitor_leaves_no_trace():
  trainer, watched = (make(
      copy, estimator='nvil', moving_signal=True) for copy in range(2))
  watch = gradient_monitor.Monitor(watched)
  for one in trainer, watched:
    one.train(train_scenes(), tf.constant(2))
  first = watch(train_scenes())
  assert set(first) == set(gradient_monitor.tags(watched.model))
  for group, variables in watched.model.variable_groups().items():
    tag = f'gradient_variance/{group}'
    assert first[tag] > 0.
    # The mean over a group is that of its variables, by their sizes.
    values = [v for name, v in first.items() if name.startswith(f'{tag}/')]
    np.testing.assert_allclose(first[tag], np.average(
        values, weights=[v.shape.num_elements() for v in variables]), rtol=1e-4)
  assert watch(train_scenes()) == pytest.approx(  # No new numbers.
      first, rel=1e-5)
  for one in trainer, watched:
    one.train(train_scenes(), tf.constant(2))
  for a, b in zip(trainer.variables, watched.variables, strict=True):
    np.testing.assert_array_equal(a, b)


@pytest.mark.slow
@pytest.mark.parametrize('name, particles', [
    ('reinforce', 1), ('nvil_per_step', 1), ('mvd', 1), ('rebar', 1),
    ('vimco', 2), ('reinforce', 2)])
def test_unbiased_to_the_last_parameter(name, particles):
  # Against `marginal` with the same latents, so that what differs is n alone:
  # the difference has mean 0. Tested for each group of variables, along one
  # random direction of unit length and the direction of the exact gradient,
  # whose length is of the order of 100. 24 numbers are compared; a right
  # estimator fails once in 70,000 runs of other seeds.
  sampled = make(estimator=name, num_particles=particles, max_steps=3)
  tiny.fill(sampled.model.trainable_variables)
  repeats = 12
  exact = exact_gradients(particles, repeats)
  difference = gradients(sampled, repeats, many_images()) - exact
  reference = exact[0]
  rng = np.random.default_rng(0)
  groups = parameter_groups(sampled)
  for group in set(groups):
    inside = groups == group
    length = np.linalg.norm(reference[inside])
    for direction in rng.normal(size=inside.sum()), reference[inside]:
      direction = direction / (np.linalg.norm(direction) + 1e-12)
      along = difference[:, inside] @ direction
      stderr = along.std(ddof=1) / np.sqrt(repeats)
      # Student's t with 11 degrees of freedom: 8 is passed once in 150,000.
      assert abs(along.mean()) <= 8. * stderr + 1e-4 * length, (group, length)


def test_what_does_not_suit_the_run_is_left_out_or_refused_at_once():
  config = tiny.config(compositing='over')
  found = gradient_variance._configs(config, None)
  assert set(config_lib.ESTIMATORS) - set(found) == {'concrete', 'rebar'}
  assert all(x.estimator == name for name, x in found.items())
  with pytest.raises(errors.UserError, match='--estimators: found rebar'):
    gradient_variance._configs(config, ['mvd', 'rebar'])


@pytest.mark.slow
def test_every_estimator_is_measured(monkeypatch):
  names, make_estimate = set(), base.Estimate.make
  def recorded(*args, metrics=None, **kwargs):
    names.update(metrics or {})
    return make_estimate(*args, metrics=metrics, **kwargs)
  monkeypatch.setattr(base.Estimate, 'make', recorded)
  trainers = {name: make(estimator=name, max_steps=1, counts=(0, 1))
              for name in config_lib.ESTIMATORS}
  with tiny.eagerly():
    result = {'estimators': {
        name: {'num_particles': trainer.config.particles,
               'groups': gradient_variance.measure(trainer, few_images(), 2)}
        for name, trainer in trainers.items()}}
  table = gradient_variance.markdown(result).splitlines()
  assert len(table) == 2 + 3 * len(config_lib.ESTIMATORS)
  assert any(line.startswith('| vimco (K = 5) | total |') for line in table)
  for x in result['estimators'].values():
    assert all(np.isfinite(v['total']) and v['total'] > 0.
               for v in x['groups'].values())
  # Whatever an estimator reports, its card says what it is.
  assert names > {'baseline_loss', 'rebar_eta', 'learning_signal/mean'}
  assert not [name for name in names
              if not cards.describe(f'training/{name}', 'train')]

"""Tests of compositing.py, and of models whose objects cover each other."""

import functools

import numpy as np
import pytest
import tensorflow as tf
import tiny

from air_tf import compositing
from air_tf import errors
from air_tf import glimpses as glimpses_lib
from air_tf import model as model_lib
from air_tf import prior
from air_tf.estimators import base
from air_tf.estimators import exact

GREY, COLOUR = dict(compositing='over'), dict(
    compositing='over', ground=True, ground_kind='level')


@functools.cache
def model(channels=1, **changes):
  made = model_lib.AIRModel(tiny.config(
      channels=channels, **(COLOUR if channels == 3 else GREY) | changes))
  tiny.fill(made.trainable_variables)
  return made


def random_paint(shape=(2, 3, 4, 5), channels=3, seed=0):
  """Premultiplied colours and opacities `[B, T, H, W, C + 1]`."""
  rng = np.random.default_rng(seed)
  alpha = rng.random([*shape, 1])
  return np.concatenate(
      [alpha * rng.random([*shape, channels]), alpha], axis=-1)


def by_loops(canvas, painted):
  """The objects of one pixel after the other, as the equations stand."""
  canvases = np.repeat(canvas[:, np.newaxis], painted.shape[1] + 1, axis=1)
  for b, y, x in np.ndindex(*canvas.shape[:3]):
    colour, hidden = 0., 0.
    for t, pixel in enumerate(painted[b, :, y, x]):
      colour = colour + (1. - hidden) * pixel[:-1]
      hidden = hidden + (1. - hidden) * pixel[-1]
      canvases[b, t + 1, y, x] = colour + (1. - hidden) * canvas[b, y, x]
  return canvases


def test_objects_cover_each_other_as_the_equations_say():
  painted = random_paint()
  canvas = np.random.default_rng(1).random([2, 4, 5, 3])
  made = compositing.compose(tf.constant(canvas), tf.constant(painted), True)
  np.testing.assert_allclose(made, by_loops(canvas, painted))


def test_grey_is_one_channel_of_colour():
  painted = random_paint(channels=1)
  canvas = np.random.default_rng(1).random([2, 4, 5])
  grey = compositing.compose(tf.constant(canvas), tf.constant(painted), True)
  colour = compositing.compose(
      tf.constant(canvas[..., np.newaxis]), tf.constant(painted), True)
  np.testing.assert_array_equal(grey, colour[..., 0])


def test_the_first_of_two_opaque_objects_is_in_front():
  red, blue = [1., 0., 0., 1.], [0., 0., 1., 1.]
  painted = tf.constant([red, blue], shape=[1, 2, 1, 1, 4])
  made = compositing.compose(tf.fill([1, 1, 1, 3], .5), painted, True)
  np.testing.assert_array_equal(
      np.squeeze(made), [[.5] * 3, red[:3], red[:3]])


def test_a_transparent_edge_takes_no_colour_from_what_is_not_seen():
  # Red, and white that is transparent; the middle of them is half a red.
  painted = compositing.premultiply(tf.constant(
      [[1., 0., 0., 1.], [1., 1., 1., 0.]]))
  np.testing.assert_array_equal(
      tf.reduce_mean(painted, axis=0), [.5, 0., 0., .5])


def test_a_new_model_starts_half_bright_and_nearly_transparent():
  made = model_lib.AIRModel(tiny.config(decoder_init_scale=1e-6, **GREY))
  found = made.infer(tiny.images())
  np.testing.assert_allclose(found.alphas, 1. / (1. + np.exp(2.)), rtol=1e-3)
  np.testing.assert_allclose(
      found.glimpses, .5 * found.alphas.numpy(), rtol=1e-3)


@pytest.mark.parametrize('changes', [
    {}, tiny.DAIR, dict(one_colour=True),
    dict(glimpse_encoder='conv', glimpse_decoder='conv'),
    dict(compositing='sorted', **tiny.DAIR)],
    ids=str)
@pytest.mark.parametrize('channels', [1, 3])
def test_every_weight_of_an_occluding_model_is_trained(channels, changes):
  made = model(channels, **changes)
  images = tiny.images(channels=channels)
  with tf.GradientTape() as tape:
    inputs = base.make_inputs(
        made, images, prior.truncated_geometric(np.log(.1), 3),
        tf.constant(.5), tf.constant([0, 1]), tf.constant([0, 2]))
    loss = exact.Marginal()(inputs).loss
  gradients = tape.gradient(loss, made.trainable_variables)
  dead = [v.name for v, g in zip(made.trainable_variables, gradients,
                                 strict=True)
          if g is None or not np.any(tf.convert_to_tensor(g))]
  assert not dead


def test_each_variable_is_in_one_group():
  made = model(3, one_colour=True, glimpse_encoder='conv')
  grouped = [v.ref() for x in made.variable_groups().values() for v in x]
  assert len(grouped) == len(set(grouped))
  assert set(grouped) == {v.ref() for v in made.trainable_variables}


def test_stencils_are_filled_with_one_colour():
  colours, alphas = tf.constant([[.2, .4, .6]]), tf.constant([[[0., .5, 1.]]])
  np.testing.assert_allclose(
      compositing.fill(colours, alphas)[0, 0],
      [[0., 0., 0., 0.], [.1, .2, .3, .5], [.2, .4, .6, 1.]], rtol=1e-6)


@pytest.mark.parametrize('channels', [1, 3])
def test_an_object_has_one_colour(channels):
  made, images = (model(channels, one_colour=True),
                  tiny.images(channels=channels))
  found = made.infer(images)
  alphas = found.alphas.numpy()
  assert np.ptp(alphas) > .03
  colours = found.glimpses.numpy().reshape([*alphas.shape, channels])
  colours = colours / alphas[..., np.newaxis]
  np.testing.assert_allclose(
      colours, np.broadcast_to(colours[..., :1, :1, :], colours.shape),
      rtol=1e-4)
  assert np.ptp(colours[:, :, 0, 0, 0]) > .01  # Not the same one for all.


def test_the_outline_of_a_stencil_is_as_sharp_as_the_image():
  made = model_lib.AIRModel(tiny.config(one_colour=True, **GREY))
  left_half = np.where(np.arange(6) < 3, 50., -50.)
  made._cell._decoder._pixels.w.assign(
      tf.zeros_like(made._cell._decoder._pixels.w))
  made._cell._decoder._pixels.b.assign([0., *np.tile(left_half, 6)])
  # A pixel of the glimpse is 1.7 pixels of the image wide.
  for shift in np.linspace(0., .125, 8):
    _, written = made._cell.write(
        tf.zeros([1, 4]), tf.constant([[.65, shift, 0.]], tf.float32), 16, 16)
    row = written[0, 8, :, -1].numpy()
    inside = row > .5
    assert 4 <= inside.sum() <= 6
    assert ((row > .05) & (row < .95)).sum() <= 1
    assert row[0] < 1e-3 and row[-1] < 1e-3  # Nothing outside the glimpse.


def test_one_colour_needs_opacities():
  with pytest.raises(errors.UserError, match='beside --compositing=over'):
    tiny.config(one_colour=True)


def test_stencils_have_no_convolutions():
  with pytest.raises(errors.UserError, match='mlp beside --one_colour'):
    tiny.config(one_colour=True, glimpse_decoder='conv', **GREY)


@pytest.mark.parametrize('changes', [{}, dict(one_colour=True)], ids=str)
def test_each_prefix_is_what_the_first_objects_decode_to(changes):
  made, images = model(**changes), tiny.images()
  found = made.infer(images)
  for n in range(4):
    presence = tf.repeat([[1.] * n + [0.] * (3 - n)], 3, axis=0)
    np.testing.assert_allclose(
        made.decode(found.what, found.where, presence, 16, 16),
        found.canvases[:, n], atol=1e-5)


@pytest.mark.parametrize('dair', [False, True])
def test_later_steps_see_only_what_is_not_covered(dair, monkeypatch):
  made = model(**(tiny.DAIR if dair else {}))
  seen, images = tiny.encoded(made, monkeypatch), tiny.images()
  found = made.infer(images)
  assert len(seen) == (3 if dair else 1)
  left = images
  for t, channels in enumerate(seen if dair else []):
    np.testing.assert_allclose(channels[..., 0], left, atol=1e-6)
    np.testing.assert_allclose(channels[..., 1], images - left, atol=1e-6)
    left *= 1. - glimpses_lib.write(
        found.alphas[:, t], found.where[:, t], 16, 16)


@pytest.mark.parametrize('dair', [False, True])
def test_steps_see_how_far_colours_are_from_the_ground(dair, monkeypatch):
  made = model(3, **(tiny.DAIR if dair else {}))
  seen, images = tiny.encoded(made, monkeypatch), tiny.images(channels=3)
  found = made.infer(images)
  difference = images - found.canvases[:, 0]
  length = np.linalg.norm(difference, axis=-1)
  if not dair:  # Images and the length.
    np.testing.assert_allclose(seen[0], np.concatenate(
        [images, length[..., np.newaxis]], axis=-1), atol=2e-3)
  left = 1.
  for t, channels in enumerate(seen if dair else []):
    np.testing.assert_allclose(channels[..., 3, 0], left * length, atol=2e-3)
    np.testing.assert_allclose(
        channels[..., 3, 1], (1. - left) * length, atol=2e-3)
    left *= 1. - glimpses_lib.write(
        found.alphas[:, t], found.where[:, t], 16, 16).numpy()


def test_samples_cover_a_background():
  made = model_lib.AIRModel(tiny.config(background=True, **GREY))
  made.infer(tiny.images())
  tiny.fill(made.trainable_variables)
  counts = tf.constant([0, 3])
  samples = made.sample_prior(counts, [0, 1], 16, 16)
  assert np.all(samples >= 0.) and np.all(samples <= 1.)
  assert np.ptp(samples[0]) > 0.


@pytest.mark.parametrize('estimator', ['concrete', 'rebar'])
def test_estimators_of_sums_say_so(estimator):
  with pytest.raises(errors.UserError, match=(
      f'--compositing=over: expected add, because --estimator={estimator}')):
    tiny.config(estimator=estimator, **GREY)


def test_a_kind_of_ground_needs_a_ground():
  with pytest.raises(errors.UserError, match='beside --ground'):
    tiny.config(ground_kind='level')

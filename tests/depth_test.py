"""Tests of depth.py, and of models whose depth is read from the image."""

import numpy as np
import pytest
import tensorflow as tf
import tiny

from air_tf import compositing
from air_tf import depth
from air_tf import explain as explain_lib
from air_tf import model as model_lib
from air_tf import prior
from air_tf import segment


def random_paint(channels, shape=(3, 4, 5, 6), seed=0):
  """Premultiplied colours and opacities `[B, T, H, W, C + 1]`."""
  rng = np.random.default_rng(seed)
  alpha = rng.random([*shape, 1])
  return tf.constant(np.concatenate(
      [alpha * rng.random([*shape, channels]), alpha], axis=-1))


def layers_in_order(painted, orders):
  """Layers of which `orders` `[B, T]` gives the objects from front to back."""
  rank = np.argsort(orders, axis=1)
  return depth.Layers(painted, tf.constant(
      rank[:, :, np.newaxis] < rank[:, np.newaxis], painted.dtype))


def a_canvas(channels):
  shape = [3, 5, 6, channels] if channels > 1 else [3, 5, 6]
  return tf.constant(np.random.default_rng(1).random(shape))


ORDERS = np.array([[2, 0, 3, 1], [3, 2, 1, 0], [0, 1, 2, 3]])


@pytest.mark.parametrize('channels', [1, 3])
def test_each_prefix_is_composed_from_front_to_back(channels):
  painted, canvas = random_paint(channels), a_canvas(channels)
  made = depth.compose(canvas, layers_in_order(painted, ORDERS))
  for b, order in enumerate(ORDERS):
    for n in range(5):
      first = [i for i in order if i < n]
      expected = compositing.compose(
          canvas[b:b + 1], tf.gather(painted[b:b + 1], first, axis=1), True
          )[:, -1] if n else canvas[b:b + 1]
      np.testing.assert_allclose(made[b:b + 1, n], expected)


@pytest.mark.parametrize('channels', [1, 3])
def test_parts_add_up_to_the_objects_that_are_present(channels):
  painted, canvas = random_paint(channels), a_canvas(channels)
  layers = layers_in_order(painted, ORDERS)
  counts = tf.constant([4, 2, 0])
  made = depth.parts(canvas, layers, tf.cast(
      prior.presence_mask(counts, 4), canvas.dtype))
  whole = depth.compose(canvas, layers)
  np.testing.assert_allclose(
      made[:, -1], tf.gather(whole, counts, batch_dims=1))
  np.testing.assert_array_equal(made[1, 1], made[1, 3])
  # The first scene's second object is behind all others.
  colour, alpha = compositing.split(painted, canvas.shape[3:])
  behind = tf.reduce_prod(1. - tf.gather(alpha[0], [0, 2, 3]), axis=0)
  spread = lambda x: compositing.channelled(x[tf.newaxis], canvas)[0]
  np.testing.assert_allclose(
      made[0, 1] - made[0, 0],
      spread(behind) * (colour[0, 1] - spread(alpha[0, 1]) * canvas[0]))


def flat(colour, opaque):
  """An object of one colour on a row of pixels, `[1, W, 4]`."""
  alpha = np.float32(opaque)[:, np.newaxis]
  return np.concatenate([alpha * np.float32(colour), alpha], axis=-1)[None]


RED, BLUE, GREEN = np.eye(3)[[0, 2, 1]]


def test_who_has_the_colours_of_the_image_is_in_front():
  red, blue = flat(RED, [1, 1, 1, 0]), flat(BLUE, [0, 1, 1, 1])
  green = flat(GREEN, [0, 0, 0, 0])
  painted = tf.constant(np.stack([red, blue, green])[None], tf.float32)
  for front, colours in (([0, 1, 2], [RED, RED, RED, BLUE]),
                         ([1, 0, 2], [RED, BLUE, BLUE, BLUE])):
    image = np.float32(colours)[None, None]
    found = depth.sort(tf.constant(image), painted)
    expected = layers_in_order(painted, [front]).in_front
    # Of two that do not overlap, the earlier one is in front.
    np.testing.assert_array_equal(found.in_front, expected)
    made = depth.compose(tf.zeros([1, 1, 4, 3]), found)
    np.testing.assert_allclose(made[:, -1], image, atol=1e-6)


def test_grey_objects_are_sorted_too():
  dark, bright = [[[.2, 1.], [.2, 1.]]], [[[0., 0.], [.9, 1.]]]
  painted = tf.constant([[dark, bright]])
  for image, second in (([[.2, .9]], 1.), ([[.2, .2]], 0.)):
    found = depth.sort(tf.constant([image]), painted)
    np.testing.assert_array_equal(
        found.in_front[0], [[0., 1. - second], [second, 0.]])


def test_an_object_explains_only_pixels_of_its_colour():
  left = depth.unexplained(
      tf.ones([1, 1, 4]),
      tf.constant(np.float32([RED, .9 * RED, BLUE, RED])[None, None]),
      tf.constant(flat(RED, [1, 1, 1, 0])[None]))
  np.testing.assert_allclose(
      left[0, 0], [.0, 1. - np.exp(-.125), 1., 1.], atol=3e-3)


@pytest.fixture(scope='module')
def models():
  """Two models with the same weights: by the order of steps, and sorted."""
  made = [model_lib.AIRModel(tiny.config(
      channels=3, ground=True, ground_kind='level', compositing=kind,
      **tiny.DAIR)) for kind in ('over', 'sorted')]
  tiny.fill(made[0].trainable_variables)
  for a, b in zip(*(x.trainable_variables for x in made), strict=True):
    b.assign(a)
  return made


def test_the_order_of_two_costs_log_2(models):
  images, num_steps = tiny.images(channels=3), prior.truncated_geometric(
      np.log(.1), 3)
  inference = models[1].infer(images)
  of_steps, by_depth = (
      model.elbo_terms(images, inference._replace(layers=layers), num_steps)
      for model, layers in ((models[0], None), (models[1], inference.layers)))
  cost = np.log(2.) * np.arange(3)
  np.testing.assert_allclose(
      by_depth.kl_where - of_steps.kl_where,
      np.broadcast_to(cost, of_steps.kl_where.shape), atol=1e-4)
  np.testing.assert_allclose(
      of_steps.log_ratio - by_depth.log_ratio,
      np.broadcast_to(cost, of_steps.kl_where.shape), atol=1e-4)


def test_steps_see_what_is_covered_by_another_colour(models):
  images = tiny.images(channels=3)
  first, second = (model.infer(images).where.numpy() for model in models)
  np.testing.assert_allclose(first[:, 0], second[:, 0], rtol=1e-5)
  assert np.abs(first[:, 1:] - second[:, 1:]).max() > 1e-4


def test_an_explanation_ends_with_its_reconstruction(models):
  images = tiny.images(channels=3)
  inference = models[1].infer(images)
  drawn = explain_lib.reconstruct(inference, tf.constant([3, 1, 2]))
  np.testing.assert_allclose(
      drawn.canvases[:, -1], drawn.image, atol=1e-6)
  np.testing.assert_allclose(
      drawn.image, tf.gather(inference.canvases, [3, 1, 2], batch_dims=1))
  # Of a step that a later one covers, less is seen in the end than at first.
  all_three = explain_lib.reconstruct(inference, tf.constant([3, 3, 3]))
  assert np.abs(all_three.canvases - inference.canvases[:, 1:]).max() > 1e-4


def test_masks_are_of_what_is_seen_in_the_end(models):
  images = tf.constant(
      np.random.default_rng(0).random([9, 16, 16, 3], np.float32))
  inference = models[1].infer(images)._replace(
      num_steps_posterior=prior.NumStepsDistribution(tf.fill([9, 3], 9.)))
  found = explain_lib._explanation(images, inference, masks=True)
  outputs = found._replace(masks=None).as_dict()
  np.testing.assert_array_equal(
      found.masks, segment.with_masks(images, outputs)['masks'])
  prefixes = segment.masks(images, inference.canvases, found.presence)
  assert np.any(found.masks != prefixes)

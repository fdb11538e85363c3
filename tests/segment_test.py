"""Tests of segment.py."""

import numpy as np
import tensorflow as tf
import tiny

from air_tf import compositing
from air_tf import explain as explain_lib
from air_tf import model as model_lib
from air_tf import segment


def canvases(*lights):
  """Canvases `[1, T + 1, 1, W]` of objects with these rows of light."""
  steps = np.concatenate([np.zeros([1, len(lights[0])]), lights])
  return tf.constant(np.cumsum(steps, axis=0)[np.newaxis, :, np.newaxis])


def test_ink_goes_to_the_brighter_object():
  made = canvases([.8, .8, .3, .19, 0.], [.5, .9, .4, .1, .3])
  both = tf.constant([[1., 1.]], tf.float64)
  found = segment.masks(made[:, -1], made, both)
  # Of the fourth, .29 is seen, more than a quarter of the brightest, .8.
  np.testing.assert_array_equal(found[0, 0], [1, 2, 2, 1, 2])
  assert found.dtype == tf.uint8


def test_the_image_says_what_is_ink_and_the_model_whose():
  made = canvases([.8, .7, .1, .1, .01, 0.], [0., 0., .2, .2, 0., 0.])
  image = [1., .19, .06, .04, .9, .9]
  both = tf.constant([[1., 1.]], tf.float64)
  found = segment.masks(tf.constant([[image]]), made, both)
  # Least brightness: .2 of the first object, .05 of the second.
  np.testing.assert_array_equal(found[0, 0], [1, 0, 2, 0, 1, 0])


def test_a_bright_ground_changes_nothing_where_objects_add_up():
  made = canvases([.8, .8, .3, .15, 0.], [.5, .9, .4, .01, .3]) + .7
  found = segment.masks(
      made[:, -1], made, tf.constant([[1., 1.]], tf.float64))
  np.testing.assert_array_equal(found[0, 0], [1, 2, 2, 0, 2])


def test_where_objects_cover_each_other_opacity_alone_says_nothing():
  # A ground of .5; the first object is dark and half transparent, the second,
  # behind it, opaque. Its third pixel has the grey of the ground.
  opaque = [[.5, .5, 0., 0.], [0., 1., 1., 1.]]
  colours = [[.1, .1, 0., 0.], [0., .3, .5, .9]]
  painted = np.stack([np.multiply(colours, opaque), opaque], axis=-1)
  made = compositing.compose(
      tf.constant(np.full([1, 1, 4], .5)),
      tf.constant(painted[np.newaxis, :, np.newaxis]), True)
  found = segment.masks(made[:, -1], made, tf.constant([[1., 1.]], tf.float64))
  # Changes: .2, .2, 0, 0 and 0, .1, 0, .4.
  np.testing.assert_array_equal(found[0, 0], [1, 1, 0, 2])


def test_absent_objects_have_no_pixel():
  made = canvases([.9, 0.], [.1, .9])
  found = segment.masks(
      made[:, -1], made, tf.constant([[1., 0.]], tf.float64))
  np.testing.assert_array_equal(found[0, 0], [1, 0])


def test_in_colour_the_brightest_channel_counts():
  light = tf.constant([[[.9, 0., 0.], [.1, .1, .2]]])  # [1, W, C]
  made = tf.stack([tf.zeros_like(light), light])[tf.newaxis]
  np.testing.assert_array_equal(
      segment.masks(made[:, -1], made, tf.constant([[1.]]))[0, 0],
      [1, 0])


def test_masks_are_there_if_asked_for():
  model = model_lib.AIRModel(tiny.config(steps_bias=9.))
  tiny.fill(model.trainable_variables)
  images = tiny.images()
  without = explain_lib.explain(model, images)
  found = explain_lib.explain(model, images, masks=True)
  assert without.masks is None and 'masks' not in without.as_dict()
  assert found.masks.shape == [3, 16, 16]
  counts = found.num_steps.numpy()
  assert counts.max() and found.masks.numpy().max()
  assert np.all(found.masks.numpy().max(axis=(1, 2)) <= counts)


def test_masks_of_an_older_saved_model_are_the_same():
  model = model_lib.AIRModel(tiny.config(background=True, steps_bias=9.))
  tiny.fill(model.trainable_variables)
  images = tiny.images()
  outputs = explain_lib.explain(model, images).as_dict()
  np.testing.assert_array_equal(
      segment.with_masks(images, outputs)['masks'],
      explain_lib.explain(model, images, masks=True).masks)

"""Tests of refinement.py: each object is explained again, alone."""

import numpy as np
import pytest
import tiny

from air_tf import errors
from air_tf import explain as explain_lib
from air_tf import model as model_lib
from air_tf.serving import refinement


def test_a_pixel_is_of_the_step_that_draws_most_of_it():
  drawn = np.array([[[[.2, .5, 0., .1]], [[.3, .4, 0., .9]],
                     [[0., 0., 0., 0.]]]])  # [1, 3, 1, 4]
  found = refinement._owned(drawn)
  np.testing.assert_array_equal(
      found[0, :, 0], [[0, 1, 0, 0], [1, 0, 0, 1], [0, 0, 0, 0]])


def test_in_colour_a_pixel_has_one_owner():
  red, green = [.6, .1, 0.], [.1, .5, 0.]
  drawn = np.array([[[[red, green]], [[green, red]]]])  # [1, 2, 1, 2, 3]
  found = refinement._owned(drawn)
  assert found.shape == (1, 2, 1, 2, 1)
  np.testing.assert_array_equal(found[0, :, 0, :, 0], [[1, 0], [0, 1]])


class Echo:
  """A model that finds in every image one object, all of its light.

  Its place says where the mean of the light is, along the only row. Where there
  is hardly any light it finds none.
  """

  def __init__(self, ground=0., steps=3):
    self.ground, self.steps, self.seen = ground, steps, []

  def __call__(self, images):
    images = images.numpy()
    self.seen.append(images)
    light = (images - self.ground).sum(axis=1)  # [B, W]
    middle = light @ np.arange(4.) / light.sum(axis=1)
    shape = len(images), self.steps
    field = np.zeros([*shape, 4])
    field[:, 0] = middle[:, np.newaxis]
    return {
        'num_steps': (light.sum(axis=1) > .1).astype(int),
        'num_steps_probs': np.zeros([len(images), self.steps + 1]),
        'step_probs': np.zeros(shape), 'presence': np.zeros(shape),
        'where': field[..., :3], 'what': field[..., :2], 'boxes': field,
        'tight_boxes': field, 'glimpses': np.ones([*shape, 2, 2]),
        'canvases': np.tile(images[:, np.newaxis], [1, self.steps, 1, 1]),
        'background': np.full_like(images, self.ground),
        'reconstruction': images}


def outputs(drawn, presence, ground=0.):
  """What a model says of one image, given what its steps draw, `[T, W]`."""
  canvases = ground + np.cumsum(np.float32(drawn), axis=0)[np.newaxis, :,
                                                           np.newaxis]
  steps = len(drawn)
  field = np.zeros([1, steps, 4])
  return {'presence': np.array([presence]), 'num_steps': np.array([2]),
          'where': field[..., :3], 'what': field[..., :2], 'boxes': field,
          'tight_boxes': field, 'glimpses': np.zeros([1, steps, 2, 2]),
          'canvases': canvases, 'reconstruction': canvases[:, -1],
          'background': np.full_like(canvases[:, 0], ground)}


def test_what_two_steps_share_ends_at_one_of_them():
  # Both steps draw half of the second pixel, the first a little more.
  before = outputs([[.9, .5, 0., 0.], [0., .4, .9, .8], [0.] * 4], [1., 1., 0.])
  image = np.float32([[[.9, .9, .9, .8]]])
  found = refinement.refine(Echo(), image, before)
  drawn = np.diff(found['canvases'], axis=1, prepend=0.)[0, :, 0]
  np.testing.assert_allclose(
      drawn, [[.9, .9, 0., 0.], [0., 0., .9, .8], [0.] * 4], atol=1e-6)
  np.testing.assert_allclose(found['reconstruction'], image, atol=1e-6)
  np.testing.assert_allclose(
      found['where'][0, :, 0], [.5, (2 * .9 + 3 * .8) / 1.7, 0.], rtol=1e-5)
  np.testing.assert_array_equal(found['glimpses'][0, :, 0, 0], [1., 1., 0.])
  assert found['num_steps'] == [2]
  assert not before['where'].any()  # As it was.


@pytest.mark.parametrize('ground', [0., .5])
def test_an_object_alone_is_before_the_ground(ground):
  # Where the other object is, there is ground, not black.
  before = outputs([[.4, 0., 0., 0.], [0., 0., 0., .4]], [1., 1.], ground)
  echo = Echo(ground, steps=2)
  refinement.refine(echo, ground + np.float32([[[.4, .3, 0., .4]]]), before)
  # One image at a time, as many as were given; twice two to begin with.
  np.testing.assert_allclose(
      np.concatenate(echo.seen[:2])[:, 0] - ground,
      [[.4, 0., 0., 0.], [0., 0., 0., .4]], atol=1e-6)


def test_an_object_that_is_not_seen_alone_stays():
  before = outputs([[.9, 0., 0., 0.], [0., 0., 0., .5]], [1., 1.])
  found = refinement.refine(
      Echo(steps=2), np.float32([[[.9, 0., 0., .01]]]), before)
  assert found['where'][0, 1, 0] == 0. and found['glimpses'][0, 1, 0, 0] == 0.
  assert found['canvases'][0, 1, 0, 3] == .5


def served(**changes):
  """What a model that was not trained says of images, masks among it."""
  model = model_lib.AIRModel(tiny.config(**changes))
  return lambda images: explain_lib.explain(
      model, images, masks=True).as_dict()


@pytest.mark.parametrize('changes', [tiny.DAIR, dict(channels=3),
                                     dict(ground=True)])
def test_counts_stay_and_objects_change(changes):
  serve = served(steps_bias=9., **changes)
  images = tiny.images(5, channels=changes.get('channels', 1))
  with tiny.eagerly():
    plain = {name: x.numpy() for name, x in serve(images).items()}
    refined, again = (refinement.refine(serve, images, plain) for _ in range(2))
  assert plain['num_steps'].all() and set(plain) == set(refined)
  for name, value in refined.items():
    assert value.shape == plain[name].shape, name
    assert value.dtype == plain[name].dtype, name
    np.testing.assert_array_equal(value, again[name])
  for name in ('num_steps', 'num_steps_probs', 'step_probs', 'presence'):
    np.testing.assert_array_equal(refined[name], plain[name])
  for name in ('where', 'what', 'boxes', 'glimpses', 'reconstruction', 'masks'):
    assert not np.allclose(refined[name], plain[name]), name


def test_objects_that_cover_each_other_are_refused():
  serve, images = served(compositing='over'), tiny.images()
  with pytest.raises(errors.UserError, match='--compositing=over'):
    refinement.refine(serve, images, serve(images))


def test_images_without_objects_stay_as_they_are():
  before, echo = outputs([[0.] * 4] * 2, [0., 0.]), Echo(steps=2)
  found = refinement.refine(echo, np.float32([[[.1, 0., .2, 0.]]]), before)
  assert not echo.seen
  for name, value in found.items():
    np.testing.assert_array_equal(value, before[name])

import types

import numpy as np
import pytest
import tensorflow as tf

from air_tf import errors
from air_tf.evaluation import predictions as predictions_lib
from air_tf.studies import scene_descriptions


def test_latents_go_from_left_to_right_with_absent_steps_last():
  where = np.array([[[.5, .6, .1], [.4, -.6, .2], [0., 0., 0.]]])
  what = np.array([[[1., 2.], [3., 4.], [0., 0.]]])
  predictions = predictions_lib.Predictions(
      num_steps=None, num_steps_probs=None, presence=np.array([[1., 1., 0.]]),
      where=where, what=what, boxes=None, tight_boxes=None, squared_error=None)
  assert scene_descriptions.latents(predictions).tolist() == [[
      1., .4, -.6, .2, 3., 4., 1., .5, .6, .1, 1., 2., 0., 0., 0., 0., 0., 0.]]


def test_an_autoencoder_learns_by_the_deviation_of_the_model(monkeypatch):
  monkeypatch.setattr(scene_descriptions.image_codes, 'vae',
                      lambda images, pixel_stddev, seed: pixel_stddev)
  learnt = types.SimpleNamespace(  # By --pixel_stddev=0.
      config=types.SimpleNamespace(pixel_stddev=0.),
      model=types.SimpleNamespace(pixel_stddev=tf.constant(.25)))
  assert scene_descriptions.INPUTS['vae'].reader(
      scene_descriptions.Models(learnt, None, 0)) == .25


@pytest.mark.parametrize(
    'names', [[], ['objects', 'objects'], ['objects', 'glimpses']])
def test_unknown_and_repeated_inputs_are_refused(names):
  with pytest.raises(errors.UserError, match='expected some of refined, objec'):
    scene_descriptions.check(names)
  scene_descriptions.check(['pixels', 'objects'])

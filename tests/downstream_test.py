import numpy as np

from air_tf.data import scenes as scenes_lib
from air_tf.evaluation import predictions as predictions_lib
from air_tf.studies import downstream


def test_targets_go_from_left_to_right():
  # The left digit comes second in the first two scenes.
  nowhere = [0., 0., 4., 4.]
  right, left = [0., 9., 4., 4.], nowhere
  scenes = scenes_lib.Scenes(
      images=None, counts=None,
      boxes=np.array([[right, left], [right, left], [left, right]]),
      labels=np.array([[7, 2], [2, 7], [5, 5]]))
  found = downstream.targets(scenes)
  assert found['sum'].tolist() == [9, 9, 10]
  assert found['ascending'].tolist() == [1, 0, 0]


def test_the_middle_decides_which_digit_is_left():
  scenes = scenes_lib.Scenes(
      images=None, counts=None, labels=np.array([[1, 2]]),
      boxes=np.array([[[0., 0., 9., 20.], [0., 5., 9., 2.]]]))
  assert downstream.targets(scenes)['ascending'].tolist() == [0]


def test_latents_go_from_left_to_right_with_absent_steps_last():
  where = np.array([[[.5, .6, .1], [.4, -.6, .2], [0., 0., 0.]]])
  what = np.array([[[1., 2.], [3., 4.], [0., 0.]]])
  predictions = predictions_lib.Predictions(
      num_steps=None, num_steps_probs=None, presence=np.array([[1., 1., 0.]]),
      where=where, what=what, boxes=None, tight_boxes=None, squared_error=None)
  assert downstream.latents(predictions).tolist() == [[
      1., .4, -.6, .2, 3., 4., 1., .5, .6, .1, 1., 2., 0., 0., 0., 0., 0., 0.]]

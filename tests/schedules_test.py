import math

import numpy as np
import tensorflow as tf

from air_tf.training import schedules


def test_annealing_holds_then_falls_in_log_space_then_stays():
  log_s = lambda i: schedules.annealed_log_success(
      tf.constant(i), 1. - 1e-15, 1e-5, hold=10, iterations=100).numpy()
  assert log_s(0) == log_s(10) == np.float32(math.log(1. - 1e-15)) < 0.
  np.testing.assert_allclose(log_s(60), .5 * math.log(1e-5), rtol=1e-6)
  np.testing.assert_allclose(log_s(110), math.log(1e-5), rtol=1e-6)
  assert log_s(10_000) == log_s(110)


def test_annealing_over_no_iterations_is_a_switch():
  log_s = lambda i: schedules.annealed_log_success(
      tf.constant(i), .5, 1e-5, hold=5, iterations=0).numpy()
  np.testing.assert_allclose(
      [log_s(5), log_s(6)], np.log([.5, 1e-5]), rtol=1e-6)


def test_linear_decay():
  decay = lambda i: schedules.linear_decay(tf.constant(i), .9, .1, 100).numpy()
  np.testing.assert_allclose(
      [decay(0), decay(50), decay(100), decay(500)], [.9, .5, .1, .1],
      rtol=1e-6)
  constant = schedules.linear_decay(tf.constant(0), .9, .1, 0).numpy()
  assert constant == np.float32(.1)


def test_cosine_decay():
  rate = lambda i: schedules.cosine_decay(tf.constant(i), 1., 100).numpy()
  np.testing.assert_allclose(
      [rate(0), rate(50), rate(100), rate(1000)], [1., .51, .02, .02],
      rtol=1e-5)
  assert schedules.cosine_decay(tf.constant(7), .5, 0) == .5

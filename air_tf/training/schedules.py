"""Schedules: pure functions of the iteration.

They are evaluated inside the compiled training step, so the iteration is
all the state that a resumed run needs.
"""

import math

import tensorflow as tf

__all__ = ['annealed_log_success', 'cosine_decay', 'linear_decay']

_FINAL_FRACTION = .02  # Of the initial learning rate, at the end of the cosine.


def annealed_log_success(iteration: int | tf.Tensor, init: float,
                         final: float, hold: int, iterations: int) -> tf.Tensor:
  """Log success probability of the prior at an iteration.

  Args:
    iteration: integer Tensor `[]`.
    init: success probability s up to iteration `hold`, which is the last.
    final: success probability from `iterations` later on, at the earliest in
      the next one.
    hold: the last iteration before the annealing.
    iterations: length of the annealing, in which log s changes linearly.

  Returns:
    float32 `[]`, log s: in logs, because `1 - init` may be as small as 1e-15.
  """
  passed = tf.cast(iteration, tf.float32) - hold
  done = tf.clip_by_value(passed / max(iterations, 1), 0., 1.)
  return (1. - done) * math.log(init) + done * math.log(final)


def linear_decay(iteration: int | tf.Tensor, init: float, final: float,
                 iterations: int) -> tf.Tensor:
  """Interpolates linearly from `init` to `final`, then stays there.

  Args:
    iteration: integer Tensor `[]`.
    init: the value at iteration 0.
    final: the value from `iterations` on; with 0 iterations, throughout.
    iterations: length of the decay.

  Returns:
    float32 `[]`.
  """
  if iterations == 0:
    return tf.constant(final)
  left = tf.maximum(1. - tf.cast(iteration, tf.float32) / iterations, 0.)
  return final + (init - final) * left


def cosine_decay(iteration: tf.Tensor, init: float,
                 iterations: int) -> tf.Tensor:
  """Half a cosine from `init` to a fiftieth of it, then constant.

  Args:
    iteration: integer `[]`.
    init: learning rate at iteration 0.
    iterations: length of the decay; 0 keeps `init`.

  Returns:
    float32 `[]`.
  """
  if iterations == 0:
    return tf.constant(init)
  done = tf.minimum(tf.cast(iteration, tf.float32) / iterations, 1.)
  fraction = .5 * (1. + tf.cos(math.pi * done))
  return init * (_FINAL_FRACTION + (1. - _FINAL_FRACTION) * fraction)

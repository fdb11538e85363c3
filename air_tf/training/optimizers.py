"""Optimizers, gradient clipping and averaging of weights."""

from collections.abc import Sequence

import sonnet as snt
import tensorflow as tf

from air_tf import config as config_lib
from air_tf.training import schedules

__all__ = ['Optimizer', 'update_average']


class Optimizer(snt.Module):
  """Adam, or the blog's RMSProp, with a schedule and clipping.

  The learning rate is computed from the iteration inside the compiled step, so
  that the iteration is all the state of the schedule.
  """

  def __init__(self, config: config_lib.Config, learning_rate: float,
               name: str) -> None:
    """Creates the optimizer; `initialize` must be called next.

    Args:
      config: gives the kind, the schedule and the clipping.
      learning_rate: at iteration 0.
      name: of the module.
    """
    super().__init__(name=name)
    self._config = config
    self._initial_rate = learning_rate
    self._rate = tf.Variable(learning_rate, trainable=False,
                             name='learning_rate')
    if config.optimizer == 'adam':
      self._optimizer = snt.optimizers.Adam(self._rate)
    else:
      self._optimizer = snt.optimizers.RMSProp(
          self._rate, decay=.9, momentum=.9, epsilon=1e-10, centered=True)

  def initialize(self, variables: Sequence[tf.Variable]) -> None:
    """Creates the slots of all `variables`; must be called before tracing.

    A step with zero gradients creates them and changes no variable. RMSProp's
    mean squares are then set to 1, where TensorFlow 1 started them. Sonnet
    starts them at 0, which makes the first updates some 300 times larger.
    """
    if not variables:
      return
    self._optimizer.apply([tf.zeros_like(v) for v in variables], variables)
    if self._config.optimizer == 'rmsprop':
      for mean_square in self._optimizer.ms:
        mean_square.assign(tf.ones_like(mean_square))
    else:
      self._optimizer.step.assign(0)

  def apply(self, gradients: Sequence[tf.Tensor],
            variables: Sequence[tf.Variable],
            iteration: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Updates `variables` in place.

    Args:
      gradients: one for each variable.
      variables: those given to `initialize`, in the same order.
      iteration: integer `[]`, position in the schedule.

    Returns:
      Float scalars: the gradients' global norm before clipping, and the
      learning rate used.
    """
    rate = schedules.cosine_decay(
        iteration, self._initial_rate, self._config.decay_iterations)
    self._rate.assign(rate)
    norm = _global_norm(gradients)
    if self._config.clip_norm:
      factor = tf.minimum(1., self._config.clip_norm / (norm + 1e-12))
      gradients = [g * factor for g in gradients]
    self._optimizer.apply(gradients, variables)
    return norm, rate


def update_average(averages: Sequence[tf.Variable],
                   variables: Sequence[tf.Variable], iteration: tf.Tensor,
                   decay: float, every: int) -> None:
  """Moves averaged weights towards the current ones, in place.

  The average is short at first, so that the initial weights are forgotten.

  Args:
    averages: one for each variable.
    variables: the current weights.
    iteration: integer `[]`, iterations done.
    decay: weight of the old average, per iteration.
    every: iterations between two calls.
  """
  done = tf.cast(iteration, tf.float32)
  keep = tf.minimum(decay**every, done / (done + 9. * every))
  for average, variable in zip(averages, variables, strict=True):
    average.assign_add((1. - keep) * (variable - average))


def _global_norm(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
  return tf.sqrt(tf.add_n([_sum_of_squares(x) for x in tensors]))


def _sum_of_squares(x: tf.Tensor) -> tf.Tensor:
  if not x.shape.rank:  # As the standard deviation of a pixel.
    return tf.square(x)
  # Rows are summed by a product with ones, which is vectorised. XLA's own sum
  # adds one number at a time and takes four times as long.
  rows = tf.reshape(tf.square(x), [-1, x.shape[-1]])
  return tf.reduce_sum(tf.linalg.matvec(rows, tf.ones([x.shape[-1]])))

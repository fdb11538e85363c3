"""Optimizers and gradient clipping."""

from collections.abc import Sequence

import sonnet as snt
import tensorflow as tf

from air_tf import config as config_lib
from air_tf.training import schedules

__all__ = ['Optimizer']


class Optimizer(snt.Module):
  """Adam, or the blog's RMSProp, with a schedule and clipping.

  The learning rate is recomputed from the iteration inside the compiled step,
  so a resumed run needs to remember nothing but the iteration.
  """

  def __init__(self, config: config_lib.Config, learning_rate: float,
               name: str):
    """Makes the optimizer; `initialize` must follow.

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
    """Creates the slots of all `variables`, to be done before tracing.

    TensorFlow 1 started RMSProp's mean square at 1 and Sonnet starts it at 0,
    which makes the first updates some 300 times larger. After a first step
    with zero gradients (which moves nothing) the mean squares are set to 1.
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
      iteration: integer `[]`, of the schedule.

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


def _global_norm(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
  return tf.sqrt(tf.add_n([_sum_of_squares(x) for x in tensors]))


def _sum_of_squares(x: tf.Tensor) -> tf.Tensor:
  # Rows by a product with ones, in vector registers: XLA adds a sum up one
  # number at a time, which takes four times as long.
  rows = tf.reshape(tf.square(x), [-1, x.shape[-1]])
  return tf.reduce_sum(tf.linalg.matvec(rows, tf.ones([x.shape[-1]])))

"""Watches the variance of the gradient while a model trains."""

import tensorflow as tf

from air_tf.training import inputs
from air_tf.training import trainer as trainer_lib

__all__ = ['GROUPS', 'Monitor', 'group_of']

# Groups of variables, by what their names hold.
GROUPS = {
    'encoder': ('/image_encoder/',),
    'lstm': ('/lstm/', '/initial_hidden', '/initial_cell'),
    'steps_predictor': ('/steps_predictor/',),
    'where': ('/where_estimator/',),
    'glimpse_encoder': ('/glimpse_encoder/',),
    'decoder': ('/glimpse_decoder/',),
}


def group_of(variable: tf.Variable) -> str:
  """Returns the group of a model's variable; 'other' if it is in none."""
  return next((group for group, parts in GROUPS.items()
               if any(part in variable.name for part in parts)), 'other')


class Monitor:
  """Variance per parameter, by group, from two gradients of one batch.

      mean over parameters of (g - g')^2 / 2

  with g and g' independent, is an unbiased estimate of the mean variance, and a
  mean over thousands of parameters is steady enough for a curve. It leaves no
  state: what is trained, and what a checkpoint holds, are as without it.
  """

  def __init__(self, trainer: trainer_lib.Trainer):
    """Watches `trainer`."""
    self._trainer = trainer
    # Not compiled by XLA: that would take longer than all measurements.
    self._gradient = tf.function(self._compute_gradient)

  def __call__(self, scenes: inputs.Input) -> dict[str, float]:
    """Measures on the batch that comes next.

    Args:
      scenes: uint8 `[N, H, W]`, those being trained on; of a stream, one of
        its own, for it takes a batch.

    Returns:
      Variances by name in TensorBoard, `gradient_variance/<group>`.
    """
    images = self._trainer.next_images(scenes)
    first, second = (self._gradient(images, tf.constant(i)) for i in range(2))
    totals = {}
    for variable, a, b in zip(self._trainer.model.trainable_variables, first,
                              second, strict=True):
      total, size = totals.get(group_of(variable), (0., 0))
      totals[group_of(variable)] = (
          total + .5 * float(tf.reduce_sum(tf.square(a - b))),
          size + int(tf.size(a)))
    return {f'gradient_variance/{group}': total / size
            for group, (total, size) in totals.items()}

  def _compute_gradient(self, images, repeat):
    variables = self._trainer.model.trainable_variables
    with tf.GradientTape() as tape:
      loss = self._trainer.estimate(images, repeat).loss
    return tape.gradient(
        loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)

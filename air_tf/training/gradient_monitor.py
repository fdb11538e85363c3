"""The variance of the gradient, measured while a model trains."""

import tensorflow as tf

from air_tf import model as model_lib
from air_tf.training import inputs
from air_tf.training import trainer as trainer_lib

__all__ = ['Monitor', 'indices_by_group', 'tags']

_PREFIX = 'gradient_variance'


def indices_by_group(model: model_lib.AIRModel) -> dict[str, list[int]]:
  """Returns the positions of each group in `model.trainable_variables`.

  The groups are those of `AIRModel.variable_groups`; every variable is in one.
  """
  # By identity: names repeat between modules.
  position = {id(v): i for i, v in enumerate(model.trainable_variables)}
  return {group: [position[id(v)] for v in variables]
          for group, variables in model.variable_groups().items()}


def tags(model: model_lib.AIRModel) -> dict[str, list[int]]:
  """Returns the positions of what each curve is the mean of.

  The curves are `gradient_variance/<group>`, of a group of variables, and
  `gradient_variance/<group>/<name>`, of each variable in it.
  """
  result = {}
  for group, indices in indices_by_group(model).items():
    result[f'{_PREFIX}/{group}'] = indices
    for i in indices:
      name = _short_name(model.trainable_variables[i].name, group)
      result[f'{_PREFIX}/{group}/{name}'] = [i]
  return result


def _short_name(name: str, group: str) -> str:
  """`trainer/air/air_cell/lstm/fixed/w:0`: without what says nothing."""
  return '/'.join(x for x in name.partition(':')[0].split('/')
                  if x not in ('trainer', 'air', 'air_cell', group))


class Monitor:
  """Estimates the variance per parameter from two gradients.

      mean over parameters of (g - g')^2 / 2

  is unbiased if g and g' are independent gradients of the same batch, and a
  mean over thousands of parameters is steady enough for a curve. Measuring
  changes no state, so neither training nor checkpoints depend on it.
  """

  def __init__(self, trainer: trainer_lib.Trainer):
    """Makes a monitor of `trainer`."""
    self._trainer = trainer
    self._tags = tags(trainer.model)
    # Not compiled by XLA: that would take longer than all measurements.
    self._gradient = tf.function(self._compute_gradient, autograph=False)

  def __call__(self, scenes: inputs.Input) -> dict[str, float]:
    """Measures on the next batch.

    Args:
      scenes: uint8 `[N, H, W]`, those being trained on; or a stream of its own,
        of which one batch is consumed.

    Returns:
      Variances by name in TensorBoard; see `tags`.
    """
    images = self._trainer.next_images(scenes)
    pair = (self._gradient(images, tf.constant(i)) for i in range(2))
    squares = [.5 * tf.square(a - b).numpy()
               for a, b in zip(*pair, strict=True)]
    sums, sizes = [x.sum() for x in squares], [x.size for x in squares]
    return {tag: float(sum(sums[i] for i in indices)
                       / sum(sizes[i] for i in indices))
            for tag, indices in self._tags.items()}

  def _compute_gradient(self, images: tf.Tensor,
                        repeat: tf.Tensor) -> list[tf.Tensor]:
    variables = self._trainer.model.trainable_variables
    with tf.GradientTape() as tape:
      loss = self._trainer.estimate(images, repeat).loss
    return tape.gradient(
        loss, variables, unconnected_gradients=tf.UnconnectedGradients.ZERO)

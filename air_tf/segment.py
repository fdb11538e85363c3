"""Whose each pixel is: an object's or the ground's, by what the model draws.

Letters: `N` images, `T` most steps, `[H, W]` image (`[H, W, 3]` in colour).
"""

from collections.abc import Mapping

import tensorflow as tf

from air_tf import boxes as boxes_lib
from air_tf import prior

__all__ = ['masks', 'with_masks']


def masks(canvases: tf.Tensor, visible: tf.Tensor | None,
          presence: tf.Tensor) -> tf.Tensor:
  """Gives each pixel to the object that contributes most to it, or to none.

  Where objects cover each other, contributions are the shares in which they are
  seen, and the ground has its own, 1 - A: the shares sum to 1, and the largest
  wins. Where objects add up, contributions are light, and the ground has none;
  so a pixel may go to an object if it is ink of it, that is at least a quarter
  as bright as its brightest pixel (as for the boxes of the ink), and goes to
  the brightest of these. Of equal contributions the first wins.

  Args:
    canvases: `[N, T + 1, H, W]`, the ground and the first 0 ... T objects.
    visible: `[N, T, H, W]`, of `compositing.Composition`; None, if objects add
      up.
    presence: `[N, T]`, 1. for a step that is taken, else 0.

  Returns:
    uint8 `[N, H, W]`, 0 of the ground, t of step t.
  """
  if visible is None:
    shares = prior.mask_absent(presence, _ink(canvases))
    ground = tf.zeros_like(shares[:, 0])
  else:
    shares = prior.mask_absent(presence, visible)
    ground = 1. - tf.reduce_sum(shares, axis=1)
  return tf.cast(tf.argmax(tf.concat(
      [ground[:, tf.newaxis], shares], axis=1), axis=1), tf.uint8)


def with_masks(outputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
  """Adds `masks` to what a SavedModel explains, if they are not there.

  Those of an earlier version have no signature for them; their objects add up.

  Args:
    outputs: fields of `explain.Explanation` by name.
  """
  if 'masks' in outputs:
    return dict(outputs)
  canvases = outputs['canvases']
  ground = outputs.get('background', tf.zeros_like(canvases[:, 0]))
  return outputs | {'masks': masks(
      tf.concat([ground[:, tf.newaxis], canvases], axis=1), None,
      outputs['presence'])}


def _ink(canvases: tf.Tensor) -> tf.Tensor:
  """Light `[N, T, H, W]` of each object's ink; 0 where it has none."""
  light = canvases[:, 1:] - canvases[:, :-1]
  if light.shape.rank == 5:  # In colour, as bright as the brightest channel.
    light = tf.reduce_max(light, axis=-1)
  brightest = tf.reduce_max(light, axis=[2, 3], keepdims=True)
  return tf.where(light >= boxes_lib.INK_THRESHOLD * brightest, light, 0.)

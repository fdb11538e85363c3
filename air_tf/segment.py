"""Whose each pixel is: an object's or the ground's, by what the model draws.

Letters: `N` images, `T` most steps, `[H, W]` image (`[H, W, 3]` in colour).
"""

from collections.abc import Mapping

import tensorflow as tf

from air_tf import boxes as boxes_lib
from air_tf import prior

__all__ = ['masks', 'with_masks']


def masks(images: tf.Tensor, canvases: tf.Tensor, visible: tf.Tensor | None,
          presence: tf.Tensor) -> tf.Tensor:
  """Gives each pixel to the object that contributes most to it, or to none.

  Where objects cover each other, contributions are the shares in which they are
  seen, and the ground has its own, 1 - A: the shares sum to 1, and the largest
  wins.

  Where objects add up, contributions are light, and the ground has none. Whose
  a pixel would be is said by the model alone; whether it is ink is seen in the
  image, which has the outlines that the model smooths: it is an object's if it
  is at least a quarter as bright above the ground as the object's brightest
  pixel (as for the boxes of the ink). Of equal contributions the first wins.

  Args:
    images: `[N, H, W]`.
    canvases: `[N, T + 1, H, W]`, the ground and the first 0 ... T objects.
    visible: `[N, T, H, W]`, of `compositing.Composition`; None, if objects add
      up.
    presence: `[N, T]`, 1. for a step that is taken, else 0.

  Returns:
    uint8 `[N, H, W]`, 0 of the ground, t of step t.
  """
  if visible is None:
    return _of_light(images, canvases, presence)
  shares = prior.mask_absent(presence, visible)
  ground = 1. - tf.reduce_sum(shares, axis=1)
  return tf.cast(tf.argmax(tf.concat(
      [ground[:, tf.newaxis], shares], axis=1), axis=1), tf.uint8)


def with_masks(images: tf.Tensor,
               outputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
  """Adds `masks` to what a SavedModel explains, if they are not there.

  Those of an earlier version have no signature for them; their objects add up.

  Args:
    images: `[N, H, W]`.
    outputs: fields of `explain.Explanation` by name.
  """
  if 'masks' in outputs:
    return dict(outputs)
  canvases = outputs['canvases']
  ground = outputs.get('background', tf.zeros_like(canvases[:, 0]))
  return outputs | {'masks': masks(
      images, tf.concat([ground[:, tf.newaxis], canvases], axis=1), None,
      outputs['presence'])}


def _of_light(images, canvases, presence) -> tf.Tensor:
  """`masks` where objects add up."""
  light = canvases[:, 1:] - canvases[:, :-1]
  seen = tf.cast(images, canvases.dtype) - canvases[:, 0]
  if canvases.shape.rank == 5:  # In colour, as bright as the brightest channel.
    light, seen = tf.reduce_max(light, axis=-1), tf.reduce_max(seen, axis=-1)
  light = prior.mask_absent(presence, light)
  owner = tf.argmax(light, axis=1)  # [N, H, W]
  brightest = tf.gather(tf.reduce_max(light, axis=[2, 3]),
                        tf.reshape(owner, [tf.shape(owner)[0], -1]),
                        batch_dims=1)
  least = boxes_lib.INK_THRESHOLD * tf.reshape(brightest, tf.shape(owner))
  is_ink = (tf.reduce_max(light, axis=1) > 0.) & (seen >= least)
  return tf.cast(tf.where(is_ink, owner + 1, 0), tf.uint8)

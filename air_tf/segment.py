"""Masks: which object each pixel belongs to, by what the model draws.

Letters: `N` images, `T` most steps, `[H, W]` image (`[H, W, 3]` in colour).
"""

from collections.abc import Mapping

import tensorflow as tf

from air_tf import boxes as boxes_lib
from air_tf import prior

__all__ = ['masks', 'with_masks']


def masks(images: tf.Tensor, canvases: tf.Tensor,
          presence: tf.Tensor) -> tf.Tensor:
  """Gives each pixel to the object that changes it most, or to none.

  An object changes a pixel of the canvas by y, where objects add up, and by
  (1 - A) a (y - b), where they cover each other. Opacity alone does not tell:
  an object that is half transparent, and twice as far from the ground, looks
  the same.

  Whose a pixel would be is said by the model alone. Whether it is an object's
  at all is seen in the image, which has the outlines that the model smooths: if
  it is at least a quarter as far from the ground as the object's pixel that is
  furthest (the threshold of tight boxes, too). Of equal changes the first wins.

  Args:
    images: `[N, H, W]`.
    canvases: `[N, T + 1, H, W]`, the ground and the first 0 ... T objects.
    presence: `[N, T]`, 1. for a step that is taken, else 0.

  Returns:
    uint8 `[N, H, W]`, 0 of the ground, t of step t.
  """
  change = tf.abs(canvases[:, 1:] - canvases[:, :-1])
  seen = tf.abs(tf.cast(images, canvases.dtype) - canvases[:, 0])
  if canvases.shape.rank == 5:  # In colour, that of the channel of the largest.
    change, seen = tf.reduce_max(change, axis=-1), tf.reduce_max(seen, axis=-1)
  change = prior.mask_absent(presence, change)
  owner = tf.argmax(change, axis=1)  # [N, H, W]
  furthest = tf.gather(tf.reduce_max(change, axis=[2, 3]),
                       tf.reshape(owner, [tf.shape(owner)[0], -1]),
                       batch_dims=1)
  least = boxes_lib.INK_THRESHOLD * tf.reshape(furthest, tf.shape(owner))
  is_ink = (tf.reduce_max(change, axis=1) > 0.) & (seen >= least)
  return tf.cast(tf.where(is_ink, owner + 1, 0), tf.uint8)


def with_masks(images: tf.Tensor,
               outputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
  """Adds `masks` to what a SavedModel explains, if they are not there.

  The signature `segment` is this. Earlier versions have no such signature.

  Args:
    images: `[N, H, W]`.
    outputs: fields of `explain.Explanation` by name.
  """
  if 'masks' in outputs:
    return dict(outputs)
  canvases = outputs['canvases']
  ground = outputs.get('background', tf.zeros_like(canvases[:, 0]))
  return outputs | {'masks': masks(
      images, tf.concat([ground[:, tf.newaxis], canvases], axis=1),
      outputs['presence'])}

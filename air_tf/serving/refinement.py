"""Explains the objects of images again, each alone.

Where objects are near, a glimpse is shifted towards the neighbour, and two
steps draw a part of the same stroke. Here each pixel is given to the object
that draws most of it, and the model explains what is one object's alone. What
it draws then says better whose the pixels are, so this is repeated.

Letters: `N` images, `T` most steps, `K` objects in all images, `[H, W]` image
(`[H, W, 3]` in colour).
"""

from collections.abc import Callable
from collections.abc import Mapping

import numpy as np
from numpy import typing as npt
import tensorflow as tf

from air_tf import errors
from air_tf import segment
from air_tf.serving import earlier

__all__ = ['refine']

# Digits are told from `what` in .925 of objects without, in .940, .943, .945,
# .943 after 1, 2, 3, 4 (multi-MNIST, two digits, support vector machines on
# 6,000 objects).
_PASSES = 3
_OF_OBJECTS = 'where', 'boxes', 'tight_boxes', 'what', 'glimpses'


def refine(serve: Callable[..., Mapping[str, tf.Tensor]], images: tf.Tensor,
           outputs: Mapping[str, npt.ArrayLike]) -> dict[str, np.ndarray]:
  """Explains each object from its own pixels.

  Counts stay as they are, and so does an object in which, alone, the model sees
  none. Costs as much as explaining three images per object.

  Args:
    serve: the signature `serving_default` or `segment` of a model whose objects
      add up.
    images: `[N, H, W]`, pixels in 0 ... 1.
    outputs: of `serve` for the images, as `earlier.complete` returns them.

  Returns:
    The same with other `where`, `boxes`, `tight_boxes`, `what`, `glimpses`,
    `canvases` and `reconstruction`, and with `masks` if there were some.

  Raises:
    errors.UserError: if objects cover each other: what is seen of one that is
      hidden in part is not the object.
  """
  if 'alphas' in outputs:
    raise errors.UserError(
        'found a model whose objects cover each other (--compositing=over or '
        'sorted); expected one whose objects add up, to explain each of them '
        'again.')
  images = np.asarray(images)[:, np.newaxis]
  result = {name: np.array(x) for name, x in outputs.items()}
  taken = np.nonzero(result['presence'] > 0.)  # Image and step of K objects.
  ground = _ground(result)[:, np.newaxis]
  drawn = np.diff(result['canvases'], axis=1, prepend=ground)
  for _ in range(_PASSES if len(taken[0]) else 0):
    alone = (ground + _owned(drawn) * (images - ground))[taken]
    found = _explain(serve, alone, len(images))
    seen = found['num_steps'] > 0
    again = tuple(index[seen] for index in taken)
    for name in _OF_OBJECTS:
      result[name][again] = found[name][seen, 0]
    drawn[again] = (found['canvases'][:, 0] - _ground(found))[seen]
  result['canvases'] = ground + np.cumsum(drawn, axis=1)
  result['reconstruction'] = result['canvases'][:, -1]
  if 'masks' in result:
    result['masks'] = segment.with_masks(tf.constant(images[:, 0]), {
        name: tf.constant(result[name])
        for name in ('canvases', 'presence', 'background')
        if name in result})['masks'].numpy()
  return result


def _ground(outputs: Mapping[str, np.ndarray]) -> np.ndarray:
  """Returns `[N, H, W]`: black, where the model knows no background."""
  return outputs.get('background', np.zeros_like(outputs['reconstruction']))


def _owned(drawn: np.ndarray) -> np.ndarray:
  """Returns 1. where a step draws most of a pixel, else 0.

  Args:
    drawn: `[N, T, H, W]`, by each step; 0 by those that are not taken.

  Returns:
    Of the shape of `drawn`; in colour the brightest channel decides for all.
  """
  light = drawn.max(axis=-1, keepdims=True) if drawn.ndim == 5 else drawn
  most = light.max(axis=1, keepdims=True)
  return ((light == most) & (light > 0.)).astype(drawn.dtype)


def _explain(serve, images: np.ndarray, at_once: int) -> dict[str, np.ndarray]:
  """Returns the outputs for any number of images, from 1 on."""
  parts = []
  for start in range(0, len(images), at_once):
    outputs = earlier.complete(
        serve(images=tf.constant(images[start:start + at_once])))
    parts.append({name: np.asarray(x) for name, x in outputs.items()})
  return {name: np.concatenate([part[name] for part in parts])
          for name in parts[0]}

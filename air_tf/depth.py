"""Which of two objects is in front, read from the image.

Where objects cover each other, steps need not find the nearest first. Of two
that overlap, the one is in front whose colours are those of the image there:

    e_ij = sum over pixels of a_i a_j |x - y_i|^2;  i is in front if e_ij < e_ji

with x the image, y_i the i-th object and a_i its opacity. Composed with the
background b, the first n objects are

    c_n = b + sum_{i <= n} v_i a_i (y_i - b)
    v_i = product of 1 - a_j over the j in front of i

which is `compositing`'s `over`, with its order of the steps replaced by that of
depth. For each of the n (n - 1) / 2 pairs both orders are a priori as likely.

Letters: `B` batch, `T` most steps, `[H, W]` image. Images in colour have a last
axis of 3 channels. What is painted has another for its opacity.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from air_tf import compositing

__all__ = ['Layers', 'compose', 'kl_of_steps', 'parts', 'sort', 'unexplained']

_TINY = 1e-3  # Of an opacity that is divided by.
# How far a pixel may be from the colour of an object that explains it. Colours
# of objects differ by some .7, and are exact to .1 early in training.
_COLOUR_STDDEV = .2


class Layers(NamedTuple):
  """Objects, each on a canvas of its own, and who is in front of whom."""
  painted: tf.Tensor  # [B, T, H, W, C + 1], premultiplied.
  in_front: tf.Tensor  # [B, T, T], 1. where object i is in front of object j.


def sort(images: tf.Tensor, painted: tf.Tensor) -> Layers:
  """Finds out who is in front of whom; without overlap, the earlier step is.

  Args:
    images: `[B, H, W]`.
    painted: `[B, T, H, W, C + 1]`, premultiplied.
  """
  images, opaque = map(tf.stop_gradient, (images, painted))
  flat = lambda x: tf.reshape(x, [-1, x.shape[1], np.prod(x.shape[2:4])])
  error = tf.matmul(flat(_squared_error(images[:, tf.newaxis], opaque)),
                    flat(opaque[..., -1]), transpose_b=True)  # e_ij, [B, T, T]
  other = tf.linalg.matrix_transpose(error)
  earlier = np.triu(np.ones([painted.shape[1]] * 2, bool), 1)
  in_front = (error < other) | ((error == other) & earlier)
  return Layers(painted, tf.cast(in_front, painted.dtype))


def compose(canvas: tf.Tensor, layers: Layers) -> tf.Tensor:
  """Returns the canvases `[B, T + 1, H, W]` of the first 0 ... T objects.

  Args:
    canvas: `[B, H, W]`, the background.
    layers: the objects.
  """
  canvases = [canvas]
  changes, alphas = compositing.changes(canvas, layers.painted)
  in_front = _order(layers)
  visible = []  # v_i of the objects so far.
  for n, alpha in enumerate(alphas):
    visible = [v * (1. - in_front(n, i) * alpha) for i, v in enumerate(visible)]
    visible.append(_not_hidden(n, alphas[:n], in_front))
    canvases.append(canvas + sum(
        compositing.channelled(v, canvas) * change
        for v, change in zip(visible, changes[:n + 1], strict=True)))
  return tf.stack(canvases, axis=1)


def parts(canvas: tf.Tensor, layers: Layers, presence: tf.Tensor) -> tf.Tensor:
  """Canvases `[B, T, H, W]`, to which each step adds what is seen of it.

  The last is the image of all objects that are present. Unlike `compose`, an
  object is hidden by those in front of it from the start.

  Args:
    canvas: `[B, H, W]`, the background.
    layers: the objects.
    presence: `[B, T]`, 1. for an object that is present, else 0.
  """
  changes, alphas = compositing.changes(
      canvas,
      layers.painted * presence[..., tf.newaxis, tf.newaxis, tf.newaxis])
  in_front = _order(layers)
  canvases = []
  for i, change in enumerate(changes):
    visible = _not_hidden(i, alphas, in_front)
    canvas += compositing.channelled(visible, canvas) * change
    canvases.append(canvas)
  return tf.stack(canvases, axis=1)


def unexplained(left: tf.Tensor, images: tf.Tensor,
                painted: tf.Tensor) -> tf.Tensor:
  """Returns the part of `left` that an object does not explain.

  It explains a pixel that it covers, if it has its colour. So another object in
  front of it is still found.

  Args:
    left: `[B, H, W]` or `[B, H, W, ...]`.
    images: `[B, H, W]`.
    painted: `[B, H, W, C + 1]`, the object, premultiplied.
  """
  alpha = painted[..., -1]
  off = _squared_error(images, painted) / (alpha + _TINY)
  explained = alpha * tf.exp(-off / (2. * _COLOUR_STDDEV ** 2))
  return left * (1. - compositing.channelled(explained, left))


def kl_of_steps(layers: Layers | None) -> np.ndarray | float:
  """KL `[T]` of the order of each object and those before it: log 2 for each.

  0 without layers, where the order is that of the steps.
  """
  if layers is None:
    return 0.
  return np.float32(np.log(2.) * np.arange(layers.in_front.shape[1]))


def _squared_error(images: tf.Tensor, painted: tf.Tensor) -> tf.Tensor:
  """a |x - y|^2 of each pixel `[..., H, W]`, of colours premultiplied by a."""
  alpha = painted[..., -1:]
  if images.shape.rank < painted.shape.rank:
    images = images[..., tf.newaxis]
  off = tf.square(alpha * images - painted[..., :-1])
  return tf.reduce_sum(off, axis=-1) / (alpha[..., 0] + _TINY)


def _order(layers: Layers) -> Callable[[int, int], tf.Tensor]:
  """Returns in_front(i, j): `[B, 1, 1]`, 1. where i is in front of j."""
  return lambda i, j: layers.in_front[:, i, j, tf.newaxis, tf.newaxis]


def _not_hidden(i: int, alphas: list[tf.Tensor], in_front) -> tf.Tensor:
  """v_i `[B, H, W]` behind objects with these opacities, which may be its own.

  No object is in front of itself.
  """
  visible = tf.ones_like(in_front(i, i))
  for j, alpha in enumerate(alphas):
    visible *= 1. - in_front(j, i) * alpha
  return visible

"""Repeat: the loop of AIR's cell over steps, as in AIR or as in DAIR.

Letters: `B` batch, `T` most steps, `Z` size of `what`, `[H, W]` image, `[h, w]`
glimpse. Images and glimpses in colour have a last axis of 3 channels.
"""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from air_tf import cell as cell_lib
from air_tf import compositing
from air_tf import depth

__all__ = ['Unrolled', 'compose', 'explain', 'unroll', 'unroll_differences',
           'unroll_occluding', 'write']

_TINY = 1e-6  # Keeps the gradient of a square root finite.


class Unrolled(NamedTuple):
  """All T steps."""
  steps: cell_lib.Step  # Its tensors are [B, T, ...].
  glimpses: tf.Tensor   # [B, T, h, w], decoded.
  # [B, T, H, W], each glimpse on a canvas of its own. Both have a last axis of
  # colour and opacity where objects cover each other.
  written: tf.Tensor


def explain(cell: cell_lib.AIRCell, images: tf.Tensor, background: tf.Tensor,
            noise: Sequence[tf.Tensor], reparameterise: bool,
            difference: bool) -> Unrolled:
  """All steps, by the loop that belongs to the model.

  Where objects cover each other the steps also see the images as they are,
  because the decoder gives colours and not differences from the background.

  Args:
    cell: the cell, whose objects add up or cover each other.
    images: `[B, H, W]`.
    background: `[B, H, W]`.
    noise: T tensors `[B, 3 + Z]`, see the cell.
    reparameterise: whether gradients flow through the samples, and through what
      is drawn from them and seen by later steps.
    difference: whether it is DAIR.
  """
  difference_image = images - _seen(background, reparameterise)
  if cell.occludes:
    difference_image = _with_norm(difference_image)
    if difference:
      return unroll_occluding(
          cell, images, difference_image, noise, reparameterise)
    return unroll(cell, _with_left(images, difference_image), noise,
                  reparameterise)
  return (unroll_differences if difference else unroll)(
      cell, difference_image, noise, reparameterise)


def unroll(cell: cell_lib.AIRCell, images: tf.Tensor,
           noise: Sequence[tf.Tensor], reparameterise: bool) -> Unrolled:
  """AIR: all steps see the whole image, encoded once; decoded at the end.

  Args:
    cell: the cell.
    images: `[B, H, W]`, minus the background.
    noise: T tensors `[B, 3 + Z]`, see the cell.
    reparameterise: whether gradients flow through the samples.
  """
  state, encoded = cell.initial_state(), cell.encode(images)
  steps = []
  for step_noise in noise:
    step, state = cell(images, encoded, state, step_noise, reparameterise)
    steps.append(step)
  steps = _stack(steps)
  return Unrolled(
      steps, *write(cell, steps.what, steps.where, *images.shape[1:3]))


def unroll_differences(cell: cell_lib.AIRCell, images: tf.Tensor,
                       noise: Sequence[tf.Tensor],
                       reparameterise: bool) -> Unrolled:
  """DAIR: each step sees what the steps before explained, and the residual.

  The paper's steps see the residual alone. From that a step cannot tell an
  object from the edges of one that was not reconstructed exactly. Arguments
  as in `unroll`.
  """
  state, encode, explained = (
      cell.initial_state(), cell.encode_pairs(images), None)
  steps, drawn = [], []
  for step_noise in noise:
    step, state = cell(
        images, encode(explained), state, step_noise, reparameterise)
    glimpse, y = cell.write(step.what, step.where, *images.shape[1:3])
    seen = _seen(y, reparameterise)
    explained = seen if explained is None else explained + seen
    steps.append(step)
    drawn.append((glimpse, y))
  return Unrolled(_stack(steps), *_stack(drawn))


def unroll_occluding(cell: cell_lib.AIRCell, images: tf.Tensor,
                     difference: tf.Tensor, noise: Sequence[tf.Tensor],
                     reparameterise: bool) -> Unrolled:
  """DAIR, where objects cover each other: a step sees what is not covered yet.

  What step n can change of the canvas is (1 - A_{n-1}) (y_n - b), so what is
  left to explain is (1 - A_{n-1}) (x - b). Unlike a residual it has no edges of
  objects that were not reconstructed exactly. Where depth is read from the
  image, what is covered by another colour is left, too.

  Args:
    cell: the cell.
    images: `[B, H, W]`, x.
    difference: `[B, H, W]`, x - b, minus the background; in colour with its
      norm, as a fourth channel.
    noise: T tensors `[B, 3 + Z]`, see the cell.
    reparameterise: whether gradients flow through the samples.
  """
  state, encode, left, explained = (
      cell.initial_state(), cell.encode_pairs(difference), difference, None)
  steps, drawn = [], []
  for step_noise in noise:
    step, state = cell(_with_left(images, left), encode(explained), state,
                       step_noise, reparameterise)
    glimpse, painted = cell.write(step.what, step.where, *images.shape[1:3])
    seen = _seen(painted, reparameterise)
    left = (depth.unexplained(left, images, seen) if cell.sorts
            else compositing.uncovered(left, seen))
    explained = difference - left
    steps.append(step)
    drawn.append((glimpse, painted))
  return Unrolled(_stack(steps), *_stack(drawn))


def compose(cell: cell_lib.AIRCell, images: tf.Tensor, background: tf.Tensor,
            written: tf.Tensor) -> tuple[tf.Tensor, depth.Layers | None]:
  """Joins what all steps wrote, by the rule that belongs to the model.

  Args:
    cell: the cell, whose objects add up or cover each other.
    images: `[B, H, W]`.
    background: `[B, H, W]`.
    written: `[B, T, H, W]`, of `explain`.

  Returns:
    The canvases `[B, T + 1, H, W]` of the first 0 ... T objects, and the layers
    where depth is read from the image.
  """
  if not cell.sorts:
    return compositing.compose(background, written, cell.occludes), None
  layers = depth.sort(images, written)
  return depth.compose(background, layers), layers


def _with_norm(difference: tf.Tensor) -> tf.Tensor:
  """Appends to differences in colour, `[B, H, W, 3]`, their norm.

  In the norm objects of all colours have the same outlines, which an MLP takes
  long to learn from the differences.
  """
  if difference.shape.rank == 3:
    return difference
  squared = tf.reduce_sum(tf.square(difference), axis=-1, keepdims=True)
  return tf.concat([difference, tf.sqrt(squared + _TINY)], axis=-1)


def _with_left(images: tf.Tensor, left: tf.Tensor) -> tf.Tensor:
  """Images beside what is left of them, as channels of one image.

  In colour that is its norm alone, the last channel: the colours are those of
  the images.
  """
  if images.shape.rank == 3:
    return tf.stack([images, left], axis=-1)
  return tf.concat([images, left[..., -1:]], axis=-1)


def _seen(drawn: tf.Tensor, reparameterise: bool) -> tf.Tensor:
  """What the decoder drew, as later steps see it: a constant, as samples are.

  Else the posterior of these steps would have a gradient in the decoder.
  """
  return drawn if reparameterise else tf.stop_gradient(drawn)


def write(cell: cell_lib.AIRCell, what: tf.Tensor, where: tf.Tensor,
          height: int, width: int) -> tuple[tf.Tensor, tf.Tensor]:
  """`AIRCell.write` of all steps at once, in larger products.

  Args:
    cell: the cell.
    what: `[B, T, Z]`.
    where: `[B, T, 3]`.
    height: `H`.
    width: `W`.

  Returns:
    Glimpses `[B, T, h, w]` and canvases `[B, T, H, W]`.
  """
  merge = lambda x: tf.reshape(x, [-1, x.shape[-1]])
  split = lambda x: tf.reshape(
      x, tf.concat([tf.shape(what)[:2], x.shape[1:]], axis=0))
  glimpses, written = cell.write(merge(what), merge(where), height, width)
  return split(glimpses), split(written)


def _stack(steps: list):
  """Joins T structures of `[B, ...]` to one of `[B, T, ...]`."""
  return tf.nest.map_structure(lambda *xs: tf.stack(xs, axis=1), *steps)

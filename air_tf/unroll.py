"""Repeat: the loop of AIR's cell over steps, as in AIR or as in DAIR.

Letters: `B` batch, `T` most steps, `Z` size of `what`, `[H, W]` image, `[h, w]`
glimpse. Images and glimpses in colour have a last axis of 3 channels.
"""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from air_tf import cell as cell_lib

__all__ = ['Unrolled', 'add_up', 'unroll', 'unroll_differences', 'write']


class Unrolled(NamedTuple):
  """All T steps."""
  steps: cell_lib.Step  # Its tensors are [B, T, ...].
  glimpses: tf.Tensor   # [B, T, h, w], decoded.
  written: tf.Tensor    # [B, T, H, W], each glimpse on a canvas of its own.


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
  state, explained = cell.initial_state(), tf.zeros_like(images)
  steps, drawn = [], []
  for step_noise in noise:
    encoded = cell.encode(tf.stack([images - explained, explained], axis=-1))
    step, state = cell(images, encoded, state, step_noise, reparameterise)
    glimpse, y = cell.write(step.what, step.where, *images.shape[1:3])
    explained += y
    steps.append(step)
    drawn.append((glimpse, y))
  return Unrolled(_stack(steps), *_stack(drawn))


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


def add_up(canvas: tf.Tensor, written: tf.Tensor) -> tf.Tensor:
  """Canvases `[B, T + 1, H, W]`: `[B, H, W]` and the first n of `[B, T, ...]`.

  Unrolled: XLA lowers cumsum to a product with a triangular matrix.
  """
  canvases = [canvas]
  for y in tf.unstack(written, axis=1):
    canvases.append(canvases[-1] + y)
  return tf.stack(canvases, axis=1)


def _stack(steps: list):
  """Joins T structures of `[B, ...]` to one of `[B, T, ...]`."""
  return tf.nest.map_structure(lambda *xs: tf.stack(xs, axis=1), *steps)

"""Random numbers for the rows of a batch, the same on one device or on many.

In one of r replicas of `tf.distribute`, a batch of b rows is a share of r b
rows. Every replica draws the numbers of all rows from the same seed and keeps
those of its own rows, so an example gets the same noise on any number of
devices. The cost is negligible. Outside of replicas, the b rows are the batch.
"""

from collections.abc import Callable
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

__all__ = ['normal', 'of_pass', 'rows', 'uniform']


def normal(shape: Sequence, seed: tf.Tensor, axis: int = 0,
           copies: int = 1) -> tf.Tensor:
  """Draws standard normal numbers.

  Args:
    shape: of the result, in this replica; entries may be tensors.
    seed: int32 `[2]`, equal in all replicas.
    axis: of the batch.
    copies: how many times the batch is repeated on that axis, one copy after
      the other.
  """
  # Without `alg`, XLA takes ten times as long for the same numbers.
  sample = lambda shape: tf.random.stateless_normal(shape, seed, alg='philox')
  return _share(sample, shape, axis, copies)


def uniform(shape: Sequence, seed: tf.Tensor, copies: int = 1,
            minval: float = 0., maxval: float = 1.) -> tf.Tensor:
  """As `normal`, uniform between the bounds; the batch is the first axis."""
  sample = lambda shape: tf.random.stateless_uniform(
      shape, seed, minval=minval, maxval=maxval)
  return _share(sample, shape, 0, copies)


def of_pass(steps: Sequence, background: Sequence, seed: tf.Tensor | None,
            copies: int = 1, candidates: int = 1,
            num_places: int = 0) -> tuple[list[tf.Tensor], tf.Tensor]:
  """Draws the noise of one pass of T steps over a batch.

  Args:
    steps: `[T, B, D]`, of what the steps sample.
    background: `[B, E]`.
    seed: int32 `[2]`; zeros in the place of noise, if None.
    copies: as in `normal`.
    candidates: how many times the batch is repeated to differ in noise of the
      search: of a standard Gumbel distribution, but none in the first copy. All
      images get the same, so that equal images give equal results.
    num_places: of the search, P.

  Returns:
    T tensors `[B, D]`, or `[B, D + P]` with several candidates; `[B, E]`.
  """
  if seed is None:
    of_steps, of_background = tf.zeros(steps), tf.zeros(background)
  else:
    of_steps = normal(steps, seed, 1, copies)
    of_background = normal(
        background, tf.random.fold_in(seed, 1), 0, copies)
  if candidates > 1:
    gumbel = np.random.default_rng(0).gumbel(
        size=[steps[0], candidates, num_places]).astype(np.float32)
    gumbel[:, 0] = 0.
    of_steps = tf.concat([of_steps, tf.repeat(
        gumbel, steps[1] // candidates, axis=1)], axis=-1)
  return tf.unstack(of_steps, num=steps[0]), of_background


def rows(batch: tf.Tensor) -> tf.Tensor:
  """Returns this replica's rows, `[B / r, ...]`, of the whole batch."""
  context = tf.distribute.get_replica_context()
  shares = tf.reshape(
      batch, [context.num_replicas_in_sync, -1, *batch.shape[1:]])
  return tf.gather(shares, context.replica_id_in_sync_group)


def _share(sample: Callable, shape, axis: int, copies: int) -> tf.Tensor:
  context = tf.distribute.get_replica_context()  # None between replicas.
  replicas = context.num_replicas_in_sync if context else 1
  if replicas == 1:
    return sample(shape)
  shape = tf.unstack(shape) if tf.is_tensor(shape) else list(shape)
  before, after = shape[:axis], shape[axis + 1:]
  here = shape[axis] // copies
  all_rows = tf.reshape(
      sample([*before, copies * replicas * here, *after]),
      [*before, copies, replicas, here, *after])
  own_rows = tf.gather(
      all_rows, context.replica_id_in_sync_group, axis=axis + 1)
  return tf.reshape(own_rows, shape)

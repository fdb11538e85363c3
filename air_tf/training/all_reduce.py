"""Sums and means over the replicas of a `tf.distribute` strategy."""

from typing import Any

import tensorflow as tf

__all__ = ['all_reduce', 'from_moments', 'to_moments']


def all_reduce(operation: str, tensors: Any, dtype: tf.DType) -> Any:
  """Reduces a structure of tensors over all replicas, inside one of them.

  The tensors are packed into one vector: starting a transfer costs more than
  carrying these few megabytes, and the order of several transfers need not be
  the same in every process.

  Args:
    operation: 'MEAN' or 'SUM'.
    tensors: a nested structure; all shapes must be known.
    dtype: of the packed vector; it must represent every value exactly.

  Returns:
    The same structure, with the tensors' own types.
  """
  leaves = tf.nest.flatten(tensors)
  packed = tf.concat(
      [tf.reshape(tf.cast(x, dtype), [-1]) for x in leaves], axis=0)
  parts = tf.split(
      tf.distribute.get_replica_context().all_reduce(operation, packed),
      [x.shape.num_elements() for x in leaves])
  return tf.nest.pack_sequence_as(tensors, [
      tf.cast(tf.reshape(part, x.shape), x.dtype)
      for part, x in zip(parts, leaves, strict=True)])


def to_moments(metrics: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
  """Turns each `x/variance` into a second moment, which can be averaged.

  Args:
    metrics: scalars by name, with an `x/mean` for each `x/variance`.
  """
  return {name: value + tf.square(metrics[_mean_of(name)])
          if _is_variance(name) else value for name, value in metrics.items()}


def from_moments(metrics: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
  """The inverse of `to_moments`."""
  return {name: value - tf.square(metrics[_mean_of(name)])
          if _is_variance(name) else value for name, value in metrics.items()}


def _is_variance(name: str) -> bool:
  return name.endswith('/variance')


def _mean_of(name: str) -> str:
  return name.removesuffix('variance') + 'mean'

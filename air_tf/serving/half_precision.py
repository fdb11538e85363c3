"""Weights stored in float16, for SavedModels of half the size."""

from collections.abc import Callable
import contextlib

import sonnet as snt
import tensorflow as tf

from air_tf import errors

__all__ = ['HalfPrecision']


class HalfPrecision(tf.Module):
  """Float16 copies of a module's weights, read as float32 in their place.

  Computations stay in float32; only the weights are rounded, to 11 significant
  bits.

  Attributes:
    copies: the variables in float16, in the order of `module.variables`.
    kept: those that stay as they are.
  """

  def __init__(self, module: snt.Module, min_size: int = 0):
    """Copies the weights of `module`, which has all its variables.

    Args:
      module: whose weights are read.
      min_size: variables of fewer numbers stay in float32.

    Raises:
      errors.UserError: if a weight is beyond the range of float16.
    """
    super().__init__(name='half_precision')
    rounded = [v for v in module.variables
               if v.shape.num_elements() >= min_size]
    self.kept = [v for v in module.variables
                 if v.shape.num_elements() < min_size]
    self.copies = [
        tf.Variable(tf.cast(v, tf.float16), trainable=False,
                    name=v.name.partition(':')[0]) for v in rounded]
    for variable, copy in zip(rounded, self.copies, strict=True):
      if not tf.reduce_all(tf.math.is_finite(copy)):
        raise errors.UserError(
            f'{variable.name}: found weights beyond float16; expected them in '
            '-65504 ... 65504. Write the SavedModel in float32.')
    copies = {v.ref(): copy for v, copy in zip(
        rounded, self.copies, strict=True)}
    # In a closure: attributes of a `tf.Module` would be saved too.
    self._read: Callable[[tf.Variable], tf.Tensor] = lambda v: (
        tf.cast(copies[v.ref()], tf.float32) if v.ref() in copies else v)

  def in_place(self) -> contextlib.AbstractContextManager:
    """Within it, Sonnet's modules read the copies instead of the weights."""
    return snt.custom_variable_getter(self._read)

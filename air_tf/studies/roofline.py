"""How fast an iteration could be: its matrix products and one optimizer pass.

The roofline of an iteration is the time of what cannot be left out: every
matrix product of the forward and the backward pass, and one update of the
parameters. The products are those of the traced training step. They are timed
alone, independent of each other, compiled as training is; and also by other
libraries, which may have faster kernels.
"""

import collections
from collections.abc import Callable
from collections.abc import Iterator
import math
import statistics
import time
from typing import NamedTuple

import numpy as np
import sonnet as snt
import tensorflow as tf

from air_tf.training import trainer as trainer_lib

__all__ = ['Product', 'milliseconds', 'milliseconds_by_library', 'products',
           'products_of']

_ROUNDS, _CALLS = 9, 10


class Product(NamedTuple):
  """A product of two matrices, or of two batches of them."""
  left: tuple[int, ...]   # Shape [..., rows, inner], before it is transposed.
  right: tuple[int, ...]  # Shape [..., inner, columns], likewise.
  transpose_left: bool = False
  transpose_right: bool = False


def products(trainer: trainer_lib.Trainer) -> list[Product]:
  """Returns the matrix products of an iteration, forward and backward.

  Args:
    trainer: whose model, estimator and batch size are used.
  """
  config = trainer.config
  return products_of(trainer.differentiate, tf.TensorSpec(
      [config.batch_size, *config.image_shape], tf.float32))


def products_of(function: Callable, *specs: tf.TensorSpec) -> list[Product]:
  """Returns the matrix products that the results of a function depend on.

  A convolution counts as the product of its patches with its filters. The
  einsums of some estimators do not count: they are over T counts, not pixels.

  Args:
    function: of tensors, to be traced; all shapes must be known.
    *specs: of its arguments.
  """
  graph = tf.function(function, autograph=False).get_concrete_function(
      *specs).graph
  return [_PRODUCTS[operation.type](operation)
          for operation in _dependencies(graph.outputs)
          if operation.type in _PRODUCTS]


def _dependencies(outputs: list[tf.Tensor]) -> Iterator[tf.Operation]:
  """Yields every operation that the outputs depend on, once."""
  seen, pending = set(), [output.op for output in outputs]
  while pending:
    operation = pending.pop()
    if operation not in seen:
      seen.add(operation)
      pending += [value.op for value in operation.inputs]
      yield operation


def _shape(tensor: tf.Tensor) -> tuple[int, ...]:
  return tuple(tensor.shape.as_list())


def _matmul(operation: tf.Operation) -> Product:
  return Product(*map(_shape, operation.inputs),
                 operation.get_attr('transpose_a'),
                 operation.get_attr('transpose_b'))


def _batch_matmul(operation: tf.Operation) -> Product:
  return Product(*map(_shape, operation.inputs), operation.get_attr('adj_x'),
                 operation.get_attr('adj_y'))


def _conv(operation: tf.Operation) -> Product:
  _, filters = operation.inputs
  patches, weights = _as_matrices(operation.outputs[0], filters)
  return Product(patches, weights)


def _conv_backprop_input(operation: tf.Operation) -> Product:
  _, filters, gradient = operation.inputs
  (places, _), weights = _as_matrices(gradient, filters)
  return Product((places, weights[1]), weights, transpose_right=True)


def _conv_backprop_filter(operation: tf.Operation) -> Product:
  gradient = operation.inputs[2]
  patches, (_, channels) = _as_matrices(gradient, operation.outputs[0])
  return Product(patches, (patches[0], channels), transpose_left=True)


def _as_matrices(result: tf.Tensor, filters: tf.Tensor
                 ) -> tuple[tuple[int, int], tuple[int, int]]:
  """Shapes of all patches and of all filters of a convolution, as matrices."""
  *window, channels = _shape(filters)
  size = math.prod(window)
  return (math.prod(_shape(result)[:-1]), size), (size, channels)


_PRODUCTS = {
    'MatMul': _matmul,
    'BatchMatMulV2': _batch_matmul,
    'Conv2D': _conv,
    'Conv2DBackpropInput': _conv_backprop_input,
    'Conv2DBackpropFilter': _conv_backprop_filter,
}


def milliseconds(trainer: trainer_lib.Trainer,
                 dtype: tf.DType = tf.float32) -> float:
  """Times the roofline of an iteration.

  Args:
    trainer: whose iteration is meant; Adam updates as many parameters as its
      model has, in float32.
    dtype: of the products' factors; XLA chooses that of sums and results.

  Returns:
    Milliseconds, the median of some rounds.
  """
  todo = products(trainer)
  factors = _factors(todo, dtype)
  variable = tf.Variable(tf.zeros([sum(
      v.shape.num_elements() for v in trainer.model.trainable_variables)]))
  gradient = tf.fill(variable.shape, 1e-3)
  optimizer = snt.optimizers.Adam(1e-4)
  optimizer.apply([gradient], [variable])  # Creates its slots.

  @tf.function(jit_compile=trainer.config.jit_compile, autograph=False)
  def iteration() -> list[tf.Tensor]:
    optimizer.apply([gradient], [variable])
    return _by_tensorflow(todo, factors)

  return 1e3 * _seconds(iteration)


def milliseconds_by_library(trainer: trainer_lib.Trainer) -> dict[str, float]:
  """Times the products of an iteration in float32, without the optimizer.

  Args:
    trainer: whose iteration is meant.

  Returns:
    Milliseconds, medians of some rounds, of `xla`; of `tensorflow`, its own
    kernels (oneDNN on most CPUs); and of `numpy`, which calls OpenBLAS unless
    it was built with another library. Each with its own threads.
  """
  todo = products(trainer)
  factors = _factors(todo, tf.float32)
  function = lambda jit: tf.function(
      lambda: _by_tensorflow(todo, factors), jit_compile=jit, autograph=False)
  arrays = [tuple(x.numpy() for x in pair) for pair in factors]
  return {name: 1e3 * _seconds(iteration) for name, iteration in (
      ('xla', function(True)), ('tensorflow', function(False)),
      ('numpy', lambda: _by_numpy(todo, arrays)))}


def _by_tensorflow(todo: list[Product],
                   factors: list[tuple[tf.Tensor, tf.Tensor]]
                   ) -> list[tf.Tensor]:
  return [tf.matmul(*pair, product.transpose_left, product.transpose_right)
          for product, pair in zip(todo, factors, strict=True)]


def _by_numpy(todo: list[Product],
              factors: list[tuple[np.ndarray, np.ndarray]]
              ) -> list[np.ndarray]:
  turned = lambda x, turn: np.swapaxes(x, -1, -2) if turn else x
  return [turned(left, product.transpose_left)
          @ turned(right, product.transpose_right)
          for product, (left, right) in zip(todo, factors, strict=True)]


def _factors(todo: list[Product],
             dtype: tf.DType) -> list[tuple[tf.Tensor, tf.Tensor]]:
  """Returns the factors of each product.

  Products of equal shapes get different factors, or the compiler would compute
  one of them. Products of other shapes share them, as a layer's forward and
  backward products do.
  """
  made, repeats = {}, collections.Counter()

  def factor(shape: tuple[int, ...], number: int) -> tf.Tensor:
    if (shape, number) not in made:
      made[shape, number] = tf.cast(
          tf.random.stateless_normal(shape, [0, number]), dtype)
    return made[shape, number]

  pairs = []
  for product in todo:
    number, repeats[product] = repeats[product], repeats[product] + 1
    pairs.append((factor(product.left, number), factor(product.right, number)))
  return pairs


def _seconds(iteration: Callable[[], list]) -> float:
  """Seconds of one call; the first, which compiles, does not count."""
  iteration()
  rounds = []
  for _ in range(_ROUNDS):
    start = time.perf_counter()
    for _ in range(_CALLS):
      last = iteration()
    np.asarray(last[-1])  # Waits for the result.
    rounds.append((time.perf_counter() - start) / _CALLS)
  return statistics.median(rounds)

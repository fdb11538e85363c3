"""How fast an iteration could be: its matrix products and one optimizer pass.

The floor of an iteration is the time of what cannot be left out: every matrix
product of the forward pass, its two of the backward pass, and one update of the
parameters. They are timed alone, on the shapes of a configuration, all
independent of each other, compiled as training is.

Letters: `B` batch, `T` most steps, `U` units of the LSTM, `Z` size of `what`,
`[H, W]` image, `[h, w]` glimpse.
"""

import itertools
import statistics
import time
from typing import NamedTuple

import sonnet as snt
import tensorflow as tf

from air_tf import background
from air_tf import cell as cell_lib
from air_tf import config as config_lib
from air_tf import modules

__all__ = ['Product', 'milliseconds', 'products']

_ROUNDS, _CALLS = 9, 10


class Product(NamedTuple):
  """`[batch, rows, inner] @ [batch, inner, columns]`, forward and backward."""
  rows: int
  inner: int
  columns: int
  batch: int = 1
  times: int = 1  # With other values each time, in one iteration.
  left_gradient: bool = True   # Whether the backward pass needs that of the
  right_gradient: bool = True  # left factor, and that of the right one.

  @property
  def multiply_adds(self) -> int:
    """Of all times, forward and backward."""
    passes = 1 + self.left_gradient + self.right_gradient
    return (self.batch * self.rows * self.inner * self.columns * passes
            * self.times)


def products(config: config_lib.Config) -> list[Product]:
  """The matrix products of an iteration of `marginal`.

  Convolutions count as the products of their patches with their filters.
  """
  batch, steps, hidden = config.batch_size, config.max_steps, config.hidden_size
  units, what, side = config.lstm_size, config.what_size, config.glimpse_size
  image, colours = config.canvas_size, config.channels
  glimpse, where = side**2 * colours, cell_lib.WHERE_SIZE
  behind = config.background  # If so, what is seen of an image has a gradient.
  conv = config.image_encoder != 'mlp'
  # DAIR: what is explained before the first step is constant, later it is not.
  channels, later = (
      (2 * colours, steps - 1) if config.difference else (colours, 0))
  found = [*_encode(config, channels, conv, left_gradient=behind),
           *_encode(config, channels, conv, later)]
  located = units
  if config.image_encoder == 'search':
    fields = _map_sides(image)[-1]
    features = modules.ConvEncoder.LAYERS[-1][0]
    found += [
        Product(batch * fields**2, features, modules.Search.UNITS,
                times=steps),
        Product(batch, units, modules.Search.UNITS, times=steps),
        Product(batch, units, fields**2, times=steps),
        Product(batch * fields**2, modules.Search.UNITS, 1, times=steps)]
    found += [*_read(config, channels, steps - later, image_gradient=behind),
              *_read(config, channels, later, image_gradient=True)]
    located += features + 2 + side**2 * channels
  found += [
      *_mlp(batch, hidden, 4 * units, times=1 + later),
      Product(1, units + where + what, 4 * units),  # The first step's is one.
      *_mlp(batch, units + where + what, 4 * units, times=steps - 1),
      *_mlp(batch, located, hidden, hidden, 2 * where, times=steps),
      *_read(config, colours, steps, image_gradient=behind),
      *_mlp(batch, glimpse, hidden, hidden, 2 * what, times=steps),
      *_mlp(batch * steps, what, hidden, hidden, glimpse),
      *_mlp(batch * steps, units, 128, 64, 1),
      # `write`, of all steps at once.
      Product(side * colours, side, image, batch * steps),
      Product(image, side, image * colours, batch * steps)]
  if behind:
    code = background.CODE_SIZE
    found += [
        *_encode(config, colours, True, left_gradient=False),
        *_mlp(batch, hidden, hidden, hidden, 2 * code),
        *_mlp(batch, code, hidden, hidden, image**2 * colours)]
  return [product for product in found if product.times]


def _mlp(rows: int, *sizes: int, times: int = 1,
         left_gradient: bool = True) -> list[Product]:
  return [Product(rows, *pair, times=times,
                  left_gradient=left_gradient or i > 0)
          for i, pair in enumerate(zip(sizes, sizes[1:], strict=False))]


def _encode(config: config_lib.Config, channels: int, conv: bool,
            times: int = 1, left_gradient: bool = True) -> list[Product]:
  """Of an image with that many channels, by convolutions and an MLP."""
  batch, size = config.batch_size, config.canvas_size
  hidden = config.hidden_size
  found = []
  layers = zip(modules.ConvEncoder.LAYERS, _map_sides(size), strict=True)
  for (filters, stride), size in layers if conv else ():
    found.append(Product(batch * size**2, (2 * stride)**2 * channels, filters,
                         times=times, left_gradient=left_gradient))
    channels, left_gradient = filters, True
  return found + _mlp(batch, size**2 * channels, hidden, hidden, times=times,
                      left_gradient=left_gradient)


def _read(config: config_lib.Config, channels: int, times: int,
          image_gradient: bool) -> list[Product]:
  """Of glimpses of an image with that many channels."""
  batch, side = config.batch_size, config.glimpse_size
  image = config.canvas_size
  return [Product(side, image, image * channels, batch, times,
                  right_gradient=image_gradient),
          Product(side, image, side * channels, batch, times)]


def _map_sides(size: int) -> list[int]:
  """Side of the map of features after each convolution of an image."""
  return list(itertools.accumulate(
      (stride for _, stride in modules.ConvEncoder.LAYERS),
      lambda side, stride: side // stride + 1, initial=size))[1:]


def milliseconds(config: config_lib.Config, num_parameters: int,
                 dtype: tf.DType = tf.float32) -> float:
  """Times the floor of a configuration.

  Args:
    config: gives the shapes.
    num_parameters: of the model; Adam updates as many, in float32.
    dtype: of the products' factors; sums and results are what XLA makes of it.

  Returns:
    Milliseconds, the median of some rounds.
  """
  factors = [_factors(product, dtype) for product in products(config)
             for _ in range(product.times)]
  wanted = [product for product in products(config)
            for _ in range(product.times)]
  variable = tf.Variable(tf.zeros([num_parameters]))
  gradient = tf.fill([num_parameters], 1e-3)
  optimizer = snt.optimizers.Adam(1e-4)
  optimizer.apply([gradient], [variable])  # Makes its slots.

  @tf.function(jit_compile=config.jit_compile, autograph=False)
  def iteration():
    optimizer.apply([gradient], [variable])
    return [part for product, (left, right, above) in zip(
        wanted, factors, strict=True) for part in _both_ways(
            product, left, right, above)]

  iteration()
  rounds = []
  for _ in range(_ROUNDS):
    start = time.perf_counter()
    for _ in range(_CALLS):
      last = iteration()
    last[-1].numpy()  # Until it is done.
    rounds.append((time.perf_counter() - start) / _CALLS)
  return 1e3 * statistics.median(rounds)


def _factors(product: Product, dtype):
  """Both factors and the gradient of their product."""
  lead = [product.batch] if product.batch > 1 else []
  make = lambda *shape: tf.cast(tf.random.stateless_normal(
      [*lead, *shape], [0, product.rows]), dtype)
  return (make(product.rows, product.inner),
          make(product.inner, product.columns),
          make(product.rows, product.columns))


def _both_ways(product: Product, left, right, above):
  yield left @ right
  if product.left_gradient:
    yield tf.matmul(above, right, transpose_b=True)
  if product.right_gradient:
    yield tf.matmul(left, above, transpose_a=True)

"""The ground: what a picture shows where no object is, level or gently sloping.

It is a polynomial of second order in x and y, so it follows uneven light and
cannot draw objects. Nothing of it is learnt: robust regression fits it to each
image by itself.

Letters: `B` batch, `[H, W]` image, `P` cells that an image is averaged to, `K`
terms of the polynomial.
"""

import numpy as np
import tensorflow as tf

from air_tf import level_ground

__all__ = ['KINDS', 'estimate']

_ORDER = 2
_CELLS = 25  # About as many a side: averaged noise, and far fewer equations.
# Share of the weight that cells above the ground have at first: objects are
# bright, so most of what is above is theirs.
_ABOVE, _FIRST_FITS = .03, 10
# Then cells above it count by how likely they are noise, whose deviation is
# that of the cells below.
_WIDTH, _LAST_FITS = 2.5, 5
_LEAST_STDDEV = 2e-3  # Half a step of 8 bits.
_RIDGE = 1e-6


def estimate(images: tf.Tensor) -> tf.Tensor:
  """Estimates the ground of bright objects.

  Asymmetric least squares (Newey and Powell 1987, "Asymmetric Least Squares
  Estimation and Testing") find a surface near the lower edge of the pixels;
  weighted fits move it to the middle of the noise. On scenes of blobs that
  cover up to half of an image it is right to .004 (root mean square).

  Args:
    images: float `[B, H, W]`, pixels in 0 ... 1; in colour each channel has a
      ground of its own. H and W must be known.

  Returns:
    The ground, of the shape of `images`, without a gradient.
  """
  height, width, *channels = images.shape[1:]
  planes = images if not channels else tf.reshape(
      tf.transpose(images, [0, 3, 1, 2]), [-1, height, width])
  ground = _fit(tf.stop_gradient(planes))
  if channels:
    ground = tf.transpose(
        tf.reshape(ground, [-1, *channels, height, width]), [0, 2, 3, 1])
  return ground


def _fit(images: tf.Tensor) -> tf.Tensor:
  height, width = images.shape[1:]
  step = max(1, min(height, width) // _CELLS)
  cells = tf.nn.avg_pool2d(images[..., tf.newaxis], step, step, 'VALID')
  rows, columns = cells.shape[1:3]
  values = tf.reshape(cells, [-1, rows * columns])
  terms = _terms(
      _positions(rows, step, height), _positions(columns, step, width))
  coefficients = _robust_fit(values, terms)
  pixels = _terms(_positions(height, 1, height), _positions(width, 1, width))
  return tf.reshape(
      tf.matmul(coefficients, pixels, transpose_b=True), [-1, height, width])


def _robust_fit(values: tf.Tensor, terms: np.ndarray) -> tf.Tensor:
  """Returns coefficients `[B, K]` of the ground of cells `[B, P]`."""

  def refit(i, coefficients, spread):
    residual = values - tf.matmul(coefficients, terms, transpose_b=True)
    spread = tf.where(
        i <= _FIRST_FITS, _WIDTH * _stddev_below(residual), spread)
    above = tf.maximum(residual, 0.)
    first = tf.where(residual > 0., _ABOVE, 1.)
    last = tf.exp(-.5 * (above / spread)**2)
    weights = tf.where(i < _FIRST_FITS, first, last)
    return i + 1, _regress(values, weights, terms), spread

  start = _regress(values, tf.ones_like(values), terms)
  # In a loop, because XLA takes seconds to compile sixteen solvers.
  return tf.while_loop(
      lambda i, *_: i < _FIRST_FITS + _LAST_FITS, refit,
      (0, start, tf.ones_like(values[:, :1])))[1]


def _stddev_below(residual: tf.Tensor) -> tf.Tensor:
  """Returns the root mean square `[B, 1]` of what is negative."""
  below = tf.reduce_sum(
      tf.cast(residual < 0., tf.float32), axis=1, keepdims=True)
  squares = tf.reduce_sum(
      tf.minimum(residual, 0.)**2, axis=1, keepdims=True)
  return tf.maximum(
      tf.sqrt(squares / tf.maximum(below, 1.)), _LEAST_STDDEV)


def _regress(values, weights, terms) -> tf.Tensor:
  """Returns coefficients `[B, K]` of weighted least squares."""
  num_terms = terms.shape[1]
  products = tf.reshape(
      terms[:, :, np.newaxis] * terms[:, np.newaxis], [-1, num_terms**2])
  gram = tf.reshape(weights @ products, [-1, num_terms, num_terms])
  gram += _RIDGE * len(terms) * np.eye(num_terms, dtype=np.float32)
  right = (weights * values) @ terms
  return _solve(gram, right)


def _solve(gram: tf.Tensor, right: tf.Tensor) -> tf.Tensor:
  """Solves B positive definite systems of K equations by elimination.

  XLA takes many times as long for `tf.linalg.solve` of so few equations.
  """
  system = tf.concat([gram, right[..., tf.newaxis]], axis=-1)  # [B, K, K + 1]
  for k, unit in enumerate(np.eye(gram.shape[-1], dtype=np.float32)):
    pivot = system[:, k:k + 1] / system[:, k:k + 1, k:k + 1]
    others = system[:, :, k:k + 1] - unit[:, np.newaxis]
    system -= others * pivot
  return system[..., -1]


def _positions(number: int, step: int, size: int) -> np.ndarray:
  """Returns where the middles of cells are on an axis from -1 to 1."""
  return (2. * step * (np.arange(number) + .5)) / size - 1.


def _terms(y: np.ndarray, x: np.ndarray) -> np.ndarray:
  """Returns the products of Legendre polynomials, float32 `[y x, K]`."""
  polynomial = np.polynomial.legendre.legvander
  y, x = polynomial(y, _ORDER), polynomial(x, _ORDER)
  return np.stack([
      np.outer(y[:, i], x[:, j]).ravel() for i in range(_ORDER + 1)
      for j in range(_ORDER + 1 - i)], axis=1).astype(np.float32)


# By the values of --ground_kind.
KINDS = {'sloping': estimate, 'level': level_ground.estimate}

"""Where the next object is: from the hidden state alone, or by a search.

Both have the same interface; the cell uses one of them:

    posterior = locate(hidden, images, features)   # Over [B, 3].

Letters: `B` batch, `[H, W]` image, `[m, k]` a map of places in the image, `F`
its features, `U` units of the LSTM, `D` size of a query.
"""

from typing import NamedTuple

import numpy as np
import sonnet as snt
import tensorflow as tf

from air_tf import encoders
from air_tf import glimpses
from air_tf import modules

__all__ = ['Attended', 'Search', 'SearchLocator', 'StateLocator']

# Shifts are scaled so that atanh stays finite at the image edge.
_MAX_SHIFT = .99
_WINDOW_SCALE = 2.  # Side of the window around a place, in sides of an object.


class Attended(NamedTuple):
  """What attention chose on a map of features."""
  place: tf.Tensor     # [B, 2], (x, y), in half maps from the middle, -1 ... 1.
  features: tf.Tensor  # [B, F], of that place.


class Search(snt.Module):
  """Additive attention over a map of features, made hard.

      weights = softmax of v . elu(K features + Q query) + tanh(M query)

  Both results are means under the hard weights: those of the largest weight and
  its eight neighbours, so that of two objects one is chosen, never the empty
  middle between them. All places share K, so the appearance of an object is
  learnt once, not for each place. M has one row per place: through it the
  query, which depends on the whole image, can prefer places; tanh keeps this
  preference from outweighing the features.

  Straight-through: features get the gradient of soft attention over all places,
  the place only that of the 3 x 3 window. With the gradient of all places, the
  search is drawn into the corners.

  Source: Bahdanau et al. 2015, "Neural Machine Translation by Jointly Learning
  to Align and Translate"; the mean place as in Finn et al. 2016, "Deep Spatial
  Autoencoders for Visuomotor Learning"; straight-through: Bengio et al. 2013,
  "Estimating or Propagating Gradients Through Stochastic Neurons".
  """

  UNITS = 32

  def __init__(self, name: str | None = None):
    super().__init__(name=name)
    self._keys = snt.Linear(self.UNITS, name='keys')
    self._query = snt.Linear(self.UNITS, with_bias=False, name='query')
    # Small, so that attention starts nearly uniform and its choice can change.
    self._score = snt.Linear(
        1, with_bias=False, name='score',
        w_init=snt.initializers.TruncatedNormal(stddev=.1))
    self._point: snt.Linear | None = None  # Sized by the first map of features.

  @property
  def num_places(self) -> int:
    """m k, of the maps that it attends to; known after the first call."""
    return self._point.output_size

  def __call__(self, features: tf.Tensor, query: tf.Tensor,
               noise: tf.Tensor | None = None) -> Attended:
    """Attends to one place.

    Args:
      features: `[B, m, k, F]`; m, k and F must be known, and the same in all
        calls.
      query: `[B, D]`, what is looked for.
      noise: `[B, m k]`, added to the logarithms of the weights before the
        largest is chosen. Of a Gumbel distribution, it makes the choice a
        sample from the weights; None chooses the largest.
    """
    _, rows, columns, size = features.shape
    self._make_point(rows * columns)
    flat = tf.reshape(features, [-1, rows * columns, size])
    units = tf.nn.elu(
        self._keys(flat) + self._query(query)[:, tf.newaxis])
    soft_weights = tf.nn.softmax(
        self._score(units) + tf.tanh(self._point(query))[..., tf.newaxis],
        axis=1)  # [B, m k, 1]
    hard_weights = _keep_largest(soft_weights, rows, columns, noise)
    x, y = tf.meshgrid(glimpses.centres(columns), glimpses.centres(rows))
    places = tf.reshape(tf.stack([x, y], axis=-1), [rows * columns, 2])
    hard_features, soft_features = (
        tf.reduce_sum(w * flat, axis=1) for w in (hard_weights, soft_weights))
    return Attended(
        place=tf.reduce_sum(hard_weights * places, axis=1),
        features=soft_features + tf.stop_gradient(
            hard_features - soft_features))

  @snt.once
  def _make_point(self, num_places: int) -> None:
    self._point = snt.Linear(
        num_places, with_bias=False, name='point',
        w_init=snt.initializers.TruncatedNormal(stddev=.01))


class StateLocator:
  """Locates the next object from the hidden state (blog)."""

  def __init__(self, where_estimator: modules.GaussianEstimator):
    """Takes the estimator, `[B, U]` to `[B, 3]`."""
    self._where_estimator = where_estimator

  def __call__(self, hidden: tf.Tensor, images: tf.Tensor | encoders.Pair,
               features: tf.Tensor | None, noise: tf.Tensor | None = None
               ) -> modules.DiagonalGaussian:
    """Returns the posterior over `[B, 3]`, before squashing.

    Args:
      hidden: `[B, U]`, of the LSTM.
      images: ignored.
      features: ignored.
      noise: ignored.
    """
    del images, features, noise
    return self._where_estimator(hidden)


class SearchLocator:
  """Locates the next object by attention, then by a look at the pixels there.

  Attention chooses a place on the map of features. From a window of pixels
  around that place, the estimator infers the size of the object and the offset
  of its centre. The offset is relative to the place, so what is learnt holds at
  all places.
  """

  def __init__(self, search: Search,
               where_estimator: modules.GaussianEstimator,
               object_scale: float, window_size: int):
    """Makes the locator.

    Args:
      search: attention over features, with the hidden state as the query.
      where_estimator: from window, hidden state, features and place to
        `[B, 3]`: the logit of the scale, and the offset of the centre in halves
        of an object's side.
      object_scale: typical side of an object, over that of the image.
      window_size: side of the window in pixels as they are read.
    """
    self._search, self._where_estimator = search, where_estimator
    self._object_scale, self._window_size = object_scale, window_size

  def __call__(self, hidden: tf.Tensor, images: tf.Tensor | encoders.Pair,
               features: tf.Tensor, noise: tf.Tensor | None = None
               ) -> modules.DiagonalGaussian:
    """Returns the posterior over `[B, 3]`, before squashing.

    Args:
      hidden: `[B, U]`, of the LSTM.
      images: `[B, H, W, ...]`, or a pair of `[B, H, W]`, what was encoded.
      features: `[B, m, k, F]`, of each place.
      noise: `[B, m k]`, of the search.
    """
    attended = self._search(features, hidden, noise)
    window = self._read_window(images, attended.place)
    offset = self._where_estimator(tf.concat(
        [snt.flatten(window), hidden, attended.features, attended.place],
        axis=-1))
    side = 2. * self._object_scale  # Of an object, in half image sides.
    scale, shift_offset = tf.split(offset.mean, [1, 2], axis=-1)
    shift = tf.clip_by_value(
        attended.place + .5 * side * shift_offset, -1., 1.)
    return modules.DiagonalGaussian(
        mean=tf.concat([scale, _atanh(_MAX_SHIFT * shift)], axis=-1),
        stddev=offset.stddev * [1., side, side])

  def _read_window(self, images: tf.Tensor | encoders.Pair,
                   place: tf.Tensor) -> tf.Tensor:
    """Reads pixels around places `[B, 2]`, twice as wide as an object."""
    where = tf.pad(place, [[0, 0], [1, 0]],
                   constant_values=_WINDOW_SCALE * self._object_scale)
    read = lambda x: glimpses.read(x, where, self._window_size)
    if not isinstance(images, encoders.Pair):
      return read(images)
    # Reading is linear, and small windows are cheaper to subtract and stack.
    return encoders.Pair(*(x if x is None else read(x) for x in images)).stack()


def _keep_largest(weights: tf.Tensor, rows: int, columns: int,
                  noise: tf.Tensor | None) -> tf.Tensor:
  """Keeps the largest of `[B, m k, 1]` and its neighbours; they sum to 1."""
  row, column = np.divmod(np.arange(rows * columns), columns)
  distance = lambda index: np.abs(index[:, np.newaxis] - index)
  near = np.maximum(distance(row), distance(column)) <= 1  # [m k, m k]
  scores = weights[..., 0]
  if noise is not None:
    scores = tf.math.log(scores) + noise
  largest = tf.argmax(scores, axis=1)
  kept = weights * tf.gather(
      tf.constant(near, weights.dtype), largest)[..., tf.newaxis]
  return kept / tf.reduce_sum(kept, axis=1, keepdims=True)


def _atanh(x: tf.Tensor) -> tf.Tensor:
  """Inverse of tanh, by logs: TensorFlow Lite has no atanh."""
  return .5 * (tf.math.log(1. + x) - tf.math.log(1. - x))

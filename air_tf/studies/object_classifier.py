"""A classifier of objects that is only told about whole scenes.

It gives each object a distribution over the ten digits, from the object's code
alone and by the same network for all objects. What is asked of a scene follows
from them: the distribution of a sum is their convolution, and two objects are
in order with the probability that the left one is the smaller. Both are
differentiable, so that labels of scenes train the classifier of objects.

Source: the addition of digits in Manhaeve et al. 2018, "DeepProbLog: Neural
Probabilistic Logic Programming".

Letters: `N` scenes, `B` of them in a batch, `T` most steps, `Z` size of `what`,
`D` = 10 digits.
"""

from collections.abc import Callable
import functools
import itertools
from typing import NamedTuple

import numpy as np
import sonnet as snt
import tensorflow as tf

from air_tf.evaluation import predictions as predictions_lib
from air_tf.training import schedules

__all__ = ['TASKS', 'Objects', 'accuracy', 'ascending', 'from_predictions',
           'left_to_right', 'sums']

_DIGITS = 10
_HIDDEN, _BATCH = 128, 128
_LEARNING_RATE = 3e-3  # At first; it falls with a cosine.
# Standard deviation of what is added to codes in training, which is better than
# nothing and than .5 (BUILD_NOTES).
_NOISE = .3
_UPDATES, _UPDATES_PER_LABEL = 3_000, 8  # At most.
_DECAYS = 1e-5, 1e-4, 1e-3  # Weights of the L2 penalty that are tried
_TRIED_ON = .2  # on this share of the labelled scenes.
_STARTS = 3  # Initial values for each.
_TINY = 1e-6


class Objects(NamedTuple):
  """The objects that a model finds in N scenes, from left to right."""
  what: np.ndarray      # float32 [N, T, Z], posterior means.
  presence: np.ndarray  # float32 [N, T], 1. for an object; absent ones last.

  def select(self, scenes: np.ndarray | slice) -> 'Objects':
    """Returns the objects of some of the scenes."""
    return Objects(self.what[scenes], self.presence[scenes])


def from_predictions(predictions: predictions_lib.Predictions) -> Objects:
  """Sorts what a model found in each scene by its x-coordinate."""
  order = left_to_right(predictions)
  return Objects(
      np.take_along_axis(predictions.what, order[..., np.newaxis], axis=1),
      np.take_along_axis(predictions.presence > 0., order, axis=1).astype(
          np.float32))


def left_to_right(predictions: predictions_lib.Predictions) -> np.ndarray:
  """Returns the steps by x-coordinate, absent ones last, int `[N, T]`."""
  x = np.where(predictions.presence > 0., predictions.where[..., 1], np.inf)
  return np.argsort(x, axis=1, kind='stable')


def sums(digits: tf.Tensor, presence: tf.Tensor) -> tf.Tensor:
  """Returns the distribution of the sum of digits, `[B, 9 T + 1]`.

  Args:
    digits: `[B, T, D]`, probabilities of each object's digit.
    presence: `[B, T]`, 1. for an object; the others add nothing.
  """
  size = (_DIGITS - 1) * digits.shape[1] + 1
  total = tf.one_hot(tf.zeros_like(presence[:, 0], tf.int32), size)
  for probs, present in zip(tf.unstack(digits, axis=1),
                            tf.unstack(presence, axis=1), strict=True):
    shifted = tf.stack([tf.pad(total, [[0, 0], [d, 0]])[:, :size]
                        for d in range(_DIGITS)], axis=1)
    with_it = tf.einsum('bd,bds->bs', probs, shifted)
    total = tf.where(present[:, tf.newaxis] > 0., with_it, total)
  return total


def ascending(digits: tf.Tensor, presence: tf.Tensor) -> tf.Tensor:
  """Returns P(not ascending), P(ascending) of the two leftmost, `[B, 2]`.

  One half each, where fewer than two objects are present. Arguments as in
  `sums`; objects are ordered from left to right.
  """
  if digits.shape[1] < 2:
    return tf.fill([tf.shape(digits)[0], 2], .5)
  left, right = digits[:, 0], digits[:, 1]
  smaller = tf.cumsum(left, axis=1, exclusive=True)  # P(left < d)
  probability = tf.where(presence[:, 1] > 0.,
                         tf.reduce_sum(right * smaller, axis=1), .5)
  return tf.stack([1. - probability, probability], axis=1)


# By name, of the distribution over the answers, given those over digits.
TASKS: dict[str, Callable[[tf.Tensor, tf.Tensor], tf.Tensor]] = {
    'sum': sums, 'ascending': ascending}


def accuracy(task: str, train: Objects, answers: np.ndarray, test: Objects,
             test_answers: np.ndarray, seed: int = 0) -> float:
  """Returns the accuracy of the most likely answer.

  From some initial values training ends in a poor local optimum. Several
  networks are therefore trained side by side, and the mean of those with the
  highest likelihood of the training labels answers, a third of all.
  The weight of the L2 penalty is chosen before, by the likelihood of a fifth of
  the labelled scenes when trained on the others.

  Args:
    task: one of `TASKS`.
    train: labelled scenes.
    answers: int `[N]`, their labels.
    test: scenes to score on, with the same T and Z.
    test_answers: int `[N]`, theirs.
    seed: of initial values and batches; equal seeds give equal results.
  """
  networks = _networks(task, len(_DECAYS) * _STARTS, train.what.shape[-1])
  first = max(1, int(_TRIED_ON * len(answers)))
  decays = np.repeat(np.float32(_DECAYS), _STARTS)
  networks.fit(train.select(slice(first, None)), answers[first:], decays, seed)
  tried = networks.log_likelihoods(train.select(slice(first)), answers[:first])
  networks.fit(train, answers, np.full_like(decays, decays[tried.argmax()]),
               seed)
  best = networks.log_likelihoods(train, answers).argsort()[-_STARTS:]
  answer = networks.predict(test)[best].mean(axis=0).argmax(axis=1)
  return float(np.mean(answer == test_answers))


@functools.cache
def _networks(task: str, number: int, what_size: int) -> '_Networks':
  """The networks of a task, compiled once."""
  return _Networks(TASKS[task], number, what_size)


class _Networks:
  """R networks of one hidden layer, trained on labels of scenes side by side.

  Further letters: `R` networks, `A` answers.
  """

  def __init__(self, task: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
               number: int, what_size: int):
    self._task, self._number = task, number
    sizes = what_size, _HIDDEN, _DIGITS
    self._layers = [
        (tf.Variable(tf.zeros([number, n, m])),
         tf.Variable(tf.zeros([number, 1, m])))
        for n, m in itertools.pairwise(sizes)]
    self._rate = tf.Variable(0.)
    self._optimizer = snt.optimizers.Adam(self._rate)
    self._compiled = tf.function(self._update, jit_compile=True)

  def fit(self, objects: Objects, answers: np.ndarray, decays: np.ndarray,
          seed: int) -> None:
    """Trains from new initial values; labels `[N]`, L2 penalties `[R]`."""
    rng = np.random.default_rng(seed)
    self._reset(rng)
    updates = min(_UPDATES, _UPDATES_PER_LABEL * len(answers))
    for i in range(updates):
      rows = rng.integers(len(answers), size=_BATCH)
      what, presence = objects.select(rows)
      noise = rng.standard_normal(what.shape, np.float32)
      self._rate.assign(schedules.cosine_decay(i, _LEARNING_RATE, updates))
      self._compiled(what + np.float32(_NOISE) * noise, presence,
                     tf.constant(answers[rows], tf.int32), tf.constant(decays))

  def predict(self, objects: Objects) -> np.ndarray:
    """Returns probabilities of the answers, `[R, N, A]`."""
    return np.concatenate([
        self._answer(*map(tf.constant, objects.select(slice(i, i + 1_000))))
        for i in range(0, len(objects.presence), 1_000)], axis=1)

  def log_likelihoods(self, objects: Objects,
                      answers: np.ndarray) -> np.ndarray:
    """Returns the mean log-likelihood of labels `[N]`, `[R]`."""
    probs = np.take_along_axis(
        self.predict(objects), answers[np.newaxis, :, np.newaxis], axis=2)
    return np.log(probs + _TINY).mean(axis=(1, 2))

  def _answer(self, what, presence):
    x = tf.reshape(what, [-1, what.shape[-1]])[tf.newaxis]  # [1, B T, Z]
    (w, b), (w_out, b_out) = self._layers
    digits = tf.nn.softmax(tf.nn.relu(x @ w + b) @ w_out + b_out)
    steps = what.shape[1]
    answers = self._task(
        tf.reshape(digits, [-1, steps, _DIGITS]),
        tf.tile(presence, [self._number, 1]))  # [R B, A]
    return tf.reshape(answers, [self._number, -1, answers.shape[-1]])

  def _update(self, what, presence, answers, decays):
    variables = tf.nest.flatten(self._layers)
    with tf.GradientTape() as tape:
      probs = tf.gather(self._answer(what, presence), tf.tile(
          answers[tf.newaxis], [self._number, 1]), batch_dims=2)
      penalty = tf.add_n([tf.reduce_sum(tf.square(w), axis=[1, 2]) / 2.
                          for w, _ in self._layers])
      losses = decays * penalty - tf.reduce_mean(
          tf.math.log(probs + _TINY), axis=1)
      loss = tf.reduce_sum(losses)
    self._optimizer.apply(tape.gradient(loss, variables), variables)

  def _reset(self, rng: np.random.Generator) -> None:
    """Draws new weights; biases and the optimizer's state are zeroed."""
    for w, b in self._layers:
      w.assign(rng.normal(size=w.shape).astype(np.float32)
               / np.float32(np.sqrt(w.shape[1])))
      b.assign(tf.zeros_like(b))
    for v in self._optimizer.variables:
      v.assign(tf.zeros_like(v))

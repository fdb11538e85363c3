"""Classifiers of whole scenes, from pixels or from a code of the scene.

Pixels are classified by a convolutional network, codes by an MLP, both trained
with Keras. How strongly they are regularised, and for how long they train, is
chosen on a fifth of the labelled scenes.

Letters: `N` scenes, `[H, W]` image, `F` size of a code.
"""

import math
from typing import NamedTuple

import keras
from keras import layers
import numpy as np
import tensorflow as tf

from air_tf.studies import image_codes

__all__ = ['accuracy']

_HIDDEN, _BATCH, _LEARNING_RATE = 256, 128, 1e-3
_DROPOUTS = 0., .5  # That are tried
_TRIED_ON = .2  # on this share of the labelled scenes.
# An epoch is one pass over the scenes, or so many updates if that is longer.
# Training ends when it has been no better for so many epochs, or at the last.
_UPDATES, _PATIENCE, _EPOCHS = 20, 5, 200


class _Trial(NamedTuple):
  loss: float  # The lowest, on the scenes it was tried on,
  epochs: int  # after so many epochs.
  dropout: float


def accuracy(x: np.ndarray, y: np.ndarray, x_test: np.ndarray,
             y_test: np.ndarray, num_answers: int, seed: int = 0) -> float:
  """Trains on labelled scenes; returns the share of right answers on others.

  Codes are not standardised: that would amplify the entries of `what` that the
  model does not use, which are nearly zero.

  Args:
    x: codes `[N, F]`, or uint8 images `[N, H, W]`, with a last axis of 3
      channels in colour.
    y: int `[N]`, the answers.
    x_test: as `x`, to score on.
    y_test: the answers.
    num_answers: how many answers there are.
    seed: of initial values and batches.
  """
  tried_on = max(1, int(_TRIED_ON * len(x)))
  updates = max(_UPDATES, math.ceil(len(x) / _BATCH))
  trials = [_try(x, y, tried_on, dropout, num_answers, updates, seed)
            for dropout in _DROPOUTS]
  best = min(trials, key=lambda trial: trial.loss)
  network = _network(x.shape[1:], num_answers, best.dropout, seed)
  network.fit(_batches(x, y, seed), steps_per_epoch=updates,
              epochs=best.epochs, shuffle=False, verbose=0)
  answers = network.predict(x_test, batch_size=500, verbose=0).argmax(axis=1)
  return float(np.mean(answers == y_test))


def _try(x: np.ndarray, y: np.ndarray, tried_on: int, dropout: float,
         num_answers: int, updates: int, seed: int) -> _Trial:
  """Trains on all scenes but the first, until these become no better."""
  network = _network(x.shape[1:], num_answers, dropout, seed)
  history = network.fit(
      _batches(x[tried_on:], y[tried_on:], seed), steps_per_epoch=updates,
      epochs=_EPOCHS, validation_data=(x[:tried_on], y[:tried_on]),
      validation_batch_size=500, shuffle=False, verbose=0,
      callbacks=[keras.callbacks.EarlyStopping(patience=_PATIENCE)])
  losses = history.history['val_loss']
  return _Trial(min(losses), int(np.argmin(losses)) + 1, dropout)


def _network(shape: tuple[int, ...], num_answers: int, dropout: float,
             seed: int):
  """Returns a new classifier of inputs of a shape, as logits."""
  keras.utils.set_random_seed(seed)
  hidden = lambda: [layers.Dense(_HIDDEN, activation='relu'),
                    layers.Dropout(dropout)]
  below = hidden() if len(shape) == 1 else image_codes.convolutions(shape)
  network = keras.Sequential(
      [keras.Input(shape), *below, *hidden(), layers.Dense(num_answers)])
  network.compile(
      keras.optimizers.Adam(_LEARNING_RATE),
      keras.losses.SparseCategoricalCrossentropy(from_logits=True),
      jit_compile=False)  # Its own kernels convolve faster on CPUs.
  return network


def _batches(x: np.ndarray, y: np.ndarray, seed: int):
  """Returns batches without end, shuffled anew in each epoch."""
  return tf.data.Dataset.from_tensor_slices((x, y)).shuffle(
      len(x), seed=seed).repeat().batch(_BATCH).prefetch(2)

"""A model small enough for a test, and scenes for it.

It is AIR; what is said of DAIR and of the search is tested with `DAIR`, which
takes twice as long to compile.
"""

import contextlib

import numpy as np

from air_tf import config as config_lib
from air_tf.data import scenes as scenes_lib

_SIZES = dict(
    canvas_size=16, object_size=7., max_steps=3, what_size=4, glimpse_size=6,
    hidden_size=8, lstm_size=8, batch_size=4, num_train_scenes=40,
    num_test_scenes=12,
    digit_scale=(.3, .3), jit_compile=False, log_every=2, eval_every=4,
    checkpoint_every=4, difference=False, image_encoder='conv')
DAIR = dict(difference=True, image_encoder='search')


def config(**changes):
  return config_lib.Config(**(_SIZES | changes))


def flags(**changes):
  """The same as command-line flags."""
  text = lambda v: ','.join(map(str, v)) if isinstance(v, tuple) else v
  return [f'--{name}={text(value)}'
          for name, value in (_SIZES | changes).items()]


FINISHED = dict(gradient_variance_every=4, **DAIR)  # The run of `finished`.


def run_flags(folder, name='run', **changes):
  """Flags of bin/train.py for a run of 12 iterations in `folder`."""
  usual = dict(cache_dir=folder / 'cache', num_iterations=12, refresh_every=6,
               max_steps=2)
  return [f'--logdir={folder / name}', *flags(**(usual | changes))]


def encoded(model, monkeypatch):
  """Returns a list to which a model adds what it encodes, pairs as stacks."""
  from air_tf import encoders
  seen, note = [], model._cell._encoded
  def spy(images, encoding):
    seen.append(images.stack() if isinstance(images, encoders.Pair) else images)
    return note(images, encoding)
  monkeypatch.setattr(model._cell, '_encoded', spy)
  return seen


@contextlib.contextmanager
def eagerly():
  """Runs functions as they are: less work than to compile them for one use."""
  import tensorflow as tf
  tf.config.run_functions_eagerly(True)
  try:
    yield
  finally:
    tf.config.run_functions_eagerly(False)


_trainers = {}  # By copy and configuration: trainer, initial values.


def trainer(copy=0, **changes):
  """Returns a trainer in its initial state; what it compiled is kept.

  Args:
    copy: trainers of one configuration that a test needs beside each other
      have numbers of their own.
    **changes: of the configuration.
  """
  import tensorflow as tf

  from air_tf.training import trainer as trainer_lib
  key = copy, config(**changes)
  if key not in _trainers:
    made = trainer_lib.Trainer(key[1])
    _trainers[key] = made, [v.numpy() for v in made.variables]
  found, initial = _trainers[key]
  tf.random.set_seed(found.config.seed)  # As when it was made.
  for variable, value in zip(found.variables, initial, strict=True):
    variable.assign(value)
  return found


def save_model(path):
  """Writes the SavedModel of a model that was not trained."""
  from air_tf import model as model_lib
  from air_tf.serving import saved_model
  saved_model.save(model_lib.AIRModel(config()), path)


def images(batch_size=3, size=16, seed=0, channels=1):
  """Random blobs `[B, size, size]` in 0 ... 1; a last axis of more channels."""
  rng = np.random.default_rng(seed)
  colours = [] if channels == 1 else [channels]
  import tensorflow as tf  # Takes seconds, and not every test needs it.
  return tf.constant(
      rng.random([batch_size, size, size, *colours]) ** 3, tf.float32)


def scenes(num_scenes=12, size=16, seed=0):
  """Random bright squares: images, their counts and no more."""
  rng = np.random.default_rng(seed)
  pixels = np.zeros([num_scenes, size, size], np.uint8)
  counts = rng.integers(0, 3, num_scenes).astype(np.int32)
  for image, count in zip(pixels, counts):
    for y, x in rng.integers(0, size - 4, [count, 2]):
      image[y:y + 4, x:x + 4] = 255
  return scenes_lib.Scenes(images=pixels, counts=counts, boxes=None,
                           labels=None)


def fill(variables):
  """Gives variables known values that depend on nothing but their order."""
  offset = 0
  for variable in variables:
    size = int(np.prod(variable.shape))
    values = .3 * np.sin(.7 * np.arange(offset, offset + size) + 1.)
    variable.assign(values.reshape(variable.shape))
    offset += size

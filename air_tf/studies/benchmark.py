"""Times the training loop of a configuration, beside its floor."""

import resource
import statistics
import sys
import time

import numpy as np
import tensorflow as tf

from air_tf import config as config_lib
from air_tf.studies import roofline
from air_tf.training import trainer as trainer_lib

__all__ = ['measure']

_ITERATIONS = 50  # In one round, one compiled call.
_SCENES = 1_000


def measure(config: config_lib.Config, rounds: int, started: float) -> dict:
  """Builds, compiles and times training, without evaluation or files.

  Scenes are random bytes: no pixel's value changes the work done.

  Args:
    config: what to time.
    rounds: of 50 iterations; the median counts.
    started: `time.time()` at which start-up began.

  Returns:
    `milliseconds_per_iteration` and the fastest and slowest round's;
    `floor_milliseconds` (see `floor`), also with factors in bfloat16, and
    `ratio_to_floor`; `images_per_second`; `startup_seconds`, to the first
    iteration's trace; `compile_seconds`, tracing and compiling; and
    `peak_memory_mib` of this process, before the floor is measured.
  """
  trainer = trainer_lib.Trainer(config)
  scenes = tf.constant(np.random.default_rng(0).integers(
      0, 256, [_SCENES, *config.image_shape], np.uint8))
  built = time.time()
  trainer.train(scenes, tf.constant(1))
  compiled = time.time()
  seconds = []
  for _ in range(rounds):
    start = time.perf_counter()
    trainer.train(scenes, tf.constant(_ITERATIONS))
    seconds.append((time.perf_counter() - start) / _ITERATIONS)
  peak = _peak_memory_mib()
  median = statistics.median(seconds)
  num_parameters = sum(
      int(np.prod(v.shape)) for v in trainer.model.trainable_variables)
  at_least = roofline.milliseconds(config, num_parameters)
  return {
      'milliseconds_per_iteration': round(1e3 * median, 2),
      'fastest_milliseconds': round(1e3 * min(seconds), 2),
      'slowest_milliseconds': round(1e3 * max(seconds), 2),
      'floor_milliseconds': round(at_least, 2),
      'floor_bfloat16_milliseconds': round(
          roofline.milliseconds(config, num_parameters, tf.bfloat16), 2),
      'ratio_to_floor': round(1e3 * median / at_least, 3),
      'images_per_second': round(config.batch_size / median),
      'startup_seconds': round(built - started, 2),
      'compile_seconds': round(compiled - built, 2),
      'peak_memory_mib': round(peak),
  }


def _peak_memory_mib() -> float:
  # Linux counts in KiB, macOS in bytes.
  unit = 2**20 if sys.platform == 'darwin' else 2**10
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit

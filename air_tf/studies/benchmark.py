"""Times the training loop of a configuration, beside its roofline."""

import resource
import statistics
import sys
import time

import numpy as np
import tensorflow as tf

from air_tf import config as config_lib
from air_tf import progress
from air_tf.studies import roofline
from air_tf.training import trainer as trainer_lib

__all__ = ['measure']

_ITERATIONS = 50  # In one round, one compiled call.
_SCENES = 1_000


def measure(config: config_lib.Config, rounds: int, started: float) -> dict:
  """Builds, compiles and times training, without evaluation or files.

  Scenes are random bytes: the time does not depend on the pixels' values.

  Args:
    config: what to time.
    rounds: of 50 iterations; their median is reported.
    started: `time.time()` at which start-up began.

  Returns:
    `milliseconds_per_iteration` and the fastest and slowest round's;
    `roofline_milliseconds` (see `roofline`), also with factors in bfloat16, and
    `ratio_to_roofline`; `products_milliseconds`, of the products alone by each
    library, and `ratio_to_fastest_products`; `images_per_second`;
    `startup_seconds`, until tracing begins; `compile_seconds`, of tracing and
    compiling; and `peak_memory_mib` of this process, before the roofline is
    measured.
  """
  trainer = trainer_lib.Trainer(config)
  scenes = trainer.make_input(np.random.default_rng(0).integers(
      0, 256, [_SCENES, *config.image_shape], np.uint8))
  built = time.time()
  progress.status('Compiling (about 20 s).')
  trainer.train(scenes, 1)
  compiled = time.time()
  seconds = [_round(trainer, scenes)
             for _ in progress.track(range(rounds), 'timing')]
  peak = _peak_memory_mib()
  median = statistics.median(seconds)
  progress.status('Timing the matrix products alone.')
  bound = roofline.milliseconds(trainer)
  libraries = roofline.milliseconds_by_library(trainer)
  return {
      'milliseconds_per_iteration': round(1e3 * median, 2),
      'fastest_milliseconds': round(1e3 * min(seconds), 2),
      'slowest_milliseconds': round(1e3 * max(seconds), 2),
      'roofline_milliseconds': round(bound, 2),
      'roofline_bfloat16_milliseconds': round(
          roofline.milliseconds(trainer, tf.bfloat16), 2),
      'ratio_to_roofline': round(1e3 * median / bound, 3),
      'products_milliseconds': {
          name: round(x, 2) for name, x in libraries.items()},
      'ratio_to_fastest_products': round(
          1e3 * median / min(libraries.values()), 3),
      'images_per_second': round(config.batch_size / median),
      'startup_seconds': round(built - started, 2),
      'compile_seconds': round(compiled - built, 2),
      'peak_memory_mib': round(peak),
  }


def _round(trainer: trainer_lib.Trainer, scenes: tf.Tensor) -> float:
  """Seconds per iteration in one compiled call."""
  start = time.perf_counter()
  trainer.train(scenes, _ITERATIONS)['elbo'].numpy()  # Waits for the result.
  return (time.perf_counter() - start) / _ITERATIONS


def _peak_memory_mib() -> float:
  # Linux counts in KiB, macOS in bytes.
  unit = 2**20 if sys.platform == 'darwin' else 2**10
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit

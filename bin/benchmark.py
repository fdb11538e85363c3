"""Times the training loop, without evaluation or files.

    python bin/benchmark.py [--batch_size=64 --estimator=nvil ...]

Takes every flag of the configuration. Scenes are random bytes: no pixel's value
changes the work done. The last line on standard output is the result, as JSON:
`milliseconds_per_iteration` is the median over rounds of 50 iterations.
"""

import resource
import statistics
import sys
import time

from absl import flags
import cli

_ROUNDS = flags.DEFINE_integer(
    'rounds', 9, 'Rounds of 50 iterations to time.', lower_bound=1)
flags.DEFINE_string('logdir', None, 'Taken and ignored: flagfiles hold it.')
cli.define_config_flags()
_ITERATIONS = 50  # In one round, one compiled call.


def main(arguments: list[str]) -> dict:
  """Builds, compiles and times one configuration."""
  cli.no_arguments(arguments)
  config = cli.config_from_flags()
  import numpy as np
  import tensorflow as tf

  from air_tf import training
  trainer = training.Trainer(config)
  rng = np.random.default_rng(0)
  scenes = tf.constant(rng.integers(
      0, 256, [1_000, config.canvas_size, config.canvas_size], np.uint8))
  built = time.time()
  trainer.train(scenes, tf.constant(1))
  compiled = time.time()
  rounds = []
  for _ in range(_ROUNDS.value):
    start = time.perf_counter()
    trainer.train(scenes, tf.constant(_ITERATIONS))
    rounds.append((time.perf_counter() - start) / _ITERATIONS)
  seconds = statistics.median(rounds)
  return {
      'milliseconds_per_iteration': round(1e3 * seconds, 2),
      'fastest_milliseconds': round(1e3 * min(rounds), 2),
      'slowest_milliseconds': round(1e3 * max(rounds), 2),
      'images_per_second': round(config.batch_size / seconds),
      'startup_seconds': round(built - cli.STARTED, 2),
      'compile_seconds': round(compiled - built, 2),
      'peak_memory_mib': round(_peak_memory_mib()),
  }


def _peak_memory_mib() -> float:
  # Linux counts in KiB, macOS in bytes.
  unit = 2**20 if sys.platform == 'darwin' else 2**10
  return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


if __name__ == '__main__':
  cli.run(main)

"""Times an iteration of training beside its roofline, or inference.

    python bin/benchmark.py [--rows=batch_size,max_steps] [--estimator=nvil ...]
    python bin/benchmark.py --inference=runs/quickstart/saved_model

Takes every flag of the configuration. The roofline is the time of the same
matrix products, forward and backward, and of one pass of Adam, measured alone;
the products are timed by other libraries, too.
--rows adds rows to the table for several values of a flag, each measured in its
own process. The last line on standard output is the result for the
configuration itself, as JSON.

--inference times a SavedModel instead: images per second from a file to JSON,
as bin/infer.py does it, in turn with the bare graph; one image; and the start.
"""

import dataclasses
import json
import subprocess
import sys

from absl import flags

from air_tf import cli
from air_tf import config as config_lib
from air_tf import errors
from air_tf import memory
from air_tf.studies import markdown

_ROWS = {
    'batch_size': (16, 64, 256, 1_024),
    'max_steps': (1, 3, 6, 12),
    'canvas_size': (50, 100, 200),
    'estimator': config_lib.ESTIMATORS,
}
_COLUMNS = {
    'milliseconds_per_iteration': 'ms', 'roofline_milliseconds': 'roofline, ms',
    'ratio_to_roofline': 'ratio',
    'ratio_to_fastest_products': 'ratio to the fastest library',
    'roofline_bfloat16_milliseconds': 'bfloat16, ms',
    'images_per_second': 'images/s', 'peak_memory_mib': 'MiB',
    'startup_seconds': 'start, s', 'compile_seconds': 'compile, s'}

_ROUNDS = flags.DEFINE_integer(
    'rounds', 9, 'Rounds to time, of 50 iterations or all images.',
    lower_bound=1, upper_bound=10_000)
_ROW_FLAGS = flags.DEFINE_list(
    'rows', [], f"Flags to vary, of {', '.join(_ROWS)}.")
_INFERENCE = cli.define_path(
    'inference', None, 'Folder of a SavedModel to time, or the name of a model '
    'in models/.')
_NUM_IMAGES = flags.DEFINE_integer(
    'num_images', 20_000, 'With --inference: images to count in.',
    lower_bound=1, upper_bound=10_000_000)
flags.DEFINE_string('logdir', None, 'Ignored; flagfiles set it.')
cli.define_config_flags()


def main(arguments: list[str]) -> dict:
  """Times the configuration, then each of the rows."""
  cli.no_arguments(arguments)
  if _INFERENCE.value:
    return _inference()
  config = cli.config_from_flags()
  if config.scenes:
    raise errors.UserError(
        f'--scenes={config.scenes}: is not read here, where images are random; '
        'expected --canvas_size and --channels instead.')
  if config.distribution_strategy != 'none':
    raise errors.UserError(
        f'--distribution_strategy={config.distribution_strategy}: one device '
        'is timed here; expected none.')
  memory.require(dataclasses.replace(
      config, num_train_scenes=1, num_test_scenes=1))  # None are composed.
  unknown = [name for name in _ROW_FLAGS.value if name not in _ROWS]
  if unknown or len(set(_ROW_FLAGS.value)) < len(_ROW_FLAGS.value):
    raise errors.UserError(
        f"--rows={','.join(_ROW_FLAGS.value)}: expected some of "
        f"{', '.join(_ROWS)}, each once.")
  for name in _ROW_FLAGS.value:
    for value in _ROWS[name]:
      _check_row(config, name, value)
  cli.import_tensorflow()
  from air_tf.studies import benchmark
  result = benchmark.measure(config, _ROUNDS.value, cli.STARTED)
  rows = {f'{name}={value}': _in_own_process(name, value)
          for name in _ROW_FLAGS.value for value in _ROWS[name]}
  print(_table({'as given': result} | rows), end='')
  return result


def _inference() -> dict:
  """Times a SavedModel."""
  cli.import_tensorflow()
  from air_tf.serving import parallel
  from air_tf.studies import inference_benchmark
  parallel.use_cores()
  path, rounds = _INFERENCE.value, _ROUNDS.value
  return inference_benchmark.measure(
      path, _NUM_IMAGES.value, rounds) | inference_benchmark.start_seconds(
          path, cli.TRAIN.with_name('infer.py'), min(3, rounds))


def _changed(name: str, value) -> dict:
  """Returns the flags of a row."""
  # Scenes with more objects than steps would be refused.
  counts = {'counts': (0, 1)} if name == 'max_steps' else {}
  return {name: value} | counts


def _check_row(config: config_lib.Config, name: str, value) -> None:
  """Raises `UserError` if a row could not be timed."""
  try:
    memory.require(dataclasses.replace(
        config, **_changed(name, value), num_train_scenes=1, num_test_scenes=1))
  except errors.UserError as error:
    raise errors.UserError(
        f'--rows={name}: {value} does not go with the other flags: {error}'
        ) from error


def _in_own_process(name: str, value) -> dict:
  """Times the configuration with one flag changed."""
  changed = ['--rows=', *(
      f"--{flag}={','.join(map(str, x)) if isinstance(x, tuple) else x}"
      for flag, x in _changed(name, value).items())]
  given = [x for x in sys.argv if not x.startswith('--rows=')]
  done = subprocess.run(
      [sys.executable, *given, *changed], stdout=subprocess.PIPE, text=True)
  if done.returncode:
    raise errors.UserError(
        f"{' '.join(changed)}: ended with exit code {done.returncode}.")
  return json.loads(done.stdout.splitlines()[-1])


def _table(rows: dict[str, dict]) -> str:
  return markdown.table(['', *_COLUMNS.values()], [
      [label, *(f'{result[name]:,}' for name in _COLUMNS)]
      for label, result in rows.items()])


if __name__ == '__main__':
  cli.run(main)

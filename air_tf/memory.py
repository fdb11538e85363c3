"""Memory that a configuration needs, estimated before anything is made.

The estimate is somewhat low on purpose, 7 to 24 % below what was measured: what
it refuses cannot work. Letters: `B` batch, `K` particles, `T` most steps.
"""

from collections.abc import Iterator
import os
import pathlib

from air_tf import config as config_lib
from air_tf import errors

try:
  import resource
except ImportError:  # Not on Windows.
  resource = None

__all__ = ['available', 'jobs_that_fit', 'parts', 'require',
           'require_for_scenes']

_BYTES = 4  # Of a float.
# Float images [B K T, H, W] that are alive at the peak of an iteration, with
# --difference and without it; 18 to 21 and 8 were measured.
_IMAGES_PER_STEP = {True: 15, False: 6}
# Copies of each parameter at the peak, beside those of the optimizer: weights,
# average, gradient, and temporary ones of compiled code.
_COPIES = 6
_SLOTS = {'adam': 2, 'rmsprop': 3}  # Of an optimizer, for each parameter.
# Of a process that trains next to nothing: TensorFlow, and XLA if it compiles.
_OF_PROCESS = {True: 1.2 * 2**30, False: .7 * 2**30}
_BYTES_PER_OBJECT = 100  # While scenes are composed: its pixels, box, label.
_OF_SCENES = '--num_train_scenes', '--num_test_scenes'
_GIB = 2**30
_CGROUPS = ('/sys/fs/cgroup/memory.max',
            '/sys/fs/cgroup/memory/memory.limit_in_bytes')
# Where there are devices with a memory of their own.
_DEVICES = ('/proc/driver/nvidia', '/dev/kfd', '/dev/accel0')


def require(config: config_lib.Config, jobs: int = 1) -> None:
  """Checks that the machine has the memory to train a configuration.

  Args:
    config: of the run.
    jobs: how many such runs are trained at a time.

  Raises:
    errors.UserError: if not; the text holds the estimate, and the flags that
      lower the largest part of it.
  """
  _require(_certain_parts(config), _OF_PROCESS[config.jit_compile], jobs)


def jobs_that_fit(config: config_lib.Config) -> int:
  """Returns for how many such runs at a time memory suffices, at least 1."""
  needed = (sum(_certain_parts(config).values())
            + _OF_PROCESS[config.jit_compile])
  return max(1, int(min(available() / needed, 1e6)))


def require_for_scenes(num_scenes: int, config: config_lib.Config,
                       flags: str, bytes_per_pixel: float = 1.) -> None:
  """Checks that so many scenes can be held in memory.

  Args:
    num_scenes: how many.
    config: gives their size and counts.
    flags: that lower the number.
    bytes_per_pixel: 1 for images as they are composed.

  Raises:
    errors.UserError: if not.
  """
  _require({flags: num_scenes * _bytes_per_scene(config, bytes_per_pixel)})


def parts(config: config_lib.Config) -> dict[str, float]:
  """Returns the bytes that training needs at least, by the flags that count."""
  slots = _COPIES + _SLOTS[config.optimizer]
  steps = config.batch_size * config.particles * config.max_steps
  hidden = 8 * config.hidden_size + 6 * config.lstm_size + 4 * config.what_size
  result = {
      '--hidden_size, --lstm_size, --glimpse_size, --what_size or '
      '--canvas_size': slots * _BYTES * _num_parameters(config),
      '--batch_size, --max_steps, --num_particles or --canvas_size':
          steps * _BYTES * (hidden + _IMAGES_PER_STEP[config.difference]
                            * _pixels(config)
                            + 4 * _glimpse(config))}
  if config.crop or not config.scenes:
    pools = 2 if config.refresh_every else 1
    for flag, number in zip(_OF_SCENES, (
        pools * config.num_train_scenes, config.num_test_scenes), strict=True):
      result[flag] = number * _bytes_per_scene(config)
  return result


def _num_parameters(config: config_lib.Config) -> int:
  """Returns about how many weights the model has; biases are left out."""
  hidden, units, what = config.hidden_size, config.lstm_size, config.what_size
  places = ((config.canvas_size // 4 + 1) // 2 + 1)**2
  searches = config.image_encoder == 'search'
  inputs = 2 if config.difference else 1  # Images that an encoder takes.
  features = (inputs * _pixels(config) if config.image_encoder == 'mlp'
              else 16 * places)
  total = (features * hidden + hidden**2               # Encoder of the image.
           + 4 * units * (hidden + units + what + 3)   # LSTM.
           + 2 * (_glimpse(config) * hidden + hidden**2)
           + 3 * what * hidden                         # Glimpses.
           + units * (hidden if not searches else 128) + 128 * 64
           + hidden**2)                                # Place, presence.
  if config.image_encoder != 'mlp':
    total += 1_024 * config.channels * inputs + 4_096  # Convolutions.
  if searches:
    total += (places + 32) * units + 2 * _glimpse(config) * hidden
  if config.background:
    total += (16 * places + _pixels(config)) * hidden + 3 * hidden**2
  return total


def available() -> float:
  """Returns the bytes that this process may use; infinite if nobody can say."""
  return min(_limits(), default=float('inf'))


def _certain_parts(config) -> dict[str, float]:
  """As `parts`, of what has to be in this machine's memory."""
  needed = parts(config)
  shared = config.distribution_strategy != 'none'
  if shared or any(os.path.exists(path) for path in _DEVICES):
    return {flag: value for flag, value in needed.items()
            if flag in _OF_SCENES}
  return needed


def _require(needed: dict[str, float], of_process: float = 0.,
             jobs: int = 1) -> None:
  if not needed:
    return
  total, limit = sum(needed.values()) + of_process, available()
  if total > limit:
    flags, largest = max(needed.items(), key=lambda x: x[1])
    raise errors.UserError(
        f'found a need of at least {_gibibytes(total)} of memory, '
        f'{_gibibytes(largest)} of it due to {flags}; expected at most '
        f'{_gibibytes(limit)}, what this process may use. Lower {flags}.')
  if jobs * total > limit:
    raise errors.UserError(
        f'--jobs={jobs}: found a need of at least {_gibibytes(jobs * total)} '
        f'of memory, {_gibibytes(total)} for each run; expected at most '
        f'{_gibibytes(limit)}, what these processes may use together. Give '
        f'--jobs={int(limit // total)} or less.')


def _limits() -> Iterator[float]:
  try:
    yield (os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES')
           + _swap())
  except (AttributeError, OSError, ValueError):
    pass
  for path in _CGROUPS:
    try:
      yield int(pathlib.Path(path).read_text())
    except (OSError, ValueError):  # No such file, or 'max'.
      pass
  if resource is not None:
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
      yield soft


def _swap() -> int:
  try:
    lines = pathlib.Path('/proc/meminfo').read_text().splitlines()
    return sum(1024 * int(line.split()[1]) for line in lines
               if line.startswith('SwapTotal:'))
  except (OSError, ValueError, IndexError):
    return 0


def _bytes_per_scene(config: config_lib.Config,
                     bytes_per_pixel: float = 1.) -> float:
  objects = sum(config.counts) / len(config.counts)
  return bytes_per_pixel * _pixels(config) + _BYTES_PER_OBJECT * objects


def _pixels(config: config_lib.Config) -> int:
  return config.canvas_size**2 * config.channels


def _glimpse(config: config_lib.Config) -> int:
  return config.glimpse_size**2 * config.channels


def _gibibytes(number: float) -> str:
  return f'{number / _GIB:,.1f} GiB'

"""What scripts share that start bin/train.py many times, with flags handed on.

Everything is checked before the first run starts, as bin/train.py would.
"""

from collections.abc import Iterable
from collections.abc import Sequence
import glob
import os

from absl import flags

from air_tf import config as config_lib
from air_tf import config_flags
from air_tf import digit_sources
from air_tf import errors
from air_tf import flagfiles
from air_tf import memory
from air_tf import paths

__all__ = ['check_folder', 'check_runs', 'define_sweep_flags', 'parse_known',
           'require_composed', 'seeds', 'train_flags', 'with_flagfiles']

flags.disclaim_key_flags()  # They are those of the script that asks for them.

_MAX_SEEDS = 10_000
# Paths of which a folder of runs has one: of a run, of a job array.
_OF_SWEEPS = '**/seed-*/sweep.*', 'sweep.sbatch'
# What a script gives each run itself: by flag, what to give instead.
_OWN = {'seed': '--seeds=first:last', 'logdir': "the script's own --logdir"}


def define_sweep_flags(logdir: str, seeds: str) -> tuple:
  """Offers --logdir, --seeds and --jobs, given defaults; returns the three."""
  cores = (len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity')
           else 1)
  return (
      config_flags.define_path('logdir', logdir, 'Folder of all runs.'),
      flags.DEFINE_string('seeds', seeds,
                          'Seeds: first:last, the last left out, or 3,1,4.'),
      flags.DEFINE_integer(
          'jobs', cores, 'Runs at a time; the cores are shared out among them.',
          lower_bound=1, upper_bound=1_000))


def parse_known(argv: list[str]) -> list[str]:
  """As `cli.parse`, but leaves flagfiles and all flags of other scripts.

  For `cli.run`, of scripts that hand flags on to bin/train.py.
  """
  own = [flagfiles.current_flag(x) for x in argv if not _is_flagfile(x)]
  return [*config_flags.parse(flags.FLAGS, own, known_only=True),
          *filter(_is_flagfile, argv)]


def train_flags(arguments: list[str], refused: Iterable[str] = ()
                ) -> tuple[list[str], list[str]]:
  """Sorts what `parse_known` left into flags of bin/train.py and flagfiles.

  Args:
    arguments: what was left.
    refused: names of flags that the script gives its runs itself, beside
      `seed` and `logdir`. In a flagfile they are overridden.

  Raises:
    errors.UserError: if something is not --name=value (or --name), or is a
      flag that the script gives itself.
  """
  for argument in arguments:
    if not argument.startswith('-') or argument in ('--flagfile', '--'):
      raise errors.UserError(
          f'found {argument!r}; expected flags only, as --name=value.')
    name = flagfiles.current_flag(argument).lstrip('-').partition('=')[0]
    if name in _OWN or name in refused:
      raise errors.UserError(
          f'{argument}: this script sets it for each run; expected '
          f"{_OWN.get(name, 'other flags')}. Leave it out.")
  files = [x.partition('=')[2] for x in arguments if _is_flagfile(x)]
  return [x for x in arguments if not _is_flagfile(x)], files


def with_flagfiles(arguments: list[str], refused: Iterable[str] = ()
                   ) -> list[str]:
  """As `train_flags`, for scripts to which a flagfile is a flag as any."""
  common, files = train_flags(arguments, refused)
  return [*(f'--flagfile={file}' for file in files), *common]


def require_composed(arguments: Sequence[str], why: str) -> None:
  """Refuses scenes from files, which flagfiles may name, too.

  Args:
    arguments: flags of bin/train.py.
    why: what composed scenes have in advance, for the text.
  """
  with flagfiles.on_its_own():
    scenes = config_flags.config_of(arguments).scenes
    if scenes:
      raise errors.UserError(
          f'--scenes={scenes}: expected --digits=..., {why}.')


def check_runs(arguments: Iterable[Sequence[str]], num_runs: int,
               jobs: flags.FlagHolder, elsewhere: bool = False) -> int:
  """Reads the flags of runs as bin/train.py would.

  Args:
    arguments: of the runs, without --logdir; those that differ only in the seed
      need not all be there.
    num_runs: how many there are in all.
    jobs: the flag of how many are trained at a time. Its default is lowered
      to what memory suffices for; a value that was given is not.
    elsewhere: whether they run on other machines, whose memory is not known,
      and where all may run at a time, if not fewer were asked for.

  Returns:
    How many to train at a time.

  Raises:
    errors.UserError: if it would refuse those of a run, or if there is not
      enough memory for as many at a time as were asked for.
  """
  at_a_time = (num_runs if elsewhere and not jobs.present
               else min(jobs.value, num_runs))
  # Runs that differ in the seed alone are alike, but for bounds of the seed.
  alike = {}
  for run in arguments:
    alike.setdefault(tuple(x for x in run if not x.startswith('--seed=')),
                     []).append(run)
  for runs in alike.values():
    with flagfiles.on_its_own():
      config = config_flags.config_of(max(runs, key=_seed))
      _require_sources(config)
      _require_devices(config)
      if not config.scenes and not elsewhere:
        if not jobs.present:
          at_a_time = min(at_a_time, memory.jobs_that_fit(config))
        memory.require(config, at_a_time)
  return at_a_time


def _require_sources(config: config_lib.Config) -> None:
  """Raises `UserError` if what the scenes of a run are made of is not there.
  """
  used = ('scenes', 'test_scenes') if config.scenes else ('digits',)
  for name in used:
    path = getattr(config, name)
    if path and path not in digit_sources.BY_NAME and not os.path.exists(path):
      expected = ('a scene file, a stack, a picture or a folder of pictures'
                  if config.scenes else digit_sources.expected())
      raise errors.UserError(
          f'--{name}={path}: found no such file or folder; expected '
          f'{expected}.')


def _require_devices(config: config_lib.Config) -> None:
  strategy = config.distribution_strategy
  if strategy == 'multi_worker' or (
      strategy == 'tpu' and not os.environ.get('TPU_NAME')):
    expected = ('a strategy of one process, for each run is one'
                if strategy == 'multi_worker' else 'TPU_NAME to name a TPU')
    raise errors.UserError(
        f'--distribution_strategy={strategy}: expected {expected}.')


def check_folder(logdir: str) -> None:
  """Refuses a folder for runs that is somebody else's.

  Args:
    logdir: the folder; its name need not exist.

  Raises:
    errors.UserError: if it holds something and no folder of runs, or a run.
  """
  paths.check_folder('--logdir', logdir)
  try:
    names = set(os.listdir(logdir))
  except FileNotFoundError:
    return
  if 'config.json' in names:
    raise errors.UserError(
        f'--logdir={logdir}: found a run; expected a new or empty folder, or '
        'one in which this script has made runs. Give another path.')
  if names and not any(True for pattern in _OF_SWEEPS for _ in glob.iglob(
      os.path.join(glob.escape(logdir), pattern), recursive=True)) and any(
          not name.startswith('.') for name in names):
    raise errors.UserError(
        f'--logdir={logdir}: found a folder that is not empty '
        f'({min(names)!r} among others) and holds no runs; expected a new or '
        'empty folder, or one in which this script has made runs. Give another '
        'path.')


def seeds(text: str) -> list[int]:
  """Returns the seeds of `first:last` (the last left out) or of `3,1,4`.

  Raises:
    errors.UserError: if `text` is neither, or there are none, or very many.
  """
  first, colon, last = text.partition(':')
  try:
    found = (range(int(first or 0), int(last)) if colon
             else [int(part) for part in text.split(',')])
  except ValueError:
    found = []
  if not found or min(found[0], found[-1]) < 0 or (
      not colon and (min(found) < 0 or len(set(found)) < len(found))):
    raise errors.UserError(
        f'--seeds={text}: expected first:last or numbers with commas between '
        'them, each once, for example --seeds=0:20.')
  # `len` of a longer range does not fit its type.
  if found[-1] - found[0] >= _MAX_SEEDS and colon or len(found) > _MAX_SEEDS:
    raise errors.UserError(
        f'--seeds={text}: expected at most {_MAX_SEEDS:,} seeds.')
  return list(found)


def _is_flagfile(argument: str) -> bool:
  return argument.startswith(('--flagfile=', '-flagfile='))


def _seed(arguments: Sequence[str]) -> int:
  given = [x.partition('=')[2] for x in arguments if x.startswith('--seed=')]
  return int(given[-1]) if given else 0

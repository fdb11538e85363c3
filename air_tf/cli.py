"""What the scripts share: flags from the configuration, errors for people.

A script calls `run(main)`, where `main` returns its result. Logs go to standard
error; the result is the last line on standard output, as one JSON object.
"""

from collections.abc import Callable
import ctypes
import dataclasses
import json
import os
import pathlib
import signal
import sys
import time

# XLA asks for the same large blocks at every iteration. glibc hands each back
# to the kernel and fetches it again, page by page, a fifth of the time; keep
# them. The numbers are M_MMAP_THRESHOLD, M_TRIM_THRESHOLD and M_TOP_PAD of
# <malloc.h>; other C libraries have no `mallopt`, or ignore it.
if sys.platform == 'linux':
  _mallopt = getattr(ctypes.CDLL(None), 'mallopt', lambda *_: 0)
  _mallopt(-3, 32 << 20)
  _mallopt(-1, 2**31 - 1)
  _mallopt(-2, 256 << 20)

from absl import app  # noqa: E402
from absl import flags  # noqa: E402
from absl import logging  # noqa: E402

from air_tf import chatter  # noqa: E402
from air_tf import config as config_lib  # noqa: E402
from air_tf import errors  # noqa: E402
from air_tf import flagfiles  # noqa: E402
from air_tf import progress  # noqa: E402

__all__ = ['STARTED', 'TRAIN', 'config_from_flags', 'define_config_flags',
           'define_sweep_flags', 'import_tensorflow', 'no_arguments', 'parse',
           'parse_known', 'run', 'say_what_next', 'seeds', 'train_flags',
           'with_flagfiles']

STARTED = time.time()  # As near to the return key as a script can tell.
TRAIN = pathlib.Path(__file__).parents[1] / 'bin' / 'train.py'

import_tensorflow = chatter.import_tensorflow
flags.disclaim_key_flags()  # `--help` of a script lists the flags made here.


def define_config_flags(*names: str) -> None:
  """Offers fields of `Config` as flags of the same names; none means all."""
  for field in dataclasses.fields(config_lib.Config):
    if not names or field.name in names:
      _DEFINE[_kind(field)](field)


def define_sweep_flags(logdir: str, seeds: str) -> tuple:
  """Offers --logdir, --seeds and --jobs, given defaults; returns the three."""
  cores = (len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity')
           else 1)
  return (
      flags.DEFINE_string('logdir', logdir, 'Folder of all runs.'),
      flags.DEFINE_string('seeds', seeds,
                          'Seeds: first:last, the last left out, or 3,1,4.'),
      flags.DEFINE_integer(
          'jobs', cores, 'Runs at a time; the cores are shared out among them.',
          lower_bound=1))


def config_from_flags(**overrides) -> config_lib.Config:
  """Returns the configuration that the flags describe.

  Args:
    **overrides: fields of `Config` that hold whatever the flags say.

  Raises:
    errors.UserError: if a value cannot be used.
  """
  values = {field.name: _value(field)
            for field in dataclasses.fields(config_lib.Config)
            if field.name in flags.FLAGS}
  return config_lib.Config(**(values | overrides))


def no_arguments(arguments: list[str]) -> None:
  """Refuses arguments that are not flags, for scripts that take none.

  Raises:
    errors.UserError: if there are any.
  """
  if arguments:
    raise errors.UserError(
        f'found the argument {arguments[0]!r}; expected flags only, as '
        '--name=value.')


def parse(argv: list[str]) -> list[str]:
  """Parses a command line: flagfiles, flags by old and by new names.

  Args:
    argv: the name of the program, then its arguments.

  Returns:
    What is not a flag, the name of the program first.

  Raises:
    errors.UserError: if a flagfile cannot be used.
    flags.Error: if a flag is unknown or its value is refused.
  """
  return flags.FLAGS(flagfiles.expand(argv))


def parse_known(argv: list[str]) -> list[str]:
  """As `parse`, but leaves flagfiles and all flags of other scripts.

  For `run`, of scripts that hand flags on to bin/train.py.
  """
  is_file = lambda x: x.startswith(('--flagfile=', '-flagfile='))
  own = [flagfiles.current_flag(x) for x in argv if not is_file(x)]
  return [*flags.FLAGS(own, known_only=True), *filter(is_file, argv)]


def train_flags(arguments: list[str]) -> tuple[list[str], list[str]]:
  """Sorts what `parse_known` left into flags of bin/train.py and flagfiles.

  Raises:
    errors.UserError: if something is not --name=value (or --name).
  """
  for argument in arguments:
    if not argument.startswith('-') or argument in ('--flagfile', '--'):
      raise errors.UserError(
          f'found {argument!r}; expected flags only, as --name=value.')
  files = [x.partition('=')[2] for x in arguments if 'flagfile=' in x]
  return [x for x in arguments if 'flagfile=' not in x], files


def with_flagfiles(arguments: list[str]) -> list[str]:
  """As `train_flags`, for scripts to which a flagfile is a flag as any."""
  common, files = train_flags(arguments)
  return [*(f'--flagfile={file}' for file in files), *common]


def seeds(text: str) -> list[int]:
  """Returns the seeds of `first:last` (the last left out) or of `3,1,4`.

  Raises:
    errors.UserError: if `text` is neither, or there are none.
  """
  try:
    first, colon, last = text.partition(':')
    found = (list(range(int(first or 0), int(last))) if colon
             else [int(part) for part in text.split(',')])
  except ValueError:
    found = []
  if not found or min(found) < 0 or len(set(found)) < len(found):
    raise errors.UserError(
        f'--seeds={text}: expected first:last or numbers with commas between '
        'them, each once, for example --seeds=0:20.')
  return found


def run(main: Callable[[list[str]], dict | None],
        parse: Callable[[list[str]], list[str]] = parse) -> None:
  """Parses flags, calls `main` and prints its result as one JSON line.

  What `errors` lists is one line on standard error and its exit code. A reader
  of the output that has gone, as in `--help | head -1`, is no error.

  Args:
    main: takes the arguments that are not flags; returns what `json.dumps`
      accepts, or None to print nothing.
    parse: of the command line; or `parse_known`.
  """
  logging.set_verbosity(logging.INFO)

  def guarded(argv):
    chatter.install()
    try:
      result = main(argv[1:])
    except errors.EXPECTED as error:
      _fail(error, error.exit_code)
    if result is not None:
      print(json.dumps(result), flush=True)

  try:
    app.run(guarded, flags_parser=lambda argv: _parsed(parse, argv))
  except KeyboardInterrupt:
    _fail(errors.Interrupted(signal.SIGINT, 'stopped.'), 130)
  except BrokenPipeError:  # The reader is gone: no more work, no complaint.
    sys.exit(0)
  finally:  # On every way out, `SystemExit` too, whose code stays as it is.
    _flush_output()


def say_what_next(logdir: str) -> None:
  """Says where a finished run is, and three commands to look at it."""
  scripts = min(os.path.relpath(TRAIN.parent), str(TRAIN.parent), key=len)
  progress.status(
      f'Everything is in {logdir}. What comes next:\n'
      f'  tensorboard --logdir={logdir}\n'
      f'  python {scripts}/figures.py --logdir={logdir}\n'
      f'  python {scripts}/infer.py --saved_model={logdir}/saved_model '
      f'{logdir}/figures/example.png')


def _parsed(parse: Callable, argv: list[str]) -> list[str]:
  logging.get_absl_handler().setFormatter(None)  # Plain lines.
  flags.FLAGS.mark_as_parsed()  # Old names are logged while it is parsed.
  try:
    return parse(argv)
  except (flags.Error, errors.UserError) as error:
    _fail(error, errors.UserError.exit_code)
  except SystemExit as end:  # --help, which absl takes for a failure.
    sys.exit(0 if end.code == 1 else end.code)


def _flush_output() -> None:
  """Sends the rest of the output now: Python would complain at its exit."""
  try:
    sys.stdout.flush()
  except BrokenPipeError:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(error: Exception, exit_code: int) -> None:
  message = ' '.join(str(error).split())
  print(f'{os.path.basename(sys.argv[0])}: {message}', file=sys.stderr)
  sys.exit(exit_code)


def _kind(field: dataclasses.Field):
  if field.metadata['choices'] is not None:
    return 'choice'
  return type(field.default)


def _value(field: dataclasses.Field):
  value = flags.FLAGS[field.name].value
  if not isinstance(field.default, tuple):
    return value
  number = type(field.default[0])
  try:
    return tuple(number(part) for part in value)
  except ValueError as error:
    raise errors.UserError(
        f"--{field.name}={','.join(value)}: expected {number.__name__} numbers "
        'with commas between them.') from error


_DEFINE = {
    bool: lambda f: flags.DEFINE_bool(f.name, f.default, f.metadata['help']),
    int: lambda f: flags.DEFINE_integer(f.name, f.default, f.metadata['help']),
    float: lambda f: flags.DEFINE_float(f.name, f.default, f.metadata['help']),
    str: lambda f: flags.DEFINE_string(f.name, f.default, f.metadata['help']),
    tuple: lambda f: flags.DEFINE_list(
        f.name, list(map(str, f.default)), f.metadata['help']),
    'choice': lambda f: flags.DEFINE_string(
        f.name, f.default,
        f"{f.metadata['help']} One of {', '.join(f.metadata['choices'])}."),
}

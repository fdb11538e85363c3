"""What the scripts share: flags from the configuration, errors for people.

A script calls `run(main)`, where `main` returns its result. Logs go to standard
error; the result is the last line on standard output, as one JSON object.
"""

from collections.abc import Callable
import ctypes
import json
import os
import pathlib
import re
import shlex
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
from air_tf import config_flags  # noqa: E402
from air_tf import console  # noqa: E402
from air_tf import errors  # noqa: E402
from air_tf import flagfiles  # noqa: E402
from air_tf import progress  # noqa: E402

__all__ = ['STARTED', 'TRAIN', 'config_from_flags', 'define_config_flags',
           'define_finite_float', 'define_path', 'import_tensorflow',
           'no_arguments', 'parse', 'run', 'say_what_next']

STARTED = time.time()  # As near to the return key as a script can tell.
TRAIN = pathlib.Path(__file__).parents[1] / 'bin' / 'train.py'

config_from_flags = config_flags.config_from_flags
define_config_flags = config_flags.define_config_flags
define_finite_float = config_flags.define_finite_float
define_path = config_flags.define_path
import_tensorflow = chatter.import_tensorflow
flags.disclaim_key_flags()  # `--help` of a script lists the flags made here.


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
  _warn_of_repetitions(argv[1:])
  return config_flags.parse(flags.FLAGS, flagfiles.expand(argv))


def run(main: Callable[[list[str]], dict | None],
        parse: Callable[[list[str]], list[str]] = parse) -> None:
  """Parses flags, calls `main` and prints its result as one JSON line.

  What `errors` lists is one line on standard error and its exit code, and so is
  whatever `errors.from_exception` knows. A reader of the output that has gone,
  as in `--help | head -1`, is no error.

  Args:
    main: takes the arguments that are not flags; returns what `json.dumps`
      accepts, or None to print nothing. With a number of `skipped` images the
      exit code is `errors.SKIPPED`.
    parse: of the command line; or `sweep_flags.parse_known`.
  """
  logging.set_verbosity(logging.INFO)

  def guarded(argv):
    chatter.install()
    result = main(argv[1:])
    if result is not None:
      print(json.dumps(result))
    sys.stdout.flush()
    if (result or {}).get('skipped'):
      sys.exit(errors.SKIPPED)

  try:
    console.prepare()
    app.run(guarded, flags_parser=lambda argv: _parsed(parse, argv))
  except KeyboardInterrupt:
    console.fail(errors.Interrupted(signal.SIGINT, 'stopped.'), 130)
  except BrokenPipeError:  # Nobody reads the output any more: end quietly.
    sys.exit(0)
  except Exception as error:
    _fail_unless_bug(error)
  finally:  # On every way out, `SystemExit` too, whose code stays as it is.
    console.finish()


def say_what_next(logdir: str) -> None:
  """Says where a finished run is, and three commands to look at it."""
  scripts = shlex.quote(
      min(os.path.relpath(TRAIN.parent), str(TRAIN.parent), key=len))
  logdir = shlex.quote(logdir)
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
  except flags.Error as error:
    # absl repeats the flag in front of a text that begins with it.
    error = re.sub(r'^flag (--.*?): (?=--)', '', str(error), flags=re.DOTALL)
    console.fail(flagfiles.with_origin(errors.UserError(error)),
                 errors.UserError.exit_code)
  except SystemExit as end:  # --help, which absl takes for a failure.
    sys.stdout.flush()
    sys.exit(0 if end.code == 1 else end.code)


def _fail_unless_bug(error: Exception) -> None:
  """Ends with one line if the machine or a file is the cause, or raises."""
  expected = errors.from_exception(error)
  if expected is None:
    raise error
  console.fail(flagfiles.with_origin(expected), expected.exit_code)


def _warn_of_repetitions(arguments: list[str]) -> None:
  """Says which value counts of a flag that is given twice."""
  values = {}
  for argument in arguments:
    if argument == '--':
      return
    name, equals, value = argument.lstrip('-').partition('=')
    if not (argument.startswith('-') and equals and name in flags.FLAGS) or (
        isinstance(flags.FLAGS[name], flags.MultiFlag)
        or name in ('flagfile', 'undefok')):
      continue
    if values.setdefault(name, value) != value:
      logging.warning('--%s was given as %s and as %s: the last counts.', name,
                      values[name], value)
    values[name] = value

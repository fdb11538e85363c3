"""The scripts that pages speak of, and their flags."""

import contextlib
import pathlib

from absl import flags

ROOT = pathlib.Path(__file__).parent.parent
SCRIPTS = sorted([*(ROOT / 'bin').glob('*.py'), *(ROOT / 'data').glob('*.py')])


@contextlib.contextmanager
def own_flags():
  """In which `flags.FLAGS` holds those of absl, then those of a script."""
  def take():
    taken = {name: flags.FLAGS[name] for name in flags.FLAGS
             if not flags.FLAGS.find_module_defining_flag(name, '')
             .startswith('absl.')}
    for name in taken:
      delattr(flags.FLAGS, name)
    return taken

  others = take()
  try:
    yield take
  finally:
    take()
    for name, flag in others.items():
      flags.FLAGS[name] = flag

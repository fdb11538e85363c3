"""Flags of bin/train.py that a script takes and ignores.

With them it reads every flagfile. `--help` of the script does not list them,
`--helpfull` does.
"""

import dataclasses
from typing import Any

from absl import flags

from air_tf import config as config_lib
from air_tf import config_flags

__all__ = ['define']


def define() -> dict[str, Any]:
  """Offers the flags of bin/train.py that the script has not offered itself.

  Returns:
    The fields of `Config` among them, with the defaults that hold whatever the
    flags say: for `config_from_flags`.
  """
  ignored = {field.name: field.default
             for field in dataclasses.fields(config_lib.Config)
             if field.name not in flags.FLAGS}
  if ignored:
    config_flags.define_config_flags(*ignored)
  flags.DEFINE_string('logdir', None, 'Ignored; flagfiles set it.')
  return ignored

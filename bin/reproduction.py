"""Keeps records of runs of the blog's experiment, and makes its page from them.

    python bin/reproduction.py --keep=runs/blog_0,runs/ladder_1_0
    python bin/reproduction.py

The name of a run folder is RECIPE_SEED, of a rung of the ladder ladder_N_SEED.
A record is a few kilobytes: the configuration, the evaluations on held-out
scenes, and what the newest checkpoint makes of these scenes. From all records
in --out the pictures beside them and the tables in --page are made. The last
line on standard output says what there is, as JSON.
"""

from absl import flags

from air_tf import cli
from air_tf import errors
from air_tf import paths

_DOCS = cli.TRAIN.parents[1] / 'docs'
_KEEP = flags.DEFINE_list(
    'keep', [], 'Run folders whose records are written, again if they are '
    'there, with commas between them.')
_OUT = cli.define_path(
    'out', str(_DOCS / 'reports' / 'reproduction'), 'Folder of all records.')
_PAGE = cli.define_path(
    'page', str(_DOCS / 'reproduction.md'), 'Page with the blocks `runs`, '
    '`scan` and `ladder`, whose contents are replaced.')


def main(arguments: list[str]) -> dict:
  """Keeps the runs, then draws and tabulates all that are kept."""
  cli.no_arguments(arguments)
  kept = [paths.given('--keep', path) for path in _KEEP.value]
  paths.check_folder('--out', _OUT.value, kept)
  cli.import_tensorflow()
  from air_tf.studies import reproduction
  from air_tf.studies import run_records
  for path in kept:
    run_records.keep(path, _OUT.value)
  records = run_records.read_all(_OUT.value)
  if not records:
    raise errors.UserError(
        f'--out={_OUT.value}: found no record of a run; expected some, or '
        '--keep=RUN.')
  reproduction.save(records, _OUT.value, _PAGE.value)
  return {'out': _OUT.value, 'page': _PAGE.value,
          'records': [record.name for record in records]}


if __name__ == '__main__':
  cli.run(main)

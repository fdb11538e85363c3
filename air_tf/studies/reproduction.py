"""The blog's experiment, repeated: tables and pictures from the kept records.

Records are named RECIPE_SEED. Those of ladder_0 to ladder_8 are the rungs from
`blog.flags` to `air.flags`; all others are long runs.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import os
import pathlib

from matplotlib import figure
import numpy as np

from air_tf import errors
from air_tf import files
from air_tf import paths
from air_tf.plotting import canvas
from air_tf.plotting import seeds as seeds_lib
from air_tf.studies import reproduction_tables
from air_tf.studies import run_records

__all__ = ['LEVEL', 'PUBLISHED', 'RUNGS', 'fill', 'save']

LEVEL = .95  # Count accuracy at the end that is a success.
# The blog's figure has a point per 10,000 iterations; read off by eye.
PUBLISHED = seeds_lib.Published(
    "read off the blog's figure by eye", [(190_000, .86), (300_000, .94)],
    [(10_000, 160_000, .20, .37), (190_000, 300_000, .86, .985)])
RUNGS = ('blog.flags', 'initial values', 'optimizer', 'per-step baseline',
         'exact sum', 'prior', 'exploration floor', 'encoder', 'fresh scenes')
_RECIPES = ('blog', 'blog_code', 'nvil_per_step', 'marginal')  # Come first.
_LARGEST = 2**20  # Bytes of a page.
_ALT = {
    'runs': 'Counting accuracy over training, one panel per recipe, one curve '
            "per seed, beside points read off the blog's figure",
    'scan': 'Where first, second and third glimpses are, one map per seed',
    'ladder': 'Accuracy at the end and iterations to 95 % for each change from '
              'blog.flags to air.flags, one mark per seed'}

Runs = dict[str, list[run_records.Record]]  # By recipe, in the order of seeds.
Rungs = list[tuple[str, list[run_records.Record]]]  # What changes, its runs.


def save(records: Sequence[run_records.Record],
         folder: str | os.PathLike, page: str | os.PathLike) -> None:
  """Draws the pictures and writes the tables of the page.

  Args:
    records: of all runs.
    folder: in which they are, and the pictures are written.
    page: with the blocks `runs`, `scan` and `ladder`.

  Raises:
    errors.UserError: if a file cannot be written, or the page cannot be read.
  """
  link = os.path.relpath(folder, pathlib.Path(page).parent)
  long, rungs = _grouped(records)
  attended = long | dict(rungs[-1:])  # The last rung learns to count.
  made = {}
  if long:
    made['runs'] = _curves(long), '\n'.join([
        reproduction_tables.outcomes(long, LEVEL),
        reproduction_tables.runs(_every(long), LEVEL, link)])
  if attended:
    made['scan'] = _scan(attended), reproduction_tables.scan(_every(attended))
  if rungs:
    made['ladder'] = _ladder(rungs), reproduction_tables.ladder(
        rungs, LEVEL, link)
  blocks = dict.fromkeys(_ALT, 'No run has ended yet.\n')
  for name, (fig, table) in made.items():
    canvas.save(fig, pathlib.Path(folder) / f'{name}.png')
    blocks[name] = f'![{_ALT[name]}]({link}/{name}.png)\n\n{table}'
  fill(page, blocks)


def fill(page: str | os.PathLike, blocks: Mapping[str, str]) -> None:
  """Replaces blocks of a page, between `<!-- NAME -->` and `<!-- /NAME -->`.

  Raises:
    errors.UserError: if the page cannot be read or lacks a block.
  """
  try:
    text = paths.read_regular(pathlib.Path(page), _LARGEST).decode()
  except (OSError, ValueError) as error:
    raise errors.UserError(
        f'--page={page}: cannot be read ({errors.one_line(error)}); expected a '
        'page like docs/reproduction.md.') from error
  for name, block in blocks.items():
    start, end = f'<!-- {name} -->\n', f'<!-- /{name} -->'
    before, _, rest = text.partition(start)
    _, closed, after = rest.partition(end)
    if not closed:  # Nor where there is no start: then the rest is empty.
      raise errors.UserError(
          f'--page={page}: found no block {name!r}; expected the lines '
          f'{start.strip()} and {end}.')
    text = f'{before}{start}{block}{end}{after}'
  files.write_text(page, text)


def _grouped(records: Sequence[run_records.Record]) -> tuple[Runs, Rungs]:
  """Returns the long runs by recipe, and the rungs of the ladder."""
  by_recipe = {}
  for record in sorted(records, key=lambda record: record.seed):
    by_recipe.setdefault(record.recipe, []).append(record)
  rungs = [(f'{i}: {change}', by_recipe.pop(f'ladder_{i}'))
           for i, change in enumerate(RUNGS) if f'ladder_{i}' in by_recipe]
  first = [name for name in _RECIPES if name in by_recipe]
  names = first + sorted(set(by_recipe) - set(first))
  return {name: by_recipe[name] for name in names}, rungs


def _every(runs: Runs) -> list[run_records.Record]:
  return [record for records in runs.values() for record in records]


def _curves(runs: Runs) -> figure.Figure:
  return seeds_lib.counting_curves({
      recipe: {record.seed: ([line['step'] for line in record.lines],
                             [line['count_accuracy'] for line in record.lines])
               for record in records}
      for recipe, records in runs.items()}, PUBLISHED)


def _scan(runs: Runs) -> figure.Figure:
  return seeds_lib.scan_maps({
      recipe: {record.seed: (np.array(record.explained.centres),
                             record.explained.direction) for record in records}
      for recipe, records in runs.items()})


def _ladder(rungs: Rungs) -> figure.Figure:
  every = _every(dict(rungs))
  return seeds_lib.ladder(
      [seeds_lib.Rung(
          change, [record.lines[-1]['count_accuracy'] for record in records],
          [reproduction_tables.reached(record, LEVEL) for record in records])
       for change, records in rungs], LEVEL,
      max(record.config.num_iterations for record in every),
      max(record.config.num_test_scenes for record in every))

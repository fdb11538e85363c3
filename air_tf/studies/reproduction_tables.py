"""The tables of the blog's experiment, from the kept records.

Letters: `M` largest true count, `T` most steps.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import math

import numpy as np

from air_tf.studies import markdown
from air_tf.studies import run_records

__all__ = ['ladder', 'outcomes', 'reached', 'runs', 'scan']

_NEARLY_ALL = .95  # Of the scenes, that are given the same count.
_ARROWS = '→↘↓↙←↖↑↗'  # From (1, 0) on, clockwise; y points down.


def reached(record: run_records.Record, level: float) -> int | None:
  """Returns the first iteration evaluated at `level` or above, or None."""
  return next((line['step'] for line in record.lines
               if line['count_accuracy'] >= level), None)


def outcomes(by_recipe: Mapping[str, Sequence[run_records.Record]],
             level: float) -> str:
  """Returns a table of how runs end, one row per recipe.

  A run ends at a count if it gives that one to nearly all scenes.

  Args:
    by_recipe: the runs.
    level: accuracy in 0 ... 1 of a run that counts.
  """
  percent = f'{100. * level:g} %'
  rows = []
  for recipe, records in by_recipe.items():
    final = [record.lines[-1]['count_accuracy'] for record in records]
    ever = [reached(record, level) is not None for record in records]
    shares = [_shares(record) for record in records]
    rows.append([
        recipe, str(len(records)), str(sum(x >= level for x in final)),
        str(sum(ever)), str(sum(x[0] >= _NEARLY_ALL for x in shares)),
        str(sum(x[-1] >= _NEARLY_ALL for x in shares)),
        f'{100. * max(x[-1] for x in shares):.1f} %'])
  return markdown.table(
      ['recipe', 'runs', f'at {percent} at the end',
       f'at {percent} at any time', 'end at zero', 'end at the most steps',
       'most scenes with all steps, of any run'], rows)


def _shares(record: run_records.Record) -> np.ndarray:
  """Returns the share of scenes that are given each count, `[T + 1]`."""
  counted = np.array(record.explained.counted)
  return counted.sum(axis=0) / counted.sum()


def runs(records: Sequence[run_records.Record], level: float,
         link: str) -> str:
  """Returns a table with one row per run.

  Args:
    records: of the runs.
    level: accuracy in 0 ... 1 whose first and later occurrences are listed.
    link: path of the folder of records, from the page.
  """
  percent = f'{100. * level:g} %'
  rows = []
  for record in records:
    last, counted = record.lines[-1], np.array(record.explained.counted)
    rows.append([
        f'[{record.recipe}, seed {record.seed}]'
        f'({link}/{record.name}/metrics.jsonl)',
        _iterations(record), f"{100. * last['count_accuracy']:.2f} %",
        _first(reached(record, level)), _above(record, level),
        f"{last['expected_num_steps']:.2f}", _counted_as(counted),
        f'{100. * _shares(record)[-1]:.1f} %'])
  return markdown.table(
      ['run', 'iterations', 'accuracy at the end', f'first at {percent}',
       f'evaluations at {percent} or above', 'mean steps',
       'digits: counted as', 'scenes with all steps'], rows)


def scan(records: Sequence[run_records.Record]) -> str:
  """Returns a table of the directions from the first to the second glimpse."""
  rows = []
  for record in records:
    explained = record.explained
    cells = [f'{explained.num_pairs:,} of {np.sum(explained.counted):,}',
             '–', '–']
    if explained.direction is not None:
      right, down = explained.direction
      cells[1:] = [_arrow(right, down), f'{math.hypot(right, down):.2f}']
    rows.append([f'{record.recipe}, seed {record.seed}', *cells])
  return markdown.table(
      ['run', 'scenes with two glimpses or more', 'first to second glimpse',
       'sameness'], rows)


def ladder(rungs: Sequence[tuple[str, Sequence[run_records.Record]]],
           level: float, link: str) -> str:
  """Returns a table with one row per rung, values in the order of seeds.

  Args:
    rungs: what each changes, and its runs.
    level: accuracy in 0 ... 1 that is a success at the end.
    link: path of the folder of records, from the page.
  """
  percent = f'{100. * level:g} %'
  rows = []
  for change, records in rungs:
    final = [record.lines[-1]['count_accuracy'] for record in records]
    rows.append([
        change, ', '.join(
            f'[{record.seed}]({link}/{record.name}/metrics.jsonl)'
            for record in records),
        f'{sum(x >= level for x in final)} of {len(final)}',
        ', '.join(f'{100. * x:.2f}' for x in final) + ' %',
        '; '.join(_first(reached(record, level)) for record in records),
        '; '.join(_above(record, level) for record in records),
        ', '.join(f"{record.lines[-1]['expected_num_steps']:.2f}"
                  for record in records)])
  return markdown.table(
      ['change', 'seeds', f'at {percent} at the end', 'accuracy at the end',
       f'iterations to {percent}', f'evaluations at {percent} or above',
       'mean steps'], rows)


def _iterations(record: run_records.Record) -> str:
  done, planned = record.lines[-1]['step'], record.config.num_iterations
  return f'{done:,}' if done >= planned else f'{done:,} of {planned:,}'


def _first(iteration: int | None) -> str:
  return 'never' if iteration is None else f'{iteration:,}'


def _above(record: run_records.Record, level: float) -> str:
  above = sum(line['count_accuracy'] >= level for line in record.lines)
  return f'{above} of {len(record.lines)}'


def _counted_as(counted: np.ndarray) -> str:
  """Returns the most frequent count of each true count, with its share.

  Args:
    counted: `[M + 1, T + 1]`, scenes by true count and count.
  """
  return '; '.join(
      f'{true}: {row.argmax()} ({100. * row.max() / row.sum():.1f} %)'
      for true, row in enumerate(counted) if row.sum())


def _arrow(right: float, down: float) -> str:
  """Returns the arrow nearest to a direction."""
  turn = math.atan2(down, right) / (2. * math.pi)  # In -.5 ... .5.
  return _ARROWS[round(len(_ARROWS) * turn)]  # Below 0, from the end.

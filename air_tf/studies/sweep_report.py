"""The report of a sweep: JSON, a Markdown table and a figure."""

from collections.abc import Sequence
import json
import pathlib
import statistics

from air_tf import files
from air_tf.plotting import canvas
from air_tf.plotting import comparisons
from air_tf.studies import markdown as markdown_lib
from air_tf.studies import sweep
from air_tf.training import run_folder

__all__ = ['LEVELS', 'markdown', 'save', 'summarise']

LEVELS = (.95, .98)  # Count accuracies whose first occurrence is reported.
# What is reported as mean and standard deviation over seeds, with its title.
_OVER_SEEDS = {'count_accuracy': 'OCA', 'fg_ari': 'FG-ARI', 'ari': 'ARI',
               'miou': 'mIoU', 'mbo': 'mBO', 'mask_ap50': 'AP at .5'}


def summarise(runs: dict[str, Sequence[sweep.Run]], threshold: float) -> dict:
  """Summarises the runs, finished or not.

  Args:
    runs: by recipe.
    threshold: held-out count accuracy at the last evaluation, 0 ... 1, from
      which a run counts as a success. A run that failed is not one.

  Returns:
    `threshold` and, under `recipes`, for each: `runs`, the curve and the
    outcome of each run, and statistics over them.
  """
  return {'threshold': threshold,
          'recipes': {name: _recipe([_line(run) for run in of_recipe],
                                    threshold)
                      for name, of_recipe in runs.items()}}


def markdown(report: dict) -> str:
  """Returns the report as a table with one row per recipe.

  Iterations and seconds are medians over the runs that reached the level, with
  their number in parentheses if not all did. If scenes have masks, a second
  table has their metrics, mean ± standard deviation over seeds.
  """
  heads = ['recipe', f"success (≥ {100 * report['threshold']:g} %)", 'best',
           'mean', 'worst']
  heads += [f'{unit} to {100 * level:g} %' for level in LEVELS
            for unit in ('iterations', 'seconds')]
  heads += ['ELBO', 'ms/iteration', 'failed']
  rows = []
  for name, summary in report['recipes'].items():
    accuracy = summary['count_accuracy']
    cells = [name, f"{summary['successes']} of {summary['num_runs']}"]
    cells += [_percent(accuracy[key]) for key in ('best', 'mean', 'worst')]
    for level in LEVELS:
      reached = summary['reached'][f'{level:g}']
      for unit in 'iterations', 'seconds':
        cells.append(_median(reached, unit, summary['num_runs']))
    cells += [_number(summary['elbo']), _number(
        summary['milliseconds_per_iteration']), str(summary['failed'])]
    rows.append(cells)
  table = markdown_lib.table(heads, rows)
  if any('fg_ari' in x['over_seeds'] for x in report['recipes'].values()):
    table += '\n' + _seeds_table(report)
  return table


def _seeds_table(report: dict) -> str:
  """Returns mean ± standard deviation over seeds, at the last evaluation."""
  rows = []
  for name, summary in report['recipes'].items():
    over = [summary['over_seeds'].get(x) for x in _OVER_SEEDS]
    rows.append([name] + ['–' if x is None else _spread(x) for x in over])
  return markdown_lib.table(['recipe', *_OVER_SEEDS.values()], rows)


def _spread(over: dict) -> str:
  if over['stdev'] is None:
    return f"{over['mean']:.4f}"
  return f"{over['mean']:.4f} ± {over['stdev']:.4f}"


def save(report: dict, logdir: str) -> None:
  """Writes `report.json`, `report.md` and `curves.png` into a folder."""
  folder = pathlib.Path(logdir)
  files.write_text(folder / 'report.json', json.dumps(report, indent=1))
  files.write_text(folder / 'report.md', markdown(report))
  canvas.save(comparisons.accuracy_curves(
      {name: [(run['iterations'] if run['accuracies'] else [],
               run['accuracies']) for run in summary['runs']]
       for name, summary in report['recipes'].items()},
      report['threshold']), folder / 'curves.png')


def _line(run: sweep.Run) -> dict:
  """Returns the curve of a run, and how it ended."""
  lines = [x for x in run_folder.RunFolder(run.folder).metrics()
           if x['split'] == 'test']
  counted = [x for x in lines if 'count_accuracy' in x]  # All of them, or none.
  ended = sweep.outcome(run)
  return {
      'folder': run.folder.name,
      'exit_code': None if ended is None else ended.exit_code,
      'error': '' if ended is None else ended.error,
      'iterations': [x['step'] for x in lines],
      'accuracies': [x['count_accuracy'] for x in counted],
      'seconds': [x['seconds'] for x in lines],
      'elbo': lines[-1]['elbo'] if lines else None,
      'final': {name: lines[-1][name] for name in _OVER_SEEDS
                if lines and name in lines[-1]}}


def _recipe(runs: list[dict], threshold: float) -> dict:
  final = [run['accuracies'][-1] for run in runs if run['accuracies']]
  good = [run for run in runs if run['exit_code'] == 0
          and run['accuracies'] and run['accuracies'][-1] >= threshold]
  elbos = [run['elbo'] for run in runs if run['elbo'] is not None]
  speeds = [1e3 * (run['seconds'][-1] - run['seconds'][0])
            / (run['iterations'][-1] - run['iterations'][0])
            for run in runs if len(set(run['iterations'])) > 1]
  return {
      'num_runs': len(runs), 'successes': len(good),
      'success_rate': len(good) / len(runs),
      'failed': sum(run['exit_code'] != 0 for run in runs),
      'count_accuracy': {
          'best': max(final, default=None), 'worst': min(final, default=None),
          'mean': statistics.fmean(final) if final else None},
      'over_seeds': _over_seeds([run['final'] for run in runs]),
      'reached': {f'{level:g}': _reached(runs, level) for level in LEVELS},
      'elbo': statistics.fmean(elbos) if elbos else None,
      'milliseconds_per_iteration':
          statistics.median(speeds) if speeds else None,
      'runs': runs}


def _over_seeds(final: list[dict]) -> dict[str, dict]:
  """Mean and standard deviation of each metric; None of a single seed."""
  result = {}
  for name in _OVER_SEEDS:
    values = [x[name] for x in final if name in x]
    if values:
      result[name] = {
          'mean': statistics.fmean(values), 'runs': len(values),
          'stdev': statistics.stdev(values) if len(values) > 1 else None}
  return result


def _reached(runs: list[dict], level: float) -> dict[str, list]:
  """`iterations` and `seconds` at the first evaluation at `level` or above."""
  first = [(run, next((i for i, accuracy in enumerate(run['accuracies'])
                       if accuracy >= level), None)) for run in runs]
  return {unit: [run[unit][i] for run, i in first if i is not None]
          for unit in ('iterations', 'seconds')}


def _median(reached: dict, unit: str, num_runs: int) -> str:
  values = reached[unit]
  if not values:
    return '–'
  some = '' if len(values) == num_runs else f' ({len(values)})'
  return f'{statistics.median(values):,.0f}{some}'


def _percent(value: float | None) -> str:
  return '–' if value is None else f'{100 * value:.2f} %'


def _number(value: float | None) -> str:
  return '–' if value is None else f'{value:,.1f}'

"""Charts of measurements: bars, curves, heat maps."""

from collections.abc import Mapping
from collections.abc import Sequence

from matplotlib import colormaps
from matplotlib import figure
from matplotlib import patches
import numpy as np

__all__ = ['accuracy_curves', 'heat_maps', 'variance_bars']


def variance_bars(variances: dict[str, dict[str, float]]) -> figure.Figure:
  """Variance of the gradient on a log scale, one bar per estimator.

  Args:
    variances: by estimator, by group of variables; zeros have no bar.
  """
  groups = list(next(iter(variances.values())))
  fig = figure.Figure(figsize=(1.6 * len(groups) + 2., 3.8), dpi=100)
  axes = fig.add_axes([.08, .12, .72, .82])
  width = .85 / len(variances)
  for i, (name, values) in enumerate(variances.items()):
    axes.bar(np.arange(len(groups)) + (i + .5) * width - .425,
             [values[group] for group in groups], width, label=name,
             color=_colour(i, len(variances)))
  axes.set_yscale('log')
  axes.set_xticks(np.arange(len(groups)), groups, fontsize=8)
  axes.set_ylabel('variance of the gradient, per parameter', fontsize=8)
  axes.legend(loc='upper left', bbox_to_anchor=(1.01, 1.), fontsize=8)
  return fig


def accuracy_curves(
    curves: dict[str, Sequence[tuple[Sequence[int], Sequence[float]]]],
    threshold: float) -> figure.Figure:
  """Held-out count accuracy of every run, one colour per recipe.

  Args:
    curves: by recipe, one pair of iterations and accuracies (0 ... 1)
      per run.
    threshold: drawn as a line.
  """
  fig = figure.Figure(figsize=(9., 4.), dpi=100)
  axes = fig.add_axes([.07, .12, .7, .84])
  for i, (name, runs) in enumerate(curves.items()):
    for number, (iterations, accuracies) in enumerate(runs):
      axes.plot(iterations, 100. * np.asarray(accuracies), linewidth=1.,
                color=_colour(i, len(curves)),
                label=name if number == 0 else None)
  axes.axhline(100. * threshold, color='black', linewidth=.8, linestyle=':')
  axes.set_xlabel('iteration')
  axes.set_ylabel('held-out count accuracy, %')
  axes.set_ylim(0., 101.)
  axes.legend(loc='upper left', bbox_to_anchor=(1.01, 1.), fontsize=8)
  return fig


def heat_maps(grids: dict[tuple[str, str], np.ndarray],
              axes_of: dict[str, tuple],
              chosen: Mapping[str, float]) -> figure.Figure:
  """Count accuracy over pairs of options, as heat maps.

  There is one column per output and one row per recipe.

  Args:
    grids: by (recipe, output), accuracies `[rows, columns]`, NaN where a run
      failed.
    axes_of: by output, (name, values) of the rows and (name, values) of the
      columns.
    chosen: by option, the value whose cell gets a frame.
  """
  recipes = list(dict.fromkeys(recipe for recipe, _ in grids))
  outputs = list(dict.fromkeys(output for _, output in grids))
  fig = figure.Figure(figsize=(3.3 * len(outputs), 2.9 * len(recipes)), dpi=100)
  for i, recipe in enumerate(recipes):
    for j, output in enumerate(outputs):
      axes = fig.add_subplot(len(recipes), len(outputs),
                             i * len(outputs) + j + 1)
      _heat_map(axes, grids[recipe, output], *axes_of[output], chosen)
      axes.set_title(f'{recipe}: {output}', fontsize=8)
  fig.tight_layout()
  return fig


def _heat_map(axes, grid: np.ndarray, rows, columns, chosen) -> None:
  axes.imshow(grid, cmap='viridis', vmin=0., vmax=1., aspect='auto')
  for ticks, (name, values), label in (
      (axes.set_yticks, rows, axes.set_ylabel),
      (axes.set_xticks, columns, axes.set_xlabel)):
    ticks(range(len(values)), [f'{value:g}' for value in values], fontsize=7)
    label(name, fontsize=8)
  for (y, x), value in np.ndenumerate(grid):
    axes.text(x, y, 'failed' if np.isnan(value) else f'{100. * value:.0f}',
              ha='center', va='center', fontsize=7,
              color='white' if value <= .6 else 'black')  # NaN is on white.
    if (rows[1][y], columns[1][x]) == (chosen[rows[0]], chosen[columns[0]]):
      axes.add_patch(patches.Rectangle(
          (x - .47, y - .45), .94, .9, fill=False, color='red', linewidth=2))


def _colour(i: int, number: int):
  if number <= 10:  # More colours cannot be distinguished.
    return colormaps['tab10'](i)
  return colormaps['viridis'](i / (number - 1) * .92)

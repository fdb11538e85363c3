"""Charts of many runs: one mark, curve or map for each seed of a recipe.

Letters: `T` most steps, `B` cells along a side of a map.
"""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import NamedTuple

from matplotlib import axes as axes_lib
from matplotlib import colors as colors_lib
from matplotlib import figure
from matplotlib import lines
from matplotlib import ticker
import numpy as np

from air_tf.plotting import canvas
from air_tf.plotting import curves as curves_lib

__all__ = ['Published', 'Rung', 'counting_curves', 'ladder', 'scan_maps']

_FAILED = '#D55E00'
_NEVER_AT = 1.15  # Where runs that never reach it are, of all iterations.


class Published(NamedTuple):
  """A counting curve as somebody else reports it."""
  label: str
  points: Sequence[tuple[int, float]]  # (iteration, accuracy in 0 ... 1).
  # (first and last iteration, lowest and highest accuracy) between points.
  ranges: Sequence[tuple[int, int, float, float]]


class Rung(NamedTuple):
  """The runs of one rung, one entry per seed."""
  label: str
  accuracies: Sequence[float]  # At the end, 0 ... 1.
  reached: Sequence[int | None]  # Iterations to the level; None: never.


def counting_curves(
    curves: Mapping[str, Mapping[int, tuple[Sequence[int], Sequence[float]]]],
    published: Published) -> figure.Figure:
  """Held-out count accuracy over training beside a published curve.

  Args:
    curves: by recipe, by seed, iterations and accuracies in 0 ... 1.
    published: drawn in every panel.

  Returns:
    The figure: one panel per recipe, one curve per seed.
  """
  fig = figure.Figure(figsize=(9., .9 + 2.1 * len(curves)), dpi=100,
                      layout='constrained')
  panels = fig.subplots(len(curves), 1, sharex=True, squeeze=False)[:, 0]
  seeds = sorted({seed for of_recipe in curves.values() for seed in of_recipe})
  for axes, (recipe, of_recipe) in zip(panels, curves.items(), strict=True):
    _plot_published(axes, published)
    for seed, (iterations, accuracies) in sorted(of_recipe.items()):
      axes.plot(iterations, 100. * np.asarray(accuracies), linewidth=1.2,
                color=_seed_colour(seeds.index(seed)), label=f'seed {seed}')
    axes.set_title(recipe, fontsize=10)
    axes.set_ylim(0., 102.)
    axes.grid(alpha=.3)
  panels[-1].set_xlim(left=0.)
  panels[-1].xaxis.set_major_formatter(ticker.StrMethodFormatter('{x:,.0f}'))
  panels[-1].set_xlabel('iteration')
  fig.supylabel('held-out count accuracy, %', fontsize=10)
  labelled = {label: handle for axes in panels for handle, label
              in zip(*axes.get_legend_handles_labels(), strict=True)}
  fig.legend(labelled.values(), labelled.keys(), loc='outside upper center',
             ncols=len(labelled), fontsize=8, frameon=False, columnspacing=1.)
  return fig


def _plot_published(axes: axes_lib.Axes, published: Published) -> None:
  for i, (first, last, low, high) in enumerate(published.ranges):
    axes.fill_between([first, last], 100. * low, 100. * high, color='black',
                      alpha=.12, linewidth=0.,
                      label=f'{published.label}: range' if i == 0 else None)
  axes.plot([x for x, _ in published.points],
            [100. * y for _, y in published.points], linestyle='', marker='D',
            markersize=6, color='black', markerfacecolor='white', zorder=3,
            label=published.label)


def ladder(rungs: Sequence[Rung], level: float, num_iterations: int,
           num_scenes: int) -> figure.Figure:
  """What each rung brings: accuracy at the end, and iterations to a level.

  Args:
    rungs: from the top of the figure to the bottom.
    level: accuracy in 0 ... 1 that is a success at the end.
    num_iterations: of each run.
    num_scenes: the axis of accuracies ends at half a mistake among so many.

  Returns:
    The figure: one row per rung, one mark per seed, successes on the right.
  """
  fig = figure.Figure(figsize=(9., 1. + .45 * len(rungs)), dpi=100,
                      layout='constrained')
  left, right = fig.subplots(1, 2, sharey=True)
  lowest = .5 / num_scenes
  for row, rung in enumerate(rungs):
    for shift, accuracy, reached in zip(
        _shifts(len(rung.accuracies)), rung.accuracies, rung.reached,
        strict=True):
      left.plot(max(lowest, 1. - accuracy), row + shift, **_mark(
          accuracy >= level))
      right.plot(_NEVER_AT * num_iterations if reached is None else reached,
                 row + shift, **_mark(reached is not None))
    good = sum(accuracy >= level for accuracy in rung.accuracies)
    right.annotate(f'{good} of {len(rung.accuracies)}', (1.04, row),
                   xycoords=('axes fraction', 'data'), va='center', fontsize=9)
  left.set_yticks(range(len(rungs)), [rung.label for rung in rungs])
  left.set_ylim(len(rungs) - .5, -.5)
  _set_accuracy_axis(left, level, lowest)
  _set_reached_axis(right, level, num_iterations)
  return fig


def _mark(good: bool) -> dict:
  return dict(linestyle='', marker='o' if good else 'x', markersize=6,
              color='black' if good else _FAILED, clip_on=False, zorder=3)


def _shifts(number: int) -> np.ndarray:
  """Returns where the marks of a row are, so that equal ones are all seen."""
  return (np.arange(number) - (number - 1) / 2.) * .22


def _set_accuracy_axis(axes: axes_lib.Axes, level: float, lowest: float
                       ) -> None:
  axes.set_xscale('log')
  axes.set_xlim(1., lowest)
  ticks, names = curves_lib.mistake_ticks(lowest)
  axes.set_xticks(ticks, names, fontsize=7, rotation=60)
  axes.minorticks_off()
  axes.axvline(1. - level, color='black', linewidth=.8, linestyle=':')
  axes.set_title('held-out count accuracy at the end', fontsize=10)
  axes.grid(alpha=.3)


def _set_reached_axis(axes: axes_lib.Axes, level: float, num_iterations: int
                      ) -> None:
  axes.set_xlim(0., _NEVER_AT * num_iterations)
  ticks = np.linspace(0, num_iterations, 5)
  axes.set_xticks([*ticks, _NEVER_AT * num_iterations],
                  [f'{tick:,.0f}' for tick in ticks] + ['never'], fontsize=8)
  axes.set_title(f'iterations to {100. * level:g} %', fontsize=10)
  axes.annotate('successes', (1.04, 1.02), xycoords='axes fraction', fontsize=9)
  axes.grid(alpha=.3)


def scan_maps(maps: Mapping[str, Mapping[int, tuple[np.ndarray, Sequence[float]
                                                    | None]]]
              ) -> figure.Figure:
  """Where each step attends, for several seeds side by side.

  Brightness is the number of glimpses with their centre there, colour the share
  of each step. An arrow shows the mean direction from the first glimpse to the
  second, the longer the more often it is the same.

  Args:
    maps: by recipe, by seed, counts `[T, B, B]` over (y, x), and the arrow,
      (right, down), at most 1 long; None if there are no two glimpses.

  Returns:
    The figure: one row per recipe.
  """
  columns = max(len(of_recipe) for of_recipe in maps.values())
  fig = figure.Figure(figsize=(1.1 + 1.7 * columns, .5 + 2. * len(maps)),
                      dpi=100, layout='constrained')
  panels = fig.subplots(len(maps), columns, squeeze=False)
  num_steps = 0
  for row, (recipe, of_recipe) in zip(panels, maps.items(), strict=True):
    for axes in row[len(of_recipe):]:
      axes.axis('off')
    for axes, (seed, (counts, scan)) in zip(
        row, sorted(of_recipe.items()), strict=False):
      num_steps = max(num_steps, len(counts))
      _plot_map(axes, np.asarray(counts), scan)
      axes.set_title(f'seed {seed}', fontsize=9)
    row[0].set_ylabel(recipe, fontsize=9)
  fig.legend(
      [lines.Line2D([], [], linestyle='', marker='s',
                    color=canvas.step_colour(t)) for t in range(num_steps)],
      [f'step {t + 1}' for t in range(num_steps)], ncols=num_steps,
      loc='outside upper center', fontsize=8, frameon=False)
  return fig


def _plot_map(axes: axes_lib.Axes, counts: np.ndarray,
              scan: Sequence[float] | None) -> None:
  """Plots `[T, B, B]` counts as one picture, and the arrow."""
  colours = np.array([colors_lib.to_rgb(canvas.step_colour(t))
                      for t in range(len(counts))])
  total = counts.sum(axis=0)[..., np.newaxis]  # [B, B, 1]
  mean = np.moveaxis(counts, 0, -1) @ colours / np.maximum(1, total)
  light = np.sqrt(total / max(1, total.max()))
  ground = np.array(colors_lib.to_rgb(canvas.MAP_COLOUR))
  axes.imshow(light * mean + (1. - light) * ground,
              extent=(0., 1., 1., 0.), interpolation='nearest')
  if not counts.any():
    axes.text(.5, .5, 'no glimpse', color='white', fontsize=8, ha='center',
              va='center')
  if scan is not None:
    axes.annotate('', (.5 + .4 * scan[0], .5 + .4 * scan[1]),
                  (.5 - .4 * scan[0], .5 - .4 * scan[1]),
                  arrowprops=dict(arrowstyle='->', color='white', linewidth=2.))
  axes.set_xticks([])
  axes.set_yticks([])


def _seed_colour(i: int) -> str:
  # Without the yellow, which is pale on white.
  return [x for x in canvas.STEP_COLOURS if x != '#F0E442'][i % 6]

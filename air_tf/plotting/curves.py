"""Charts of one run: accuracy, the ELBO's terms, places, label efficiency.

Letters: `N` scenes, `T` most steps, `[H, W]` image.
"""

from collections.abc import Mapping
from collections.abc import Sequence

from matplotlib import axes as axes_lib
from matplotlib import figure
from matplotlib import ticker
import numpy as np

from air_tf.plotting import canvas

__all__ = ['accuracy', 'elbo', 'label_efficiency', 'mistake_ticks', 'policy',
           'variance']

_TERMS = (('elbo', 'ELBO'), ('log_likelihood', 'log p(x | z)'),
          ('kl_what', 'KL what'), ('kl_where', 'KL where'),
          ('kl_num_steps', 'KL n'), ('kl_background', 'KL background'))
_STYLES = {'test': dict(color='black'),
           'train': dict(color='#0072B2', linestyle='--')}
_NAMES = {'test': 'held-out', 'train': 'training'}
# Shares of mistakes at which the accuracy axis has a tick.
_TICKS = (1., .5, .2, .1, .05, .02, .01, .005, .002, .001, .0005, .0002, .0001)


def accuracy(lines: Sequence[Mapping], num_scenes: int) -> figure.Figure:
  """Count accuracy over training, of all held-out scenes and by true count.

  The axis is logarithmic in the share of mistakes: 99 to 99.9 % is as far as
  90 to 99 %. Without mistakes the curve runs along the top.

  Args:
    lines: evaluations on held-out scenes, as in `metrics.jsonl`, with
      `count_accuracy`.
    num_scenes: N; the top of the axis is half a mistake in N scenes.

  Returns:
    The figure.
  """
  fig = figure.Figure(figsize=(6.4, 3.6), dpi=100, layout='constrained')
  axes = fig.add_subplot()
  lowest = .5 / num_scenes
  steps = [line['step'] for line in lines]
  curves = _accuracies(lines)
  for name, label, style in curves:
    mistakes = 1. - np.array([line.get(name, np.nan) for line in lines])
    axes.plot(steps, np.maximum(lowest, mistakes), label=label, clip_on=False,
              **style)
  _set_mistakes_axis(axes, lowest)
  axes.set_xlabel('iteration')
  axes.set_ylabel('held-out count accuracy')
  axes.set_xlim(left=0.)
  axes.grid(alpha=.3)
  fig.legend(loc='outside upper center', ncols=len(curves), fontsize=8,
             frameon=False)
  return fig


def _accuracies(lines: Sequence[Mapping]) -> list[tuple[str, str, dict]]:
  """Returns (name in `lines`, label, style) of each curve, overall first."""
  names = sorted({name for line in lines for name in line
                  if name.startswith('count_accuracy/')},
                 key=lambda name: int(name.rpartition('/')[2]))
  overall = 'count_accuracy', 'all scenes', dict(color='black', linewidth=2.)
  return [overall] + [
      (name, f"true count {name.rpartition('/')[2]}",
       dict(color=canvas.step_colour(i), marker='o', markersize=3.5))
      for i, name in enumerate(names)]


def _set_mistakes_axis(axes: axes_lib.Axes, lowest: float) -> None:
  """Labels shares of mistakes, down to `lowest`, by the accuracy."""
  axes.set_yscale('log')
  axes.set_ylim(1., lowest)
  axes.set_yticks(*mistake_ticks(lowest))
  axes.yaxis.set_minor_locator(ticker.NullLocator())


def mistake_ticks(lowest: float) -> tuple[list[float], list[str]]:
  """Returns shares of mistakes, down to `lowest`, and the accuracies there.

  `lowest` stands for no mistake, and is called 100 %.
  """
  ticks = [tick for tick in _TICKS if tick > 1.5 * lowest]
  return [*ticks, lowest], [
      f'{100. * (1. - tick):.4g} %' for tick in ticks] + ['100 %']


def elbo(lines: Sequence[Mapping]) -> figure.Figure:
  """The ELBO and its terms over training, in nats per image.

  Args:
    lines: evaluations of both splits, as in `metrics.jsonl`.

  Returns:
    The figure: one panel per term, held-out and training.
  """
  fig = figure.Figure(figsize=(9., 4.6), dpi=100, layout='constrained')
  panels = fig.subplots(2, 3).ravel()
  has_background = any(line.get('kl_background') for line in lines)
  terms = _TERMS if has_background else _TERMS[:-1]
  for axes, (name, title) in zip(panels, terms, strict=False):
    _plot_term(axes, lines, name, title)
  for axes in panels[len(terms) - 3:len(terms)]:
    axes.set_xlabel('iteration', fontsize=9)
  for axes in panels[::3]:
    axes.set_ylabel('nats', fontsize=9)
  legend = panels[0].get_legend_handles_labels()
  if has_background:
    fig.legend(*legend, loc='outside upper right', ncols=2, frameon=False)
  else:
    panels[-1].axis('off')
    panels[-1].legend(*legend, loc='center', frameon=False)
  return fig


def _plot_term(axes: axes_lib.Axes, lines: Sequence[Mapping], name: str,
               title: str) -> None:
  """Plots one term over training, of both splits, where it is known."""
  for split, style in _STYLES.items():
    of_split = [line for line in lines
                if line['split'] == split and name in line]
    axes.plot([line['step'] for line in of_split],
              [line[name] for line in of_split], marker='.', markersize=4,
              linewidth=1.2, label=_NAMES[split], **style)
  axes.set_title(title, fontsize=10)
  axes.set_xlim(left=0.)
  axes.tick_params(labelsize=8)
  axes.xaxis.set_major_locator(ticker.MaxNLocator(4))
  axes.grid(alpha=.3)


def variance(values: Mapping[str, Mapping[int, float]]) -> figure.Figure:
  """Variances over training, on a logarithmic axis.

  Small, with large letters: to be read on a card 250 pixels wide.

  Args:
    values: by name, the variance after each iteration at which it was measured;
      those that are 0 or not finite leave a gap.

  Returns:
    The figure.
  """
  fig = figure.Figure(figsize=(4., 4.2), dpi=100, layout='constrained')
  axes = fig.add_subplot()
  for i, (name, curve) in enumerate(values.items()):
    steps = sorted(curve)
    heights = np.array([curve[step] for step in steps], np.float64)
    heights[~(np.isfinite(heights) & (heights > 0.))] = np.nan
    axes.plot(steps, heights, marker='.', markersize=5, linewidth=1.5,
              color='black' if i >= len(canvas.STEP_COLOURS)
              else canvas.step_colour(i), label=name)
  axes.set_yscale('log')
  axes.set_xlabel('iteration', fontsize=13)
  axes.set_ylabel('variance', fontsize=13)
  axes.tick_params(labelsize=12)
  axes.xaxis.set_major_locator(ticker.MaxNLocator(4))
  axes.grid(alpha=.3)
  fig.legend(loc='outside upper center', ncols=2, fontsize=11, frameon=False,
             handlelength=1.2)
  return fig


def policy(boxes: np.ndarray, presence: np.ndarray,
           image_size: tuple[int, int]) -> figure.Figure:
  """Where each step attends, over a set of scenes: one colour per step.

  A dot is the centre of a glimpse that was taken. The first panel has all
  steps, the others one each.

  Args:
    boxes: `[N, T, 4]`, (y, x, height, width) in pixels.
    presence: `[N, T]`, above 0 for a step that is taken.
    image_size: (H, W).

  Returns:
    The figure.
  """
  num_scenes, num_steps = presence.shape
  fig = figure.Figure(figsize=(2.25 * (num_steps + 1), 2.7), dpi=100,
                      layout='constrained')
  panels = fig.subplots(1, num_steps + 1, sharex=True, sharey=True)
  centres = boxes[..., :2] + boxes[..., 2:] / 2.
  scene, step = np.nonzero(presence > 0.)
  order = np.random.RandomState(0).permutation(len(scene))  # None on top.
  scene, step = scene[order], step[order]
  colors = np.array([canvas.step_colour(t) for t in range(num_steps)])
  _scatter(panels[0], centres[scene, step], colors[step])
  panels[0].set_title('all steps', fontsize=10)
  for t, axes in enumerate(panels[1:]):
    of_step = centres[scene[step == t], t]
    _scatter(axes, of_step, colors[t])
    axes.set_title(f'step {t + 1}: {len(of_step):,} of\n{num_scenes:,} scenes',
                   fontsize=10, color=colors[t], fontweight='bold')
  panels[0].set_xlim(0., image_size[1])  # The panels share their axes.
  panels[0].set_ylim(image_size[0], 0.)
  panels[0].set_ylabel('pixels', fontsize=9)
  return fig


def _scatter(axes: axes_lib.Axes, points: np.ndarray, colors) -> None:
  """Plots points `[K, 2]`, (y, x), as small dots on dark grey."""
  axes.scatter(points[:, 1], points[:, 0], c=colors, s=3., alpha=.5,
               linewidths=0.)
  axes.set_facecolor(canvas.MAP_COLOUR)
  axes.set_aspect('equal')
  axes.tick_params(labelsize=8)


def label_efficiency(num_labels: Sequence[int], tasks: Mapping[str, Mapping]
                     ) -> figure.Figure:
  """Accuracy over the number of labels: a panel per task, a curve per input.

  Args:
    num_labels: at which the accuracies were measured.
    tasks: by title, accuracies `[runs, labels]` by the name of the input, drawn
      as their median and range; `chance` among them is a number, drawn as a
      line.

  Returns:
    The figure.
  """
  fig = figure.Figure(figsize=(7.6, 3.6), dpi=100, layout='constrained')
  panels = fig.subplots(1, len(tasks), sharey=True)
  for axes, (title, curves) in zip(panels, tasks.items(), strict=True):
    for i, (name, values) in enumerate(curves.items()):
      if name == 'chance':
        axes.axhline(100. * values, color='grey', linestyle=':', label=name)
      else:
        percent, colour = 100. * np.array(values), canvas.step_colour(i)
        axes.plot(num_labels, np.median(percent, axis=0), marker='o',
                  label=name, color=colour)
        axes.fill_between(num_labels, percent.min(axis=0), percent.max(axis=0),
                          color=colour, alpha=.2, linewidth=0.)
    axes.set_xscale('log')
    axes.set_xticks(num_labels, [f'{n:,}' for n in num_labels], fontsize=8)
    axes.minorticks_off()
    axes.set_ylim(0., 100.)
    axes.set_title(title, fontsize=10)
    axes.set_xlabel('labelled training scenes')
    axes.grid(alpha=.3)
  panels[0].set_ylabel('held-out accuracy, %')
  handles, names = panels[0].get_legend_handles_labels()
  fig.legend(handles, names, loc='outside upper center', ncols=4,
             frameon=False)
  return fig

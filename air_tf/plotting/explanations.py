"""Figures of explained scenes: progress, one scene step by step, worst errors.

An explanation is what `air_tf.explain` returns, or a SavedModel: a NamedTuple
or a mapping of arrays.

Letters: `N` images, `T` most steps, `[H, W]` image, `[h, w]` glimpse; both have
a last axis of 3 channels in colour.
"""

from collections.abc import Mapping
from typing import Any

from matplotlib import axes as axes_lib
from matplotlib import figure
from matplotlib import patches
import numpy as np

from air_tf.plotting import canvas

__all__ = ['WRONG', 'arrays', 'balanced_selection', 'count_text', 'film_strip',
           'progress', 'worst_errors']

WRONG = '✗'  # Marks a wrong count.

# Between neighbouring images, from edge to the same edge.
_PITCH = 1. + canvas.GAP
_GLIMPSE_PITCH = _PITCH + canvas.GAP  # Vertically, with a probability below.
_STRIP_PITCH = 1.5  # Horizontally in the film strip, with an arrow between.

Explanation = Mapping[str, Any] | tuple  # Of arrays, or a NamedTuple of them.


def progress(images: np.ndarray, explanation: Explanation,
             true_counts: np.ndarray | None = None) -> figure.Figure:
  """Plots the blog's progress figure: one column per image.

  From top to bottom: the input; the reconstruction after each step, with the
  box of its object; the glimpse of each step, with the probability that the
  step is taken. Steps that are not taken are faint.

  Args:
    images: `[N, H, W]`.
    explanation: with `num_steps` `[N]`, `step_probs` and `presence` `[N, T]`,
      `tight_boxes` `[N, T, 4]`, `canvases` `[N, T, H, W]`, `glimpses`
      `[N, T, h, w]`.
    true_counts: int `[N]`, written above the input if given.
  """
  fields = arrays(explanation)
  num_images, num_steps = fields['presence'].shape
  first_glimpse = (1 + num_steps) * _PITCH
  fig, axes = canvas.blank_figure(
      left=1., right=num_images * _PITCH, above=.38,
      below=first_glimpse + num_steps * _GLIMPSE_PITCH)
  canvas.row_label(axes, 0, 'input')
  for step in range(num_steps):
    canvas.row_label(axes, (1 + step) * _PITCH, f'after\nstep {step + 1}', step)
    canvas.row_label(axes, first_glimpse + step * _GLIMPSE_PITCH,
                     f'glimpse\n{step + 1}', step)
  for i in range(num_images):
    left = i * _PITCH
    canvas.plot_image(axes, images[i], left, 0)
    _title(axes, left, count_text(fields['num_steps'][i], true_counts, i))
    _progress_column(axes, {name: x[i] for name, x in fields.items()}, left)
  return fig


def film_strip(image: np.ndarray, attended: np.ndarray,
               explanation: Explanation) -> figure.Figure:
  """Plots the steps that explain one image: one row per step.

  From left to right: the glimpse's box; the glimpse; its reconstruction; the
  canvas after it is written. The last row is the step that is not taken.

  Args:
    image: `[H, W]`.
    attended: `[T, h, w]`, the glimpses read from the image.
    explanation: of this image alone, with `num_steps` `[]`, `step_probs` `[T]`,
      `boxes` `[T, 4]`, `glimpses` `[T, h, w]`, `canvases` `[T, H, W]`.
  """
  fields = arrays(explanation)
  count, probs = int(fields['num_steps']), fields['step_probs']
  stops = count < len(probs)
  fig, axes = canvas.blank_figure(
      left=1.35, right=3 * _STRIP_PITCH + 1.1, above=.5,
      below=count * _PITCH + (.55 if stops else .1))
  for column, title in enumerate(('attend', 'read', 'infer', 'write')):
    axes.text(column * _STRIP_PITCH + .5, -.12, title, ha='center',
              va='bottom', fontsize=10, fontweight='bold')
  size = np.array(image.shape[:2] * 2)
  for step in range(count):
    top = step * _PITCH
    canvas.row_label(axes, top, _step_text(step, probs), step)
    _film_strip_row(
        axes, top, step, fields['boxes'][step] / size,
        (image, attended[step], fields['glimpses'][step],
         fields['canvases'][step]))
  if stops:
    top = count * _PITCH
    canvas.row_label(axes, top - .3, _step_text(count, probs), count)
    axes.text(0., top + .2, 'stop', ha='left', va='center', fontsize=10)
  return fig


def worst_errors(images: np.ndarray, explanation: Explanation,
                 true_counts: np.ndarray | None) -> figure.Figure:
  """Plots scenes and how the model explains them: one column per scene.

  From top to bottom: the input; the reconstruction with all boxes; q(n), with
  the bar of the true count in black.

  Args:
    images: `[N, H, W]`.
    explanation: with `num_steps` `[N]`, `num_steps_probs` `[N, T + 1]`,
      `tight_boxes` `[N, T, 4]`, `reconstruction` `[N, H, W]`.
    true_counts: int `[N]`, if known.
  """
  fields = arrays(explanation)
  bars = 2 * _PITCH + .1  # Top of the row of bars.
  fig, axes = canvas.blank_figure(
      left=1.25, right=len(images) * _PITCH, above=.38, below=bars + 1.3)
  size = np.array(images.shape[1:3] * 2)
  for top, text in ((0., 'input'), (_PITCH, 'recon-\nstruction'),
                    (bars, 'q(n)')):
    canvas.row_label(axes, top, text)
  for i in range(len(images)):
    left, count = i * _PITCH, int(fields['num_steps'][i])
    _title(axes, left, count_text(count, true_counts, i))
    canvas.plot_image(axes, images[i], left, 0.)
    canvas.plot_image(axes, fields['reconstruction'][i], left, _PITCH)
    for step in range(count):
      canvas.plot_box(
          axes, fields['tight_boxes'][i, step] / size, step, (left, _PITCH))
    _bars(axes, fields['num_steps_probs'][i], left, bars + 1.,
          None if true_counts is None else true_counts[i])
  return fig


def balanced_selection(counts: np.ndarray | None, num_scenes: int,
                       num_selected: int) -> np.ndarray:
  """Selects scenes to plot: the first ones of each true count, in turn.

  Args:
    counts: int `[N]`, or None to select the first scenes.
    num_scenes: N.
    num_selected: how many to select, if there are so many.

  Returns:
    int `[min(N, num_selected)]`, indices of scenes.
  """
  if counts is None:
    return np.arange(min(num_scenes, num_selected))
  rank = np.zeros(num_scenes, np.int64)  # Among the scenes of its count.
  for n in np.unique(counts):
    rank[counts == n] = np.arange((counts == n).sum())
  return np.lexsort([-counts, rank])[:num_selected]


def count_text(count: int, true_counts: np.ndarray | None, i: int) -> str:
  """Returns the predicted count, of how many in scene i; `WRONG` or not."""
  if true_counts is None:
    return f'{count}'
  mark = '' if count == true_counts[i] else f' {WRONG}'
  return f'{count} of {true_counts[i]}{mark}'


def arrays(explanation: Explanation) -> dict[str, np.ndarray]:
  """Returns the arrays by name; fields that are None are left out."""
  fields = (explanation if isinstance(explanation, Mapping)
            else explanation._asdict())
  return {name: np.asarray(x) for name, x in fields.items() if x is not None}


def _progress_column(axes: axes_lib.Axes, fields: dict[str, np.ndarray],
                     left: float) -> None:
  """Plots canvases and glimpses of one image below its input."""
  num_steps, *image_shape = fields['canvases'].shape
  size = np.array(image_shape[:2] * 2)
  for step in range(num_steps):
    present = fields['presence'][step] > 0
    alpha = 1. if present else canvas.ABSENT_OPACITY
    top = (1 + step) * _PITCH
    canvas.plot_image(axes, fields['canvases'][step], left, top, alpha)
    if present:
      canvas.plot_box(
          axes, fields['tight_boxes'][step] / size, step, (left, top))
    top = (1 + num_steps) * _PITCH + step * _GLIMPSE_PITCH
    canvas.plot_image(axes, fields['glimpses'][step], left, top, alpha)
    probability = fields['step_probs'][step]
    axes.text(left + .5, top + 1.02, f'{100 * probability:.0f} %', ha='center',
              va='top', fontsize=7)


def _film_strip_row(axes: axes_lib.Axes, top: float, step: int,
                    box: np.ndarray, images: tuple[np.ndarray, ...]) -> None:
  """Plots the images of one step, with arrows from each to the next."""
  for column, image in enumerate(images):
    left = column * _STRIP_PITCH
    canvas.plot_image(axes, image, left, top)
    if column in (0, 3):
      canvas.plot_box(axes, box, step, (left, top))
    if column:
      axes.annotate(
          '', (left - .08, top + .5), (left - _STRIP_PITCH + 1.08, top + .5),
          arrowprops=dict(arrowstyle='->', color=canvas.step_colour(step)))


def _bars(axes: axes_lib.Axes, probs: np.ndarray, left: float, bottom: float,
          true_count: int | None) -> None:
  """Plots a distribution over counts `[T + 1]` in a unit square."""
  width = 1. / len(probs)
  for n, probability in enumerate(probs):
    true, x = n == true_count, left + (n + .1) * width
    axes.add_patch(patches.Rectangle(
        (x, bottom), .8 * width, -float(probability),
        color='black' if true else '#999999', linewidth=0))
    axes.text(x + .4 * width, bottom + .04, f'{n}', ha='center', va='top',
              fontsize=8, fontweight='bold' if true else 'normal')
  axes.plot([left, left + 1.], [bottom] * 2, color='black', linewidth=.8)


def _title(axes: axes_lib.Axes, left: float, text: str) -> None:
  axes.text(left + .5, -.08, text, ha='center', va='bottom', fontsize=8)


def _step_text(step: int, probs: np.ndarray) -> str:
  return f'step {step + 1}\nP = {100 * probs[step]:.0f} %'

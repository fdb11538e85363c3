"""Pictures of what the model does.

Letters: `N` images, `T` most steps, `[H, W]` image, `[h, w]` glimpse; both have
a last axis of 3 channels in colour.
"""

import io
import pathlib

import matplotlib
from matplotlib import axes as axes_lib
from matplotlib import figure
from matplotlib import patches
from matplotlib.backends import backend_agg
import numpy as np

from air_tf import files

__all__ = ['ABSENT', 'GAP', 'STEP_COLOURS', 'blank', 'box', 'colour',
           'draw_boxes', 'label', 'picture', 'progress', 'rgb', 'save',
           'spread', 'verdict']

# One colour a step, told apart by colour-blind readers too (Okabe and Ito).
STEP_COLOURS = ('#E69F00', '#56B4E9', '#009E73', '#F0E442', '#D55E00',
                '#CC79A7', '#0072B2')
GAP = .12  # Between two pictures, as a part of a picture's side.
ABSENT = .25  # Opacity of what the model decided not to write.

matplotlib.rcParams['font.family'] = 'DejaVu Sans'  # Ships with matplotlib.


def progress(images: np.ndarray, answer: dict[str, np.ndarray],
             true_counts: np.ndarray | None = None) -> figure.Figure:
  """The blog's progress figure: a column an image, read from top to bottom.

  The input; the reconstruction after each step, with that step's glimpse box;
  the glimpse of each step, with the probability that the step is taken. Steps
  that the model does not take are faint.

  Args:
    images: float `[N, H, W]`, 0 ... 1.
    answer: as `explain.explain` gives: `num_steps` `[N]`, `num_steps_probs`
      `[N, T + 1]`, `presence` `[N, T]`, `boxes` `[N, T, 4]`, `canvases`
      `[N, T, H, W]`, `glimpses` `[N, T, h, w]`.
    true_counts: int `[N]`, written above the input if given.

  Returns:
    The figure.
  """
  num_images, num_steps = answer['presence'].shape
  pitch = 1. + GAP
  first_glimpse = (1 + num_steps) * pitch
  glimpse_pitch = pitch + GAP  # Room for the probability below it.
  fig, axes = blank(left=1., right=num_images * pitch, above=.38,
                    below=first_glimpse + num_steps * glimpse_pitch)

  # P(n >= t): the probability that step t is taken.
  taken = np.cumsum(answer['num_steps_probs'][:, ::-1], axis=1)[:, ::-1][:, 1:]
  label(axes, 0, 'input')
  for step in range(num_steps):
    label(axes, (1 + step) * pitch, f'after\nstep {step + 1}', step)
    label(axes, first_glimpse + step * glimpse_pitch,
          f'glimpse\n{step + 1}', step)
  for i in range(num_images):
    left = i * pitch
    picture(axes, images[i], left, 0)
    axes.text(left + .5, -.08, verdict(answer['num_steps'][i], true_counts, i),
              ha='center', va='bottom', fontsize=8)
    for step in range(num_steps):
      present = answer['presence'][i, step] > 0
      top = (1 + step) * pitch
      alpha = 1. if present else ABSENT
      picture(axes, answer['canvases'][i, step], left, top, alpha)
      if present:
        box(axes, answer['boxes'][i, step] / images.shape[1], step,
            (left, top))
      top = first_glimpse + step * glimpse_pitch
      picture(axes, answer['glimpses'][i, step], left, top, alpha)
      axes.text(left + .5, top + 1.02, f'{100 * taken[i, step]:.0f} %',
                ha='center', va='top', fontsize=7)
  return fig


def draw_boxes(image: np.ndarray, boxes: np.ndarray,
               title: str = '') -> figure.Figure:
  """One image with its boxes, an overlay.

  Args:
    image: float `[H, W]`, 0 ... 1.
    boxes: `[K, 4]`, (y, x, height, width) in pixels, in the order of steps.
    title: a line above the image.

  Returns:
    The figure.
  """
  fig = figure.Figure(figsize=(2.5, 2.75), dpi=100)
  axes = fig.add_axes([.02, .02, .96, .86])
  height, width = image.shape[:2]
  picture(axes, image, 0, 0)
  for step, place in enumerate(boxes):
    box(axes, place / [height, width, height, width], step)
  axes.set_xlim(0, 1)
  axes.set_ylim(1, 0)
  axes.axis('off')
  axes.set_title(title, fontsize=9)
  return fig


def rgb(fig: figure.Figure) -> np.ndarray:
  """Renders a figure to uint8 `[rows, columns, 3]`."""
  canvas = backend_agg.FigureCanvasAgg(fig)
  canvas.draw()
  return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def save(fig: figure.Figure, path: str | pathlib.Path) -> None:
  """Writes a figure as PNG, atomically. Raises `errors.UserError`."""
  buffer = io.BytesIO()
  fig.savefig(buffer, format='png')
  files.write_bytes(path, buffer.getvalue())


def blank(left: float, right: float, above: float, below: float
          ) -> tuple[figure.Figure, axes_lib.Axes]:
  """An empty figure that is all picture; y goes down.

  Args:
    left: room on the left of the origin, in pictures of .9 inches.
    right: on its right.
    above: above it.
    below: below it.

  Returns:
    The figure and its axes.
  """
  fig = figure.Figure(
      figsize=(.9 * (left + right), .9 * (above + below)), dpi=100)
  axes = fig.add_axes([0, 0, 1, 1])
  axes.set_xlim(-left, right)
  axes.set_ylim(below, -above)
  axes.set_autoscale_on(False)
  axes.axis('off')
  return fig, axes


def picture(axes: axes_lib.Axes, image: np.ndarray, left: float, top: float,
            alpha: float = 1.) -> None:
  """Shows an image `[H, W]` in a unit square with that top left corner.

  Pixels above 1, where objects overlap, are shown as 1.
  """
  axes.imshow(np.clip(image, 0., 1.), cmap='gray', vmin=0., vmax=1.,
              alpha=alpha, extent=(left, left + 1, top + 1, top),
              interpolation='nearest')


def box(axes: axes_lib.Axes, place: np.ndarray, step: int,
        origin: tuple[float, float] = (0., 0.)) -> None:
  """Draws the box of a step over a picture, and nothing beside it.

  Args:
    axes: where the picture is.
    place: `[4]`, (y, x, height, width) as parts of the picture's side.
    step: from 0, for the colour.
    origin: top left corner of the picture.
  """
  y, x, height, width = place
  rectangle = patches.Rectangle(
      (origin[0] + x, origin[1] + y), width, height, fill=False, linewidth=1.5,
      edgecolor=colour(step))
  axes.add_patch(rectangle)
  rectangle.set_clip_path(
      patches.Rectangle(origin, 1, 1, transform=axes.transData))


def colour(step: int) -> str:
  """The colour of a step, from 0."""
  return STEP_COLOURS[step % len(STEP_COLOURS)]


def verdict(count: int, true_counts: np.ndarray | None, i: int) -> str:
  """Says what was counted of how many in scene i, and marks mistakes."""
  if true_counts is None:
    return f'{count}'
  mark = '' if count == true_counts[i] else ' ✗'
  return f'{count} of {true_counts[i]}{mark}'


def spread(counts: np.ndarray | None, num_scenes: int,
           num_wanted: int) -> np.ndarray:
  """Chooses scenes to show: as many of each true count, the first ones.

  Args:
    counts: int `[N]`, or None to take the first scenes.
    num_scenes: N.
    num_wanted: how many to choose, if there are so many.

  Returns:
    int `[min(N, num_wanted)]`, numbers of scenes, counts in turn.
  """
  if counts is None:
    return np.arange(min(num_scenes, num_wanted))
  rank = np.zeros(num_scenes, np.int64)  # Among the scenes of its count.
  for n in np.unique(counts):
    rank[counts == n] = np.arange((counts == n).sum())
  return np.lexsort([-counts, rank])[:num_wanted]


def label(axes: axes_lib.Axes, top: float, text: str,
          step: int | None = None) -> None:
  """Names a row of pictures on its left, in the colour of a step if given."""
  ink = 'black' if step is None else colour(step)
  axes.text(-.1, top + .5, text, ha='right', va='center', fontsize=8,
            color=ink, fontweight='bold')

"""Pictures of what the model does.

Letters: `N` images, `T` most steps, `[H, W]` image, `[h, w]` glimpse.
"""

import io
import pathlib

import matplotlib
from matplotlib import figure
from matplotlib import patches
from matplotlib.backends import backend_agg
import numpy as np

__all__ = ['STEP_COLOURS', 'draw_boxes', 'progress', 'rgb', 'save']

# One colour a step, told apart by colour-blind readers too (Okabe and Ito).
STEP_COLOURS = ('#E69F00', '#56B4E9', '#009E73', '#F0E442', '#D55E00',
                '#CC79A7', '#0072B2')
_GAP = .12  # Between two pictures, as a part of a picture's side.
_ABSENT = .25  # Opacity of what the model decided not to write.

matplotlib.rcParams['font.family'] = 'DejaVu Sans'  # Ships with matplotlib.


def progress(images: np.ndarray, answer: dict[str, np.ndarray],
             true_counts: np.ndarray | None = None) -> figure.Figure:
  """The blog's progress figure: a column an image, read from top to bottom.

  The input; the reconstruction after each step, with that step's glimpse box;
  the glimpse of each step, with the probability that the step is taken. Steps
  that the model does not take are faint.

  Args:
    images: float `[N, H, W]`, 0 ... 1.
    answer: as `export.explain` gives: `num_steps` `[N]`, `num_steps_probs`
      `[N, T + 1]`, `presence` `[N, T]`, `boxes` `[N, T, 4]`, `canvases`
      `[N, T, H, W]`, `glimpses` `[N, T, h, w]`.
    true_counts: int `[N]`, written above the input if given.

  Returns:
    The figure.
  """
  num_images, num_steps = answer['presence'].shape
  num_rows = 1 + 2 * num_steps
  pitch = 1. + _GAP
  fig = figure.Figure(
      figsize=(.9 * pitch * num_images + .9, .9 * pitch * num_rows + .35),
      dpi=100)
  axes = fig.add_axes([0, 0, 1, 1])
  axes.set_xlim(-1., num_images * pitch)
  axes.set_ylim(num_rows * pitch, -.38)
  axes.set_aspect('equal')
  axes.axis('off')

  # P(n >= t): the probability that step t is taken.
  taken = np.cumsum(answer['num_steps_probs'][:, ::-1], axis=1)[:, ::-1][:, 1:]
  _label(axes, 0, 'input')
  for step in range(num_steps):
    _label(axes, (1 + step) * pitch, f'after\nstep {step + 1}', step)
    _label(axes, (1 + num_steps + step) * pitch, f'glimpse\n{step + 1}', step)
  for i in range(num_images):
    left = i * pitch
    _picture(axes, images[i], left, 0)
    axes.text(left + .5, -.08, _verdict(answer['num_steps'][i], true_counts, i),
              ha='center', va='bottom', fontsize=8)
    for step in range(num_steps):
      present = answer['presence'][i, step] > 0
      top = (1 + step) * pitch
      alpha = 1. if present else _ABSENT
      _picture(axes, answer['canvases'][i, step], left, top, alpha)
      if present:
        box = answer['boxes'][i, step] / images.shape[1]
        _box(axes, box, step, (left, top), clip=(left, top, 1, 1))
      top = (1 + num_steps + step) * pitch
      _picture(axes, answer['glimpses'][i, step], left, top, alpha)
      axes.text(left + .95, top + .93, f'{100 * taken[i, step]:.0f} %',
                color='white' if present else 'black', ha='right',
                va='bottom', fontsize=7)
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
  height, width = image.shape
  _picture(axes, image, 0, 0)
  for step, box in enumerate(boxes):
    _box(axes, box / [height, width, height, width], step, (0, 0),
         clip=(0, 0, 1, 1))
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
  """Writes a figure as PNG, whole or not at all; makes the folder."""
  path = pathlib.Path(path)
  path.parent.mkdir(parents=True, exist_ok=True)
  buffer = io.BytesIO()
  fig.savefig(buffer, format='png')
  temporary = path.with_name(f'.{path.name}')
  temporary.write_bytes(buffer.getvalue())
  temporary.replace(path)


def _verdict(count, true_counts, i: int) -> str:
  if true_counts is None:
    return f'{count}'
  mark = '' if count == true_counts[i] else ' ✗'
  return f'{count} of {true_counts[i]}{mark}'


def _label(axes, top: float, text: str, step: int | None = None) -> None:
  colour = 'black' if step is None else _colour(step)
  axes.text(-.1, top + .5, text, ha='right', va='center', fontsize=8,
            color=colour, fontweight='bold')


def _picture(axes, image, left, top, alpha: float = 1.) -> None:
  """Shows an image in the unit square whose top left corner is given."""
  axes.imshow(image, cmap='gray', vmin=0., vmax=1., alpha=alpha,
              extent=(left, left + 1, top + 1, top), interpolation='nearest')


def _box(axes, box, step: int, origin, clip) -> None:
  """Draws a box given as parts of an image's side."""
  y, x, height, width = box
  rectangle = patches.Rectangle(
      (origin[0] + x, origin[1] + y), width, height, fill=False, linewidth=1.5,
      edgecolor=_colour(step))
  axes.add_patch(rectangle)
  frame = patches.Rectangle(clip[:2], *clip[2:], transform=axes.transData)
  rectangle.set_clip_path(frame)


def _colour(step: int) -> str:
  return STEP_COLOURS[step % len(STEP_COLOURS)]

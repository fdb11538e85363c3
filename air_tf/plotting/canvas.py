"""What figures of images are made of: images, boxes, labels; saving them.

Letters: `K` boxes, `[H, W]` image, with a last axis of 3 channels in colour.
"""

import io
import os

import matplotlib
from matplotlib import axes as axes_lib
from matplotlib import figure
from matplotlib import patches
from matplotlib.backends import backend_agg
import numpy as np

from air_tf import files

__all__ = ['ABSENT_OPACITY', 'GAP', 'MAP_COLOUR', 'STEP_COLOURS',
           'blank_figure', 'plot_box', 'plot_boxes', 'plot_image', 'rgb',
           'row_label', 'save', 'step_colour']

# One colour per step, distinct to colour-blind readers too (Okabe and Ito).
STEP_COLOURS = ('#E69F00', '#56B4E9', '#009E73', '#F0E442', '#D55E00',
                '#CC79A7', '#0072B2')
GAP = .12  # Between two images, as a fraction of an image's side.
MAP_COLOUR = '#222222'  # Of maps of places, where there is none.
ABSENT_OPACITY = .25  # Of the images of steps that are not taken.

matplotlib.rcParams['font.family'] = 'DejaVu Sans'  # Ships with matplotlib.


def plot_boxes(image: np.ndarray, boxes: np.ndarray,
               title: str = '') -> figure.Figure:
  """Plots one image with boxes over it.

  Args:
    image: `[H, W]`.
    boxes: `[K, 4]`, (y, x, height, width) in pixels, in the order of steps.
    title: a line above the image.
  """
  fig = figure.Figure(figsize=(2.5, 2.75), dpi=100)
  axes = fig.add_axes([.02, .02, .96, .86])
  height, width = image.shape[:2]
  plot_image(axes, image, 0, 0)
  for step, box in enumerate(boxes):
    plot_box(axes, box / [height, width, height, width], step)
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


def save(fig: figure.Figure, path: str | os.PathLike[str]) -> None:
  """Writes a figure as a PNG file, atomically; makes its folder.

  Raises:
    errors.UserError: if the file cannot be written.
  """
  buffer = io.BytesIO()
  fig.savefig(buffer, format='png')
  files.write_bytes(path, buffer.getvalue())


def blank_figure(left: float, right: float, above: float, below: float
                 ) -> tuple[figure.Figure, axes_lib.Axes]:
  """Makes a figure without margins or ticks; y points down.

  Args:
    left: space left of the origin, in units of .9 inches, an image's side.
    right: space right of it.
    above: space above it.
    below: space below it.

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


def plot_image(axes: axes_lib.Axes, image: np.ndarray, left: float, top: float,
               alpha: float = 1.) -> None:
  """Plots an image `[H, W]` in the unit square with that upper left corner.

  Pixels above 1, where objects overlap, are clipped to 1.
  """
  image = np.asarray(image)
  if image.dtype == np.uint8:
    image = image / 255.
  axes.imshow(np.clip(image, 0., 1.), cmap='gray', vmin=0., vmax=1.,
              alpha=alpha, extent=(left, left + 1, top + 1, top),
              interpolation='nearest')


def plot_box(axes: axes_lib.Axes, box: np.ndarray, step: int,
             origin: tuple[float, float] = (0., 0.)) -> None:
  """Plots the box of a step over an image, clipped to the image.

  Args:
    axes: those of the image.
    box: `[4]`, (y, x, height, width) as fractions of the image's sides.
    step: from 0, for the colour.
    origin: upper left corner of the image.
  """
  y, x, height, width = box
  rectangle = patches.Rectangle(
      (origin[0] + x, origin[1] + y), width, height, fill=False, linewidth=1.5,
      edgecolor=step_colour(step))
  axes.add_patch(rectangle)
  rectangle.set_clip_path(
      patches.Rectangle(origin, 1, 1, transform=axes.transData))


def step_colour(step: int) -> str:
  """Returns the colour of a step, counted from 0."""
  return STEP_COLOURS[step % len(STEP_COLOURS)]


def row_label(axes: axes_lib.Axes, top: float, text: str,
              step: int | None = None) -> None:
  """Labels a row of images on its left, in the colour of a step if given."""
  colour = 'black' if step is None else step_colour(step)
  axes.text(-.1, top + .5, text, ha='right', va='center', fontsize=8,
            color=colour, fontweight='bold')

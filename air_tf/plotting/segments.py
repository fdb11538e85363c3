"""Images beside their masks, the true ones and those of a model.

Letters: `N` images, `[H, W]` image (`[H, W, 3]` in colour). Masks are uint8: 0
of the ground, k of an object.
"""

from matplotlib import colors
from matplotlib import figure
import numpy as np
from scipy import optimize

from air_tf.plotting import canvas

__all__ = ['masks']


def masks(images: np.ndarray, true: np.ndarray,
          found: np.ndarray) -> figure.Figure:
  """Plots a column for each image: the image, true masks, the model's.

  Objects of the model are matched to true ones, one to one, by the pixels that
  they share, and have the colours of these; the others have colours of their
  own.

  Args:
    images: `[N, H, W]`, 0 ... 1 or uint8.
    true: uint8 `[N, H, W]`.
    found: uint8 `[N, H, W]`.
  """
  pitch = 1. + canvas.GAP
  fig, axes = canvas.blank_figure(1., len(images) * pitch, canvas.GAP,
                                  3 * pitch)
  fig.set_facecolor('.5')  # Where black images end is seen.
  for row, name in enumerate(('image', 'true', 'model')):
    canvas.row_label(axes, row * pitch, name)
  for column, (image, mask, guess) in enumerate(
      zip(images, true, found, strict=True)):
    for row, shown in enumerate(
        (image, _coloured(mask), _coloured(_renumbered(mask, guess)))):
      canvas.plot_image(axes, shown, column * pitch, row * pitch)
  return fig


def _renumbered(true: np.ndarray, found: np.ndarray) -> np.ndarray:
  """The model's objects, with the numbers of the true ones they match."""
  num_true, num_found = int(true.max()), int(found.max())
  shared = np.zeros([num_found + 1, num_true + 1], int)
  np.add.at(shared, (found.ravel(), true.ravel()), 1)
  rows, columns = optimize.linear_sum_assignment(shared[1:, 1:], maximize=True)
  numbers = np.zeros(num_found + 1, int)
  numbers[rows + 1] = columns + 1
  rest = np.setdiff1d(np.arange(1, num_found + 1), rows + 1)
  numbers[rest] = num_true + 1 + np.arange(len(rest))
  return numbers[found]


def _coloured(mask: np.ndarray) -> np.ndarray:
  """Numbers `[H, W]` as colours, `[H, W, 3]`, 0 ... 1; the ground is black."""
  table = np.array([(0., 0., 0.)] + [
      colors.to_rgb(canvas.step_colour(k)) for k in range(mask.max())])
  return table[mask]

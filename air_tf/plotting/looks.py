"""The first images of a set, side by side.

Letters: `N` images, `[H, W]` image (`[H, W, 3]` in colour).
"""

from matplotlib import figure
import numpy as np

from air_tf.plotting import canvas

__all__ = ['MOST', 'first_images']

MOST = 16  # Images in the figure.
_COLUMNS = 8


def first_images(images: np.ndarray) -> figure.Figure:
  """Plots up to `MOST` images in rows of eight, on a grey page.

  Args:
    images: uint8 `[N, H, W]` or `[N, H, W, 3]`.
  """
  images = np.asarray(images[:MOST])
  rows = -(-len(images) // _COLUMNS)
  pitch = 1. + canvas.GAP
  fig, axes = canvas.blank_figure(
      canvas.GAP, _COLUMNS * pitch, canvas.GAP, rows * pitch)
  fig.set_facecolor('.5')  # Where black images end is seen.
  for i, image in enumerate(images):
    canvas.plot_image(axes, image, i % _COLUMNS * pitch, i // _COLUMNS * pitch)
  return fig

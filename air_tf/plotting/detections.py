"""Places of objects that several methods find, beside each other.

Letters: `N` images, `K` places in an image, `[H, W]` image.
"""

from collections.abc import Mapping
from collections.abc import Sequence

from matplotlib import figure
import numpy as np

from air_tf.plotting import canvas

__all__ = ['grid']


def grid(images: Sequence[np.ndarray],
         places: Mapping[str, Sequence[np.ndarray]]) -> figure.Figure:
  """Plots images in rows and methods in columns, a dot for each object.

  Args:
    images: N of uint8 `[H, W]`.
    places: by method, N of `[K, 2]`, (y, x) in pixels.
  """
  side = 1.6 if len(images) > 1 else 4.
  fig = figure.Figure(
      figsize=(side * len(places), (side + .25) * len(images)), dpi=100)
  cells = fig.subplots(len(images), len(places), squeeze=False)
  for row, image in enumerate(images):
    for column, (name, of_images) in enumerate(places.items()):
      axes, found = cells[row, column], of_images[row]
      axes.imshow(image, cmap='gray', vmin=0, vmax=255,
                  interpolation='nearest')
      axes.plot(found[:, 1] - .5, found[:, 0] - .5, linestyle='', marker='+',
                color=canvas.step_colour(column), markersize=5)
      axes.set_axis_off()
      axes.set_title(f'{name}: {len(found)}', fontsize=8)
  fig.tight_layout(pad=.3)
  return fig

"""Figures of what the generative model makes: samples and traversals.

Letters: `R` rows, `C` columns, `[H, W]` image (`[H, W, 3]` in colour), `Z` size
of `what`, `K` codes.
"""

from collections.abc import Sequence

from matplotlib import figure
import numpy as np

from air_tf.plotting import canvas

__all__ = ['grid', 'principal_directions']

_PITCH = 1. + canvas.GAP


def grid(images: np.ndarray, rows: Sequence[str],
         columns: Sequence[str] = ()) -> figure.Figure:
  """Plots images in labelled rows and columns.

  Args:
    images: `[R, C, H, W]`, 0 ... 1.
    rows: R labels.
    columns: C labels, or none.
  """
  fig, axes = canvas.blank_figure(
      left=1.35, right=images.shape[1] * _PITCH,
      above=.35 if columns else .1, below=images.shape[0] * _PITCH)
  for row, (name, line) in enumerate(zip(rows, images, strict=True)):
    canvas.row_label(axes, row * _PITCH, name)
    for column, image in enumerate(line):
      canvas.plot_image(axes, image, column * _PITCH, row * _PITCH)
  for column, name in enumerate(columns):
    axes.text(column * _PITCH + .5, -.08, name, ha='center', va='bottom',
              fontsize=9)
  return fig


def principal_directions(codes: np.ndarray, num_directions: int
                         ) -> tuple[np.ndarray, np.ndarray]:
  """Returns the principal components of codes.

  Args:
    codes: `[K, Z]`, K at least 2.
    num_directions: D, at most Z.

  Returns:
    `[D, Z]`, each as long as one standard deviation in its direction, longest
    first, with the entry of largest magnitude positive; and the fraction of the
    variance that each explains, `[D]`.
  """
  variances, vectors = np.linalg.eigh(
      np.atleast_2d(np.cov(codes.astype(np.float64), rowvar=False)))
  variances = np.maximum(variances[::-1], 0.)
  vectors = vectors.T[::-1]
  largest = np.take_along_axis(
      vectors, np.abs(vectors).argmax(axis=1)[:, np.newaxis], axis=1)
  vectors = vectors * np.where(largest < 0., -1., 1.)
  directions = vectors * np.sqrt(variances)[:, np.newaxis]
  fractions = variances / max(variances.sum(), 1e-12)
  return directions[:num_directions], fractions[:num_directions]

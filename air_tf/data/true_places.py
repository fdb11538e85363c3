"""Where the objects of pictures are, as somebody marked them.

Letters: `P` pictures, `[H, W]` picture, `K` objects in it. Places are (y, x) in
pixels, counted from the upper left corner of the first pixel.
"""

from collections.abc import Iterable
import csv
import io

import numpy as np
from scipy import ndimage

from air_tf import errors
from air_tf import paths
from air_tf.data import images as images_lib
from air_tf.data import untrusted

__all__ = ['read']

# Columns of (y, x), and how far 0 is from the corner of the first pixel: what
# napari, ImageJ and `bin/infer.py --csv` write (the first), and plain tables.
_COLUMNS = {('axis-0', 'axis-1'): .5, ('Y', 'X'): 0., ('y', 'x'): 0.}
_LARGEST = 2**26  # Bytes of a table.


def read(path: str, shapes: Iterable[tuple[int, ...]]) -> list[np.ndarray]:
  """Returns the places of objects in P pictures, a list of `[K, 2]`.

  Args:
    path: of a table (.csv) of points in the only picture, with columns `y` and
      `x`, `Y` and `X` (ImageJ) or `axis-0` and `axis-1` (napari); or of label
      images: a picture, a folder of them or a stack, P in the order of the
      pictures, each with the number of an object in its pixels and 0 elsewhere.
      A label image with one number only is a mask, whose connected parts are
      the objects.
    shapes: P of (H, W, ...).

  Raises:
    errors.UserError: if it cannot be read or does not fit the pictures.
  """
  shapes = [shape[:2] for shape in shapes]
  name = untrusted.printable(path)
  if path.lower().endswith('.csv'):
    if len(shapes) != 1:
      raise errors.UserError(
          f'{name}: one table of points, for {len(shapes)} pictures; expected '
          'one picture, or a folder of label images.')
    return [_points(path, shapes[0])]
  labels = list(images_lib.open_source(path).read())
  if len(labels) != len(shapes):
    raise errors.UserError(
        f'{name}: found {len(labels)} label images for {len(shapes)} pictures; '
        'expected one for each, in the order of their names.')
  return [_centroids(label, values, shape)
          for (label, values), shape in zip(labels, shapes, strict=True)]


def _centroids(name: str, values: np.ndarray, shape: tuple[int, int]
               ) -> np.ndarray:
  """Returns the centroids of the labels in `[H, W]`, or of its colours."""
  if values.ndim == 3 and values.shape[:2] == shape:  # By a palette.
    values = values.astype(np.int64) @ [1, 1 << 16, 1 << 32]
  if values.shape != shape or not np.array_equal(values, np.trunc(values)):
    raise errors.UserError(
        f'{name}: found an array of {values.dtype} {list(values.shape)}; '
        f'expected whole numbers {list(shape)}, the labels of the picture\'s '
        'pixels.')
  numbers = np.unique(values[values != 0])
  if len(numbers) == 1:
    values, found = ndimage.label(values)
    numbers = np.arange(1, found + 1)
  middles = ndimage.center_of_mass(values != 0, values, numbers)
  return np.array(middles, float).reshape(-1, 2) + .5


def _points(path: str, shape: tuple[int, int]) -> np.ndarray:
  name = untrusted.printable(path)
  try:
    text = paths.read_regular(path, _LARGEST).decode('utf-8-sig')
    rows = list(csv.DictReader(io.StringIO(text), strict=True))
  except OSError as error:
    raise errors.UserError(
        f'{name}: cannot be read ({error.strerror}); expected a table of '
        'points (.csv).') from error
  except (ValueError, csv.Error) as error:
    raise errors.UserError(
        f'{name}: no table ({errors.one_line(error)[:200]}); expected CSV with '
        'a line of names above points.') from error
  columns = next((x for x in _COLUMNS if rows and set(x) <= set(rows[0])), None)
  if columns is None:
    raise errors.UserError(
        f'{name}: found no points with columns y and x, Y and X, or axis-0 and '
        'axis-1; expected one of these pairs and a row for each object.')
  try:
    points = np.array([[float(row[x]) for x in columns] for row in rows])
  except (TypeError, ValueError) as error:
    raise errors.UserError(
        f'{name}: {errors.one_line(error)[:200]}; expected numbers, in pixels.'
        ) from error
  points += _COLUMNS[columns]
  outside = ~((points >= 0.) & (points <= shape)).all(axis=1)
  if outside.any():
    raise errors.UserError(
        f'{name}: found the point {points[outside][0].tolist()} (y, x), '
        f'outside of the picture of {list(shape)} pixels; expected pixels.')
  return points

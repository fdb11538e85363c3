"""The objects of pictures as text: JSON lines, and CSV for ImageJ and napari.

Letters: `K` objects of a picture. Boxes are (y, x, height, width) in pixels,
counted from the upper left corner of the first pixel, as ImageJ does it.
"""

import csv
import json
from typing import TextIO

import numpy as np

from air_tf.serving import tiled

__all__ = ['COLUMNS', 'ObjectWriter', 'json_line', 'write_boxes']

# napari takes a table with `axis-0` and `axis-1` for points, ImageJ one with
# `X` and `Y` for results, `BX` and `BY` being the corner of the box; both keep
# the other columns as properties.
COLUMNS = ('index', 'image', 'axis-0', 'axis-1', 'score', 'X', 'Y', 'BX', 'BY',
           'Width', 'Height')
_BOX_COLUMNS = ('index', 'shape-type', 'vertex-index', 'axis-0', 'axis-1')
# For napari, coordinates are whole in the middle of a pixel.
_NAPARI = .5


def json_line(prediction: tiled.TiledPrediction) -> str:
  """Returns one line of JSON, without its end."""
  objects = prediction.objects
  return json.dumps({
      'image': prediction.name, 'num_steps': prediction.num_steps,
      'boxes': objects.boxes.round(2).tolist(),
      'scores': objects.scores.round(6).tolist()})


class ObjectWriter:
  """Writes one row per object, with the columns `COLUMNS`."""

  def __init__(self, file: TextIO):
    """Writes the header to a file opened with `newline=''`."""
    self._rows = csv.writer(file)
    self._rows.writerow(COLUMNS)

  def write(self, prediction: tiled.TiledPrediction) -> None:
    """Writes K rows; `index` counts from 1, as the labels of a mask do."""
    objects = prediction.objects
    for k, ((y, x, height, width), score) in enumerate(zip(
        objects.boxes.round(2).tolist(), objects.scores, strict=True)):
      middle = y + height / 2., x + width / 2.
      self._rows.writerow([
          k + 1, prediction.name, *(round(m - _NAPARI, 3) for m in middle),
          round(float(score), 6), *(round(m, 3) for m in reversed(middle)), x,
          y, width, height])


def write_boxes(file: TextIO, boxes: np.ndarray) -> None:
  """Writes boxes `[K, 4]` as a table of rectangles that napari opens."""
  rows = csv.writer(file)
  rows.writerow(_BOX_COLUMNS)
  for k, (y, x, height, width) in enumerate(boxes.round(2).tolist()):
    for vertex, (down, right) in enumerate(((0, 0), (0, 1), (1, 1), (1, 0))):
      rows.writerow([
          k, 'rectangle', vertex, round(y + down * height - _NAPARI, 3),
          round(x + right * width - _NAPARI, 3)])

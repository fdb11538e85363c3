"""Predictions as text: JSON lines, and CSV for spreadsheets.

Letters: `T` most steps.
"""

import csv
import json
import pathlib
from typing import TextIO

import numpy as np

from air_tf import files
from air_tf.serving import predictor

__all__ = ['CsvWriter', 'json_line', 'open_csv']


def json_line(prediction: predictor.Prediction) -> str:
  """Returns one line of JSON, without its end."""
  return json.dumps({
      'image': prediction.name, 'count': len(prediction.boxes),
      'probabilities': _rounded(prediction.probabilities, 6),
      'boxes': _rounded(prediction.boxes, 2)})


def open_csv(path: str) -> TextIO:
  """Opens a table, `--csv=PATH`, for one of the writers; makes its folder.

  Raises:
    errors.UserError: if it cannot be written.
  """
  with files.unwritable_as_user_error(f'--csv={path}'):
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    return open(path, 'w', newline='', encoding='utf-8',
                errors='backslashreplace')


class CsvWriter:
  """Writes one row per image: name, count, T + 1 probabilities, T boxes.

  Columns: `image`, `count`, `p_0` ... `p_T`, then `y_1`, `x_1`, `height_1`,
  `width_1` and so on to T; cells of absent objects are empty.
  """

  def __init__(self, file: TextIO, max_steps: int):
    """Writes the header to a file opened with `newline=''`."""
    self._rows = csv.writer(file)
    self._num_cells = 4 * max_steps
    boxes = [f'{name}_{step + 1}' for step in range(max_steps)
             for name in ('y', 'x', 'height', 'width')]
    counts = [f'p_{n}' for n in range(max_steps + 1)]
    self._rows.writerow(['image', 'count', *counts, *boxes])

  def write(self, prediction: predictor.Prediction) -> None:
    """Writes one row."""
    boxes = _rounded(prediction.boxes.ravel(), 2)
    self._rows.writerow([
        prediction.name, len(prediction.boxes),
        *_rounded(prediction.probabilities, 6), *boxes,
        *[''] * (self._num_cells - len(boxes))])


def _rounded(array: np.ndarray, digits: int) -> list:
  return array.astype(float).round(digits).tolist()

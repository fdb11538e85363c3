"""What is written of each picture that was explained window by window."""

import contextlib
import io
import pathlib
from typing import NamedTuple

import numpy as np
from PIL import Image

from air_tf import files
from air_tf.serving import object_tables
from air_tf.serving import tiled
from air_tf.serving import tiling
from air_tf.serving import writers

__all__ = ['Targets', 'Writer', 'stem']

_LONGEST = 200  # Bytes; with number and suffix, file systems take 255.


class Targets(NamedTuple):
  """Where to write; nothing where it is None."""
  csv: str | None = None     # File: a row per object of all pictures.
  tables: str | None = None  # Folder: points and boxes of each picture.
  masks: str | None = None   # Folder: a label image of each picture.


class Writer(contextlib.AbstractContextManager):
  """Writes pictures as they come; a context manager."""

  def __init__(self, targets: Targets):
    """Opens the table.

    Raises:
      errors.UserError: if it cannot be written.
    """
    self._targets, self._number = targets, 0
    self._opened = contextlib.ExitStack()
    self._table = None
    if targets.csv:
      self._table = object_tables.ObjectWriter(
          self._opened.enter_context(writers.open_csv(targets.csv)))

  def __exit__(self, *_: object) -> None:
    """Closes the table."""
    self._opened.close()

  def write(self, prediction: tiled.TiledPrediction) -> None:
    """Writes all that is wanted of one picture.

    Raises:
      errors.UserError: if it cannot be written.
    """
    name = stem(self._number, prediction.name)
    self._number += 1
    if self._table is not None:
      self._table.write(prediction)
    if self._targets.tables:
      folder = pathlib.Path(self._targets.tables)
      points, boxes = io.StringIO(newline=''), io.StringIO(newline='')
      object_tables.ObjectWriter(points).write(prediction)
      object_tables.write_boxes(boxes, prediction.objects.boxes)
      for kind, text in (('points', points), ('boxes', boxes)):
        files.write_bytes(folder / f'{name}_{kind}.csv', text.getvalue().encode(
            errors='backslashreplace'))
    if self._targets.masks:
      files.write_bytes(pathlib.Path(self._targets.masks) / f'{name}.tif',
                        _tiff(prediction))


def stem(number: int, name: str) -> str:
  """Returns the name of files about one of the images, without a suffix."""
  last = pathlib.Path(name.replace('[', '_').replace(']', '')).name
  last = last.encode()[:_LONGEST].decode(errors='ignore')
  return f'{number:05d}_{last}'


def _tiff(prediction: tiled.TiledPrediction) -> bytes:
  """Returns a label image as TIFF, 16 bits a pixel, or 32 if they need it."""
  labels = tiling.labels(prediction.objects, prediction.image.shape[:2])
  if prediction.num_steps <= np.iinfo(np.uint16).max:
    labels = labels.astype(np.uint16)
  buffer = io.BytesIO()
  Image.fromarray(labels).save(buffer, 'TIFF', compression='tiff_deflate')
  return buffer.getvalue()

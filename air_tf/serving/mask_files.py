"""Writes masks of the objects in images: label images, and a COCO file.

Letters: `[H, W]` image, `K` objects of it.
"""

import colorsys
import contextlib
import io
import pathlib

import numpy as np
from PIL import Image

from air_tf import files
from air_tf.serving import coco
from air_tf.serving import predictor
from air_tf.serving import tiled_files

__all__ = ['MaskWriter', 'png']

_COCO = 'coco.json'
_GOLDEN = .618034  # Hues this far apart, of a circle, are all distinct.


class MaskWriter(contextlib.AbstractContextManager):
  """Writes masks as they come; a context manager, which ends the COCO file."""

  def __init__(self, folder: str):
    """Takes the path of the folder, which is made."""
    self._folder = pathlib.Path(folder)
    self._names: list[str] = []
    self._objects: list[dict] = []

  def __exit__(self, kind: type | None, *_: object) -> None:
    """Writes `coco.json`, unless something was raised."""
    if kind is None:
      files.write_bytes(self._folder / _COCO, coco.results(
          self._names, self._objects).encode(errors='backslashreplace'))

  def write(self, prediction: predictor.Prediction) -> None:
    """Writes the mask of one image as a PNG file.

    Raises:
      errors.UserError: if it cannot be written.
    """
    number = len(self._names)
    self._names.append(prediction.name)
    self._objects += coco.annotations(prediction, number)
    name = tiled_files.stem(number, prediction.name)
    files.write_bytes(self._folder / f'{name}.png', png(prediction.mask))


def png(mask: np.ndarray) -> bytes:
  """Returns a mask as a PNG file with a palette.

  Args:
    mask: uint8 `[H, W]`. Its values are those of the file: 0 of the ground,
      shown black, k of object k, each in a colour of its own.
  """
  image = Image.fromarray(mask)
  image.putpalette([0, 0, 0] + [
      round(255. * x) for k in range(255)
      for x in colorsys.hsv_to_rgb(k * _GOLDEN % 1., .75, 1.)])
  buffer = io.BytesIO()
  image.save(buffer, 'PNG')
  return buffer.getvalue()

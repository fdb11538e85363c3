"""Objects marked in a whole picture, pixel by pixel, however large it is.

Letters: `K` objects, `[H, W]` picture (`[H, W, 3]` in colour).
"""

import numpy as np
from PIL import Image
from PIL import ImageDraw

__all__ = ['mark']

_SMALLEST = 512  # Pixels of the longer side, so that a line is thin.
_LINE = (230, 159, 0)  # The first of `canvas.STEP_COLOURS`.


def mark(image: np.ndarray, boxes: np.ndarray) -> np.ndarray:
  """Draws boxes into a picture.

  Args:
    image: uint8 `[H, W]`.
    boxes: `[K, 4]`, (y, x, height, width) in pixels.

  Returns:
    uint8 `[F H, F W, 3]`: each pixel becomes F x F, where F is 1 for large
    pictures.
  """
  factor = -(-_SMALLEST // max(image.shape[:2]))
  large = image.repeat(factor, axis=0).repeat(factor, axis=1)
  picture = Image.fromarray(large).convert('RGB')
  draw = ImageDraw.Draw(picture)
  for y, x, height, width in np.asarray(boxes) * factor:
    draw.rectangle((x, y, x + max(width - 1, 0), y + max(height - 1, 0)),
                   outline=_LINE)
  return np.asarray(picture)

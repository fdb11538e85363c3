"""Channels of images: grey, three colours, opacity.

Letters: `[H, W]` image (`[H, W, 3]` in colour).
"""

import math

import numpy as np
from PIL import Image

__all__ = ['composited', 'recolour', 'without_colour']


def recolour(image: np.ndarray, channels: int) -> np.ndarray:
  """Returns an image, uint8, as grey (1) or of 3 channels.

  Colours become grey by their luma (ITU-R 601-2), as in Pillow; grey becomes
  three equal channels.
  """
  if math.prod(image.shape[2:]) == channels:
    return image
  mode = 'L' if channels == 1 else 'RGB'
  return np.asarray(Image.fromarray(image).convert(mode))


def without_colour(values: np.ndarray) -> np.ndarray:
  """Returns `[H, W]` if all three channels of `[H, W, 3]` are equal."""
  grey = values[..., 0]
  if (np.array_equal(grey, values[..., 1])
      and np.array_equal(grey, values[..., 2])):
    return grey
  return values


def composited(values: np.ndarray, light: bool) -> np.ndarray:
  """Returns `[H, W]` or `[H, W, 3]` from values of 1 to 4 channels.

  Two or four channels are one or three and the opacity; unsigned integers.
  """
  if values.shape[2] in (2, 4):
    most = np.iinfo(values.dtype).max
    opacity = values[..., -1:] / most
    ground = (1. - opacity) * (most if light else 0)
    values = np.round(values[..., :-1] * opacity + ground).astype(values.dtype)
  return values[..., 0] if values.shape[2] == 1 else without_colour(values)

"""A SavedModel at work on people's images.

Letters: `N` images, `B` batch, `[H, W]` image.
"""

from collections.abc import Iterator
import os
import pathlib

import numpy as np
from PIL import Image
import tensorflow as tf

from air_tf import errors
from air_tf import files
from air_tf import scene_files

__all__ = ['Predictor', 'read_images']


class Predictor:
  """The `serving_default` signature of a SavedModel.

  Attributes:
    image_size: (H, W) of the images that the model takes.
  """

  def __init__(self, path: str | os.PathLike):
    """Loads a SavedModel folder.

    Raises:
      errors.UserError: if the folder holds no SavedModel of AIR.
    """
    try:
      self._loaded = tf.saved_model.load(os.fspath(path))
      self._serve = self._loaded.signatures['serving_default']
      spec = self._serve.structured_input_signature[1]['images']
      self.image_size = tuple(spec.shape[1:])
    except (OSError, KeyError, ValueError, tf.errors.OpError) as error:
      reason = files.one_line(error)[:200]
      raise errors.UserError(
          f'--saved_model={path}: not a SavedModel of AIR ({reason}); wanted '
          'the `saved_model` folder of a run, written by bin/train.py or '
          'bin/export.py.') from error

  def __call__(self, images: np.ndarray) -> dict[str, np.ndarray]:
    """Explains uint8 `[B, H, W]`; see `export.explain` for the answer."""
    answer = self._serve(images=tf.constant(images, tf.float32) / 255.)
    return {name: value.numpy() for name, value in answer.items()}


def read_images(path: str, image_size: tuple[int, int]
                ) -> Iterator[tuple[str, np.ndarray]]:
  """Reads an image, or all images of a scene file.

  Args:
    path: of a picture in any format that Pillow knows, or of an .npz.
    image_size: (H, W) that is wanted.

  Yields:
    A name and uint8 `[H, W]`; colours become grey, transparent parts black.

  Raises:
    errors.UserError: if the file cannot be read or has another size.
  """
  if pathlib.Path(path).suffix == '.npz':
    for i, image in enumerate(scene_files.read(path).images):
      yield f'{path}[{i}]', _of_size(path, image, image_size)
  else:
    yield path, _of_size(path, _read_picture(path), image_size)


def _read_picture(path: str) -> np.ndarray:
  try:
    with Image.open(path) as picture:
      if picture.mode.startswith('I'):  # 16 bits a pixel.
        pixels = np.asarray(picture, np.float64)
        return np.round(pixels / 257.).clip(0, 255).astype(np.uint8)
      with_alpha = picture.convert('RGBA')
      black = Image.new('RGBA', picture.size, (0, 0, 0, 255))
      return np.asarray(Image.alpha_composite(black, with_alpha).convert('L'))
  except Exception as error:  # Damaged bytes make Pillow raise nearly anything.
    reason = getattr(error, 'strerror', None) or files.one_line(error)
    raise errors.UserError(
        f'{path}: cannot be read as an image ({reason}); wanted a picture '
        '(PNG, JPEG, ...) or a scene file (.npz).') from error


def _of_size(path: str, image: np.ndarray, wanted) -> np.ndarray:
  if image.shape != wanted:
    raise errors.UserError(
        f'{path}: found an image of {image.shape[0]} x {image.shape[1]} pixels '
        f'(height x width); wanted {wanted[0]} x {wanted[1]}, the size that '
        'the model was trained on. Crop or resize it first.')
  return image

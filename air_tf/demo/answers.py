"""What the page asks a model, answered with what JSON can hold.

Letters: `T` most steps, `Z` size of `what`, `D` directions, `[H, W]` image
(`[H, W, 3]` in colour).
"""

import base64
import io
import math
import pathlib
import tempfile
import warnings

import numpy as np
from PIL import Image
import tensorflow as tf

from air_tf import errors
from air_tf import glimpses as glimpses_lib
from air_tf import run as run_lib
from air_tf.data import colours
from air_tf.data import digits as digits_lib
from air_tf.data import images as images_lib
from air_tf.plotting import samples
from air_tf.serving import released

__all__ = ['Answers']

_NUM_DIRECTIONS = 4  # Of the codes, one slider each.
_NUM_SCENES = 200  # Random scenes, from which the directions are found too.
_GLIMPSE_SIZE = 20  # Pixels of the glimpses shown.
_MAX_PIXELS = 25_000_000  # Of a picture: larger ones take seconds.


class Answers:
  """A model, and what it says of pictures.

  Attributes:
    name: of the model, as the page shows it.
  """

  def __init__(self, name: str, model: run_lib.LoadedModel):
    """Composes random scenes for the model and explains them."""
    self.name = name
    self._model = model
    self._scenes = _scenes(name, model)
    seen = model.explain(self._scenes)
    codes = seen.what[seen.presence > 0.]
    self._directions = (
        samples.principal_directions(codes, _NUM_DIRECTIONS)[0]
        if len(codes) > 2 else np.zeros([0, seen.what.shape[-1]]))
    # The first answer takes .3 s longer than others: not with a person waiting.
    first = self._explain(self._scenes[int(np.argmax(seen.num_steps))])['steps']
    self.decode(*([step[name] for step in first] for name in ('what', 'where')))

  def describe(self) -> dict:
    """Returns what the page has to know of the model."""
    height, width = self._model.image_shape[:2]
    return {'name': self.name, 'height': height, 'width': width,
            'channels': math.prod(self._model.image_shape[2:]),
            'max_steps': self._model.max_steps,
            'directions': self._directions.round(4).tolist()}

  def explain(self, file: bytes) -> dict:
    """Explains a picture.

    Args:
      file: of a picture that Pillow reads; it is fitted into the model's
        frame.

    Raises:
      errors.UserError: if it is no picture, or has too many pixels.
    """
    _check_size(file)
    with tempfile.TemporaryDirectory() as folder:
      path = pathlib.Path(folder) / 'picture'
      path.write_bytes(file)
      try:
        source = images_lib.open_source(
            str(path), self._model.value_range.invert)
        image = next(source.read_pixels(images_lib.inference_range(
            source, self._model.value_range)))[1]
      except (errors.UserError, StopIteration) as error:
        raise errors.UserError(
            'The file cannot be read as a picture. Expected a PNG, a JPEG or '
            'another common kind.') from error
    image = colours.recolour(image, math.prod(self._model.image_shape[2:]))
    return self._explain(
        images_lib.fit(image, self._model.image_shape[:2])[0])

  def scene(self, number: int) -> dict:
    """Explains a random scene; equal numbers give equal scenes."""
    return self._explain(self._scenes[number % _NUM_SCENES])

  def sample(self, num_steps: int) -> dict:
    """Samples an image of that many objects from the prior and explains it.

    Raises:
      errors.UserError: if the model cannot draw so many.
    """
    if not 0 <= num_steps <= self._model.max_steps:
      raise errors.UserError(
          f'found {num_steps} objects, expected 0 to {self._model.max_steps}.')
    image = self._model.signatures['sample'](
        num_steps=tf.constant([num_steps], tf.int32))['images'].numpy()[0]
    return self._explain(np.round(255 * np.clip(image, 0, 1)).astype(np.uint8))

  def decode(self, what: list, where: list) -> dict:
    """Draws objects from their codes and places.

    Args:
      what: `[K, Z]`, K at most T.
      where: `[K, 3]`, (scale, shift_x, shift_y).

    Returns:
      `image`, as a data URL.

    Raises:
      errors.UserError: if these are not numbers of that shape.
    """
    steps = self._model.max_steps
    sizes = {name: spec.shape[-1] for name, spec in self._model.signatures[
        'decode'].structured_input_signature[1].items()}
    inputs = {'what': _padded(what, 'what', steps, sizes['what']),
              'where': _padded(where, 'where', steps, 3),
              'presence': _padded([[1.]] * len(what), 'what', steps, 1)[..., 0]}
    image = self._model.signatures['decode'](**{
        name: tf.constant(x, tf.float32) for name, x in inputs.items()}
        )['images'].numpy()[0]
    return {'image': _data_url(image)}

  def _explain(self, image: np.ndarray) -> dict:
    # As floats: uint8 of at most 1, as in a dark picture, would be refused.
    seen = self._model.explain(images_lib.to_floats(image[np.newaxis]))
    count = int(seen.num_steps[0])
    attended = glimpses_lib.read(
        tf.repeat(tf.constant(image[np.newaxis] / np.float32(255)),
                  max(count, 1), axis=0),
        tf.constant(seen.where[0, :max(count, 1)]), _GLIMPSE_SIZE).numpy()
    return {
        'image': _data_url(image / 255.),
        'num_steps': count,
        'num_steps_probs': seen.num_steps_probs[0].round(4).tolist(),
        'step_probs': seen.step_probs[0].round(4).tolist(),
        'reconstruction': _data_url(seen.reconstruction[0]),
        'steps': [{
            'box': seen.boxes[0, t].round(2).tolist(),
            'what': seen.what[0, t].round(4).tolist(),
            'where': seen.where[0, t].round(4).tolist(),
            'attended': _data_url(attended[t]),
            'glimpse': _data_url(seen.glimpses[0, t]),
            'canvas': _data_url(seen.canvases[0, t])} for t in range(count)]}


def _scenes(name: str, model: run_lib.LoadedModel) -> np.ndarray:
  """Composes scenes without a download, uint8 `[N, H, W]`.

  For a model of the repository they are as those of its training.
  """
  if model.path == released.FOLDER / name / 'saved_model':
    return released.scenes(name, _NUM_SCENES, seed=0).images
  source = 'sprites' if len(model.image_shape) == 3 else 'embedded'
  digits = digits_lib.load(source)
  side = model.image_shape[0]
  # As many as surely fit: a digit takes 20 of 28 pixels at most.
  most = min(model.max_steps - 1, (side // 22) ** 2) or 1
  return digits_lib.composer(source)(
      digits.test_images, digits.test_labels, num_scenes=_NUM_SCENES,
      canvas_size=side, counts=tuple(range(most + 1)),
      digit_scale=(min(1., side / 28.),) * 2, overlap=False, backdrop='black',
      backdrop_level=0., seed=0).images


def _check_size(file: bytes) -> None:
  """Raises `UserError` if a picture has too many pixels; decodes none."""
  try:
    with warnings.catch_warnings():
      warnings.simplefilter('ignore')  # Of so many pixels.
      with Image.open(io.BytesIO(file)) as picture:
        too_large = math.prod(picture.size) > _MAX_PIXELS
  except Image.DecompressionBombError:
    too_large = True
  except Exception:  # Who reads it says why it is none.
    return
  if too_large:
    raise errors.UserError(
        f'The picture has more than {_MAX_PIXELS // 10**6} million pixels. '
        'Expected a smaller one.')


def _padded(rows: list, name: str, steps: int, size: int) -> np.ndarray:
  """Returns float32 `[1, T, size]`, zero where there is no row."""
  try:
    values = np.array(rows, np.float32).reshape([len(rows), size])
    if len(values) > steps or not np.isfinite(values).all():
      raise ValueError
  except (OverflowError, TypeError, ValueError) as error:
    raise errors.UserError(
        f'{name}: expected at most {steps} rows of {size} finite numbers.'
        ) from error
  padded = np.zeros([1, steps, size], np.float32)
  padded[0, :len(values)] = values
  return padded


def _data_url(image: np.ndarray) -> str:
  """Returns an image, floats in 0 ... 1, as a PNG for a page."""
  pixels = np.round(255 * np.clip(image, 0., 1.)).astype(np.uint8)
  buffer = io.BytesIO()
  Image.fromarray(pixels).save(buffer, 'PNG')
  text = base64.b64encode(buffer.getvalue()).decode('ascii')
  return f'data:image/png;base64,{text}'

"""Explains any number of images, in batches, from numpy to numpy.

Letters: `N` images, `[H, W]` image (`[H, W, 3]` in colour).
"""

from collections.abc import Callable

import numpy as np
from numpy import typing as npt
import tensorflow as tf

from air_tf import errors
from air_tf import explain as explain_lib
from air_tf.data import images as images_lib
from air_tf.data import value_range as value_range_lib
from air_tf.serving import earlier
from air_tf.serving import parallel
from air_tf.serving import refinement

__all__ = ['Serve', 'explain']

# A concrete function: the signature `serving_default` of a model. It is called
# in several threads.
Serve = Callable[..., dict[str, tf.Tensor]]

_ROUNDING = 1e-5  # By how much floats exceed 1 that are 0 ... 1.
_MAX_BATCH = 256


def explain(serve: Serve, images: npt.ArrayLike,
            image_shape: tuple[int, ...],
            value_range: value_range_lib.ValueRange = value_range_lib.BY_TYPE,
            refined: bool = False) -> explain_lib.Explanation:
  """Explains images; the memory for it does not grow with their number.

  Args:
    serve: the signature `serving_default` of a model.
    images: `[N, H, W]`: uint8 or floats in 0 ... 1, black and white as the
      model takes them; or values of files on the scale of `value_range`, of
      16 bits for instance, which is applied.
    image_shape: of the images that the model takes.
    value_range: of the model's training.
    refined: whether to explain each object again, alone, see `refinement`.

  Returns:
    The explanation of all of them; its fields are numpy arrays.

  Raises:
    errors.UserError: if `images` have another shape, type or range, or
      `refined` objects cover each other.
  """
  images = np.asarray(images)
  _check_shape(images, image_shape)
  images = _as_taken(images, value_range)
  outputs = dict(serve.structured_outputs)
  # What `earlier.complete` adds has their shapes.
  outputs.setdefault('step_probs', outputs['presence'])
  outputs.setdefault('tight_boxes', outputs['boxes'])
  max_steps = outputs['presence'].shape[1]
  size = explain_lib.batch_size(max_steps, image_shape, _MAX_BATCH)
  result = {name: np.empty([len(images), *spec.shape[1:]],
                           spec.dtype.as_numpy_dtype)
            for name, spec in outputs.items()
            if name in explain_lib.Explanation._fields}

  def explain_from(start: int) -> None:
    batch = tf.constant(images_lib.to_floats(images[start:start + size]))
    answer = earlier.complete(serve(images=batch))
    if refined:
      answer = refinement.refine(serve, batch, answer)
    for name, value in result.items():
      value[start:start + size] = answer[name]

  for _ in parallel.in_order(explain_from, range(0, len(images), size)):
    pass
  return explain_lib.Explanation(**result)


def _check_shape(images: np.ndarray, image_shape: tuple[int, ...]) -> None:
  """Raises `UserError` if images have another shape than the model's."""
  expected = f"[N, {', '.join(map(str, image_shape))}]"
  found = list(images.shape)
  if images.shape[1:] != image_shape:
    hint = 'the model explains images of the size that it was trained on'
    if images.shape == image_shape:
      hint = 'for one image, give images[np.newaxis]'
    elif images.shape[1:] == (*image_shape, 1):
      hint = 'for grey images, give images[..., 0]'
    raise errors.UserError(
        f'`images`: found shape {found}, expected {expected}; {hint}.')


def _as_taken(images: np.ndarray, value_range: value_range_lib.ValueRange
              ) -> np.ndarray:
  """Returns uint8, or floats in 0 ... 1, or raises `UserError`."""
  if not images.size:
    return images.astype(np.float32)
  if images.dtype == np.uint8:
    if images.max() == 1:
      raise errors.UserError(
          '`images`: found uint8 from 0 to 1, expected uint8 in 0 ... 255; '
          'multiply by 255, or give floats.')
    return images
  floats = np.issubdtype(images.dtype, np.floating)
  low, high = images.min(), images.max()
  if floats and low >= 0. and high <= 1. + _ROUNDING:
    return np.minimum(images, 1)
  if value_range.low is not None and value_range[:2] not in (
      (0., 1.), (0., 255.)):
    return value_range.apply_all(images, '`images`')
  if not floats:
    raise errors.UserError(
        f'`images`: found {images.dtype}, expected uint8 in 0 ... 255 or '
        'floats in 0 ... 1; give images.astype(np.uint8), if they are in '
        '0 ... 255.')
  raise errors.UserError(  # NaN is refused too.
      f'`images`: found {images.dtype} from {low:g} to {high:g}, expected '
      'floats in 0 ... 1; divide by 255, or give uint8.')

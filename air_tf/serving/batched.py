"""Explains any number of images, a batch at a time, from numpy to numpy.

Letters: `N` images, `[H, W]` image (`[H, W, 3]` in colour).
"""

from collections.abc import Callable
import math

import numpy as np
from numpy import typing as npt
import tensorflow as tf

from air_tf import errors
from air_tf import explain as explain_lib
from air_tf import prior

__all__ = ['Serve', 'explain', 'to_floats']

# A concrete function: the signature `serving_default` of a model.
Serve = Callable[..., dict[str, tf.Tensor]]

_MAX_BATCH = 256
_MAX_PIXELS = 1 << 22  # Of the canvases of one batch.


def explain(serve: Serve, images: npt.ArrayLike,
            image_shape: tuple[int, ...]) -> explain_lib.Explanation:
  """Explains images; the memory for it does not grow with their number.

  Args:
    serve: the signature `serving_default` of a model.
    images: `[N, H, W]`, uint8, or floats in 0 ... 1.
    image_shape: of the images that the model takes.

  Returns:
    The explanation of all of them; its fields are numpy arrays.

  Raises:
    errors.UserError: if `images` have another shape, type or range.
  """
  images = np.asarray(images)
  _check(images, image_shape)
  outputs = serve.structured_outputs
  max_steps = outputs['presence'].shape[1]
  size = max(1, min(_MAX_BATCH, _MAX_PIXELS // (
      (max_steps + 1) * math.prod(image_shape))))
  result = {name: np.empty([len(images), *spec.shape[1:]],
                           spec.dtype.as_numpy_dtype)
            for name, spec in outputs.items()
            if name in explain_lib.Explanation._fields}
  for start in range(0, len(images), size):
    batch = tf.constant(to_floats(images[start:start + size]))
    answer = serve(images=batch)
    for name, value in result.items():
      value[start:start + size] = answer[name]
  if 'step_probs' not in result:  # A SavedModel of an earlier version.
    result['step_probs'] = prior.step_probs(result['num_steps_probs']).numpy()
  return explain_lib.Explanation(**result)


def to_floats(images: np.ndarray) -> np.ndarray:
  """Returns float32 in 0 ... 1, from that or from uint8; of any shape."""
  if images.dtype == np.uint8:
    return images.astype(np.float32) / 255.
  return images.astype(np.float32, copy=False)


def _check(images: np.ndarray, image_shape: tuple[int, ...]) -> None:
  """Raises `UserError` if images cannot be what the model takes."""
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
  if images.dtype == np.uint8:
    if images.max(initial=0) == 1:
      raise errors.UserError(
          '`images`: found uint8 from 0 to 1, expected uint8 in 0 ... 255; '
          'multiply by 255, or give floats.')
    return
  if not np.issubdtype(images.dtype, np.floating):
    raise errors.UserError(
        f'`images`: found {images.dtype}, expected uint8 in 0 ... 255 or '
        'floats in 0 ... 1; give images.astype(np.uint8), if they are in '
        '0 ... 255.')
  if not images.size:
    return
  low, high = images.min(), images.max()
  if not (low >= 0. and high <= 1.):  # NaN is refused too.
    raise errors.UserError(
        f'`images`: found {images.dtype} from {low:g} to {high:g}, expected '
        'floats in 0 ... 1; divide by 255, or give uint8.')

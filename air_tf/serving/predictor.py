"""Applies a SavedModel to images of any source.

Letters: `B` batch, `T` most steps, `K` objects in an image, `[H, W]` image
(`[H, W, 3]` in colour).
"""

from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
import math
import os
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from air_tf import errors
from air_tf.data import colours
from air_tf.data import images as images_lib
from air_tf.data import picture_files
from air_tf.data import value_range as value_range_lib
from air_tf.serving import parallel
from air_tf.serving import released
from air_tf.serving import signatures as signatures_lib

__all__ = ['Prediction', 'Predictor', 'predict']

_MOST_BYTES = 1 << 29  # Of all images in memory, and what is drawn of them.


class Prediction(NamedTuple):
  """What the model says of one image."""
  name: str
  image: np.ndarray          # uint8 [H, W], in its size, the model's colours.
  probabilities: np.ndarray  # [T + 1], of each count.
  # [K, 4], (y, x, height, width), tight around each object, in its pixels.
  boxes: np.ndarray
  # uint8 [H, W], 0 of the ground, k of object k; None unless asked for.
  mask: np.ndarray | None = None
  scores: np.ndarray | None = None  # [K], P(n >= k).


class Predictor:
  """The signatures of a SavedModel that take images.

  Attributes:
    path: of its folder.
    signatures: all of its functions, by name; see docs/inference.md.
    image_shape: (H, W) of the images that the model takes; (H, W, 3) if they
      are in colour.
    max_steps: T, the most objects that it counts.
    value_range: which values of pictures are black and white to it, as in its
      training.
  """

  def __init__(self, path: str | os.PathLike):
    """Loads a SavedModel; one that is not AIR's is not loaded.

    Args:
      path: of its folder, or the name of a model in `models/`.

    Raises:
      errors.UserError: if the folder holds no SavedModel of AIR, or a damaged
        one.
    """
    self.path = path = released.saved_model_path(path)
    self._definitions = signatures_lib.read(path)
    signatures_lib.check(path, self._definitions, 'serving_default')
    if 'detect' in self._definitions:  # Earlier versions have none.
      signatures_lib.check(path, self._definitions, 'detect')
    try:
      self._loaded = tf.saved_model.load(os.fspath(path))
      self.signatures = self._loaded.signatures
      self._serve = self.signatures['serving_default']
      spec = self._serve.structured_input_signature[1]['images']
      outputs = self._serve.structured_outputs
    except Exception as error:  # Damaged bytes make TensorFlow raise anything.
      reason = errors.one_line(error)[:200]
      raise errors.UserError(
          f'{path}: the SavedModel is damaged or cannot be read ({reason}); '
          'expected it as bin/train.py wrote it. Write it again by '
          'bin/export.py.') from error
    self.image_shape = tuple(spec.shape[1:])
    self.max_steps = outputs['presence'].shape[1]
    self.value_range = _value_range(self.signatures)

  def serve_with(self, masks: bool) -> Callable[..., dict[str, tf.Tensor]]:
    """Returns the signature that explains images, with their masks or without.

    Raises:
      errors.UserError: if the SavedModel is of a version that has no masks.
    """
    if not masks:
      return self._serve
    if 'segment' not in self.signatures:
      raise errors.UserError(
          f'{self.path}: found a SavedModel of an earlier version, without '
          'masks; expected a signature `segment`. Write it again by '
          'bin/export.py.')
    return self.signatures['segment']

  def detect(self, images: np.ndarray) -> dict[str, np.ndarray]:
    """Counts and locates the objects of uint8 `[B, H, W]`.

    Returns:
      `signatures.DETECTED`.
    """
    detect = self.signatures.get('detect')
    if detect is None or 'tight_boxes' not in detect.structured_outputs:
      answer = self(images)
    else:
      answer = {name: x.numpy() for name, x in detect(images=tf.constant(
          images_lib.to_floats(images))).items()}
    return {name: answer[name] for name in signatures_lib.DETECTED}

  def __call__(self, images: np.ndarray,
               masks: bool = False) -> dict[str, np.ndarray]:
    """Explains uint8 `[B, H, W]`; see `explain.explain` for the answer."""
    serve = self.signatures.get('segment', self._serve) if masks else (
        self._serve)
    pixels = tf.constant(images_lib.to_floats(images))
    answer = serve(images=pixels)
    if masks and 'masks' not in answer:  # Needs the model's code.
      from air_tf import segment
      answer = segment.with_masks(pixels, answer)
    if 'tight_boxes' not in answer:  # Needs the model's code, too.
      from air_tf.serving import earlier
      answer = earlier.complete(answer)
    return {name: value.numpy() for name, value in answer.items()}


def predict(predictor: Predictor, named: Iterable[tuple[str, np.ndarray]],
            batch_size: int, resize: bool = False,
            report: picture_files.Report = picture_files.stop,
            masks: bool = False) -> Iterator[Prediction]:
  """Explains images as they come, batches side by side (see `parallel`).

  While the caller is busy with one batch, the next ones are explained.

  Args:
    predictor: the model.
    named: names and uint8 `[H, W]`; what is not in the model's colours, grey
      or red, green and blue, is made so (`colours.recolour`).
    batch_size: most images in one call of the model; fewer, if they are large.
    resize: whether images of another size than the model's are fitted to it
      (`images.fit`); boxes are then in pixels of the image as given.
    report: called with the error about an image of another size, which is then
      left out, unless it raises.
    masks: whether to say which object each pixel belongs to.

  Yields:
    A prediction for each image, in their order.

  Raises:
    errors.UserError: if an image has another size, unless `resize`, or another
      `report`.
  """
  size, channels = predictor.image_shape[:2], math.prod(
      predictor.image_shape[2:])
  named = ((name, colours.recolour(image, channels)) for name, image in named
           if resize or _has_size(name, image, size, report))

  def explain_batch(batch):
    fitted = [images_lib.fit(image, size) for _, image in batch]
    pixels = np.stack([image for image, _ in fitted])
    answer = predictor(pixels, masks) if masks else predictor.detect(pixels)
    return batch, [place for _, place in fitted], {
        name: answer[name] for name in (*signatures_lib.DETECTED, 'masks')
        if name in answer}

  drawn_bytes = 4 * math.prod(predictor.image_shape) * (
      predictor.max_steps + 2)
  for explained in parallel.in_order(
      explain_batch, _batches(named, batch_size, drawn_bytes)):
    yield from _predictions(*explained)


def _batches(named: Iterator[tuple[str, np.ndarray]], batch_size: int,
             drawn_bytes: int) -> Iterator[list[tuple[str, np.ndarray]]]:
  """Groups images, so that batches in memory together have a bounded size.

  Args:
    named: names and images.
    batch_size: the most in a batch.
    drawn_bytes: what the model draws of an image while it explains it.
  """
  most_bytes = _MOST_BYTES // parallel.num_batches()
  batch, num_bytes = [], 0
  for found in named:
    batch.append(found)
    num_bytes += found[1].nbytes + drawn_bytes
    if len(batch) == batch_size or num_bytes >= most_bytes:
      yield batch
      batch, num_bytes = [], 0
  if batch:
    yield batch


def _predictions(batch: Sequence[tuple[str, np.ndarray]],
                 places: Sequence[images_lib.Placement],
                 answer: Mapping[str, np.ndarray]) -> Iterator[Prediction]:
  """Yields the prediction of each image of an explained batch."""
  probs, masks = answer['num_steps_probs'], answer.get('masks')
  boxes = answer['tight_boxes'].astype(float)
  for i, ((name, image), place) in enumerate(zip(batch, places, strict=True)):
    count = answer['num_steps'][i]
    yield Prediction(
        name, image, probs[i], place.boxes(boxes[i, :count]),
        None if masks is None else place.mask(masks[i], image.shape[:2]),
        answer['step_probs'][i, :count])


def _value_range(signatures) -> value_range_lib.ValueRange:
  """Returns the range of a SavedModel; one of an earlier version has none."""
  if 'value_range' not in signatures:
    return value_range_lib.BY_TYPE
  found = {name: value.numpy() for name, value
           in signatures['value_range']().items()}
  low, high = float(found['low']), float(found['high'])
  if math.isnan(low):
    low = high = None
  return value_range_lib.ValueRange(
      low, high, bool(found['invert']), found['contrast'].decode())


def _has_size(name: str, image: np.ndarray, expected: tuple[int, int],
              report: picture_files.Report) -> bool:
  """Whether an image has the model's size; reports it, if not."""
  height, width = image.shape[:2]
  if (height, width) == expected:
    return True
  report(errors.UserError(
      f'{name}: found an image of {height} x {width} pixels (height x '
      f'width), expected {expected[0]} x {expected[1]}, the size that the '
      'model was trained on. Crop it, or give --resize.'))
  return False

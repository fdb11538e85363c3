"""Serves a SavedModel of AIR by MLServer; needs TensorFlow, and not air_tf."""

import asyncio
import math

import mlserver
from mlserver import codecs
from mlserver import errors
from mlserver import types
from mlserver import utils
import numpy as np
import tensorflow as tf

_MOST_IMAGES = 64  # In a request: bounds its memory.
_DATATYPES = {'FP32': np.float32, 'FP64': np.float64, 'UINT8': np.uint8}


class AirRuntime(mlserver.MLModel):
  """The signature `serving_default`: images in, counts, boxes and codes out."""

  async def load(self) -> bool:
    """Loads the SavedModel that `model-settings.json` names."""
    path = await utils.get_model_uri(self.settings)
    self._model = tf.saved_model.load(path)
    self._serve = self._model.signatures['serving_default']
    spec = self._serve.structured_input_signature[1]['images']
    self._shape = tuple(spec.shape[1:])
    self.inputs = [types.MetadataTensor(
        name='images', datatype='FP32', shape=[-1, *self._shape])]
    self.outputs = [types.MetadataTensor(
        name=name, datatype='INT32' if x.dtype == tf.int32 else 'FP32',
        shape=[-1, *x.shape[1:]])
                    for name, x in self._serve.structured_outputs.items()]
    self._explain(np.zeros([1, *self._shape], np.float32))  # The slow first.
    return True

  async def predict(
      self, payload: types.InferenceRequest) -> types.InferenceResponse:
    """Explains the images of a request.

    Returns the outputs that the request names, or all of them; canvases are
    large. Other requests are taken meanwhile.
    """
    answer = await asyncio.to_thread(self._explain, self._images(payload))
    names = [x.name for x in payload.outputs or []] or list(answer)
    if unknown := sorted(set(names) - set(answer)):
      raise _refusal(f'found outputs {unknown}, expected some of '
                     f'{sorted(answer)}.')
    return types.InferenceResponse(
        id=payload.id, model_name=self.name, outputs=[
            codecs.NumpyCodec.encode_output(name, answer[name])
            for name in names])

  def _explain(self, images: np.ndarray) -> dict[str, np.ndarray]:
    answer = self._serve(images=tf.constant(images))
    return {name: x.numpy() for name, x in answer.items()}

  def _images(self, payload: types.InferenceRequest) -> np.ndarray:
    """Returns float32 `[N, H, W]` in 0 ... 1, or refuses the request."""
    found = {x.name: x for x in payload.inputs}.get('images')
    if found is None or found.datatype not in _DATATYPES:
      raise _refusal('expected an input `images` of type FP32, FP64 or UINT8.')
    shape = tuple(found.shape)
    if shape[1:] != self._shape or not 1 <= shape[0] <= _MOST_IMAGES:
      raise _refusal(f'`images`: found shape {list(shape)}, expected '
                     f'{["N", *self._shape]}, N in 1 ... {_MOST_IMAGES}.')
    try:
      images = np.array(found.data.root, _DATATYPES[found.datatype]).ravel()
    except (ValueError, TypeError, OverflowError) as error:
      raise _refusal(f'`images`: found data that are no {found.datatype} '
                     f'({error}).') from error
    if images.size != math.prod(shape):
      raise _refusal(f'`images`: found {images.size} numbers, expected '
                     f'{math.prod(shape)}.')
    if found.datatype == 'UINT8':
      images = images.astype(np.float32) / 255.
    if not (images.min() >= 0. and images.max() <= 1.):  # NaN is refused too.
      raise _refusal('`images`: found values outside of 0 ... 1; divide by '
                     '255, or give UINT8.')
    return images.astype(np.float32).reshape(shape)


def _refusal(text: str) -> errors.MLServerError:
  return errors.InferenceError(text)  # Status 400, with this text.

"""What SavedModels of earlier versions do not say, from what they say.

Letters: `N` images, `T` most steps, `[h, w]` glimpse.
"""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from air_tf import glimpses as glimpses_lib
from air_tf import prior

__all__ = ['complete']


def complete(outputs: Mapping[str, Any]) -> dict[str, Any]:
  """Adds `step_probs` and `tight_boxes` where they are missing.

  Args:
    outputs: of the signature `serving_default`, `num_steps_probs`
      `[N, T + 1]`, `presence` `[N, T]`, `boxes` `[N, T, 4]`, `glimpses`
      `[N, T, h, w]` and perhaps `alphas` among them, tensors or arrays; with
      `alphas` also `where` `[N, T, 3]`, and `background` or `reconstruction`.

  Returns:
    The same, and what was missing as tensors.
  """
  outputs = dict(outputs)
  if 'step_probs' not in outputs:
    outputs['step_probs'] = prior.step_probs(outputs['num_steps_probs'])
  if 'tight_boxes' not in outputs:
    tensor = lambda name: tf.convert_to_tensor(outputs[name])
    ink = tensor('glimpses')
    if 'alphas' in outputs:
      background = outputs.get(
          'background', tf.zeros_like(outputs['reconstruction']))
      ink = glimpses_lib.contrast(
          ink, tensor('alphas'), background, tensor('where'))
    outputs['tight_boxes'] = prior.mask_absent(
        tensor('presence'), glimpses_lib.tight_boxes(ink, tensor('boxes')))
  return outputs

"""What a model predicts of many scenes, without the images it draws.

A *model* here is a mapping of signatures, as `saved_model.ExportedAIR` and a
loaded SavedModel have them, so that the same code evaluates a run and its
SavedModel.

Letters: `N` scenes, `T` most steps, `Z` size of `what`, `[H, W]` image,
`[h, w]` glimpse, `K` samples. Images and glimpses in colour have a last axis of
3 channels.
"""

from collections.abc import Callable
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf
import tqdm

from air_tf import explain as explain_lib
from air_tf import prior
from air_tf import segment
from air_tf.data import streams
from air_tf.serving import earlier
from air_tf.serving import refinement

__all__ = ['Predictions', 'Signatures', 'collect', 'scores']

Signatures = Mapping[str, Callable[..., dict[str, tf.Tensor]]]


class Predictions(NamedTuple):
  """Predictions for N scenes, at posterior means; see `explain`."""
  num_steps: np.ndarray        # int32 [N]
  num_steps_probs: np.ndarray  # [N, T + 1]
  presence: np.ndarray         # [N, T]
  where: np.ndarray            # [N, T, 3]
  what: np.ndarray             # [N, T, Z]
  boxes: np.ndarray            # [N, T, 4], of glimpses, in pixels.
  tight_boxes: np.ndarray      # [N, T, 4], around the ink of the glimpses.
  squared_error: np.ndarray    # [N], of the reconstruction, mean over pixels.
  # uint8 [N, H, W], which object a pixel belongs to; None unless asked for.
  masks: np.ndarray | None = None

  @property
  def step_probs(self) -> np.ndarray:
    """P(n >= t), the probability of reaching step t, `[N, T]`."""
    return prior.step_probs(self.num_steps_probs.astype(np.float64)).numpy()


def collect(model: Signatures, images: np.ndarray,
            masks: bool = False, refined: bool = False) -> Predictions:
  """Explains images, a batch in memory at a time.

  Args:
    model: its signatures.
    images: uint8 `[N, H, W]`.
    masks: whether to say which object each pixel belongs to.
    refined: whether to explain each object again, alone, see `refinement`.
  """
  serve = model['segment' if masks and 'segment' in model
                else 'serving_default']
  parts = [_predict(serve, batch, masks, refined)
           for _, batch in _batches(model, images)]
  return Predictions(*(None if x[0] is None else np.concatenate(x)
                       for x in zip(*parts, strict=True)))


def scores(model: Signatures, images: np.ndarray, num_samples: int = 1,
           progress: bool = False) -> dict[str, np.ndarray]:
  """Scores uint8 images `[N, H, W]` by posterior samples, with fixed seeds.

  Args:
    model: with a signature `score`.
    images: the images.
    num_samples: K, of the importance weights.
    progress: whether to show a bar.

  Returns:
    What `AIRModel.score` gives, `[N]` each, of sample 0; but `log_weight`,
    `[K, N]`, of all samples.
  """
  parts = []
  with tqdm.tqdm(total=num_samples * len(images), unit='sample',
                 disable=not progress) as bar:
    for start, batch in _batches(model, images):
      pixels = streams.to_pixels(batch)
      samples = []
      for k in range(num_samples):
        # Sample 0 has the seeds of `counting.Evaluator`.
        terms = model['score'](images=pixels, seed=tf.constant([k, start]))
        samples.append({name: x.numpy() for name, x in terms.items()})
        bar.update(len(batch))
      parts.append(samples[0] | {
          'log_weight': np.stack([x['log_weight'] for x in samples])})
  return {name: np.concatenate([part[name] for part in parts], axis=-1)
          for name in parts[0]}


def _batches(model: Signatures, images: np.ndarray):
  """Yields (start, images from there on) with memory bounded."""
  black = tf.zeros([1, *images.shape[1:]])
  max_steps = model['serving_default'](images=black)['presence'].shape[1]
  size = explain_lib.batch_size(max_steps, images.shape[1:])
  for start in range(0, len(images), size):
    yield start, images[start:start + size]


def _predict(serve, images: np.ndarray, masks: bool,
             refined: bool) -> Predictions:
  pixels = streams.to_pixels(images)
  outputs = serve(images=pixels)
  if masks:
    outputs = segment.with_masks(pixels, outputs)
  outputs = {name: x.numpy()
             for name, x in earlier.complete(outputs).items()}
  if refined:
    outputs = refinement.refine(serve, pixels, outputs)
  error = np.square(outputs['reconstruction'] - pixels.numpy())
  pixel_axes = tuple(range(1, error.ndim))
  kept = {name: outputs[name] for name in Predictions._fields
          if name in outputs}
  return Predictions(
      **kept, squared_error=error.mean(axis=pixel_axes, dtype=np.float64))

"""What a trained model infers from images: how many objects, where, and what.

Letters: `N` images, `T` most steps, `Z` size of `what`, `[H, W]` image,
`[h, w]` glimpse, `n` the number of objects. Images and glimpses in colour have
a last axis of 3 channels.
"""

import math
from typing import NamedTuple

import tensorflow as tf

from air_tf import depth
from air_tf import elbo as elbo_lib
from air_tf import glimpses as glimpses_lib
from air_tf import model as model_lib
from air_tf import prior
from air_tf import segment

__all__ = ['Explanation', 'Reconstruction', 'batch_size', 'explain',
           'reconstruct']

_CANVAS_PIXELS = 5_000_000  # Of one batch: 500 images of 50 x 50 with T = 3.


class Reconstruction(NamedTuple):
  """Images drawn from the first n objects of an inference."""
  presence: tf.Tensor  # [N, T], 1. for a step that is taken, else 0.
  # [N, T, H, W], after each step; of sorted objects what is seen in the end.
  canvases: tf.Tensor
  image: tf.Tensor     # [N, H, W], after the last step taken.


class Explanation(NamedTuple):
  """The most likely count of each image, and its objects at posterior means.

  Rows of absent steps are zero in `where`, `boxes`, `tight_boxes`, `what` and
  `glimpses`.
  """
  num_steps: tf.Tensor        # int32 [N], the mode of q(n).
  num_steps_probs: tf.Tensor  # [N, T + 1], q(n).
  step_probs: tf.Tensor       # [N, T], P(n >= t), t = 1 ... T.
  presence: tf.Tensor         # [N, T], 1. for a step that is taken, else 0.
  where: tf.Tensor            # [N, T, 3], (scale, shift_x, shift_y).
  boxes: tf.Tensor            # [N, T, 4], (y, x, height, width) in pixels.
  tight_boxes: tf.Tensor      # [N, T, 4], around the ink of the glimpses.
  what: tf.Tensor             # [N, T, Z]
  glimpses: tf.Tensor         # [N, T, h, w], decoded.
  canvases: tf.Tensor         # [N, T, H, W], after each step.
  reconstruction: tf.Tensor   # [N, H, W], after the last step taken.
  # [N, H, W], included in canvases and reconstruction; None without a model of
  # the background.
  background: tf.Tensor | None = None
  # [N, T, h, w], opacity of the glimpses, whose colours are premultiplied by
  # it; None where objects add up.
  alphas: tf.Tensor | None = None
  # uint8 [N, H, W]: 0 at pixels of the ground, t at those of step t; None
  # unless asked for.
  masks: tf.Tensor | None = None

  def as_dict(self) -> dict[str, tf.Tensor]:
    """Returns the fields by name, those that are None left out."""
    return {name: value for name, value in self._asdict().items()
            if value is not None}


def explain(model: model_lib.AIRModel, images: tf.Tensor, masks: bool = False,
            candidates: int = 1,
            num_steps_prior: prior.NumStepsDistribution | None = None
            ) -> Explanation:
  """Counts, locates and reconstructs the objects of images.

  Deterministic: `where` and `what` are posterior means, the count is a mode.
  Of several candidates, the one with the highest ELBO is taken. In the first,
  all steps attend to the most likely place, in others to a sample of places,
  the same for all images.

  Args:
    model: a trained model.
    images: float `[N, H, W]`, pixels in 0 ... 1.
    masks: whether to say which object each pixel belongs to, see `segment`.
    candidates: how many explanations to choose from, by a model with a search.
      They cost as many times the time and the memory.
    num_steps_prior: p(n) of the ELBO, batch shape `[]`; for several candidates.
  """
  if candidates == 1:
    return _explanation(images, model.infer(images), masks)
  copies = tf.concat([images] * candidates, axis=0)
  inference = model.infer(copies, candidates=candidates)
  terms = model.elbo_terms(copies, inference, num_steps_prior)
  elbo = elbo_lib.expected_elbo(terms, terms.log_posterior).elbo
  best = tf.argmax(tf.reshape(elbo, [candidates, -1]), output_type=tf.int32)
  num_images = tf.shape(images)[0]
  rows = best * num_images + tf.range(num_images)
  answer = _explanation(copies, inference, masks)
  return Explanation(**{name: tf.gather(value, rows)
                        for name, value in answer.as_dict().items()})


def _explanation(images: tf.Tensor, inference: model_lib.Inference,
                 masks: bool) -> Explanation:
  posterior = inference.num_steps_posterior
  counts, pmf = posterior.mode(), tf.exp(posterior.log_pmf())
  drawn = reconstruct(inference, counts)
  mask = lambda x: None if x is None else prior.mask_absent(drawn.presence, x)
  background = inference.background
  boxes = glimpses_lib.boxes(inference.where, *images.shape[1:3])
  ink = inference.glimpses if inference.alphas is None else (
      glimpses_lib.contrast(inference.glimpses, inference.alphas,
                            inference.canvases[:, 0], inference.where))
  owners = None
  if masks:
    ground = inference.canvases[:, :1]
    owners = segment.masks(
        images, tf.concat([ground, drawn.canvases], axis=1), drawn.presence)
  return Explanation(
      num_steps=counts, num_steps_probs=pmf, step_probs=prior.step_probs(pmf),
      presence=drawn.presence, where=mask(inference.where),
      boxes=mask(boxes),
      tight_boxes=mask(glimpses_lib.tight_boxes(ink, boxes)),
      what=mask(inference.what), glimpses=mask(inference.glimpses),
      canvases=drawn.canvases, reconstruction=drawn.image,
      alphas=mask(inference.alphas),
      background=None if background is None else background.image,
      masks=owners)


def reconstruct(inference: model_lib.Inference,
                counts: tf.Tensor) -> Reconstruction:
  """Draws images from given numbers of objects.

  Args:
    inference: of N images.
    counts: int `[N]`, for instance `inference.num_steps_posterior.mode()`.
  """
  max_steps = inference.num_steps_posterior.max_steps
  presence = prior.presence_mask(counts, max_steps)
  if inference.layers:
    canvases = depth.parts(
        inference.canvases[:, 0], inference.layers, presence)
  else:
    steps = tf.minimum(tf.range(1, max_steps + 1), counts[:, tf.newaxis])
    canvases = tf.gather(inference.canvases, steps, batch_dims=1)
  return Reconstruction(
      presence=presence, canvases=canvases,
      image=tf.gather(inference.canvases, counts, batch_dims=1))


def batch_size(max_steps: int, image_shape: tuple[int, ...],
               most: int | None = None) -> int:
  """Returns how many images to explain at a time, in bounded memory.

  Args:
    max_steps: T, with a canvas after each step.
    image_shape: of an image.
    most: a bound of the caller's.
  """
  fitting = _CANVAS_PIXELS // ((max_steps + 1) * math.prod(image_shape))
  return max(1, fitting if most is None else min(most, fitting))

"""What one pass of the inference network finds in a batch of images.

Letters: `B` batch, `T` most steps, `Z` size of `what`, `[H, W]` image, `[h, w]`
glimpse, `n` the number of objects. Images and glimpses in colour have a last
axis of 3 channels.
"""

from typing import NamedTuple

import tensorflow as tf

from air_tf import background as background_lib
from air_tf import depth
from air_tf import modules
from air_tf import prior

__all__ = ['Inference']


class Inference(NamedTuple):
  """One pass of T steps over a batch, every step taken.

  Nothing before a step depends on whether the model stops there, so this one
  pass holds an explanation by n objects for every n at once.
  """
  num_steps_posterior: prior.NumStepsDistribution  # q(n | x), batch shape [B].
  where_posterior: modules.DiagonalGaussian  # Over [B, T, 3], unsquashed.
  where_logits: tf.Tensor  # [B, T, 3], sampled, before squashing.
  where: tf.Tensor      # [B, T, 3], (scale, shift_x, shift_y).
  what_posterior: modules.DiagonalGaussian   # Over [B, T, Z].
  what: tf.Tensor       # [B, T, Z]
  glimpses: tf.Tensor   # [B, T, h, w], decoded.
  # [B, T + 1, H, W]: the background (black without a model of it) and the
  # first 0 ... T objects, summed or in front of it.
  canvases: tf.Tensor
  background: background_lib.Background | None = None  # If it is modelled.
  # Where objects cover each other: the opacity of glimpses, [B, T, h, w], whose
  # colours are then premultiplied.
  alphas: tf.Tensor | None = None
  layers: depth.Layers | None = None  # Where depth is read from the image.

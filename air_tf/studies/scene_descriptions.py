"""What a classifier is given of a scene: AIR's objects, or what to compare.

Letters: `N` scenes, `[H, W]` image, `T` maximum number of steps, `Z` size of
`what`, `F` size of a description.
"""

from collections.abc import Callable
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from air_tf import errors
from air_tf import run as run_lib
from air_tf.evaluation import predictions as predictions_lib
from air_tf.studies import image_codes
from air_tf.studies import object_classifier

__all__ = ['INPUTS', 'WITH_UNLABELLED', 'Input', 'Models', 'check', 'latents']


class Models(NamedTuple):
  """What descriptions of scenes are made with."""
  opened: run_lib.Run
  # uint8 [N, H, W], to learn codes of images from; None if nothing does.
  unlabelled: np.ndarray | None
  seed: int


class Input(NamedTuple):
  """One kind of description."""
  title: str
  # From the models to a function from images to a classifier's input.
  reader: Callable[[Models], Callable[[np.ndarray], object]]


def check(names: Sequence[str]) -> None:
  """Raises `errors.UserError` unless all are in `INPUTS`, each once."""
  if not names or not set(names) <= set(INPUTS) or len(set(names)) < len(names):
    raise errors.UserError(
        f"--inputs={','.join(names)}: expected some of {', '.join(INPUTS)}, "
        'each once, with commas between them.')


def latents(predictions: predictions_lib.Predictions) -> np.ndarray:
  """AIR's description of scenes, `[N, F]`, F = T (Z + 4).

  Presence, where and what of all steps, sorted from left to right, absent steps
  last and zero: the order of AIR's steps carries no information.
  """
  order = object_classifier.left_to_right(predictions)[..., np.newaxis]
  parts = (predictions.presence[..., np.newaxis], predictions.where,
           predictions.what)
  joined = np.concatenate(parts, axis=-1)
  return np.take_along_axis(joined, order, axis=1).reshape([len(joined), -1])


def _of_run(describe: Callable[[predictions_lib.Predictions], object],
            refined: bool = False) -> Callable[[Models], Callable]:
  """Returns a reader of what the run explains images by."""
  return lambda models: lambda images: describe(predictions_lib.collect(
      models.opened.signatures, images, refined=refined))


_objects = object_classifier.from_predictions
INPUTS = {
    'refined': Input("AIR's objects, refined", _of_run(_objects, refined=True)),
    'objects': Input("AIR's objects", _of_run(_objects)),
    'latents': Input("AIR's latents", _of_run(latents)),
    'pixels': Input('pixels, by convolutions', lambda models: np.asarray),
    'vae': Input('codes of a VAE', lambda models: image_codes.vae(
        models.unlabelled, float(models.opened.model.pixel_stddev),
        models.seed)),
    'autoencoder': Input(
        'codes of an autoencoder', lambda models: image_codes.autoencoder(
            models.unlabelled, models.seed))}
WITH_UNLABELLED = {'vae', 'autoencoder'}

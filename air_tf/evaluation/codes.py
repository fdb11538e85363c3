"""The codes of found objects, each with its glimpse and what is known of it.

Letters: `N` scenes, `T` most steps, `K` objects found in all scenes together,
`Z` size of `what`, `[h, w]` glimpse; with a last axis of 3 channels in colour.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from air_tf import explain as explain_lib
from air_tf import glimpses as glimpses_lib
from air_tf import model as model_lib
from air_tf.data import scenes as scenes_lib
from air_tf.data import streams
from air_tf.evaluation import localisation

__all__ = ['Codes', 'collect']


class Codes(NamedTuple):
  """Objects that a model finds in scenes, in the order of scenes and steps."""
  what: np.ndarray      # [K, Z], posterior means.
  glimpses: np.ndarray  # [K, h, w], read from the images, 0 ... 1.
  # Columns of text or numbers, `[K]` each, by their heading.
  columns: dict[str, np.ndarray]


def collect(model: model_lib.AIRModel, scenes: scenes_lib.Scenes,
            num_codes: int) -> Codes:
  """Explains as many scenes as it takes, a batch in memory at a time.

  Args:
    model: a trained model.
    scenes: of which the first are explained.
    num_codes: most objects to return.

  Returns:
    The first objects. Columns are `label`, if boxes and labels are known: that
    of the object whose box is matched (`localisation.match`), or 'none'; the
    scene, the step, the inferred count and P(n >= t); the true count and
    whether the two agree, if it is known.
  """
  # Without objects, all scenes would be looked at.
  images = scenes.images[:num_codes]
  size = explain_lib.batch_size(model.config.max_steps, images.shape[1:])
  parts, total = [], 0
  for start in range(0, len(images), size):
    parts.append(_of_batch(
        model, scenes.select(slice(start, min(start + size, len(images)))),
        start))
    total += len(parts[-1].what)
    if total >= num_codes:
      break
  first = lambda arrays: np.concatenate(arrays)[:num_codes]
  return Codes(
      first([x.what for x in parts]), first([x.glimpses for x in parts]),
      {name: first([x.columns[name] for x in parts])
       for name in parts[0].columns})


def _of_batch(model: model_lib.AIRModel, scenes: scenes_lib.Scenes,
              start: int) -> Codes:
  """The objects of a few scenes, of which the first has a number."""
  images = streams.to_pixels(scenes.images)
  found = {name: np.asarray(value) for name, value
           in explain_lib.explain(model, images).as_dict().items()}
  scene, step = np.nonzero(found['presence'] > 0.)
  columns = {}
  if scenes.boxes is not None and scenes.labels is not None:
    columns['label'] = _labels(found, scenes)[scene, step]
  columns |= {
      'scene': start + scene, 'step': step + 1,
      'count': found['num_steps'][scene],
      'probability': np.round(found['step_probs'][scene, step], 3)}
  if scenes.counts is not None:
    true = scenes.counts[scene]
    columns |= {'true count': true, 'count is right': np.where(
        true == columns['count'], 'yes', 'no')}
  return Codes(found['what'][scene, step], glimpses_lib.read(
      tf.gather(images, scene), tf.constant(found['where'][scene, step]),
      model.config.glimpse_size).numpy(), columns)


def _labels(found: dict[str, np.ndarray],
            scenes: scenes_lib.Scenes) -> np.ndarray:
  """Labels of the objects that steps are matched to, as text `[N, T]`."""
  partners, _ = localisation.match(
      found['boxes'], found['presence'], scenes.boxes)
  labels = np.full(found['presence'].shape, 'none', object)
  scene, slot = np.nonzero(partners >= 0)
  # As words: TensorBoard would colour numbers by their size.
  labels[scene, partners[scene, slot]] = [
      f'class {label}' for label in scenes.labels[scene, slot]]
  return labels

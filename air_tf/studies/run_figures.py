"""All figures of a run, from its newest checkpoint and its metrics.

Letters: `N` scenes, `T` maximum number of steps, `[H, W]` image, `[h, w]`
glimpse; both have a last axis of 3 channels in colour.
"""

from collections.abc import Iterator
from collections.abc import Sequence
import pathlib

from matplotlib import figure
import numpy as np
import tensorflow as tf

from air_tf import files
from air_tf import glimpses as glimpses_lib
from air_tf import model as model_lib
from air_tf import progress
from air_tf import run as run_lib
from air_tf.data import scenes as scenes_lib
from air_tf.data import streams
from air_tf.evaluation import codes
from air_tf.evaluation import predictions as predictions_lib
from air_tf.plotting import curves
from air_tf.plotting import explanations
from air_tf.plotting import films
from air_tf.plotting import samples
from air_tf.plotting import scene_cards
from air_tf.plotting import segments
from air_tf.studies import training_film
from air_tf.training import projector
from air_tf.training import summaries

__all__ = ['make']

_NUM_EXAMPLES = 10  # Scenes, errors and samples in a figure.
_NUM_FILMED = 6  # Scenes of the film.
_NUM_DIRECTIONS = 6  # Principal directions that are traversed,
_DEVIATIONS = (-3, -2, -1, 0, 1, 2, 3)  # by so many standard deviations.
_SEED = (0, 1)  # Of the samples from the prior.


def make(logdir: str, out: str | None = None) -> dict:
  """Makes the figures of a run, as PNG files and in TensorBoard.

  The files of TensorBoard's projector are written too, as training does at its
  end: a run that was stopped has none, nor has one of an earlier version.

  With `out`, nothing is written into the run's folder, TensorBoard's neither.

  Args:
    logdir: folder of the run.
    out: folder for the files; `figures` in the run's, if None.

  Returns:
    `step`, the checkpoint's iteration, and `figures`, the paths.

  Raises:
    errors.UserError: if there is no such run, or `out` cannot be written.
  """
  run = run_lib.Run(logdir)
  target = pathlib.Path(out) if out else run.path / 'figures'
  scenes = run.test
  progress.status(f'Explaining {len(scenes.images):,} held-out scenes.')
  predictions = predictions_lib.collect(run.signatures, scenes.images)
  writer = summaries.FigureFiles() if out else summaries.Writer(run.path)
  paths = []
  for name, fig, cards in _figures(
      run.model, run.signatures, predictions, scenes, run.history()):
    paths.append(str(target / f'{name}.png'))
    progress.status(f'Writing {paths[-1]}.')
    writer.figure(f'figures/{name}', fig, run.step, paths[-1], cards)
  for name, frames in (
      ('film', _film(run.model, run.signatures, predictions, scenes)),
      ('training', training_film.frames(run.path))):
    if frames:
      paths.append(str(target / f'{name}.gif'))
      progress.status(f'Writing {paths[-1]}.')
      films.save_gif(frames, paths[-1])
  # The scene of the film strip itself, to try the model on.
  paths.append(str(target / 'example.png'))
  example = _example(predictions, scenes.counts)
  files.write_png(paths[-1], scenes.images[example])
  writer.flush()
  if not out:
    projector.write(run.path, 'what', *codes.collect(
        run.model, scenes, projector.MAX_CODES))
  return {'step': run.step, 'figures': paths}


def _figures(model: model_lib.AIRModel, signatures: predictions_lib.Signatures,
             predictions: predictions_lib.Predictions,
             scenes: scenes_lib.Scenes,
             lines: list[dict]
             ) -> Iterator[tuple[str, figure.Figure, np.ndarray | None]]:
  """Yields each figure that can be made: name, figure, its scenes as cards."""
  explain = lambda chosen: _explain(signatures, scenes, chosen)

  balanced = explanations.balanced_selection(
      scenes.counts, len(scenes.images), _NUM_EXAMPLES)
  selected = explain(balanced)
  yield ('progress', explanations.progress(*selected),
         scene_cards.scene_cards(*selected))
  yield 'policy', curves.policy(
      predictions.boxes, predictions.presence, scenes.images.shape[1:3]), None
  images, answer, _ = explain([_example(predictions, scenes.counts)])
  yield 'film_strip', explanations.film_strip(
      images[0], _read_glimpses(model, images, answer)[0],
      {name: value[0] for name, value in answer.items()}), None
  yield 'samples', _samples(model), None
  if predictions.presence.sum() > 2:
    yield 'traversals', _traversals(model, predictions), None
  worst = explain(_worst(predictions, scenes.counts))
  yield ('errors', explanations.worst_errors(*worst),
         scene_cards.scene_cards(*worst))
  if scenes.masks is not None:
    yield 'masks', _masks(signatures, scenes.select(balanced)), None
  counted = [line for line in lines if line['split'] == 'test'
             and 'count_accuracy' in line]
  if counted:
    yield 'accuracy', curves.accuracy(counted, len(scenes.images)), None
  if lines:
    yield 'elbo', curves.elbo(lines), None


def _explain(signatures: predictions_lib.Signatures, scenes: scenes_lib.Scenes,
             chosen: Sequence[int]) -> tuple[
                 np.ndarray, dict[str, np.ndarray], np.ndarray | None]:
  """Images, answer and true counts of the chosen scenes, for a figure."""
  scenes = scenes.select(chosen)
  images = streams.to_pixels(scenes.images)
  answer = signatures['serving_default'](images=images)
  return (images.numpy(), {name: x.numpy() for name, x in answer.items()},
          scenes.counts)


def _example(predictions: predictions_lib.Predictions,
             counts: np.ndarray | None) -> int:
  """The first scene with the most objects among those counted correctly."""
  correct = counts is None or predictions.num_steps == counts
  return int(np.argmax(np.where(correct, predictions.num_steps, -1)))


def _worst(predictions: predictions_lib.Predictions,
           counts: np.ndarray | None) -> np.ndarray:
  """The scenes whose true count has the smallest probability, worst first.

  Without true counts, those with the largest reconstruction error.
  """
  if counts is None:
    return np.argsort(-predictions.squared_error, kind='stable')[:_NUM_EXAMPLES]
  probs = predictions.num_steps_probs
  within = counts < probs.shape[1]
  probs_of_truth = np.where(within, probs[
      np.arange(len(probs)), np.where(within, counts, 0)], 0.)
  return np.argsort(probs_of_truth, kind='stable')[:_NUM_EXAMPLES]


def _read_glimpses(model: model_lib.AIRModel, images: np.ndarray,
                   answer: dict[str, np.ndarray]) -> np.ndarray:
  """The glimpses that the steps read from the images, `[N, T, h, w]`."""
  where = answer['where']  # [N, T, 3]
  num_images, num_steps = where.shape[:2]
  # The rows of absent steps are zero; their glimpses are not shown.
  glimpses = glimpses_lib.read(
      tf.repeat(images, num_steps, axis=0), tf.reshape(where, [-1, 3]),
      model.config.glimpse_size)
  return glimpses.numpy().reshape(
      [num_images, num_steps, *model.config.glimpse_shape])


def _film(model: model_lib.AIRModel, signatures: predictions_lib.Signatures,
          predictions: predictions_lib.Predictions,
          scenes: scenes_lib.Scenes) -> list[films.Frame]:
  """The first scenes of each count that are counted right, step by step."""
  right = np.arange(len(scenes.images)) if scenes.counts is None else (
      np.flatnonzero(predictions.num_steps == scenes.counts))
  chosen = right[explanations.balanced_selection(
      None if scenes.counts is None else scenes.counts[right], len(right),
      _NUM_FILMED)]
  if not len(chosen):
    return []
  images, answer, _ = _explain(signatures, scenes, chosen)
  return list(films.explained(
      images, _read_glimpses(model, images, answer), answer))


def _masks(signatures: predictions_lib.Signatures,
           scenes: scenes_lib.Scenes) -> figure.Figure:
  """Masks of these scenes, true and by the model."""
  found = signatures['segment'](images=streams.to_pixels(scenes.images))
  return segments.masks(scenes.images, scenes.masks, found['masks'].numpy())


def _samples(model: model_lib.AIRModel) -> figure.Figure:
  shape = model.config.image_shape
  counts = np.arange(1, model.config.max_steps + 1)
  images = model.sample_prior(
      tf.repeat(counts, _NUM_EXAMPLES), tf.constant(_SEED), *shape[:2])
  return samples.grid(
      tf.reshape(images, [len(counts), _NUM_EXAMPLES, *shape]).numpy(),
      [f'n = {n}' for n in counts])


def _traversals(model: model_lib.AIRModel,
                predictions: predictions_lib.Predictions) -> figure.Figure:
  """Moves the code of an object along the principal directions of all codes."""
  what = predictions.what[predictions.presence > 0.]
  single = predictions.what[predictions.num_steps == 1, 0]
  code = single[0] if len(single) else what[0]
  directions, shares = samples.principal_directions(what, _NUM_DIRECTIONS)
  moves = np.array(_DEVIATIONS)[:, np.newaxis] * directions[:, np.newaxis]
  shape = model.config.glimpse_shape
  count = moves.shape[0] * moves.shape[1]
  # At scale 1 in the middle of an image of its size, a glimpse is the image.
  images = model.decode(
      tf.cast(tf.reshape(code + moves, [count, 1, -1]), tf.float32),
      tf.tile([[[1., 0., 0.]]], [count, 1, 1]), tf.ones([count, 1]), *shape[:2])
  return samples.grid(
      tf.reshape(images, [*moves.shape[:2], *shape]).numpy(),
      [f'direction {i + 1}\n{100 * share:.0f} % of\nthe variance'
       for i, share in enumerate(shares)],
      [f'{move:+d} σ' if move else 'as inferred' for move in _DEVIATIONS])

"""Opens what training left: a run folder, or a SavedModel.

Letters: `N` images, `[H, W]` image (`[H, W, 3]` in colour).
"""

import functools
import os
import pathlib

from absl import logging
from numpy import typing as npt
import tensorflow as tf

from air_tf import config as config_lib
from air_tf import errors
from air_tf import explain as explain_lib
from air_tf import loaded_model
from air_tf import model as model_lib
from air_tf import prior
from air_tf import progress
from air_tf.data import fingerprint
from air_tf.data import npz
from air_tf.data import scenes as scenes_lib
from air_tf.data import splits
from air_tf.data import value_range as value_range_lib
from air_tf.evaluation import predictions as predictions_lib
from air_tf.evaluation import report
from air_tf.serving import batched
from air_tf.serving import released
from air_tf.serving import saved_model
from air_tf.training import run_folder
from air_tf.training import trainer as trainer_lib

__all__ = ['LoadedModel', 'Run', 'load']

_PROBE_SCENES = 5_000  # Training scenes on whose objects probes are fitted.


def load(path: str | os.PathLike,
         candidates: int | None = None) -> 'Run | LoadedModel':
  """Opens a run folder, a SavedModel folder, or a model of the repository.

  Both can `explain` images. A run also knows its configuration, its scenes and
  its history; it takes some seconds to open.

  Args:
    path: a folder that `bin/train.py` or `air_tf.train` wrote, or the
      `saved_model` folder in it; or a name in `models/`, as 'multi_mnist'.
    candidates: of a run, see `Run`.

  Raises:
    errors.UserError: if there is neither, or the run has no checkpoint yet.
  """
  folder = released.saved_model_path(path)
  # Not `Path.exists`, which raises where a folder may not be looked into.
  if os.path.exists(folder / 'saved_model.pb'):
    if candidates:
      raise errors.UserError(
          f'candidates={candidates}: found a SavedModel, whose number is '
          'fixed; expected a run. Write another by bin/export.py --candidates.')
    return LoadedModel(folder)
  if os.path.exists(folder / 'config.json'):
    return Run(folder, candidates)
  found = ('a folder with neither' if os.path.isdir(folder)
           else 'a file' if os.path.exists(folder) else 'no such folder')
  raise errors.UserError(
      f'{path}: found {found}, expected a run (config.json) or a SavedModel '
      '(saved_model.pb); give the --logdir of bin/train.py, the `saved_model` '
      f"folder in it, or one of {', '.join(released.names())}.")


LoadedModel = loaded_model.LoadedModel  # What `load` returns of a SavedModel.


class Run:
  """A run, as its newest checkpoint left it.

  Attributes:
    path: of its folder.
    config: its configuration.
    trainer: its state; `trainer.train` continues from here, in memory only.
    model: the averaged model, which is what is evaluated and exported.
    num_steps_prior: p(n) at this point of training, batch shape `[]`.
  """

  def __init__(self, path: str | os.PathLike,
               candidates: int | None = None):
    """Restores it.

    Args:
      path: of its folder.
      candidates: of how many explanations images get the best; as its
        configuration says, if None.

    Raises:
      errors.UserError: if the folder holds no run, or no checkpoint.
    """
    self.path, self._candidates = pathlib.Path(path), candidates
    self._folder = run_folder.RunFolder(path)
    self.config: config_lib.Config = self._folder.config()
    progress.status(f'Restoring the run in {path}.')
    self.trainer = trainer_lib.Trainer(self.config)
    if not self._folder.restore(tf.train.Checkpoint(trainer=self.trainer)):
      raise errors.UserError(
          f'--logdir={path}: found a run without a checkpoint, expected one; '
          'train it for at least '
          f'--checkpoint_every={self.config.checkpoint_every} iterations.')
    self.model: model_lib.AIRModel
    self.num_steps_prior: prior.NumStepsDistribution
    self.model, self.num_steps_prior = self.trainer.averaged_model()

  @property
  def step(self) -> int:
    """The iteration of the checkpoint."""
    return int(self.trainer.iteration)

  @property
  def image_shape(self) -> tuple[int, ...]:
    """`(H, W)` of the images that it takes; `(H, W, 3)` in colour."""
    return self.config.image_shape

  @property
  def max_steps(self) -> int:
    """T, the most objects that it counts."""
    return self.config.max_steps

  @property
  def value_range(self) -> value_range_lib.ValueRange:
    """Which values of pictures are black and white to it."""
    return value_range_lib.of_config(self.config)

  @functools.cached_property
  def scenes(self) -> splits.Splits:
    """The scenes it was trained on and those held out, made on first use.

    Raises:
      errors.UserError: if they are gone, or others than the run began with.
    """
    found = splits.load(self.config)
    try:
      test = found.test
    except errors.UserError as error:
      raise errors.UserError(
          f'{self._source()}: the scenes of the run cannot be used now: {error}'
          ) from error
    prints = fingerprint.of(test=test)
    if self.config.scenes:  # Composed ones would have to be composed first.
      prints |= fingerprint.of(train=found.train)
    self._require_own_scenes(test, self._folder.scene_differences(prints))
    return found

  @property
  def test(self) -> scenes_lib.Scenes:
    """The held-out scenes."""
    return self.scenes.test

  def history(self) -> list[dict]:
    """Returns the evaluations so far, the lines of `metrics.jsonl`."""
    return self._folder.metrics()

  @functools.cached_property
  def signatures(self) -> predictions_lib.Signatures:
    """The functions of its SavedModel, by name; see docs/inference.md."""
    return self.signatures_with(None)

  def signatures_with(self, max_steps: int | None) -> (
      predictions_lib.Signatures):
    """Returns the functions for up to another number of objects.

    Args:
      max_steps: T; that of training, if None.
    """
    return saved_model.ExportedAIR(
        *self.trainer.averaged_model(max_steps),
        candidates=self._candidates).endpoints

  def explain(self, images: npt.ArrayLike, masks: bool = False,
              refined: bool = False) -> explain_lib.Explanation:
    """Counts, locates and reconstructs the objects of images.

    Args:
      images: `[N, H, W]`, uint8, or floats in 0 ... 1, as the model takes them
        (`value_range.apply_all` makes such); or others, of 16 bits for
        instance, to which the range of the training is applied. One image is
        `image[np.newaxis]`.
      masks: whether to say which object each pixel belongs to, in `masks`.
      refined: whether to explain each object again, alone: the same counts,
        better codes, places and masks, for some five times the time.

    Returns:
      Numpy arrays, each with first axis N; equal images give equal results.

    Raises:
      errors.UserError: if `images` have another shape, type or range; if
        `refined` objects cover each other.
    """
    serve = self.signatures['segment' if masks else 'serving_default']
    return batched.explain(serve.get_concrete_function(), images,
                           self.image_shape, self.value_range, refined)

  def evaluate(self, scenes: str | None = None, num_samples: int = 0,
               progress: bool = False, max_steps: int | None = None,
               refined: bool = False,
               probe_scenes: int | None = None) -> dict:
    """Evaluates the averaged model.

    Args:
      scenes: path of a scene file; the held-out scenes, if None.
      num_samples: K of the bound on log p(x); 0 for none.
      progress: whether to show a bar while the bound is computed.
      max_steps: T; that of training, if None.
      refined: see `report.evaluate`.
      probe_scenes: how many training scenes the probes are fitted on; 5,000,
        if None.

    Returns:
      `step`, and as `report.evaluate`. The probes are fitted on objects of
      training scenes; of half of `scenes`, if there are no training scenes now.

    Raises:
      errors.UserError: if the scenes cannot be had, or do not suit the model.
    """
    test = (self.test if scenes is None
            else report.read_scenes(
                scenes, self.image_shape, max_steps or self.max_steps,
                self.value_range))
    train = (None if test.boxes is None or test.labels is None
             else self._probed_scenes(
                 probe_scenes or _PROBE_SCENES, needed=scenes is None))
    signatures = (self.signatures if max_steps is None
                  else self.signatures_with(max_steps))
    return {'step': self.step} | report.evaluate(
        signatures, test, train, num_samples, progress, refined)

  def _probed_scenes(self, number: int,
                     needed: bool) -> scenes_lib.Scenes | None:
    try:
      train = self.scenes.train
    except errors.UserError as error:
      if needed:
        raise
      logging.warning('The probes do without training scenes: %s',
                      errors.one_line(error))
      return None
    return scenes_lib.Scenes(
        *(x if x is None else x[:number] for x in train))

  def _source(self) -> str:
    config = self.config
    return (f'--scenes={config.scenes}' if config.scenes
            else f'--digits={config.digits}')

  def _require_own_scenes(self, test, differences: list[str]) -> None:
    shape = test.images.shape[1:]
    if shape != self.image_shape and not differences:  # An old run.
      differences = [f'the images were {npz.describe_image(self.image_shape)} '
                     f'and are {npz.describe_image(shape)}']
    text = (f'{self._source()}: found other scenes there than the run in '
            f"{self.path} began with: {'; '.join(differences)}")
    if shape != self.image_shape or (differences and self.config.scenes):
      raise errors.UserError(
          f'{text}. Put the old ones back; other scenes are evaluated with '
          'bin/evaluate.py --saved_model and --scenes.')
    if differences:
      logging.warning('%s.', text)

  def __repr__(self) -> str:
    """One line."""
    size = ' x '.join(map(str, self.image_shape))
    return (f"Run('{self.path}', step {self.step:,}, images {size}, up to "
            f'{self.max_steps} objects)')

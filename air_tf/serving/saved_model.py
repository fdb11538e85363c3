"""The trained model as functions of images, and as a SavedModel of them.

The SavedModel loads with TensorFlow alone. Letters: `N` images, `T` most steps,
`Z` size of `what`, `[H, W]` image, `[h, w]` glimpse; both have a last axis of 3
channels in colour.
"""

import contextlib
import functools
import glob
import math
import os
import pathlib
import shutil

import numpy as np
import tensorflow as tf

from air_tf import errors
from air_tf import explain as explain_lib
from air_tf import files
from air_tf import folder_lock
from air_tf import model as model_lib
from air_tf import prior
from air_tf import segment as segment_lib
from air_tf.data import value_range as value_range_lib
from air_tf.serving import half_precision as half_precision_lib
from air_tf.serving import signatures

__all__ = ['ExportedAIR', 'check_target', 'save', 'tidy']

_PARTS = {'saved_model.pb', 'variables'}
_NAMES = _PARTS | {'assets', 'fingerprint.pb', '.DS_Store'}  # May be there.


class ExportedAIR(tf.Module):
  """The signatures of the SavedModel, as methods."""

  def __init__(self, model: model_lib.AIRModel,
               num_steps_prior: prior.NumStepsDistribution | None = None,
               half_precision: bool = False, min_half_size: int = 0,
               candidates: int | None = None):
    """Makes the functions.

    Args:
      model: has all its variables.
      num_steps_prior: p(n) of `score`, batch shape `[]`; the one at which the
        model's configuration ends, if None.
      half_precision: whether weights are rounded to float16, and saved so.
      min_half_size: variables of fewer numbers are not.
      candidates: of how many explanations images get the best; that of the
        model's configuration, if None.
    """
    super().__init__(name='exported_air')
    if half_precision:
      self._weights = half_precision_lib.HalfPrecision(
          model, min_half_size)
      in_place = self._weights.in_place
    else:
      self._weights = model
      in_place = contextlib.nullcontext
    config = model.config
    candidates = candidates or config.candidates
    if num_steps_prior is None:
      num_steps_prior = prior.truncated_geometric(
          math.log(config.success_final), config.max_steps)
    prior_logits = num_steps_prior.step_logits.numpy()
    height, width = config.image_shape[:2]
    spec = lambda shape, name, dtype=tf.float32: tf.TensorSpec(
        shape, dtype, name=name)
    # Nothing here depends on a tensor's value in Python: rewriting all code, as
    # AutoGraph does, would take seconds and change nothing.
    def function(signature):
      return lambda method: tf.function(
          _within(in_place, method), input_signature=signature, autograph=False)

    steps = config.max_steps

    images_spec = spec([None, *config.image_shape], 'images')

    @function([images_spec])
    def serve(images):
      return explain_lib.explain(
          model, images, candidates=candidates,
          num_steps_prior=prior.NumStepsDistribution(prior_logits)).as_dict()

    @function([images_spec])
    def detect(images):
      # What only the other outputs need is not computed: TensorFlow inlines the
      # call, and removes it.
      answer = serve(images)
      return {name: answer[name] for name in signatures.DETECTED}

    @function([images_spec])
    def segment(images):
      # A graph of its own would take as long to load as `serve`.
      return segment_lib.with_masks(images, serve(images))

    @function([
        spec([None, steps, config.what_size], 'what'),
        spec([None, steps, 3], 'where'), spec([None, steps], 'presence')])
    def decode(what, where, presence):
      return {'images': model.decode(what, where, presence, height, width)}

    @function([spec([None], 'num_steps', tf.int32)])
    def sample(num_steps):
      # A new seed at every call, from TensorFlow's own state.
      seed = tf.random.uniform([2], maxval=tf.int32.max, dtype=tf.int32)
      return {'images': model.sample_prior(num_steps, seed, height, width)}

    @function([images_spec, spec([2], 'seed', tf.int32)])
    def score(images, seed):
      return model.score(
          images, prior.NumStepsDistribution(prior_logits), seed)

    span = value_range_lib.of_config(config)

    @function([])
    def value_range():
      # NaN: none was measured, as of composed scenes.
      low, high = (np.nan if x is None else x for x in span[:2])
      return {'low': tf.constant(low, tf.float64),
              'high': tf.constant(high, tf.float64),
              'invert': tf.constant(span.invert),
              'contrast': tf.constant(span.contrast)}

    # Loaded, the SavedModel is callable: `tf.saved_model.load(path)(images)`.
    self.__call__ = serve
    self.endpoints = {'serving_default': serve, 'detect': detect,
                      'segment': segment, 'decode': decode, 'sample': sample,
                      'score': score, 'value_range': value_range}


def save(model: model_lib.AIRModel, path: str | pathlib.Path,
         num_steps_prior: prior.NumStepsDistribution | None = None,
         half_precision: bool = False, min_half_size: int = 0,
         candidates: int | None = None) -> None:
  """Writes the SavedModel folder; an older one is replaced once this is whole.

  Args:
    model: a trained model.
    path: of the folder; its parents are made.
    num_steps_prior: as `ExportedAIR` takes it.
    half_precision: as `ExportedAIR` takes it; half the size on disk.
    min_half_size: as `ExportedAIR` takes it.
    candidates: as `ExportedAIR` takes it.

  Raises:
    errors.UserError: if the folder cannot be written, or holds something
      other than a SavedModel.
    errors.DiskFull: if there is no room; an older SavedModel is kept.
  """
  path = pathlib.Path(path).resolve()
  check_target(path)
  temporary, old = (path.with_name(f'.{path.name}.{kind}.{os.getpid()}')
                    for kind in ('new', 'old'))
  exported = ExportedAIR(
      model, num_steps_prior, half_precision, min_half_size, candidates)
  try:
    with files.unwritable_as_user_error(path, (OSError, tf.errors.OpError)):
      tidy(path)
      temporary.mkdir(parents=True)
      with folder_lock.claimed(temporary):
        tf.saved_model.save(
            exported, str(temporary), signatures=exported.endpoints)
        if path.exists():
          path.rename(old)
        temporary.rename(path)
      shutil.rmtree(old, ignore_errors=True)
  finally:
    if old.exists() and not path.exists():  # The new one did not get there.
      old.rename(path)
    shutil.rmtree(temporary, ignore_errors=True)


def check_target(path: pathlib.Path) -> None:
  """Refuses to replace what is no SavedModel of AIR.

  Raises:
    errors.UserError: if something else is there.
  """
  if not os.path.lexists(path):
    return
  names = set(os.listdir(path)) if path.is_dir() else set()
  others = sorted(names - _NAMES)
  # Damaged, it may be AIR's still; then all its parts are there.
  if others or not _PARTS <= names or signatures.is_of_others(path):
    raise errors.UserError(
        f'{path}: found something that is no SavedModel of AIR'
        + (f' ({others[0]!r} in it)' if others else '') + '; expected a new '
        'folder, or a SavedModel of AIR to replace. Remove it, or give another '
        'path.')


def _within(context, method):
  """Returns `method`, called within `context()`."""
  @functools.wraps(method)
  def called(*arguments, **named):  # By name where functions run eagerly.
    with context():
      return method(*arguments, **named)
  return called


def tidy(path: pathlib.Path) -> None:
  """Removes what killed processes left beside a SavedModel folder.

  A process holds a lock on the temporary folder that it writes. If one was
  killed while it replaced an older SavedModel, the older one comes back.

  Raises:
    OSError: if the folder around it cannot be written.
  """
  for kind in ('old', 'new'):
    for left in path.parent.glob(f'.{glob.escape(path.name)}.{kind}.*'):
      with folder_lock.claimed(left) as unused:
        if unused and kind == 'old' and not path.exists():
          left.rename(path)
        elif unused:
          shutil.rmtree(left, ignore_errors=True)

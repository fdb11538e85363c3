"""A SavedModel of AIR, opened: it explains images and can be evaluated."""

from numpy import typing as npt

from air_tf import errors
from air_tf import explain as explain_lib
from air_tf.evaluation import report
from air_tf.serving import batched
from air_tf.serving import predictor as predictor_lib
from air_tf.serving import signatures

__all__ = ['LoadedModel']


class LoadedModel(predictor_lib.Predictor):
  """A SavedModel of AIR; see `Predictor` for its attributes."""

  def explain(self, images: npt.ArrayLike, masks: bool = False,
              refined: bool = False) -> explain_lib.Explanation:
    """Counts, locates and reconstructs the objects of images.

    See `Run.explain` for arguments, result and errors.
    """
    return batched.explain(
        self.serve_with(masks), images, self.image_shape, self.value_range,
        refined)

  def evaluate(self, scenes: str, num_samples: int = 0,
               progress: bool = False, refined: bool = False) -> dict:
    """Evaluates the model on a scene file; see `report.evaluate`.

    The probes are fitted on the first half of the scenes and scored on the
    second, because the training scenes are not known.

    Args:
      scenes: path of a scene file.
      num_samples: K of the bound on log p(x); 0 for none.
      progress: whether to show a bar while the bound is computed.
      refined: see `report.evaluate`.

    Raises:
      errors.UserError: if the model or the scenes cannot be used.
    """
    try:
      signatures.check(self.path, self._definitions, 'score')
    except errors.UserError as error:
      raise errors.UserError(
          f'{error} One of an earlier version has no such signature `score`: '
          'write it again by bin/export.py, or evaluate the run itself.'
          ) from error
    return report.evaluate(
        self.signatures, report.read_scenes(
            scenes, self.image_shape, self.max_steps, self.value_range), None,
        num_samples, progress, refined)

  def __repr__(self) -> str:
    """One line."""
    size = ' x '.join(map(str, self.image_shape))
    return (f"LoadedModel('{self.path}', images {size}, up to "
            f'{self.max_steps} objects)')

"""The pictures that training leaves at each evaluation."""

from collections.abc import Mapping
import pathlib

from air_tf import explain
from air_tf import model as model_lib
from air_tf.data import scenes as scenes_lib
from air_tf.data import streams
from air_tf.plotting import canvas
from air_tf.plotting import curves
from air_tf.plotting import explanations
from air_tf.plotting import scene_cards
from air_tf.training import summaries
from air_tf.training import variances

__all__ = ['Pictures']

_NUM_SCENES = 10


class Pictures:
  """Draws held-out scenes, and the variances that were measured.

  In the folder `figures` the scenes are one picture, `progress.png`; in
  TensorBoard, each has a card, `scenes`, and the variances are `variance`.
  """

  def __init__(self, writer: summaries.Writer, folder: pathlib.Path,
               scenes: scenes_lib.Scenes, iteration: int):
    """Chooses what to draw.

    Args:
      writer: of the events.
      folder: of the run.
      scenes: held-out ones, of which ten are drawn.
      iteration: where the run begins or resumes.
    """
    self._writer = writer
    self._path = folder / 'figures' / 'progress.png'
    chosen = scenes.select(explanations.balanced_selection(
        scenes.counts, len(scenes.images), _NUM_SCENES))
    self._counts = chosen.counts
    self._images = streams.to_pixels(chosen.images)
    self._variances = variances.History(folder / 'train', iteration)

  def measured(self, scalars: Mapping[str, float], iteration: int) -> None:
    """Keeps the variances among scalars that go to TensorBoard."""
    self._variances.add(scalars, iteration)

  def draw(self, model: model_lib.AIRModel, iteration: int) -> None:
    """Draws everything as it is now.

    Raises:
      errors.UserError: if it cannot be written.
      errors.DiskFull: if there is no room.
    """
    explanation = explain.explain(model, self._images)
    scenes = self._images.numpy(), explanation, self._counts
    canvas.save(explanations.progress(*scenes), self._path)
    self._writer.images('scenes', scene_cards.scene_cards(*scenes), iteration)
    if drawn := self._variances.curves():
      self._writer.image(
          'variance', canvas.rgb(curves.variance(drawn)), iteration)

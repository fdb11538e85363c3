"""What TensorBoard shows: scalars and pictures, training beside held-out."""

import contextlib
import pathlib

from matplotlib import figure
import numpy as np
import tensorflow as tf

from air_tf.plotting import canvas
from air_tf.training import run_folder

__all__ = ['Writer']


class Writer:
  """Writes events under `train/` and `test/` of a run folder.

  The same name in both gives two curves in one TensorBoard chart. Methods raise
  `errors.UserError` if the folder cannot be written, and `errors.DiskFull`.
  """

  def __init__(self, logdir: str | pathlib.Path):
    self._logdir = pathlib.Path(logdir)
    with self._writing():
      self._writers = {
          split: tf.summary.create_file_writer(str(self._logdir / split))
          for split in ('train', 'test')}

  def scalars(self, split: str, values: dict[str, float],
              iteration: int) -> None:
    """Writes numbers.

    Args:
      split: 'train' or 'test'.
      values: by name; those of one group share a prefix up to a slash.
      iteration: after which they hold.
    """
    with self._writing(), self._writers[split].as_default(step=iteration):
      for name, value in values.items():
        tf.summary.scalar(name, value)

  def image(self, name: str, pixels: np.ndarray, iteration: int) -> None:
    """Writes a picture, uint8 `[rows, columns, 3]`, among the held-out ones."""
    with self._writing(), self._writers['test'].as_default(step=iteration):
      tf.summary.image(name, pixels[np.newaxis])

  def figure(self, name: str, fig: figure.Figure, iteration: int,
             path: str | pathlib.Path) -> None:
    """Writes a figure, among the held-out ones and as a PNG file.

    Raises:
      errors.UserError: if the file cannot be written.
    """
    canvas.save(fig, path)
    self.image(name, canvas.rgb(fig), iteration)

  def flush(self) -> None:
    """Hands everything to the file system."""
    with self._writing():
      for writer in self._writers.values():
        writer.flush()

  def _writing(self) -> contextlib.AbstractContextManager[None]:
    return run_folder.writing(self._logdir)

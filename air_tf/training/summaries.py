"""What TensorBoard shows: curves, pictures, text; training beside held-out."""

from collections.abc import Iterator
import contextlib
import errno
import os
import pathlib
import struct

from matplotlib import figure
import numpy as np
import tensorflow as tf

from air_tf import errors
from air_tf.plotting import canvas
from air_tf.training import cards as cards_lib
from air_tf.training import run_folder

__all__ = ['FigureFiles', 'Writer']

_SPLITS = 'train', 'test'


class FigureFiles:
  """Writes figures as PNG files only, for runs that are only read."""

  def figure(self, name: str, fig: figure.Figure, iteration: int,
             path: str | pathlib.Path,
             cards: np.ndarray | None = None) -> None:
    """As `Writer.figure`, without TensorBoard."""
    del name, iteration, cards
    canvas.save(fig, path)

  def flush(self) -> None:
    """Does nothing: every file is written at once."""


class Writer(FigureFiles):
  """Writes events under `train/` and `test/` of a run folder.

  The same name in both gives two curves in one TensorBoard chart. Methods raise
  `errors.UserError` if the folder cannot be written, and `errors.DiskFull`.
  """

  def __init__(self, logdir: str | pathlib.Path):
    self._logdir = pathlib.Path(logdir)
    self._described = set()  # (split, tag): the first event has the text.
    for split in _SPLITS:
      if (self._logdir / split).is_file():
        raise errors.UserError(
            f'{self._logdir / split}: found a file, expected a folder; remove '
            'it.')
    with self._writing():
      before = {*self._events()}
      self._writers = {
          split: tf.summary.create_file_writer(str(self._logdir / split))
          for split in _SPLITS}
      self._flush()  # Makes the files, of whose names it says nothing.
      self._checked = {path: 0 for path in self._events()
                       if path not in before}

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
        first = self._first(split, name)
        tf.summary.scalar(name, value, description=(
            cards_lib.describe(name, split) if first else None))

  def image(self, name: str, pixels: np.ndarray, iteration: int) -> None:
    """Writes a picture, uint8 `[rows, columns, 3]`, among the held-out ones."""
    self.images(name, pixels[np.newaxis], iteration)

  def images(self, name: str, pixels: np.ndarray, iteration: int) -> None:
    """Writes pictures, uint8 `[N, rows, columns, 3]`, each on its own card."""
    first = self._first('test', name)
    with self._writing(), self._writers['test'].as_default(step=iteration):
      tf.summary.image(
          name, pixels, max_outputs=len(pixels),
          description=cards_lib.describe_picture(name) if first else None)

  def texts(self, values: dict[str, str], iteration: int) -> None:
    """Writes Markdown by name, among what is of training."""
    with self._writing(), self._writers['train'].as_default(step=iteration):
      for name, value in values.items():
        tf.summary.text(name, value)

  def figure(self, name: str, fig: figure.Figure, iteration: int,
             path: str | pathlib.Path,
             cards: np.ndarray | None = None) -> None:
    """Writes a figure, among the held-out ones and as a PNG file.

    Args:
      name: in TensorBoard.
      fig: the figure.
      iteration: after which it holds.
      path: of the PNG file.
      cards: for TensorBoard in place of the figure, if it is too wide to be
        read there, uint8 `[N, rows, columns, 3]`.

    Raises:
      errors.UserError: if the file cannot be written.
    """
    canvas.save(fig, path)
    if cards is None:
      cards = canvas.rgb(fig)[np.newaxis]
    self.images(name, cards, iteration)

  def flush(self) -> None:
    """Hands everything to the file system.

    Raises:
      errors.UserError: if it cannot be written.
      errors.DiskFull: if there is no room.
    """
    with self._writing():
      self._flush()
      for path, checked in self._checked.items():
        self._checked[path] = _end_of_whole_records(path, checked)

  def _first(self, split: str, name: str) -> bool:
    """Whether a tag is met for the first time."""
    if (split, name) in self._described:
      return False
    self._described.add((split, name))
    return True

  def _flush(self) -> None:
    for writer in self._writers.values():
      writer.flush()

  def _events(self) -> Iterator[pathlib.Path]:
    for split in _SPLITS:  # Several processes may write: the own one's only.
      yield from (self._logdir / split).glob(f'*.{os.getpid()}.*')

  def _writing(self) -> contextlib.AbstractContextManager[None]:
    return run_folder.writing(self._logdir)


def _end_of_whole_records(path: pathlib.Path, start: int) -> int:
  """Returns where the records of an event file end, which must be its end.

  TensorFlow says nothing of an event that did not fit on a full disk: part of a
  record is left, and nothing behind it can be read.

  Args:
    path: of the file.
    start: where a record begins.

  Raises:
    OSError: if the last record is not whole.
  """
  with open(path, 'rb') as file:
    size = os.fstat(file.fileno()).st_size
    while start < size:
      file.seek(start)
      head = file.read(8)  # The length of the data.
      # Behind it stand its checksum, the data, and theirs: 4 bytes each.
      start += 8 if len(head) < 8 else 16 + struct.unpack('<Q', head)[0]
  if start != size or not size:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), os.fspath(path))
  return start

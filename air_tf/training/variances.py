"""The variances that a run has measured so far, to be drawn as one picture."""

from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import pathlib

from google.protobuf import message
from tensorboard.backend.event_processing import event_file_loader
from tensorboard.compat.proto import event_pb2
import tensorflow as tf

__all__ = ['History']

_GROUPS = 'gradient_variance/'
_SIGNAL = 'training/learning_signal/variance'
_MARK = b'variance'  # In the names of all.


class History:
  """Variances by name and iteration, those of earlier sessions among them."""

  def __init__(self, folder: pathlib.Path, iteration: int):
    """Reads the events of a run that is resumed.

    Args:
      folder: of the events of training; need not exist.
      iteration: where the run resumes; later ones are measured again.
    """
    self._values: dict[str, dict[int, float]] = {}
    if iteration:
      for tag, step, value in _read(folder):
        if step <= iteration:
          self.add({tag: value}, step)

  def add(self, scalars: Mapping[str, float], iteration: int) -> None:
    """Keeps those of TensorBoard's scalars that are variances."""
    for tag, value in scalars.items():
      if name := _name(tag):
        self._values.setdefault(name, {})[iteration] = float(value)

  def curves(self) -> dict[str, dict[int, float]]:
    """Returns value by iteration, by name; none if nothing was measured."""
    return self._values


def _name(tag: str) -> str | None:
  """Returns what a variance is of; those of single variables are left out."""
  if tag == _SIGNAL:
    return 'learning signal'
  group = tag.removeprefix(_GROUPS)
  return None if group == tag or '/' in group else group.replace('_', ' ')


def _read(folder: pathlib.Path) -> Iterator[tuple[str, int, float]]:
  """Yields (tag, iteration, value), a session after the other.

  What is damaged ends its file: a picture is not worth a run.
  """
  for path in sorted(folder.glob('*tfevents*')):
    with contextlib.suppress(tf.errors.OpError, message.DecodeError):
      for record in event_file_loader.RawEventFileLoader(str(path)).Load():
        if _MARK not in record:  # Parsing takes longer than all else.
          continue
        event = event_pb2.Event.FromString(record)
        for value in event.summary.value:
          if _name(value.tag):
            yield value.tag, event.step, tf.make_ndarray(value.tensor).item()

"""A film of training, from the progress figures in a run's TensorBoard events.

Every evaluation draws the same ten scenes, so a run with a small --eval_every
makes a film of many frames.
"""

import io
import os
import pathlib

import numpy as np
from PIL import Image
from PIL import ImageDraw
from PIL import ImageFont
from tensorboard.backend.event_processing import event_accumulator

from air_tf.plotting import films

__all__ = ['frames']

_TAG = 'progress'  # As training names the figure.
_MAX_FRAMES = 40
_WIDTH = 700  # Pixels.
_BAND = 24  # Pixels above the figure, for the iteration.


def frames(logdir: str | os.PathLike[str]) -> list[films.Frame]:
  """Returns the progress figures of a run, in the order of iterations.

  Args:
    logdir: folder of the run.

  Returns:
    Frames of one size, at most 40; none if the run has no such events.
  """
  pictures = _pictures(pathlib.Path(logdir) / 'test')
  chosen = np.unique(np.linspace(
      0, len(pictures) - 1, min(len(pictures), _MAX_FRAMES)).round().astype(int)
                     ) if pictures else []
  iterations = sorted(pictures)
  last = len(chosen) - 1
  return [films.Frame(_titled(pictures[iterations[i]], iterations[i]),
                      2.5 if n == last else .5)
          for n, i in enumerate(chosen)]


def _pictures(folder: pathlib.Path) -> dict[int, bytes]:
  """Returns PNG files by iteration; the last one where a run was resumed."""
  if not folder.is_dir():
    return {}
  events = event_accumulator.EventAccumulator(
      str(folder), size_guidance={event_accumulator.TENSORS: 0})
  events.Reload()
  if _TAG not in events.Tags()['tensors']:
    return {}
  # Width, height and the file, as `tf.summary.image` writes them.
  return {event.step: event.tensor_proto.string_val[2]
          for event in events.Tensors(_TAG)}


def _titled(png: bytes, iteration: int) -> np.ndarray:
  """Returns the picture, smaller, below its iteration."""
  with Image.open(io.BytesIO(png)) as opened:
    picture = opened.convert('RGB')
  height = round(picture.height * _WIDTH / picture.width)
  page = Image.new('RGB', (_WIDTH, height + _BAND), 'white')
  page.paste(picture.resize((_WIDTH, height), Image.Resampling.LANCZOS),
             (0, _BAND))
  ImageDraw.Draw(page).text(
      (_WIDTH / 2, _BAND / 2), f'iteration {iteration:,}', 'black',
      ImageFont.load_default(16), anchor='mm')
  return np.asarray(page)

"""A film of training, from the pictures of scenes in TensorBoard's events.

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

# As training names the pictures: a card per scene; before, one for all.
_TAGS = 'scenes', 'progress'
_PER_ROW = 5
_MAX_FRAMES = 40
_WIDTH = 700  # Pixels.
_BAND = 24  # Pixels above the figure, for the iteration.


def frames(logdir: str | os.PathLike[str]) -> list[films.Frame]:
  """Returns the pictures of a run's scenes, in the order of iterations.

  Args:
    logdir: folder of the run.

  Returns:
    Frames of one size, at most 40; none if the run has no such events.
  """
  pictures = _pictures(pathlib.Path(logdir) / 'test')
  iterations = sorted(pictures)
  chosen = np.unique(np.linspace(
      0, len(pictures) - 1, min(len(pictures), _MAX_FRAMES)).round().astype(int)
                     ) if pictures else []
  pages = [_page(pictures[iterations[i]]) for i in chosen]
  height = max((page.height for page in pages), default=0)
  last = len(chosen) - 1
  return [films.Frame(_titled(page, height, iterations[i]),
                      2.5 if n == last else .5)
          for n, (i, page) in enumerate(zip(chosen, pages, strict=True))]


def _pictures(folder: pathlib.Path) -> dict[int, list[bytes]]:
  """Returns PNG files by iteration; the last ones where a run was resumed."""
  if not folder.is_dir():
    return {}
  events = event_accumulator.EventAccumulator(
      str(folder), size_guidance={event_accumulator.TENSORS: 0})
  events.Reload()
  for tag in _TAGS:
    if tag in events.Tags()['tensors']:
      # Width, height and the files, as `tf.summary.image` writes them.
      return {event.step: list(event.tensor_proto.string_val[2:])
              for event in events.Tensors(tag)}
  return {}


def _page(files: list[bytes]) -> Image.Image:
  """Returns pictures of one size in rows, together as wide as the film."""
  pictures = []
  for png in files:
    with Image.open(io.BytesIO(png)) as opened:
      pictures.append(opened.convert('RGB'))
  width, height = pictures[0].size
  columns = min(_PER_ROW, len(pictures))
  page = Image.new('RGB', (
      columns * width, -(-len(pictures) // columns) * height), 'white')
  for i, picture in enumerate(pictures):
    row, column = divmod(i, columns)
    page.paste(picture, (column * width, row * height))
  return page.resize((_WIDTH, round(page.height * _WIDTH / page.width)),
                     Image.Resampling.LANCZOS)


def _titled(picture: Image.Image, height: int, iteration: int) -> np.ndarray:
  """Returns the picture below its iteration, on a page for so many rows."""
  page = Image.new('RGB', (_WIDTH, height + _BAND), 'white')
  page.paste(picture, (0, _BAND))
  ImageDraw.Draw(page).text(
      (_WIDTH / 2, _BAND / 2), f'iteration {iteration:,}', 'black',
      ImageFont.load_default(16), anchor='mm')
  return np.asarray(page)

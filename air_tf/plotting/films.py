"""Animations: scenes explained step by step, and GIF files.

Letters: `N` images, `T` most steps, `[H, W]` image, `[h, w]` glimpse; both have
a last axis of 3 channels in colour.
"""

from collections.abc import Iterable
from collections.abc import Iterator
import io
import os
from typing import NamedTuple

import numpy as np
from PIL import Image

from air_tf import files
from air_tf.plotting import canvas
from air_tf.plotting import explanations

__all__ = ['Frame', 'explained', 'save_gif']

_TITLES = ('attend', 'read', 'infer', 'write')
_PITCH = 1. + 2 * canvas.GAP  # From image to image.
_COLOURS = 256  # Of a GIF's palette.
_PALETTE_ROWS = 3  # It is chosen from every third row of pixels.


class Frame(NamedTuple):
  """One picture of an animation."""
  pixels: np.ndarray  # uint8 [rows, columns, 3]
  seconds: float      # How long it is shown.


def explained(images: np.ndarray, attended: np.ndarray,
              explanation: explanations.Explanation) -> Iterator[Frame]:
  """Yields how images are attended to, inferred and repeated.

  From left to right: the image with the glimpse's box; the glimpse; its
  reconstruction; the canvas after it is written. Each step fills them one after
  another; the count is shown at the end.

  Args:
    images: `[N, H, W]`.
    attended: `[N, T, h, w]`, the glimpses read from the images.
    explanation: with `num_steps` `[N]`, `boxes` `[N, T, 4]`, `glimpses`
      `[N, T, h, w]`, `canvases` `[N, T, H, W]`.
  """
  fields = explanations.arrays(explanation)
  for i in range(len(images)):
    count = int(fields['num_steps'][i])
    of_image = {name: x[i] for name, x in fields.items()}
    # The background, if there is one, is not blacked out before the first step.
    empty = of_image.get('background', np.zeros_like(images[i]))
    yield Frame(_picture(images[i], attended[i], of_image, empty, 0, 0), .6)
    for step in range(count):
      for shown in range(1, 5):
        yield Frame(_picture(images[i], attended[i], of_image, empty, step,
                             shown), 1. if shown == 4 else .35)
    yield Frame(_picture(images[i], attended[i], of_image, empty,
                         max(count - 1, 0), 4 if count else 0,
                         f'stop: {count} object{"" if count == 1 else "s"}'),
                1.6)


def save_gif(frames: Iterable[Frame],
             path: str | os.PathLike[str]) -> None:
  """Writes an animated GIF that repeats, atomically; makes its folder.

  Args:
    frames: one at least, of equal size.
    path: of the file.

  Raises:
    ValueError: if there is no frame.
    errors.UserError: if the file cannot be written.
  """
  frames = list(frames)
  if not frames:
    raise ValueError('found no frame, expected one at least')
  # One palette for all, so that only what changes is stored.
  palette = Image.fromarray(np.concatenate(
      [frame.pixels[::_PALETTE_ROWS] for frame in frames])).quantize(
          _COLOURS, Image.Quantize.MAXCOVERAGE)
  pictures = [Image.fromarray(frame.pixels).quantize(
      palette=palette, dither=Image.Dither.NONE) for frame in frames]
  buffer = io.BytesIO()
  pictures[0].save(
      buffer, format='GIF', save_all=True, append_images=pictures[1:],
      duration=[round(1_000 * frame.seconds) for frame in frames], loop=0,
      optimize=True)
  files.write_bytes(path, buffer.getvalue())


def _picture(image, attended, fields, empty, step: int, shown: int,
             verdict: str = '') -> np.ndarray:
  """Renders the frame in which the first `shown` panels of a step are filled.

  The canvas is that of the steps before until the fourth panel is filled.
  """
  fig, axes = canvas.blank_figure(
      left=canvas.GAP, right=4 * _PITCH, above=.3, below=1.35)
  canvas_before = fields['canvases'][step - 1] if step else empty
  panels = (image, attended[step], fields['glimpses'][step],
            fields['canvases'][step] if shown == 4 else canvas_before)
  box = fields['boxes'][step] / np.array(image.shape[:2] * 2)
  for column, (title, panel) in enumerate(zip(_TITLES, panels, strict=True)):
    left = column * _PITCH
    axes.text(left + .5, -.08, title, ha='center', va='bottom', fontsize=10,
              fontweight='bold' if column == shown - 1 else 'normal')
    if column in (1, 2) and column >= shown:
      panel = np.full_like(panel, .93)  # Not filled yet: the page's grey.
    canvas.plot_image(axes, panel, left, 0.)
    if column in (0, 3) and column < shown:
      canvas.plot_box(axes, box, step, (left, 0.))
  text = verdict or (f'step {step + 1}' if shown else '')
  axes.text(2 * _PITCH, 1.2, text, ha='center', va='center', fontsize=10,
            fontweight='bold',
            color=canvas.step_colour(step) if not verdict else 'black')
  return canvas.rgb(fig)

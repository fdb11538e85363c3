"""Small pictures of explained scenes, one each, for TensorBoard's cards.

TensorBoard shows pictures 200 to 350 pixels wide. A card is as wide, so that it
can be read as it opens. Pillow draws it: ten take .02 s, Matplotlib .4.

Letters: `N` images, `T` most steps, `[H, W]` image, `[h, w]` glimpse; both have
a last axis of 3 channels in colour.
"""

from collections.abc import Mapping
import functools
import os

import matplotlib
import numpy as np
from PIL import Image
from PIL import ImageDraw
from PIL import ImageFont

from air_tf.plotting import canvas
from air_tf.plotting import explanations

__all__ = ['scene_cards']

# Pixels.
_SIDE = 150  # Of an image.
_GAP = 10  # Between images, and around a card.
_WIDTH = 2 * _SIDE + 3 * _GAP
_TITLE, _LABEL = 30, 24  # Lines above the input and below a glimpse.
_PER_ROW = 4  # Glimpses.
_GLIMPSE = (_WIDTH - (_PER_ROW + 1) * _GAP) // _PER_ROW
_LINE = 3  # Of boxes.


def scene_cards(images: np.ndarray, explanation: explanations.Explanation,
                true_counts: np.ndarray | None = None) -> np.ndarray:
  """Draws a card per image.

  Above, the inferred count and the true one; then the input, and the
  reconstruction with the boxes of the objects; then the decoded glimpses with
  the probabilities of their steps. An empty frame is the first step that is not
  taken; those behind it are left out, so that a card is small where T is large.

  Args:
    images: `[N, H, W]`.
    explanation: with `num_steps` `[N]`, `step_probs` `[N, T]`,
      `tight_boxes` `[N, T, 4]`, `reconstruction` `[N, H, W]`, `glimpses`
      `[N, T, h, w]`.
    true_counts: int `[N]`, if known.

  Returns:
    uint8 `[N, rows, 330, 3]`, with rows for the largest count among them.
  """
  fields = explanations.arrays(explanation)
  shown = min(fields['step_probs'].shape[1], int(fields['num_steps'].max()) + 1)
  rows = -(-shown // _PER_ROW)
  height = _TITLE + _SIDE + _GAP + rows * (_GLIMPSE + _LABEL)
  return np.stack([
      _card(image, {name: x[i] for name, x in fields.items()}, height,
            explanations.count_text(fields['num_steps'][i], true_counts, i))
      for i, image in enumerate(images)])


def _card(image: np.ndarray, fields: Mapping[str, np.ndarray], height: int,
          title: str) -> np.ndarray:
  """Draws one card; the fields are of its image alone."""
  card = Image.new('RGB', (_WIDTH, height), 'white')
  draw = ImageDraw.Draw(card)
  wrong = explanations.WRONG in title
  draw.text((_WIDTH / 2, _TITLE / 2), title, '#C00000' if wrong else 'black',
            _font(19), anchor='mm')
  card.paste(_picture(image, _SIDE), (_GAP, _TITLE))
  explained = _picture(fields['reconstruction'], _SIDE)
  count = int(fields['num_steps'])
  size = np.array(image.shape[:2] * 2)
  for step in range(count):
    _box(explained, fields['tight_boxes'][step] / size, step)
  card.paste(explained, (_SIDE + 2 * _GAP, _TITLE))
  for step in range(min(count + 1, len(fields['step_probs']))):
    _glimpse(card, draw, fields, step, step < count)
  return np.asarray(card)


def _box(picture: Image.Image, box: np.ndarray, step: int) -> None:
  """Draws (y, x, height, width), fractions of the image's sides."""
  y, x, height, width = np.clip(box, -9., 9.) * _SIDE
  if height >= _LINE and width >= _LINE:
    ImageDraw.Draw(picture).rectangle(
        (x, y, x + width, y + height), outline=canvas.step_colour(step),
        width=_LINE)


def _glimpse(card: Image.Image, draw: ImageDraw.ImageDraw,
             fields: Mapping[str, np.ndarray], step: int, taken: bool) -> None:
  """Draws the glimpse of a step, or a frame, and its probability."""
  row, column = divmod(step, _PER_ROW)
  left = _GAP + column * (_GLIMPSE + _GAP)
  top = _TITLE + _SIDE + _GAP + row * (_GLIMPSE + _LABEL)
  corners = left, top, left + _GLIMPSE - 1, top + _GLIMPSE - 1
  if taken:
    card.paste(_picture(fields['glimpses'][step], _GLIMPSE), corners[:2])
  draw.rectangle(
      corners, width=_LINE,
      outline=canvas.step_colour(step) if taken else '#CCCCCC')
  draw.text((left + _GLIMPSE / 2, top + _GLIMPSE + _LABEL / 2),
            f"{100 * fields['step_probs'][step]:.0f} %", 'black', _font(16),
            anchor='mm')


def _picture(image: np.ndarray, side: int) -> Image.Image:
  """Returns `[H, W]` as a square of so many pixels a side."""
  image = np.asarray(image)
  if image.dtype != np.uint8:
    image = np.round(255. * np.clip(image, 0., 1.)).astype(np.uint8)
  found = Image.fromarray(image).convert('RGB')
  # Large images would lose thin strokes; small ones stay pixels.
  return found.resize((side, side), Image.Resampling.NEAREST if max(
      image.shape[:2]) <= side else Image.Resampling.BOX)


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont:
  """DejaVu Sans, which comes with Matplotlib and has a cross."""
  return ImageFont.truetype(os.path.join(
      matplotlib.get_data_path(), 'fonts', 'ttf', 'DejaVuSans.ttf'), size)

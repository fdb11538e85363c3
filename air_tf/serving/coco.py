"""Masks as COCO writes them: run lengths, column by column, packed in text.

The format of `pycocotools`, which reads what is written here.

Letters: `[H, W]` image, `K` objects of it.
"""

from collections.abc import Iterable
import json

import numpy as np

from air_tf.serving import predictor

__all__ = ['annotations', 'encode', 'results']

_CATEGORY = 1  # All objects are of one: none of them has a name.


def encode(mask: np.ndarray) -> dict:
  """Encodes which pixels belong to an object.

  Args:
    mask: bool `[H, W]`.

  Returns:
    `size`, `[H, W]`, and `counts`: the lengths of runs of pixels that do not
    and that do belong to it, in turn, down one column after the other.
  """
  flat = np.asarray(mask, bool).ravel(order='F')
  changes = np.flatnonzero(np.diff(flat, prepend=False)) if len(flat) else []
  runs = np.diff([0, *changes, len(flat)]).tolist()
  return {'size': list(mask.shape), 'counts': _pack(runs)}


def annotations(prediction: predictor.Prediction, image_id: int) -> list[dict]:
  """Returns the K objects of an image in COCO's format of results.

  Args:
    prediction: with a mask. Objects of which no pixel is seen are left out.
    image_id: a number for the image.
  """
  found = []
  for k, score in enumerate(prediction.scores):
    mine = prediction.mask == k + 1
    if not mine.any():
      continue
    rows, columns = np.nonzero(mine)
    top, left = rows.min(), columns.min()
    bottom, right = rows.max(), columns.max()
    found.append({
        'image_id': image_id, 'category_id': _CATEGORY,
        'segmentation': encode(mine), 'score': round(float(score), 6),
        'bbox': [int(left), int(top), int(right - left + 1),
                 int(bottom - top + 1)]})
  return found


def results(names: Iterable[str], objects: Iterable[dict]) -> str:
  """Returns a file of results, which `pycocotools` loads, as text.

  Args:
    names: of the images, in the order of their numbers, from 0 on.
    objects: `annotations` of all of them.
  """
  return json.dumps({
      'images': [{'id': i, 'file_name': name} for i, name in enumerate(names)],
      'annotations': [x | {'id': i + 1, 'iscrowd': 0} for i, x in enumerate(
          objects)],
      'categories': [{'id': _CATEGORY, 'name': 'object'}]})


def _pack(runs: list[int]) -> str:
  """Packs run lengths into text.

  From the fourth on, a length is given less the one two before it. A number is
  cut into groups of five bits, the lowest first; 32 is added where a further
  group follows, and 48 to all.
  """
  text = []
  for i, run in enumerate(runs):
    number = run - runs[i - 2] if i > 2 else run
    while True:
      group, number = number & 31, number >> 5
      # The sign is that of bit 4 of the last group.
      done = number == (-1 if group & 16 else 0)
      text.append(chr(48 + group + (0 if done else 32)))
      if done:
        break
  return ''.join(text)

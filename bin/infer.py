"""Counts and places the objects in images, with a SavedModel.

    python bin/infer.py --saved_model=runs/quickstart/saved_model IMAGES...

IMAGES are pictures (PNG, JPEG, ...) or scene files (.npz), bright objects on
black. A JSON line is printed for each image: its name, the count, the
probability of each count, and the boxes, (y, x, height, width) in pixels. The
last line sums up.
"""

import itertools
import json
import pathlib

from absl import flags
import cli
import numpy as np

from air_tf import errors

_SAVED_MODEL = flags.DEFINE_string(
    'saved_model', None, 'Folder of the SavedModel, `saved_model` of a run.',
    required=True)
_OVERLAY = flags.DEFINE_string(
    'overlay', None, 'Folder for pictures of the images with their boxes.')
_BATCH_SIZE = flags.DEFINE_integer(
    'batch_size', 256, 'Images in one call of the model.', lower_bound=1)


def main(arguments: list[str]) -> dict:
  """Streams images through the model, a batch in memory at a time."""
  if not arguments:
    raise errors.UserError(
        'found no image; wanted the paths of pictures or scene files, after '
        'the flags.')
  from air_tf import inference  # Takes seconds: it imports TensorFlow.
  predictor = inference.Predictor(_SAVED_MODEL.value)
  named = itertools.chain.from_iterable(
      inference.read_images(path, predictor.image_size) for path in arguments)
  total = objects = 0
  while batch := list(itertools.islice(named, _BATCH_SIZE.value)):
    answer = predictor(np.stack([image for _, image in batch]))
    for i, (name, image) in enumerate(batch):
      count = int(answer['num_steps'][i])
      boxes = answer['boxes'][i, :count]
      print(json.dumps({
          'image': name, 'count': count,
          'probabilities': _rounded(answer['num_steps_probs'][i], 6),
          'boxes': _rounded(boxes, 2)}))
      if _OVERLAY.value:
        _overlay(total + i, name, image, boxes)
      objects += count
    total += len(batch)
  return {'images': total, 'objects': objects}


def _overlay(number: int, name: str, image, boxes) -> None:
  from air_tf import figures
  stem = pathlib.Path(name.replace('[', '_').replace(']', '')).name
  path = pathlib.Path(_OVERLAY.value) / f'{number:05d}_{stem}.png'
  try:
    figures.save(
        figures.draw_boxes(image / 255., boxes, f'{len(boxes)} objects'), path)
  except OSError as error:
    raise errors.UserError(
        f'--overlay={_OVERLAY.value}: cannot be written to '
        f'({error.strerror}); wanted a folder.') from error


def _rounded(array, digits: int) -> list:
  return array.astype(float).round(digits).tolist()


if __name__ == '__main__':
  cli.run(main)

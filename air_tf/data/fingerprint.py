"""Which scenes a run is trained and tested on, in a few numbers.

A run folder keeps them, so that a run is not resumed or evaluated with other
scenes than its own: files can change while their names stay.
"""

import hashlib
import json
import os
from typing import Any

import numpy as np

from air_tf import config as config_lib
from air_tf import errors
from air_tf.data import npz
from air_tf.data import scenes as scenes_lib
from air_tf.data import streams

__all__ = ['check_held_out', 'differences', 'of']

_SAMPLED_BYTES = 2**26  # Read of images that stay on disk.


def of(**splits: scenes_lib.Scenes) -> dict[str, Any]:
  """Returns what identifies the scenes of `train`, `test` or both, for JSON."""
  return {split: _of_split(scenes) for split, scenes in splits.items()}


def differences(was: dict, found: dict) -> list[str]:
  """Returns a text for each split that differs in its images.

  Args:
    was: what `of` returned for the run.
    found: what it returns now; splits that it lacks are not compared.

  Raises:
    ValueError: if `was` is no such thing.
  """
  texts = []
  for split, now in found.items():
    then = was.get(split) if isinstance(was, dict) else None
    if not _is_split(then):
      raise ValueError(f'no fingerprint of the split `{split}`')
    if (then['images'], then['sha256']) != (now['images'], now['sha256']):
      name = {'train': 'training', 'test': 'held-out'}[split]
      texts.append(f'the {name} scenes were {_describe(then)} and are '
                   f'{_describe(now)}')
  return texts


def check_held_out(config: config_lib.Config) -> None:
  """Checks that --test_scenes is another file than --scenes; both are there.

  Raises:
    errors.UserError: if it is the same one.
  """
  if config.scenes and config.test_scenes and os.path.samefile(
      config.scenes, config.test_scenes):
    raise errors.UserError(
        f'--test_scenes={config.test_scenes}: found the file of --scenes; '
        'expected images that are not trained on. Leave --test_scenes out to '
        'hold out a tenth of --scenes.')


def _of_split(scenes: scenes_lib.Scenes) -> dict[str, Any]:
  images = scenes.images
  shape = [int(size) for size in images.shape]
  if isinstance(images, streams.MappedImages):  # A part of the file.
    rows = max(1, min(len(images), _SAMPLED_BYTES // int(np.prod(shape[1:]))))
    images = images[np.linspace(0, len(images) - 1, rows).astype(np.int64)]
  digest = hashlib.sha256(json.dumps(shape).encode())
  digest.update(np.ascontiguousarray(images))
  return {'images': shape, 'sha256': digest.hexdigest()}


def _is_split(value: Any) -> bool:
  return (isinstance(value, dict) and isinstance(value.get('sha256'), str)
          and isinstance(value.get('images'), list)
          and len(value['images']) in (3, 4)
          and all(isinstance(x, int) for x in value['images']))


def _describe(split: dict) -> str:
  number, *shape = split['images']
  return (f'{number} images of {npz.describe_image(shape)} (SHA-256 '
          f'{split["sha256"][:8]})')

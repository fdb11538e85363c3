"""AIR beside classical detectors, on the same images.

Letters: `N` images, `[H, W]` image, `K` objects in it. Places are (y, x) in
pixels.
"""

from collections.abc import Mapping
from collections.abc import Sequence
import itertools
import json
import pathlib
from typing import Any
from typing import NamedTuple

import numpy as np

from air_tf import files
from air_tf import progress
from air_tf import run as run_lib
from air_tf.data import crops
from air_tf.data import scenes as scenes_lib
from air_tf.evaluation import places as places_lib
from air_tf.evaluation import predictions as predictions_lib
from air_tf.plotting import canvas
from air_tf.plotting import detections
from air_tf.serving import tiled
from air_tf.serving import tiling
from air_tf.studies import detectors
from air_tf.studies import markdown as markdown_lib

__all__ = ['AIR', 'Found', 'compare', 'fit_all', 'in_pictures', 'in_scenes',
           'markdown', 'save']

AIR = 'air'
_FITTED = 300  # Training images on which thresholds are chosen.
_PICTURED = 5

Places = Sequence[np.ndarray]  # N of [K, 2].


class Found(NamedTuple):
  """What every method finds in N images."""
  images: Sequence[np.ndarray]  # N of uint8 [H, W].
  places: dict[str, Places]     # By method, AIR first.
  truth: Places | None          # None if nobody knows.


def fit_all(train: scenes_lib.Scenes, size: float
            ) -> list[detectors.Detector]:
  """Chooses the thresholds of all detectors on the first training images.

  Args:
    train: with counts, if these are known.
    size: side of the largest objects, pixels.

  Raises:
    errors.UserError: if scikit-image is missing.
  """
  few = train.select(slice(_FITTED))
  return [detectors.fit(
      name, few.images, few.counts, size, lambda x, name=name: progress.track(
          x, f'{name}: choosing its threshold'))
          for name in detectors.DETECTORS]


def in_scenes(run: run_lib.Run, fitted: Sequence[detectors.Detector],
              scenes: scenes_lib.Scenes) -> Found:
  """Applies all methods to images of the model's size."""
  predictions = predictions_lib.collect(run.signatures, scenes.images)
  ours = [places_lib.middles(boxes[:n]) for boxes, n in zip(
      predictions.tight_boxes, predictions.num_steps, strict=True)]
  truth = (None if scenes.boxes is None
           else list(map(places_lib.middles, scenes.boxes)))
  return Found(scenes.images, _all(ours, fitted, scenes.images), truth)


def in_pictures(explain: tiled.Explain, side: int,
                fitted: Sequence[detectors.Detector],
                pictures: Sequence[crops.Picture],
                overlap: int | None = None) -> Found:
  """Applies all methods to whole pictures.

  Args:
    explain: the model, see `tiled.predict`.
    side: of the images that it takes.
    fitted: the detectors.
    pictures: N of any size, in the model's colours.
    overlap: of windows, see `tiling.windows`.
  """
  images = [x.image for x in pictures]
  ours = []
  for n, image in enumerate(images):
    tiles = tiling.windows(image.shape[:2], side, overlap)
    with progress.bar(len(tiles.corners), f'picture {n}') as bar:
      found = tiled.predict(explain, str(n), image, tiles, progress=bar.update)
    ours.append(places_lib.middles(found.objects.boxes))
  truth = (None if any(x.boxes is None for x in pictures)
           else [places_lib.middles(x.boxes) for x in pictures])
  return Found(images, _all(ours, fitted, images), truth)


def compare(found: Found, tolerance: float) -> dict[str, Any]:
  """Compares all methods with the truth, or with each other without one.

  Args:
    found: what they find.
    tolerance: pixels that two places of one object may be apart.

  Returns:
    What `json.dumps` accepts: `images`, `tolerance`; `methods`, each with the
    fields of `places.Agreement`, if there is a truth, or else its number of
    objects, `found`; and `agreement`, the same of each pair, the second taken
    for the truth.
  """
  agreement = lambda x, y: places_lib.compare(x, y, tolerance)._asdict()
  methods = {
      name: ({'found': sum(map(len, places))} if found.truth is None
             else agreement(places, found.truth))
      for name, places in found.places.items()}
  pairs = {f'{a}/{b}': agreement(found.places[a], found.places[b])
           for a, b in itertools.combinations(found.places, 2)}
  return {'images': len(found.images), 'tolerance': tolerance,
          'methods': methods, 'agreement': pairs}


def markdown(result: Mapping[str, Any]) -> str:
  """Returns the result of `compare` as Markdown tables."""
  rows = result['methods']
  if not all('f1' in x for x in rows.values()):
    rows = result['agreement']
    text = markdown_lib.table(['method', 'objects'], [
        [name, f"{x['found']:,}"] for name, x in result['methods'].items()])
    return f'{text}\n{_table(rows)}'
  return _table(rows)


def save(found: Found, result: Mapping[str, Any],
         folder: str | pathlib.Path) -> None:
  """Leaves `detectors.json`, `.md` and `.png` in a folder.

  Raises:
    errors.UserError: if it cannot be written.
  """
  folder = pathlib.Path(folder)
  files.write_text(folder / 'detectors.json', json.dumps(result, indent=2))
  files.write_text(folder / 'detectors.md', markdown(result))
  # Whole pictures are large: one row of the first of them.
  large = max(max(x.shape[:2]) for x in found.images) > 300
  shown = [0] if large else np.linspace(
      0, len(found.images) - 1, min(_PICTURED, len(found.images))).astype(int)
  columns = ({} if found.truth is None else {'true': found.truth}
             ) | found.places
  canvas.save(detections.grid(
      [found.images[i] for i in shown],
      {name: [places[i] for i in shown] for name, places in columns.items()}),
              folder / 'detectors.png')


def _all(ours: Places, fitted: Sequence[detectors.Detector],
         images: Sequence[np.ndarray]) -> dict[str, Places]:
  return {AIR: ours} | {
      detector.name: [detector(image) for image in images]
      for detector in fitted}


def _table(rows: Mapping[str, Mapping[str, float]]) -> str:
  return markdown_lib.table(
      ['method', 'count accuracy', 'mean absolute error', 'F1 of places',
       'precision', 'recall', 'objects', 'expected'],
      [[name, f"{x['count_accuracy']:.3f}", f"{x['mean_absolute_error']:.2f}",
        f"{x['f1']:.3f}", f"{x['precision']:.3f}", f"{x['recall']:.3f}",
        f"{x['found']:,}", f"{x['expected']:,}"] for name, x in rows.items()])

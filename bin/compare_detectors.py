"""Counts by AIR and by classical detectors on the same images.

    python bin/compare_detectors.py --logdir=runs/mine
    python bin/compare_detectors.py --logdir=runs/mine --tile \
        --scenes=pictures.npz
    python bin/compare_detectors.py --logdir=runs/mine --tile \
        --scenes=cells.tif --truth=points.csv

The classical ones are those of scikit-image: connected components above a
threshold, the same split by a watershed, and blobs by the Laplacian of
Gaussians. Each has one threshold, chosen on training images of the run: where
these have counts, the one that counts best (AIR is not told counts); elsewhere
Li's minimum cross-entropy threshold.

Compared are the held-out scenes of the run, or --scenes; with --tile, whole
pictures. Where boxes or --truth are known, each method is compared with them;
everywhere, the methods with each other. Two places are one object if they are
at most half an object apart, matched one to one. A table for reading,
`detectors.json`, `.md` and `.png` in --out, then, as the last line on standard
output, the result as JSON.
"""

import math
import os

from absl import flags

from air_tf import cli
from air_tf import errors
from air_tf import paths
from air_tf import progress

_LOGDIR = cli.define_path('logdir', None, 'Folder of the run.', required=True)
_SCENES = cli.define_path(
    'scenes', None, 'A scene file (.npz); with --tile, also a picture or a '
    'folder of them. The held-out part of what the run was trained on, if left '
    'out.')
_TILE = flags.DEFINE_bool(
    'tile', False, 'Compare on whole pictures, which AIR explains by windows.')
_TRUTH = cli.define_path(
    'truth', None, 'With --tile and --scenes: where the objects are. A table '
    '(.csv) of points in one picture, or label images: a picture, a folder of '
    'them or a stack, in the order of the pictures.')
_WINDOW_OVERLAP = flags.DEFINE_integer(
    'window_overlap', None, 'With --tile: as in bin/infer.py.', lower_bound=0)
_OBJECT_SIZE = cli.define_finite_float(
    'object_size', None, 'Side of the largest objects in pixels; --object_size '
    'of the run, if left out.', lower=2., upper=1e4)
_OUT = cli.define_path(
    'out', None, 'Folder for the result; `detectors` in that of the run, if '
    'left out.')


def main(arguments: list[str]) -> dict:
  """Fits the detectors, applies all methods and compares them."""
  cli.no_arguments(arguments)
  _check_flags()
  from air_tf.studies import detectors
  detectors.require_skimage()
  cli.import_tensorflow()
  from air_tf import run as run_lib
  from air_tf.studies import detector_comparison
  run = run_lib.Run(_LOGDIR.value)
  size = _OBJECT_SIZE.value or run.config.object_size
  fitted = detector_comparison.fit_all(run.scenes.train, size)
  progress.status('Counting.')
  found = (_in_pictures if _TILE.value else _in_scenes)(run, fitted)
  result = detector_comparison.compare(found, size / 2.) | {
      'levels': {x.name: x.level for x in fitted}}
  folder = _OUT.value or os.path.join(_LOGDIR.value, 'detectors')
  detector_comparison.save(found, result, folder)
  print(detector_comparison.markdown(result))
  return result | {'out': folder}


def _check_flags() -> None:
  if _WINDOW_OVERLAP.value is not None and not _TILE.value:
    raise errors.UserError(
        f'--window_overlap={_WINDOW_OVERLAP.value}: expected --tile beside it.')
  if _TRUTH.value is not None and not (_TILE.value and _SCENES.value):
    raise errors.UserError(
        f'--truth={_TRUTH.value}: expected --tile and --scenes=PICTURES beside '
        'it.')
  if _OUT.value:
    paths.check_folder('--out', _OUT.value, [_LOGDIR.value])


def _in_scenes(run, fitted):
  from air_tf.evaluation import report
  from air_tf.studies import detector_comparison
  scenes = run.test if _SCENES.value is None else report.read_scenes(
      _SCENES.value, run.image_shape, run.max_steps, run.value_range)
  return detector_comparison.in_scenes(run, fitted, scenes)


def _in_pictures(run, fitted):
  from air_tf.data import images as images_lib
  from air_tf.data import large_pictures
  from air_tf.data import true_places
  from air_tf.studies import detector_comparison
  if _SCENES.value is not None:
    trained = run.value_range
    source = images_lib.open_source(_SCENES.value, trained.invert)
    pictures = large_pictures.read(
        _SCENES.value, images_lib.inference_range(source, trained))
  elif run.config.crop:
    pictures = large_pictures.split(
        run.config, images_lib.Skipped(run.config.on_error == 'stop'))[1]
  else:
    raise errors.UserError(
        f'--tile: the run in {_LOGDIR.value} was not trained on --crop of '
        'pictures; expected --scenes=PICTURES beside it.')
  channels = math.prod(run.image_shape[2:])
  pictures = large_pictures.recoloured(pictures, channels)
  truth = None if _TRUTH.value is None else true_places.read(
      _TRUTH.value, [x.image.shape for x in pictures])
  found = detector_comparison.in_pictures(
      # As floats: uint8 of at most 1, as in a dark window, would be refused.
      lambda images: run.explain(images_lib.to_floats(images)).as_dict(),
      run.image_shape[0], fitted, pictures, _WINDOW_OVERLAP.value)
  return found if truth is None else found._replace(truth=truth)


if __name__ == '__main__':
  cli.run(main)

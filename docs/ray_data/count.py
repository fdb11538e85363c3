"""Counts and locates the objects in very many images, by Ray Data.

    python docs/ray_data/count.py --saved_model=PATH [--workers=2] FILES...

FILES are what bin/infer.py takes: pictures, folders of them, scene files and
stacks. They are shared out among workers on all machines of the Ray cluster
(RAY_ADDRESS; without it, on this one), each of which holds the model, and the
same lines of JSON as those of bin/infer.py are printed, in the same order (the
last digit may differ, for other images share a batch). Where bin/infer.py
measures a range of values over a folder, it is measured here for each file.
"""

import argparse
import os
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))))
BATCH_SIZE = 256  # Images in a call of the model.
FILES = 64  # Handed to a worker at a time.


class Counter:
  """A worker: from paths to lines of JSON."""

  def __init__(self, saved_model: str):
    """Loads the SavedModel, once per worker."""
    sys.path.insert(0, ROOT)
    from air_tf.serving import parallel
    from air_tf.serving import predictor
    parallel.use_cores(1)
    self._predictor = predictor.Predictor(saved_model)

  def __call__(self, batch: dict) -> dict:
    """Explains the images of some files."""
    from air_tf.serving import predictor
    from air_tf.serving import writers
    images = (image for path in batch['item'] for image in self._read(path))
    return {'line': [writers.json_line(found) for found in predictor.predict(
        self._predictor, images, BATCH_SIZE)]}

  def _read(self, path: str):
    from air_tf.data import images
    source = images.open_source(str(path), self._predictor.value_range.invert)
    return source.read_pixels(
        images.inference_range(source, self._predictor.value_range))


def main() -> None:
  """Prints a line for each image."""
  import ray
  sys.path.insert(0, ROOT)
  from air_tf.data import images
  parser = argparse.ArgumentParser()
  parser.add_argument('--saved_model', required=True, type=os.path.abspath)
  parser.add_argument('--workers', type=int, default=2)
  parser.add_argument('files', nargs='+', type=os.path.abspath)
  given = parser.parse_args()
  files = [file for path in given.files
           for file in images.open_source(path).files]
  ray.init(address=os.environ.get('RAY_ADDRESS', 'local'), log_to_driver=False)
  ray.data.DataContext.get_current().execution_options.preserve_order = True
  lines = ray.data.from_items(files).map_batches(
      Counter, fn_constructor_args=[given.saved_model], batch_size=FILES,
      num_cpus=1, concurrency=given.workers)
  for row in lines.iter_rows():
    print(row['line'])


if __name__ == '__main__':
  main()

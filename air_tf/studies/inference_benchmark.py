"""Times a SavedModel: counting many images, one image, and its bare graph."""

from collections.abc import Callable
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import numpy as np
import tensorflow as tf

from air_tf import errors
from air_tf import progress
from air_tf.data import images as images_lib
from air_tf.serving import parallel
from air_tf.serving import predictor as predictor_lib
from air_tf.serving import writers

__all__ = ['measure', 'start_seconds']

_BATCH_SIZE = 256  # The default of `bin/infer.py`.
_ROUNDS = 50  # Of one image.


def measure(path: str, num_images: int, rounds: int) -> dict:
  """Times a SavedModel by what `bin/infer.py` does, and by itself.

  Images are random bytes in a stack, answers go to a file as lines of JSON; the
  two are timed in turn, on the same images.

  Args:
    path: of the SavedModel.
    num_images: in the stack.
    rounds: how often both are timed; medians are reported.

  Returns:
    `images_per_second`, from the file to JSON, with a loaded model;
    `serving_default_images_per_second`, of the signature alone, on tensors, its
    outputs fetched, with the same threads; `ratio_to_serving_default`, median
    of the ratios of rounds; `one_image_milliseconds`, from a file to a line of
    JSON; and `one_image_in_memory_milliseconds`, from an array to its count and
    boxes.

  Raises:
    errors.UserError: if there is no such SavedModel.
  """
  predictor = predictor_lib.Predictor(path)
  images = np.random.default_rng(0).integers(
      0, 256, [num_images, *predictor.image_shape], np.uint8)
  whole, bare = [], []
  with tempfile.TemporaryDirectory() as folder:
    many, one = (os.path.join(folder, name) for name in ('many.npy', 'one.npy'))
    np.save(many, images)
    np.save(one, images[:1])
    count = lambda path: _count(predictor, path, os.path.join(folder, 'json'))
    count(many)
    _serve(predictor, images)
    for _ in progress.track(range(rounds), 'timing'):
      whole.append(_seconds(lambda: count(many)))
      bare.append(_seconds(lambda: _serve(predictor, images)))
    count(one)
    single = [_seconds(lambda: count(one)) for _ in range(_ROUNDS)]
  predictor.detect(images[:1])
  in_memory = [
      _seconds(lambda: predictor.detect(images[:1])) for _ in range(_ROUNDS)]
  return {
      'images_per_second': round(num_images / statistics.median(whole)),
      'serving_default_images_per_second': round(
          num_images / statistics.median(bare)),
      'ratio_to_serving_default': round(statistics.median(
          b / a for a, b in zip(whole, bare, strict=True)), 3),
      'one_image_milliseconds': round(1e3 * statistics.median(single), 2),
      'one_image_in_memory_milliseconds': round(
          1e3 * statistics.median(in_memory), 2)}


def start_seconds(path: str, script: pathlib.Path, rounds: int
                  ) -> dict[str, float]:
  """Times `bin/infer.py` on one image, from the return key.

  Args:
    path: of the SavedModel.
    script: bin/infer.py.
    rounds: how often; medians are reported.

  Returns:
    `start_seconds` on the clock, and `start_cpu_seconds` of all threads, which
    other work on the machine changes less.

  Raises:
    errors.UserError: if the script fails.
  """
  shape = predictor_lib.Predictor(path).image_shape
  seconds, cpu = [], []
  with tempfile.TemporaryDirectory() as folder:
    image = os.path.join(folder, 'image.npy')
    np.save(image, np.zeros([1, *shape], np.uint8))
    for _ in range(rounds):
      before = os.times()
      seconds.append(_seconds(lambda: _run(
          [sys.executable, str(script), f'--saved_model={path}', image])))
      after = os.times()
      cpu.append(after.children_user + after.children_system
                 - before.children_user - before.children_system)
  return {'start_seconds': round(statistics.median(seconds), 2),
          'start_cpu_seconds': round(statistics.median(cpu), 2)}


def _count(predictor: predictor_lib.Predictor, images: str, path: str) -> None:
  """Counts in the images of a file and writes lines, as `bin/infer.py` does."""
  source = images_lib.open_source(images)
  named = source.read_pixels(
      images_lib.inference_range(source, predictor.value_range))
  with open(path, 'w') as file:
    for found in predictor_lib.predict(predictor, named, _BATCH_SIZE):
      print(writers.json_line(found), file=file)


def _serve(predictor: predictor_lib.Predictor, images: np.ndarray) -> None:
  """Calls the bare graph on all images and fetches all that it returns."""
  serve = predictor.signatures['serving_default']

  def fetch(start: int) -> None:
    batch = images[start:start + _BATCH_SIZE]
    answer = serve(images=tf.constant(images_lib.to_floats(batch)))
    for value in answer.values():
      value.numpy()

  for _ in parallel.in_order(fetch, range(0, len(images), _BATCH_SIZE)):
    pass


def _seconds(work: Callable[[], None]) -> float:
  started = time.perf_counter()
  work()
  return time.perf_counter() - started


def _run(command: list[str]) -> None:
  ended = subprocess.run(command, capture_output=True, text=True)
  if ended.returncode:
    last = (ended.stderr.splitlines() or ['no message'])[-1]
    raise errors.UserError(
        f'bin/infer.py ended with exit code {ended.returncode}: {last}')
  json.loads(ended.stdout.splitlines()[-1])

"""Puts load on a served model, and compares its answers with `infer`'s.

    python docs/serving/load.py --clients=8 --requests=1000

Each client sends one image at a time, scenes made of scikit-learn's digits, and
waits for the answer. The last line is JSON: requests per second, the median and
the 99th percentile of the latency in milliseconds, errors, and how many answers
differ from those of `air_tf.load(...).explain`. Ends with 1 if any does.
"""

import argparse
import concurrent.futures
import http.client
import itertools
import json
import sys
import threading
import time

import numpy as np

import air_tf
from air_tf.data import scenes as scenes_lib

_OUTPUTS = ('num_steps', 'num_steps_probs', 'boxes')
_TOLERANCE = 1e-4  # Of floats: other threads may add up in another order.


def scenes(image_shape: tuple[int, ...], count: int) -> np.ndarray:
  """Returns uint8 `[count, H, W]`, or `[count, H, W, 3]`."""
  from sklearn import datasets
  digits = datasets.load_digits()
  pixels = np.kron(digits.images / 16. * 255., np.ones([2, 2])).astype(np.uint8)
  height, width, *channels = image_shape
  found = scenes_lib.compose(
      pixels, digits.target, num_scenes=count, canvas_size=max(height, width),
      counts=(0, 1, 2), seed=0).images[:, :height, :width]
  return np.repeat(found[..., np.newaxis], 3, axis=-1) if channels else found


def ask(connection: http.client.HTTPConnection, model: str,
        image: np.ndarray) -> dict[str, np.ndarray]:
  """Sends an image uint8, `[H, W]`; returns the outputs of the answer.

  Raises:
    RuntimeError: if the status is not 200.
  """
  connection.request('POST', f'/v2/models/{model}/infer', json.dumps({
      'inputs': [{'name': 'images', 'datatype': 'UINT8',
                  'shape': [1, *image.shape], 'data': image.ravel().tolist()}],
      'outputs': [{'name': name} for name in _OUTPUTS]}),
                     {'Content-Type': 'application/json'})
  response = connection.getresponse()
  body = response.read()
  if response.status != 200:
    raise RuntimeError(f'status {response.status}: {body[:200]!r}')
  return {x['name']: np.reshape(x['data'], x['shape'])
          for x in json.loads(body)['outputs']}


def run(host: str, port: int, model: str, images: np.ndarray,
        clients: int) -> tuple[list, list[float], float]:
  """Sends all images, each client its next one when it has an answer.

  Returns:
    An answer or an exception for each image, latencies and the whole, seconds.
  """
  answers, seconds = [None] * len(images), [0.] * len(images)
  turns, lock = itertools.count(), threading.Lock()

  def client() -> None:
    connection = http.client.HTTPConnection(host, port, timeout=60)
    while True:
      with lock:
        i = next(turns)
      if i >= len(images):
        return
      start = time.perf_counter()
      try:
        answers[i] = ask(connection, model, images[i])
      except (OSError, RuntimeError, http.client.HTTPException) as error:
        answers[i] = error
        connection.close()  # It is opened again by the next request.
      seconds[i] = time.perf_counter() - start

  start = time.perf_counter()
  with concurrent.futures.ThreadPoolExecutor(clients) as pool:
    for future in [pool.submit(client) for _ in range(clients)]:
      future.result()
  return answers, seconds, time.perf_counter() - start


def compare(answers: list, expected: tuple) -> int:
  """Returns how many answers are not those of `explain`."""
  differing = 0
  for i, answer in enumerate(answers):
    if not isinstance(answer, Exception):
      differing += not (
          answer['num_steps'][0] == expected.num_steps[i] and all(
              np.allclose(answer[name][0], getattr(expected, name)[i],
                          rtol=_TOLERANCE, atol=_TOLERANCE)
              for name in _OUTPUTS[1:]))
  return differing


def main() -> None:
  """Reads the flags, runs, and prints what came of it."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--host', default='127.0.0.1')
  parser.add_argument('--port', type=int, default=8080)
  parser.add_argument('--model', default='air', help='its name on the server')
  parser.add_argument('--saved_model', default='multi_mnist',
                      help='the same model, to compare with')
  parser.add_argument('--clients', type=int, default=8)
  parser.add_argument('--requests', type=int, default=1_000)
  flags = parser.parse_args()
  loaded = air_tf.load(flags.saved_model)
  images = scenes(loaded.image_shape, flags.requests)
  expected = loaded.explain(images)
  answers, seconds, whole = run(
      flags.host, flags.port, flags.model, images, flags.clients)
  failed = [x for x in answers if isinstance(x, Exception)]
  differing = compare(answers, expected)
  print(json.dumps({
      'clients': flags.clients, 'requests': len(images),
      'errors': len(failed), 'differing': differing,
      'requests_per_second': round(len(images) / whole, 1),
      'median_ms': round(1e3 * np.median(seconds), 1),
      'p99_ms': round(1e3 * np.percentile(seconds, 99), 1)}))
  if failed or differing:
    print(failed[:1], file=sys.stderr)
    sys.exit(1)


if __name__ == '__main__':
  main()

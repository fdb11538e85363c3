"""The example of docs/serving: a real server, under load."""

import importlib.util
import json
import os
import pathlib
import shutil
import signal
import subprocess
import time
from urllib import error as urllib_error
from urllib import request as urllib_request

import cluster_util
import numpy as np
import pytest
import scripts

import air_tf
from air_tf import explain

EXAMPLE = scripts.ROOT / 'docs' / 'serving'
MLSERVER = shutil.which('mlserver')
needs_mlserver = pytest.mark.skipif(
    not MLSERVER, reason='mlserver is not on the PATH; install '
    'docs/serving/requirements.txt in an environment of its own')


def load_module():
  spec = importlib.util.spec_from_file_location('load', EXAMPLE / 'load.py')
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module


load = load_module()


def test_the_example_listens_on_the_loopback_interface():
  settings = json.loads((EXAMPLE / 'settings.json').read_text())
  assert settings['host'] == '127.0.0.1'
  model = json.loads((EXAMPLE / 'air' / 'model-settings.json').read_text())
  path = EXAMPLE / 'air' / model['parameters']['uri'] / 'saved_model.pb'
  assert path.is_file()


def test_a_wrong_answer_is_seen():
  expected = explain.Explanation(
      num_steps=np.array([1, 2]), num_steps_probs=np.ones([2, 4]),
      boxes=np.ones([2, 3, 4]), **dict.fromkeys(
          ('tight_boxes', 'step_probs', 'presence', 'where', 'what', 'glimpses',
           'canvases', 'reconstruction')))
  answer = lambda count, box=1.: {
      'num_steps': np.array([[count]]), 'num_steps_probs': np.ones([1, 4]),
      'boxes': np.full([1, 3, 4], box)}
  assert load.compare([answer(1), answer(2)], expected) == 0
  assert load.compare([answer(1), answer(1)], expected) == 1
  assert load.compare([answer(1, 1.001), OSError()], expected) == 1


@pytest.fixture(scope='module')
def port(tmp_path_factory):
  """The port of a server of `models/multi_mnist`, as the page starts it."""
  folder = tmp_path_factory.mktemp('serving') / 'serving'
  shutil.copytree(EXAMPLE, folder)
  port, grpc_port = cluster_util.free_ports(2)
  edit(folder / 'settings.json', http_port=port, grpc_port=grpc_port)
  edit(folder / 'air' / 'model-settings.json', parameters={
      'uri': str(scripts.ROOT / 'models' / 'multi_mnist' / 'saved_model')})
  with open(folder / 'log', 'wb') as log:
    server = subprocess.Popen(
        [MLSERVER, 'start', str(folder)], stdout=log, stderr=log, cwd=folder,
        env=os.environ | {'TF_NUM_INTRAOP_THREADS': '1'})
  try:
    deadline = time.time() + 120.
    while not ready(port):
      assert server.poll() is None and time.time() < deadline, (
          (folder / 'log').read_text()[-2_000:])
      time.sleep(.2)
    yield port
  finally:
    server.send_signal(signal.SIGKILL)
    server.wait()


def edit(path: pathlib.Path, **changes):
  path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def ready(port):
  try:
    with urllib_request.urlopen(
        f'http://127.0.0.1:{port}/v2/models/air/ready', timeout=5.):
      return True
  except OSError:
    return False


def ask(port, **inputs):
  """Returns the status, and the text of an error."""
  body = {'inputs': [{'name': 'images', 'datatype': 'FP32',
                      'shape': [1, 50, 50], 'data': [0.] * 2_500} | inputs]}
  try:
    with urllib_request.urlopen(urllib_request.Request(
        f'http://127.0.0.1:{port}/v2/models/air/infer',
        json.dumps(body).encode(), {'Content-Type': 'application/json'})
        ) as response:
      return response.status, json.load(response)
  except urllib_error.HTTPError as error:
    return error.code, json.load(error).get('error')


@needs_mlserver
@pytest.mark.slow
def test_eight_clients_get_the_answers_of_infer(port):
  model = air_tf.load('multi_mnist')
  images = load.scenes(model.image_shape, 1_000)
  expected = model.explain(images)
  assert set(expected.num_steps) >= {0, 1, 2}
  answers, _, _ = load.run('127.0.0.1', port, 'air', images, clients=8)
  assert not [x for x in answers if isinstance(x, Exception)]
  assert load.compare(answers, expected) == 0


@needs_mlserver
@pytest.mark.slow
def test_what_cannot_be_answered_is_one_sentence(port):
  for inputs, text in (
      ({'name': 'pictures'}, 'expected an input `images`'),
      ({'shape': [1, 50, 40]}, 'found shape [1, 50, 40]'),
      ({'data': [0.]}, 'found 1 numbers, expected 2500'),
      ({'data': [200.] * 2_500}, 'values outside of 0 ... 1'),
      ({'datatype': 'UINT8', 'data': [300] * 2_500}, 'no UINT8'),
      ({'shape': [65, 50, 50], 'data': [0.] * 65 * 2_500}, 'N in 1 ... 64')):
    status, error = ask(port, **inputs)
    assert status == 400 and text in error, (status, error)
  status, answer = ask(port)
  assert status == 200
  shapes = {x['name']: x['shape'] for x in answer['outputs']}
  assert shapes['canvases'] == [1, 3, 50, 50] and shapes['boxes'] == [1, 3, 4]

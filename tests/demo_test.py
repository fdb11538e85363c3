"""The page to play with: its answers, and the page itself in Chromium."""

import base64
import contextlib
import io
import json
import math
import os
import re
import shutil
import signal
import threading
import time
from urllib import error as urllib_error
from urllib import request as urllib_request

import cluster_util
import numpy as np
from PIL import Image
import pytest
import scripts
import uvicorn

import air_tf
from air_tf.demo import answers
from air_tf.demo import app
from air_tf.serving import released

NAMES = ('multi_mnist', 'sprites')
CHROMIUM = shutil.which('chromium')


@pytest.fixture(scope='module')
def url():
  """A server with two models, on a free port of the loopback interface."""
  models = [answers.Answers(name, air_tf.load(name)) for name in NAMES]
  server = uvicorn.Server(uvicorn.Config(
      app.make(models), host='127.0.0.1', port=0, log_level='error'))
  thread = threading.Thread(target=server.run, daemon=True)
  thread.start()
  deadline = time.monotonic() + 60.
  while not server.started:
    assert thread.is_alive() and time.monotonic() < deadline
    time.sleep(.05)
  port = server.servers[0].sockets[0].getsockname()[1]
  yield f'http://127.0.0.1:{port}'
  server.should_exit = True
  thread.join(10)


def ask(url, path, body=None):
  """Returns status and JSON."""
  try:
    with urllib_request.urlopen(f'{url}/{path}', body, 30) as response:
      return response.status, json.load(response)
  except urllib_error.HTTPError as error:
    return error.code, json.load(error)


def png(pixels):
  buffer = io.BytesIO()
  Image.fromarray(pixels).save(buffer, 'PNG')
  return buffer.getvalue()


def pixels_of(data_url):
  file = io.BytesIO(base64.b64decode(data_url.partition(',')[2]))
  return np.asarray(Image.open(file)).astype(float) / 255


@pytest.mark.slow
def test_the_models_are_described(url):
  status, found = ask(url, 'models')
  assert status == 200
  assert [(m['name'], m['height'], m['channels']) for m in found] == [
      ('multi_mnist', 50, 1), ('sprites', 50, 3)]
  assert np.shape(found[0]['directions']) == (4, 50)


@pytest.mark.slow
def test_an_answer_is_what_the_model_says(url):
  model = air_tf.load('multi_mnist')
  images = released.scenes('multi_mnist', 200, seed=0).images
  number = int(np.argmax(model.explain(images).num_steps))
  expected = model.explain(images[number][np.newaxis])
  for status, found in (ask(url, f'scene?number={number}'),
                        ask(url, 'explain', png(images[number]))):
    assert status == 200
    assert found['num_steps'] == expected.num_steps[0] == 2
    np.testing.assert_allclose(
        found['num_steps_probs'], expected.num_steps_probs[0], atol=1e-3)
    np.testing.assert_allclose(
        [s['box'] for s in found['steps']], expected.boxes[0, :2], atol=.02)
    for key, image in (('image', images[number] / 255),
                       ('reconstruction', expected.reconstruction[0])):
      np.testing.assert_allclose(
          pixels_of(found[key]), np.clip(image, 0, 1), atol=.003)
    # What is decoded from the codes is what was reconstructed.
    status, decoded = ask(url, 'decode', json.dumps({
        name: [s[name] for s in found['steps']] for name in ('what', 'where')
        }).encode())
    np.testing.assert_allclose(
        pixels_of(decoded['image']), pixels_of(found['reconstruction']),
        atol=.02)


def test_objects_are_drawn_where_they_are_put(url):
  what = [[0.] * 50]
  _, left = ask(url, 'decode', json.dumps(
      dict(what=what, where=[[.4, -.5, 0.]])).encode())
  _, right = ask(url, 'decode', json.dumps(
      dict(what=what, where=[[.4, .5, 0.]])).encode())
  left, right = pixels_of(left['image']), pixels_of(right['image'])
  assert left[:, :25].sum() > 5 * left[:, 25:].sum()
  assert right[:, 25:].sum() > 5 * right[:, :25].sum()


def test_samples_are_of_the_number_asked_for(url):
  status, found = ask(url, 'sample?num_steps=0')
  assert status == 200 and found['num_steps'] == 0
  assert not pixels_of(found['image']).any()
  # A third of all pairs lie on each other and are counted as one: 20 of 20 do
  # once in 10^9.
  for _ in range(20):
    status, found = ask(url, 'sample?num_steps=2')
    assert status == 200 and pixels_of(found['image']).max() > .5
    if found['num_steps'] == 2:
      break
  assert found['num_steps'] == 2


@pytest.mark.parametrize('path, body, text', [
    ('explain', b'no picture', 'The file cannot be read as a picture'),
    ('explain', b'', 'The file cannot be read as a picture'),
    ('decode', b'{', 'Expected JSON with `what` and `where`'),
    ('decode', b'{"what": [[1]], "where": [[1, 2, 3]]}', 'rows of 50 finite'),
    ('decode', b'{"what": 3, "where": 4}', 'Expected JSON'),
    ('decode', json.dumps(dict(what=[[math.inf] * 50], where=[[1, 0, 0]])
                          ).encode(), 'finite numbers'),
    ('sample?num_steps=9', None, 'expected 0 to 3'),
    ('sample?num_steps=two', None, 'expected a whole number'),
    ('scene', None, 'expected a whole number'),
    ('scene?model=other&number=1', None, 'expected multi_mnist, sprites')])
def test_what_cannot_be_answered_is_one_sentence(url, path, body, text):
  status, found = ask(url, path, body)
  assert status == 400
  assert text in found['error'] and '\n' not in found['error']


def test_requests_are_bounded(url):
  status, found = ask(url, 'explain', bytes(app.MAX_BYTES + 1))
  assert status == 413 and 'smaller picture' in found['error']


def test_pictures_have_a_bounded_number_of_pixels(url):
  status, found = ask(url, 'explain', png(np.zeros([5001, 5000], np.uint8)))
  assert status == 400
  assert found['error'] == (
      'The picture has more than 25 million pixels. Expected a smaller one.')


@pytest.mark.slow
def test_the_script_serves_this_machine_until_ctrl_c():
  port, = cluster_util.free_ports(1)
  process = scripts.Process(
      'bin/demo.py', f'--port={port}', '--models=embedded')
  deadline, found = time.monotonic() + 120, None
  while found is None:
    assert process.poll() is None and time.monotonic() < deadline
    with contextlib.suppress(OSError):
      _, found = ask(f'http://127.0.0.1:{port}', 'models')
    time.sleep(.1)
  assert [m['name'] for m in found] == ['embedded']
  os.kill(process.pid, signal.SIGINT)
  ended = process.wait(60)
  assert ended.returncode == 0 and 'Traceback' not in ended.stderr
  assert f'Open http://127.0.0.1:{port} in a browser' in ended.stderr


@pytest.fixture(scope='module')
def browser():
  if CHROMIUM is None:
    pytest.skip('Chromium is not installed (`apt-get install chromium`)')
  from playwright import sync_api
  with sync_api.sync_playwright() as playwright:
    browser = playwright.chromium.launch(
        executable_path=CHROMIUM, args=['--no-sandbox'])
    yield browser
    browser.close()


@pytest.fixture
def page(url, browser):
  """The page in Chromium, which must report no error of its own."""
  page = browser.new_page(
      viewport=dict(width=1200, height=900),
      bypass_csp=True)  # Or Playwright could not wait for conditions.
  problems = []
  page.on('pageerror', lambda error: problems.append(str(error)))
  page.goto(url)
  page.wait_for_selector('#probs div')
  yield page
  page.close()
  assert not problems


def wait_for(page, text):
  page.wait_for_function(
      f"document.getElementById('answer').textContent === '{text}'")


def stroke(page, points):
  """Draws through points, in 0 ... 1 of the pad's sides."""
  frame = page.locator('#pad').bounding_box()
  places = [(frame['x'] + x * frame['width'], frame['y'] + y * frame['height'])
            for x, y in points]
  page.mouse.move(*places[0])
  page.mouse.down()
  for place in places[1:]:
    page.mouse.move(*place)
  page.mouse.up()


def circle(x, y, width, height):
  angles = np.linspace(0, 2 * np.pi, 25)
  return list(zip(x + width * np.sin(angles), y - height * np.cos(angles)))


@pytest.mark.slow
def test_two_digits_drawn_are_two(page):
  page.click('#clear')
  wait_for(page, '0 objects')
  stroke(page, circle(.25, .3, .09, .16))
  wait_for(page, '1 object')
  stroke(page, [(.75, .55), (.73, .75), (.72, .9)])
  wait_for(page, '2 objects')
  assert page.locator('.step').count() == 2
  assert re.fullmatch(r'\d+ ms', page.inner_text('#time'))
  # An object that is dragged is drawn elsewhere.
  before = page.evaluate("document.getElementById('redraw').toDataURL()")
  frame = page.locator('#redraw').bounding_box()
  at = lambda x, y: (frame['x'] + x * frame['width'],
                     frame['y'] + y * frame['height'])
  page.mouse.move(*at(.25, .3))
  page.mouse.down()
  page.mouse.move(*at(.3, .6), steps=3)
  page.mouse.up()
  page.wait_for_function(
      f"document.getElementById('redraw').toDataURL() !== '{before}'")


@pytest.mark.slow
def test_a_broken_file_is_one_clear_sentence(page, tmp_path):
  (tmp_path / 'broken.png').write_bytes(b'\x89PNG\r\n\x1a\nno picture')
  page.set_input_files('#file', tmp_path / 'broken.png')
  page.wait_for_selector('#problem:not([hidden])')
  assert page.inner_text('#problem') == (
      'The file cannot be read as a picture. Expected a PNG, a JPEG or another '
      'common kind.')


@pytest.mark.slow
def test_by_keyboard_alone(page):
  page.click('#clear')
  wait_for(page, '0 objects')
  page.focus('#pad')
  for key in (*['ArrowUp'] * 8, ' ', *['ArrowDown'] * 16, ' ', 'Enter'):
    page.keyboard.press(key)
  wait_for(page, '1 object')


@pytest.mark.slow
def test_on_a_phone_in_colour(page):
  page.set_viewport_size(dict(width=360, height=740))
  page.select_option('#model', 'sprites')
  page.wait_for_function(
      "document.getElementById('colour-label').hidden === false")
  page.wait_for_selector('#probs div:nth-child(5)')
  assert page.evaluate('document.documentElement.scrollWidth') <= 360

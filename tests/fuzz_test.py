"""Damaged files and random flags: a sane result, or one line of `errors`.

Hypothesis draws the damage; it is derandomised, so that each call of the tests
tries the same. For a longer search: `FUZZ_EXAMPLES=2000 python -m pytest
tests/fuzz_test.py`.
"""

import contextlib
import dataclasses
import io
import json
import os
import runpy
import shutil
import time

from absl import flags
import data_util
import docs_util
import hypothesis
from hypothesis import strategies as st
import numpy as np
import omniglot_test
from PIL import Image
import pytest
import tiny

from air_tf import cli
from air_tf import config as config_lib
from air_tf import config_flags
from air_tf import errors
from air_tf import flagfiles
from air_tf import sweep_flags
from air_tf.data import digits as digits_lib
from air_tf.data import images as images_lib
from air_tf.data import scene_files
from air_tf.training import cluster as cluster_lib
from air_tf.training import run_folder

_EXAMPLES = int(os.environ.get('FUZZ_EXAMPLES', 40))
_SECONDS = 20.  # Of a processor's time, that no input may take.


def fuzzed(share=1.):
  """Settings of a test that runs a share of the usual number of examples."""
  return hypothesis.settings(
      deadline=None, derandomize='FUZZ_EXAMPLES' not in os.environ,
      database=None, max_examples=max(5, int(share * _EXAMPLES)),
      suppress_health_check=list(hypothesis.HealthCheck))


@contextlib.contextmanager
def expected_only(allowed=(), lines=False):
  """Asserts that the body ends, or raises what is one line for a user.

  Args:
    allowed: exceptions that are fine, too.
    lines: whether the text may have several lines, because what it quotes has;
      the scripts make one of them.
  """
  started = time.process_time()
  try:
    yield
  except (*errors.EXPECTED, *allowed) as error:
    assert lines or len(str(error)) < 2_000 and '\n' not in str(error), error
  assert time.process_time() - started < _SECONDS


# --- Damage -------------------------------------------------------------------
@st.composite
def damages(draw):
  """Draws a function from the bytes of a file to other bytes."""
  kind = draw(st.sampled_from(
      ['cut', 'bits', 'bits', 'insert', 'remove', 'repeat', 'zeros', 'other',
       'recoded']))
  at, length = draw(st.floats(0., 1.)), draw(st.integers(1, 200))
  seed = draw(st.integers(0, 2**16))

  def damage(data):
    rng, i = np.random.default_rng(seed), int(at * len(data))
    if kind == 'cut':
      return data[:i]
    if kind == 'bits':
      changed = bytearray(data)
      for k in rng.integers(0, max(len(data), 1), 1 + length % 8):
        if data:
          changed[k] ^= 1 << int(rng.integers(8))
      return bytes(changed)
    if kind == 'insert':
      return data[:i] + rng.bytes(length) + data[i:]
    if kind == 'remove':
      return data[:i] + data[i + length:]
    if kind == 'repeat':
      return data[:i] + data[i:i + length] * 3 + data[i + length:]
    if kind == 'zeros':
      return data[:i] + bytes(min(length, len(data) - i)) + data[i + length:]
    if kind == 'recoded':
      return data.decode('latin-1').encode(
          ['utf-16', 'utf-8-sig', 'utf-32', 'cp037'][seed % 4], 'replace')
    return [b'', b'null', b'[]', b'0', b'\x89PNG\r\n\x1a\n', b'PK\x03\x04',
            b'\x93NUMPY\x01\x00', rng.bytes(length), b'{"a": 1}\n' * 5,
            b'\x1f\x8b\x08\x00'][seed % 10]

  return damage


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda x: st.lists(x, max_size=3) | st.dictionaries(
        st.text(max_size=5), x, max_size=3), max_leaves=5)


def npz(**arrays):
  file = io.BytesIO()
  np.savez(file, **arrays)
  return file.getvalue()


def compressed(**arrays):
  file = io.BytesIO()
  np.savez_compressed(file, **arrays)
  return file.getvalue()


def npy(array):
  file = io.BytesIO()
  np.save(file, array)
  return file.getvalue()


def png(array, kind='PNG'):
  file = io.BytesIO()
  Image.fromarray(array).save(file, kind)
  return file.getvalue()


# --- Files of data ------------------------------------------------------------
_SCENES = {name: array for name, array in data_util.some_scenes(
    4)._asdict().items() if array is not None}
_IMAGES = _SCENES['images']


def check_scenes(path):
  scenes = scene_files.read(str(path))
  assert scenes.images.dtype == np.uint8 and scenes.images.ndim in (3, 4)
  for array in scenes[1:]:
    assert array is None or len(array) == len(scenes.images)


def check_images(path):
  for name, image in images_lib.open_source(str(path)).read_pixels():
    assert isinstance(name, str) and image.dtype == np.uint8
    assert image.ndim in (2, 3) and image.size


def check_digits(path):
  digits = digits_lib.load(str(path))
  assert digits.train_images.dtype == np.uint8
  assert len(digits.train_images) == len(digits.train_labels) > 0
  assert len(digits.test_images) == len(digits.test_labels) > 0


def mnist():
  digits = data_util.random_digits()
  return dict(x_train=digits.train_images, y_train=digits.train_labels,
              x_test=digits.test_images, y_test=digits.test_labels)


@pytest.mark.parametrize('name, data, check', [
    ('scenes.npz', npz(**_SCENES), check_scenes),
    ('packed.npz', compressed(**_SCENES), check_scenes),
    ('images.npz', npz(**_SCENES), check_images),
    ('stack.npy', npy(_IMAGES), check_images),
    ('floats.npy', npy(_IMAGES / np.float32(255.)), check_images),
    ('grey.png', png(_IMAGES[0]), check_images),
    ('colour.png', png(np.stack([_IMAGES[0]] * 3, axis=2)), check_images),
    ('picture.jpg', png(_IMAGES[0], 'JPEG'), check_images),
    ('picture.gif', png(_IMAGES[0], 'GIF'), check_images),
    ('picture.tif', png(_IMAGES[0], 'TIFF'), check_images),
    ('mnist.npz', npz(**mnist()), check_digits)],
                         ids=lambda x: x if isinstance(x, str) else '')
def test_damaged_files_of_images(name, data, check, tmp_path):
  path = tmp_path / name

  @fuzzed()
  @hypothesis.given(damages())
  def damaged(damage):
    path.write_bytes(damage(data))
    with expected_only():
      check(path)

  path.write_bytes(data)
  check(path)
  damaged()


_ARRAYS = st.sampled_from(
    ['<f4', '<f8', '>f4', 'u1', 'i1', '<i4', '<u8', '?', 'S3', 'U2', 'O', 'c8',
     'M8[s]', 'V4', 'f2']).flatmap(lambda kind: st.lists(
         st.sampled_from([0, 1, 2, 3, 4, 16]), max_size=5).map(
             lambda shape: np.zeros(shape, kind)))


@fuzzed(2.)
@hypothesis.given(st.dictionaries(
    st.sampled_from(['images', 'counts', 'boxes', 'labels']), _ARRAYS),
    st.floats(), st.booleans())
def test_scene_files_of_other_arrays(tmp_path_factory, arrays, fill, real):
  path = tmp_path_factory.getbasetemp() / 'other.npz'
  for array in arrays.values():
    with contextlib.suppress(ValueError, TypeError, OverflowError):
      array.fill(fill)
  if real:
    arrays = arrays | {'images': _IMAGES}
  path.write_bytes(npz(**arrays))
  with expected_only():
    check_scenes(path)
  if 'images' in arrays:
    stack = path.with_name('other.npy')
    stack.write_bytes(npy(arrays['images']))
    with expected_only():
      check_images(stack)


@pytest.mark.parametrize('kind', ['idx', 'gz', 'omniglot'])
def test_damaged_folders_of_digits(kind, tmp_path):
  if kind == 'omniglot':
    omniglot_test.write(tmp_path / 'images_background.zip', omniglot_test.TRAIN)
    omniglot_test.write(tmp_path / 'images_evaluation.zip', omniglot_test.TEST)
  else:
    names = [name + ('.gz' if kind == 'gz' else '')
             for name in data_util.IDX_FILES]
    data_util.write_idx(tmp_path, data_util.random_digits(), names)
  originals = {path: path.read_bytes() for path in tmp_path.iterdir()}
  check_digits(tmp_path)

  @fuzzed()
  @hypothesis.given(st.sampled_from(sorted(originals)), damages())
  def damaged(path, damage):
    path.write_bytes(damage(originals[path]))
    with expected_only():
      check_digits(tmp_path)
    path.write_bytes(originals[path])

  damaged()


# --- Files of a run -----------------------------------------------------------
_CONFIG = json.dumps(dataclasses.asdict(tiny.config()), indent=2).encode()
_FIELDS = [field.name for field in dataclasses.fields(config_lib.Config)]
_METRICS = b''.join(
    json.dumps({'step': step, 'split': split, 'elbo': -1.5, 'seconds': 2.,
                'expected_num_steps': .5}).encode() + b'\n'
    for step in (4, 8) for split in ('train', 'test'))


@fuzzed(2.)
@hypothesis.given(damages())
def test_a_damaged_configuration(tmp_path_factory, damage):
  folder = tmp_path_factory.getbasetemp() / 'config'
  folder.mkdir(exist_ok=True)
  (folder / 'config.json').write_bytes(damage(_CONFIG))
  with expected_only():
    assert isinstance(run_folder.RunFolder(folder).config(), config_lib.Config)


@fuzzed(3.)
@hypothesis.given(st.sampled_from(_FIELDS), JSON)
def test_a_configuration_with_another_value(tmp_path_factory, name, value):
  folder = tmp_path_factory.getbasetemp() / 'config'
  folder.mkdir(exist_ok=True)
  values = json.loads(_CONFIG) | {name: value}
  (folder / 'config.json').write_text(json.dumps(values))
  with expected_only():
    config = run_folder.RunFolder(folder).config()
    default = getattr(config_lib.Config(), name)
    found = getattr(config, name)
    assert type(found) is type(default) or isinstance(default, float)


@fuzzed(2.)
@hypothesis.given(damages(), st.sampled_from(
    ['step', 'split', 'elbo', 'seconds', 'expected_num_steps', 'x']), JSON)
def test_damaged_metrics(tmp_path_factory, damage, name, value):
  folder = tmp_path_factory.getbasetemp() / 'metrics'
  folder.mkdir(exist_ok=True)
  line = json.loads(_METRICS.splitlines()[0]) | {name: value}
  (folder / 'metrics.jsonl').write_bytes(damage(_METRICS) + b'\n' + b''.join(
      json.dumps(x).encode() + b'\n' for x in (line, value)))
  with expected_only():
    for line in run_folder.RunFolder(folder).metrics():
      assert line['split'] + 'x' and line['step'] >= 0 and line['elbo'] < 1e400


@pytest.mark.slow
def test_damaged_checkpoints(tmp_path):
  import tensorflow as tf
  variables = [tf.Variable(tf.range(9.)), tf.Variable('text')]
  checkpoint = tf.train.Checkpoint(variables=variables)
  whole = tmp_path / 'whole'
  (whole / 'checkpoints').mkdir(parents=True)
  checkpoint.write(str(whole / 'checkpoints' / 'ckpt-4'))
  files = sorted(path.name for path in (whole / 'checkpoints').iterdir())

  @fuzzed()
  @hypothesis.given(st.sampled_from(files), damages())
  def damaged(name, damage):
    folder = tmp_path / 'run'
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole, folder)
    path = folder / 'checkpoints' / name
    path.write_bytes(damage(path.read_bytes()))
    with expected_only():
      assert run_folder.RunFolder(folder).restore(checkpoint) == 4

  damaged()


@pytest.mark.slow
def test_damaged_saved_models(tmp_path):
  import tensorflow as tf

  from air_tf.serving import predictor as predictor_lib
  from air_tf.serving import signatures
  outputs = signatures._OUTPUTS['serving_default']

  class Model(tf.Module):
    """Some outputs of AIR's type and shape, and a variable."""

    def __init__(self):
      super().__init__()
      self.weight = tf.Variable(tf.ones([]))

    @tf.function(input_signature=[tf.TensorSpec([None, 4, 4], name='images')])
    def serve(self, images):
      mean = self.weight * tf.reduce_mean(images, axis=[1, 2])
      letters = {'T': 3, 'P': 4, 'H': 4, 'W': 4, 'Z': 2, 'h': 2, 'w': 2}
      return {name: tf.cast(tf.broadcast_to(
          tf.reshape(mean, [-1] + [1] * len(axes.strip('NC'))),
          [tf.shape(images)[0], *(letters.get(x) or int(x)
                                  for x in axes.strip('NC'))]), kind)
              for name, (kind, axes) in outputs.items()}

  model, whole = Model(), tmp_path / 'whole'
  tf.saved_model.save(
      model, str(whole), signatures={'serving_default': model.serve})
  files = sorted(str(path.relative_to(whole)) for path in whole.rglob('*')
                 if path.is_file())

  @fuzzed(.5)
  @hypothesis.given(st.sampled_from(files), damages())
  def damaged(name, damage):
    folder = tmp_path / 'model'
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(whole, folder)
    (folder / name).write_bytes(damage((whole / name).read_bytes()))
    with expected_only():
      assert predictor_lib.Predictor(folder).max_steps >= 0

  assert predictor_lib.Predictor(whole).max_steps == 3
  damaged()


# --- Text ---------------------------------------------------------------------
_FLAGFILE = b'# A comment.\n--estimator=nvil\n\n--counts=0,1\n--nobackground\n'


@fuzzed(3.)
@hypothesis.given(damages(), st.text(max_size=30))
def test_damaged_flagfiles(tmp_path_factory, damage, text):
  path = tmp_path_factory.getbasetemp() / 'some.flags'
  path.write_bytes(damage(_FLAGFILE + text.encode()))
  with expected_only():
    config = config_flags.config_of([f'--flagfile={path}'])
    assert isinstance(config, config_lib.Config)
  with expected_only():
    assert all(isinstance(x, str)
               for x in flagfiles.expand([f'--flagfile={path}']))


_CLUSTER = {'cluster': {'worker': ['a:1', 'b:2'], 'chief': ['c:3']},
            'task': {'type': 'worker', 'index': 1}}


def places(value, prefix=()):
  """Yields the paths to all values within a value of JSON."""
  yield prefix
  for key in (value if isinstance(value, dict)
              else range(len(value)) if isinstance(value, list) else ()):
    yield from places(value[key], (*prefix, key))


@fuzzed(4.)
@hypothesis.given(st.sampled_from(list(places(_CLUSTER))), JSON, damages())
def test_a_damaged_cluster(place, value, damage):
  changed = json.loads(json.dumps(_CLUSTER))
  inner = changed
  for key in place[:-1]:
    inner = inner[key]
  if place:
    inner[place[-1]] = value
  texts = [json.dumps(changed if place else value),
           damage(json.dumps(_CLUSTER).encode()).decode('latin-1')]
  for text in texts:
    with pytest.MonkeyPatch.context() as patch:
      if '\0' in text:
        continue  # No process can be given this.
      patch.setenv('TF_CONFIG', text)
      with expected_only():
        cluster = cluster_lib.read()
        assert 0 <= cluster.rank < len(cluster.addresses)
        assert all(0 < cluster_lib.split(x)[1] < 2**16
                   for x in cluster.addresses)


# --- Flags --------------------------------------------------------------------
class Reached(Exception):
  """All flags were taken, and the work would begin."""


_VALUES = st.sampled_from([
    '', '0', '1', '-1', '2', '3', '.5', 'nan', 'inf', '-inf', '1e300', '1e-300',
    str(2**31), str(10**30), '1_000', '0x10', 'true', 'None', 'null', '"3"',
    '0,1', '0,1,2', ',', 'a,b', '~', '.', '..', '/', '/dev/null', '~nobody/x',
    '\udcff', 'é', '≥', '٣', 'x' * 300, 'y/' * 3_000, 'a\nb', 'a\0b', '[]',
    '{}', '0:5', '5:0', ':', '0:1000000000', 'estimator=marginal,nvil', 'rws',
    'some.npz', 'some.png', 'mirrored', 'tpu', 'multi_worker', 'train'
]) | st.text(max_size=12) | st.integers().map(str) | st.floats().map(str)


@pytest.mark.parametrize('script', docs_util.SCRIPTS, ids=lambda x: x.stem)
def test_random_flags(script, tmp_path, monkeypatch):
  def reached():
    raise Reached

  monkeypatch.chdir(tmp_path)
  monkeypatch.delenv('TF_CONFIG', raising=False)
  monkeypatch.setattr(cli, 'import_tensorflow', reached)
  (tmp_path / 'some.npz').write_bytes(npz(**_SCENES))
  (tmp_path / 'some.png').write_bytes(png(_IMAGES[0]))
  known = 'parse=sweep_flags.parse_known' in script.read_text()
  parse = sweep_flags.parse_known if known else cli.parse
  with docs_util.own_flags() as take:
    main = runpy.run_path(str(script), run_name='not main')['main']
    own = take()
    for name, flag in own.items():
      flags.FLAGS[name] = flag
    mine = sorted(own)
    names = st.sampled_from([*mine, *mine, *_FIELDS])

    @fuzzed(2.)
    @hypothesis.given(st.lists(st.tuples(names, _VALUES), max_size=4), st.lists(
        _VALUES, max_size=1), st.booleans())
    def random(given, rest, with_required):
      for name in own:
        flags.FLAGS[name].unparse()
        flags.FLAGS[name].using_default_value = True
      arguments = [f'--{name}={value}' for name, value in given]
      if with_required:
        arguments = [f'--{name}=some' for name in mine
                     if name in ('logdir', 'out', 'saved_model')] + arguments
      with expected_only((flags.Error, Reached), lines=True):
        main(parse([str(script), *arguments, *rest])[1:])

    random()
  assert sorted(path.name for path in tmp_path.iterdir()) == [
      'some.npz', 'some.png']

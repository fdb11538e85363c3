"""SavedModels that are damaged, or of something else: one line says what."""

import os
import shutil

import data_util
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
import tiny

import air_tf
from air_tf import errors
from air_tf.data import scene_files
from air_tf.serving import predictor as predictor_lib
from air_tf.serving import signatures

pytestmark = pytest.mark.slow

DATA = 'variables/variables.data-00000-of-00001'
INDEX = 'variables/variables.index'


@pytest.fixture(name='folder')
def _folder(untrained, tmp_path):
  return shutil.copytree(untrained, tmp_path / 'saved_model')


def refused(fragments, path):
  """Asserts one line: from the scripts, and from Python."""
  for opening in (predictor_lib.Predictor, air_tf.load):
    text = data_util.refusal(opening, path)
    assert text.startswith(str(path)) and len(text) < 600
    if opening is predictor_lib.Predictor:
      for fragment in fragments:
        assert fragment in text


@pytest.mark.parametrize('name', ['saved_model.pb', DATA, INDEX])
@pytest.mark.parametrize('share', [0., .01, .3, .5, .9, .999])
def test_a_part_of_a_file(folder, name, share):
  data = (folder / name).read_bytes()
  (folder / name).write_bytes(data[:int(share * len(data))])
  refused(['expected', 'bin/export.py'], folder)


@pytest.mark.parametrize('name', ['saved_model.pb', DATA, INDEX])
def test_files_that_are_missing_or_block(folder, name):
  (folder / name).unlink()
  fragments = [f'{name} is missing'] if name != 'saved_model.pb' else []
  refused(fragments, folder)
  os.mkfifo(folder / name)
  refused([f'{name} is no regular file'], folder)


@pytest.mark.parametrize('name', ['saved_model.pb', DATA, INDEX])
def test_noise_in_a_file(folder, name):
  rng = np.random.default_rng(0)
  data = np.fromfile(folder / name, np.uint8)
  at = rng.integers(len(data), size=len(data) // 50)
  data[at] = rng.integers(256, size=len(at))
  data.tofile(folder / name)
  refused(['expected'], folder)


def test_what_is_no_folder_of_a_model(folder, tmp_path):
  refused(['found a file'], folder / 'saved_model.pb')
  (tmp_path / 'empty').mkdir()
  refused(['saved_model.pb is missing'], tmp_path / 'empty')
  refused(['no such folder'], tmp_path / 'nowhere')
  os.mkfifo(tmp_path / 'fifo')
  refused(['found a file'], tmp_path / 'fifo')


class Other(tf.Module):
  """A model of something else, with variables."""

  def __init__(self, inputs):
    super().__init__()
    self.weight = tf.Variable(1.)
    self.touched = tf.Variable(0.)
    self.serve = tf.function(
        lambda **x: {'y': tf.zeros([2]) * self.weight}).get_concrete_function(
            **inputs)


@pytest.mark.parametrize('signatures, inputs, fragments', [
    (False, {}, ['no signature `serving_default`, only none']),
    (True, {'x': tf.TensorSpec([None, 3], name='x')},
     ['input `images` is missing, among x']),
    (True, {'images': tf.TensorSpec([None, 16, 16], name='images')},
     ['output `num_steps` is missing, among y'])])
def test_models_of_something_else(tmp_path, signatures, inputs, fragments):
  other = Other(inputs)
  tf.saved_model.save(
      other, str(tmp_path / 'other'),
      signatures={'serving_default': other.serve} if signatures else {})
  refused(['not a SavedModel of AIR', *fragments], tmp_path / 'other')


def edit(folder, change, signature='serving_default'):
  """Changes the description of a signature."""
  path = folder / 'saved_model.pb'
  message = saved_model_pb2.SavedModel.FromString(path.read_bytes())
  change(message.meta_graphs[0].signature_def[signature])
  path.write_bytes(message.SerializeToString())


def rename(way, old, new):
  def change(definition):
    tensors = getattr(definition, way)
    tensors[new].CopyFrom(tensors[old])
    del tensors[old]
  return change


def reshape(way, name, axis, size):
  def change(definition):
    tensor = getattr(definition, way)[name]
    tensor.tensor_shape.dim[axis].size = size
  return change


def retype(way, name, kind):
  def change(definition):
    getattr(definition, way)[name].dtype = kind
  return change


def unknown_rank(definition):
  del definition.outputs['boxes'].tensor_shape.dim[:]
  definition.outputs['boxes'].tensor_shape.unknown_rank = True


@pytest.mark.parametrize('change, fragments', [
    (rename('inputs', 'images', 'image'),
     ['input `images` is missing, among image']),
    (rename('outputs', 'presence', 'present'),
     ['output `presence` is missing', 'present']),
    (rename('outputs', 'num_steps_probs', 'probabilities'),
     ['output `num_steps_probs` is missing']),
    (lambda x: x.inputs['seed'].CopyFrom(x.inputs['images']),
     ['unknown input `seed`']),
    (reshape('inputs', 'images', 0, 4), ['input `images` is float32 [4, 16']),
    (reshape('inputs', 'images', 2, -1), ['input `images`', '[-1, 16, -1]']),
    (reshape('outputs', 'boxes', 2, 5), ['output `boxes`', '[-1, 3, 5]']),
    (reshape('outputs', 'presence', 1, 4), ['`where`']),
    (reshape('outputs', 'num_steps_probs', 1, 3), ['3 probabilities']),
    (retype('inputs', 'images', tf.uint8.as_datatype_enum),
     ['input `images` is uint8', 'not float32']),
    (retype('outputs', 'num_steps', tf.int64.as_datatype_enum),
     ['output `num_steps` is int64', 'not int32']),
    (retype('outputs', 'boxes', 99), ['output `boxes` is type 99']),
    (unknown_rank, ['output `boxes`', 'unknown rank'])])
def test_signatures_that_are_nearly_ours(folder, change, fragments):
  edit(folder, change)
  refused(['not a SavedModel of AIR', '`serving_default`', *fragments], folder)


def test_a_detection_that_is_nearly_ours(folder):
  edit(folder, rename('outputs', 'boxes', 'places'), 'detect')
  refused(['not a SavedModel of AIR', '`detect`: output `boxes` is missing'],
          folder)


@pytest.mark.parametrize('change, fragments', [
    (rename('inputs', 'seed', 'key'), ['input `seed` is missing, among key']),
    (rename('outputs', 'elbo', 'bound'), ['output `elbo` is missing']),
    (reshape('inputs', 'seed', 0, 3), ['input `seed` is int32 [3]'])])
def test_evaluation_needs_a_whole_score(folder, change, fragments, tmp_path):
  scene_files.write(str(tmp_path / 'a.npz'), tiny.scenes())
  edit(folder, change, 'score')
  model = air_tf.load(folder)
  with pytest.raises(errors.UserError) as raised:
    model.evaluate(str(tmp_path / 'a.npz'))
  for fragment in ['signature `score`', 'bin/export.py', *fragments]:
    assert fragment in str(raised.value)


def test_outputs_beyond_ours_are_left_out(folder, tmp_path):
  loaded = tf.saved_model.load(str(folder))
  serve = loaded.signatures['serving_default']
  wider = tf.Module()
  wider.loaded = loaded
  wider.serve = tf.function(
      lambda images: serve(images=images) | {'more': tf.zeros([1])},
      input_signature=[tf.TensorSpec([None, 16, 16], name='images')])
  tf.saved_model.save(wider, str(tmp_path / 'wider'),
                      signatures={'serving_default': wider.serve})
  images = tiny.scenes().images
  ours = air_tf.load(folder).explain(images)
  theirs = air_tf.load(tmp_path / 'wider').explain(images)
  for one, other in zip(ours[:-1], theirs[:-1], strict=True):
    np.testing.assert_array_equal(one, other)


def test_counts_beyond_the_model_are_one_warning(folder, tmp_path, caplog):
  scenes = tiny.scenes()
  path = str(tmp_path / 'a.npz')
  for more in (0, 3):
    scene_files.write(path, scenes._replace(counts=scenes.counts + more))
    with caplog.at_level('WARNING'):
      air_tf.load(folder).evaluate(path)
    warnings = [x.getMessage() for x in caplog.records
                if path in x.getMessage()]
    assert len(warnings) == (more > 0)
  assert 'counts are up to 5, but the model counts to T = 3' in warnings[0]


def test_a_fingerprint_may_be_missing_but_not_damaged(folder):
  file = folder / 'fingerprint.pb'
  file.unlink()
  signatures.read(folder)
  file.write_bytes(b'\xff' * 40)
  refused(['fingerprint.pb is damaged'], folder)
  file.unlink()
  os.mkfifo(file)
  refused(['fingerprint.pb is damaged'], folder)

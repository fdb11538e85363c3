import json
import pathlib
import subprocess
import sys

import disk_util
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
import tiny

from air_tf import errors
from air_tf import explain as explain_lib
from air_tf import folder_lock
from air_tf import model as model_lib
from air_tf import run as run_lib
from air_tf.data import streams
from air_tf.serving import predictor as predictor_lib
from air_tf.serving import saved_model as saved_model_lib
from air_tf.serving import signatures as signatures_lib

NAMES = {'num_steps', 'num_steps_probs', 'step_probs', 'presence', 'where',
         'boxes', 'tight_boxes', 'what', 'glimpses', 'canvases',
         'reconstruction'}


@pytest.fixture(scope='module')
def model():
  model = model_lib.AIRModel(tiny.config())
  model.infer(tiny.images())
  tiny.fill(model.trainable_variables)
  return model


@pytest.fixture(scope='module')
def saved(model, tmp_path_factory):
  path = tmp_path_factory.mktemp('export') / 'saved_model'
  saved_model_lib.save(model, path)
  saved_model_lib.save(model, path)  # Replaces the first.
  return path


def test_explain_zeroes_absent_steps_and_keeps_present_ones(model):
  x = tf.concat([tf.zeros([1, 16, 16]), 3. * tiny.images(6)], axis=0)
  # Moves the log-odds of all steps to where 0 and 3 objects are as likely,
  # 1 - p = p^3 at p = .682, so that some images come out with each.
  bias = next(v for v in model.trainable_variables
              if 'steps_predictor' in v.name and v.shape == [1])
  before = bias.numpy()
  logits = model.infer(x).num_steps_posterior.step_logits
  bias.assign_sub([np.median(np.mean(logits, axis=-1)) - .763])
  inference_ = model.infer(x)
  answer = explain_lib.explain(model, x).as_dict()
  assert set(answer) == NAMES
  counts = answer['num_steps'].numpy()
  np.testing.assert_array_equal(counts, inference_.num_steps_posterior.mode())
  assert 0 < np.sum(answer['presence']) < 3 * len(x)  # Both are tested.
  for i, count in enumerate(counts):
    for name in 'where', 'boxes', 'tight_boxes', 'what', 'glimpses':
      value = answer[name][i].numpy()
      assert np.all(value[count:] == 0.), name
      assert all(np.any(row) for row in value[:count]), name
    np.testing.assert_array_equal(
        answer['what'][i, :count], inference_.what[i, :count])
    np.testing.assert_array_equal(
        answer['reconstruction'][i], inference_.canvases[i, count])
  np.testing.assert_allclose(
      np.sum(answer['num_steps_probs'], -1), 1., rtol=1e-5)
  np.testing.assert_allclose(  # P(n >= 1) = 1 - P(n = 0).
      answer['step_probs'][:, 0], 1. - answer['num_steps_probs'][:, 0],
      rtol=1e-5)
  bias.assign(before)


_ALONE = '''
import json, sys
import numpy as np
import tensorflow as tf
loaded = tf.saved_model.load(sys.argv[1])
serve = loaded.signatures['serving_default']
images = np.load(sys.argv[2])
result = {str(n): {k: v.numpy().tolist()
                   for k, v in serve(images=tf.constant(images[:n])).items()}
          for n in (1, 3)}
out = {k: tf.constant(v, tf.float32) for k, v in result['3'].items()}
decoded = loaded.signatures['decode'](
    what=out['what'], where=out['where'], presence=out['presence'])
sampled = loaded.signatures['sample'](num_steps=tf.constant([0, 2]))
result['decode'] = decoded['images'].numpy().tolist()
result['sample'] = sampled['images'].numpy().tolist()
foreign = {'air_tf', 'sonnet', 'tensorflow_probability'} & set(sys.modules)
result['foreign'] = sorted(foreign)
print(json.dumps(result))
'''


@pytest.mark.slow
def test_loads_with_tensorflow_alone_and_agrees_with_the_model(
    model, saved, tmp_path):
  images = tiny.images(3)
  np.save(tmp_path / 'images.npy', images.numpy())
  printed = subprocess.run(
      [sys.executable, '-c', _ALONE, saved, tmp_path / 'images.npy'],
      check=True, capture_output=True, text=True, cwd=tmp_path).stdout
  found = json.loads(printed.splitlines()[-1])
  assert found['foreign'] == []
  expected = explain_lib.explain(model, images).as_dict()
  for name, value in expected.items():
    np.testing.assert_allclose(
        found['3'][name], value, rtol=1e-5, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(
        found['1'][name], value[:1], rtol=1e-5, atol=1e-5, err_msg=name)
  # What was explained, drawn again by `decode`, is the reconstruction.
  np.testing.assert_allclose(
      found['decode'], expected['reconstruction'], rtol=1e-4, atol=1e-5)
  sample = np.array(found['sample'])
  assert np.all(sample[0] == 0.) and np.any(sample[1] > 0.)


@pytest.mark.slow
def test_the_loaded_model_is_callable(saved):
  loaded = tf.saved_model.load(str(saved))
  answer = loaded(tiny.images())
  expected = loaded.signatures['serving_default'](images=tiny.images())
  assert set(answer) == set(expected) == NAMES
  for name, value in expected.items():
    np.testing.assert_array_equal(answer[name], value)


@pytest.mark.slow
def test_keras_takes_it_as_a_layer(model, saved):
  import keras  # Seconds, and needed nowhere else.
  layer = keras.layers.TFSMLayer(
      str(saved), call_endpoint='serving_default')
  answer = keras.Sequential([layer])(tiny.images())
  expected = explain_lib.explain(model, tiny.images()).as_dict()
  assert set(answer) == NAMES
  for name, value in expected.items():
    np.testing.assert_allclose(answer[name], value, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('changes', [{}, tiny.DAIR], ids=['air', 'dair'])
@pytest.mark.slow
def test_tensorflow_lite_agrees(changes, tmp_path):
  model = model_lib.AIRModel(tiny.config(max_steps=2, **changes))
  images = tiny.images(4)
  model.infer(images)
  tiny.fill(model.trainable_variables)
  for variable in model.trainable_variables:
    if 'steps_predictor' in variable.name and variable.shape == [1]:
      variable.assign([9.])  # Objects in every step, or rows would be zero.
  saved_model_lib.save(model, tmp_path / 'saved_model')
  lite = tf.lite.Interpreter(
      model_content=tf.lite.TFLiteConverter.from_saved_model(
          str(tmp_path / 'saved_model'), signature_keys=['serving_default']
      ).convert()).get_signature_runner('serving_default')
  expected = explain_lib.explain(model, images).as_dict()
  assert np.all(expected['num_steps'] == 2)
  for size in 4, 1:  # Any number of images.
    answer = lite(images=images[:size].numpy())
    assert set(answer) == NAMES
    for name, value in expected.items():
      np.testing.assert_allclose(
          answer[name], value[:size], rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.slow
def test_samples_differ_from_call_to_call(saved):
  sample = tf.saved_model.load(str(saved)).signatures['sample']
  draw = lambda: sample(num_steps=tf.constant([3]))['images'].numpy()
  assert np.any(draw() != draw())


def test_predictor_takes_bytes_and_knows_its_size(model, saved):
  predictor = predictor_lib.Predictor(saved)
  assert predictor.image_shape == (16, 16)
  images = tiny.scenes(3).images
  answer = predictor(images)
  expected = explain_lib.explain(
      model, streams.to_pixels(images)).as_dict()
  for name in NAMES:
    np.testing.assert_allclose(
        answer[name], expected[name], rtol=1e-5, atol=1e-5)
  again = predictor(images)
  assert all(np.array_equal(answer[name], again[name]) for name in NAMES)


def test_predictor_refuses_what_is_not_a_saved_model(tmp_path):
  with pytest.raises(errors.UserError, match='not a SavedModel of AIR'):
    predictor_lib.Predictor(tmp_path)


def test_a_folder_that_holds_something_else_is_left_alone(model, tmp_path):
  (tmp_path / 'results').mkdir()
  (tmp_path / 'results' / 'thesis.txt').write_text('years of work')
  with pytest.raises(errors.UserError, match='that is no SavedModel'):
    saved_model_lib.save(model, tmp_path / 'results')
  assert (tmp_path / 'results' / 'thesis.txt').exists()


def test_a_saved_model_of_something_else_is_left_alone(model, tmp_path):
  other = tf.Module()
  other.double = tf.function(
      lambda x: {'y': 2. * x}, [tf.TensorSpec([], name='x')])
  tf.saved_model.save(other, tmp_path / 'other', {'double': other.double})
  before = (tmp_path / 'other' / 'saved_model.pb').read_bytes()
  with pytest.raises(errors.UserError, match='no SavedModel of AIR; expected'):
    saved_model_lib.save(model, tmp_path / 'other')
  assert (tmp_path / 'other' / 'saved_model.pb').read_bytes() == before


@pytest.mark.parametrize('names', [
    ['saved_model.pb'], ['variables/a'], ['saved_model.pb', 'variables/a',
                                          'notes.txt'], []])
def test_a_target_with_anything_of_somebody_else_is_refused(tmp_path, names):
  for name in names:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text('mine')
  with pytest.raises(errors.UserError, match='something that is no SavedModel'):
    saved_model_lib.check_target(tmp_path)


def test_a_damaged_one_may_be_replaced(tmp_path):
  (tmp_path / 'variables').mkdir()
  (tmp_path / 'saved_model.pb').write_text('half')
  saved_model_lib.check_target(tmp_path)


def test_what_killed_writers_left_is_tidied(tmp_path):
  path, unfinished = tmp_path / 'saved_model', tmp_path / '.saved_model.new.77'
  older, at_work = (tmp_path / f'.saved_model.{x}' for x in ('old.7', 'new.8'))
  for folder in unfinished, older, at_work:
    folder.mkdir()
  (older / 'saved_model.pb').write_text('older')
  with folder_lock.claimed(at_work):  # By a process that is not killed.
    saved_model_lib.tidy(path)
    assert sorted(tmp_path.iterdir()) == [at_work, path]
  assert (path / 'saved_model.pb').read_text() == 'older'  # It came back.


def test_a_full_disk_keeps_the_older_one_and_nothing_else(model, tmp_path):
  with disk_util.small_disk(tmp_path / 'disk') as disk:
    path = disk / 'saved_model'
    (path / 'variables').mkdir(parents=True)
    (path / 'saved_model.pb').write_bytes(b'older')
    with pytest.raises(errors.DiskFull, match='saved_model: .* no space left'):
      saved_model_lib.save(model, path)
    assert sorted(x.name for x in disk.rglob('*')) == [
        'saved_model', 'saved_model.pb', 'variables']
    assert (path / 'saved_model.pb').read_bytes() == b'older'


def test_nothing_is_left_beside_the_saved_model(saved):
  assert [path.name for path in saved.parent.iterdir()] == ['saved_model']


def test_a_folder_that_cannot_be_written_is_named(model, tmp_path):
  (tmp_path / 'file').write_text('')
  with pytest.raises(errors.UserError, match='file.*cannot be written'):
    saved_model_lib.save(model, tmp_path / 'file' / 'saved_model')


@pytest.mark.parametrize('channels', [1, 3])
@pytest.mark.slow
def test_a_model_of_the_background_returns_it(channels, tmp_path):
  config = tiny.config(background=True, channels=channels, max_steps=2)
  model = model_lib.AIRModel(config)
  x = tiny.images(4, channels=channels)
  model.infer(x)
  tiny.fill(model.trainable_variables)
  saved_model_lib.save(model, tmp_path / 'saved_model')
  loaded = tf.saved_model.load(str(tmp_path / 'saved_model')).signatures
  answer = loaded['serving_default'](images=x)
  assert set(answer) == NAMES | {'background'}
  # Objects alone by `decode`; together they are the reconstruction.
  objects = loaded['decode'](**{
      name: answer[name] for name in ('what', 'where', 'presence')})['images']
  np.testing.assert_allclose(
      answer['background'] + objects, answer['reconstruction'], atol=1e-5)
  assert np.ptp(answer['background'].numpy()) > .01
  dreams = loaded['sample'](num_steps=tf.constant([0, 0]))['images']
  assert np.any(dreams[0] != dreams[1])
  score = loaded['score'](images=x, seed=tf.constant([1, 2]))
  assert np.all(score['kl_background'] > 0.)


def test_masks_are_a_signature_of_their_own(tmp_path):
  model = model_lib.AIRModel(tiny.config(
      compositing='over', steps_bias=9., decoder_bias=1.))
  tiny.fill(model.trainable_variables)
  saved_model_lib.save(model, tmp_path / 'saved_model')
  loaded = tf.saved_model.load(str(tmp_path / 'saved_model')).signatures
  x = tiny.images()
  plain, found = (loaded[name](images=x)
                  for name in ('serving_default', 'segment'))
  assert set(found) - set(plain) == {'masks'}
  np.testing.assert_array_equal(
      found['masks'], explain_lib.explain(model, x, masks=True).masks)
  assert found['masks'].numpy().max() > 0
  np.testing.assert_allclose(plain['alphas'], found['alphas'])


def test_detection_is_the_part_that_infer_writes(saved, monkeypatch):
  predictor, images = predictor_lib.Predictor(saved), tiny.images()
  signatures = predictor.signatures
  found = signatures['detect'](images=images)
  assert set(found) == set(signatures_lib.DETECTED)
  whole = signatures['serving_default'](images=images)
  for name, value in found.items():
    np.testing.assert_array_equal(value, whole[name])
  # With a SavedModel of an earlier version it is taken from the whole.
  pixels = np.uint8(255. * images)
  expected = predictor.detect(pixels)
  monkeypatch.setattr(predictor, 'signatures', {})
  found = predictor.detect(pixels)
  assert set(found) == set(expected)
  for name, value in found.items():
    np.testing.assert_array_equal(value, expected[name])


def test_earlier_saved_models_say_as_much(saved, tmp_path):
  # Neither tight boxes nor probabilities of steps were among their outputs.
  made = tf.saved_model.load(str(saved))
  serve = made.signatures['serving_default']
  spec = serve.structured_input_signature[1]['images']

  def without(names):
    return tf.function(lambda images: {
        name: x for name, x in serve(images=images).items()
        if name not in names}, input_signature=[spec])

  tf.saved_model.save(made, str(tmp_path), {
      'serving_default': without(['tight_boxes', 'step_probs']),
      'detect': without(['tight_boxes'])})
  earlier, today = (run_lib.load(x) for x in (tmp_path, saved))
  pixels = np.uint8(255. * tiny.images())
  for found, expected in (
      (earlier.detect(pixels), today.detect(pixels)),
      (earlier.explain(pixels).as_dict(), today.explain(pixels).as_dict())):
    assert set(found) == set(expected)
    for name, value in found.items():
      np.testing.assert_allclose(value, expected[name], atol=1e-5)


def table():
  """The signatures that docs/inference.md states, with letters for sizes."""
  page = pathlib.Path(__file__).parent.parent / 'docs' / 'inference.md'
  found, signature = {}, None
  for line in page.read_text().splitlines():
    cells = [cell.strip(' `') for cell in line.strip('|').split('|')]
    if len(cells) == 5 and cells[1] in ('in', 'out'):
      signature = cells[0] or signature
      found[signature, cells[1], cells[2]] = cells[3:]
  return found | {('segment', *key[1:]): value for key, value in found.items()
                  if key[:2] == ('serving_default', 'out')}


@pytest.mark.parametrize('channels', [1, 3])
def test_signature_defs_are_those_of_the_page(channels, saved, tmp_path):
  config = tiny.config(channels=channels)
  if channels == 3:
    model = model_lib.AIRModel(config)
    model.infer(tiny.images(channels=3))
    saved = tmp_path / 'saved_model'
    saved_model_lib.save(model, saved)
  colours = [] if channels == 1 else [channels]
  sizes = {'N': [-1], 'T': [config.max_steps], 'T+1': [config.max_steps + 1],
           'Z': [config.what_size], 'H': [16], 'W': [16, *colours],
           'h': [config.glimpse_size], 'w': [config.glimpse_size, *colours]}
  expected = {
      key: (kind, sum((sizes.get(x) or [int(x)]
                       for x in shape[1:-1].split(', ') if x), []))
      for key, (kind, shape) in table().items()}
  # Whose a pixel is has no colour.
  expected['segment', 'out', 'masks'] = 'uint8', [-1, 16, 16]
  message = saved_model_pb2.SavedModel.FromString(
      (saved / 'saved_model.pb').read_bytes())
  found = {}
  for signature, definition in message.meta_graphs[0].signature_def.items():
    if not signature.startswith('__'):  # TensorFlow's own.
      for way, tensors in (('in', definition.inputs),
                           ('out', definition.outputs)):
        for name, info in tensors.items():
          found[signature, way, name] = (
              tf.dtypes.as_dtype(info.dtype).name,
              [axis.size for axis in info.tensor_shape.dim])
  assert found == expected


def test_rows_of_a_request_get_rows_of_an_answer(saved):
  # TensorFlow Serving answers `instances` only if all outputs begin with N.
  serve = tf.saved_model.load(str(saved)).signatures['serving_default']
  request = json.dumps({'instances': tiny.images(2).numpy().tolist()})
  answer = serve(images=tf.constant(json.loads(request)['instances']))
  assert all(len(value) == 2 for value in answer.values())

"""The interface: what `import air_tf` offers, as its docstring shows it."""

import ast
import importlib
import math
import pathlib
import re
import subprocess
import sys
import tomllib

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
import tiny

import air_tf
from air_tf import errors
from air_tf import explain as explain_lib
from air_tf.serving import batched

NAMES = {'AIRModel', 'Config', 'NumStepsDistribution', 'Trainer',
         '__version__', 'estimators', 'load', 'load_scenes', 'plotting',
         'train', 'truncated_geometric'}
ROOT = pathlib.Path(__file__).parent.parent

_IMPORT = '''
import sys
import air_tf
assert 'tensorflow' not in sys.modules and 'numpy' not in sys.modules
assert air_tf.Config().max_steps == 3
assert 'tensorflow' not in sys.modules
'''


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """A run by `air_tf.train`, 4 iterations long."""
  path = tmp_path_factory.mktemp('interface')
  with tiny.eagerly():
    result = air_tf.train(tiny.config(
        num_iterations=4, counts=(0, 1),
        steps_bias=3.,  # So that it finds some.
        cache_dir=str(path / 'cache')), str(path / 'run'))
  assert result['step'] == 4
  return path / 'run'


@pytest.fixture(scope='module')
def run(folder):
  return air_tf.load(folder)


@pytest.fixture(scope='module')
def loaded(folder):
  return air_tf.load(folder / 'saved_model')


def test_neither_the_import_nor_a_configuration_costs_tensorflow():
  subprocess.run([sys.executable, '-c', _IMPORT], check=True)


def test_names_are_these_and_all_resolve():
  assert set(air_tf.__all__) == NAMES and set(dir(air_tf)) >= NAMES
  assert all(getattr(air_tf, name) is not None for name in NAMES)
  with pytest.raises(AttributeError, match="no attribute 'laod'"):
    air_tf.laod  # noqa: B018


def test_an_editor_is_told_the_same_names():
  tree = ast.parse(pathlib.Path(air_tf.__file__).read_text())
  block, = (node for node in tree.body if isinstance(node, ast.If))
  assert ast.unparse(block.test) == 'typing.TYPE_CHECKING'
  found = {}
  for node in block.body:
    for alias in node.names:
      module = importlib.import_module(node.module)
      found[alias.asname or alias.name] = (
          getattr(module, alias.name, None)
          or importlib.import_module(f'{node.module}.{alias.name}'))
  assert set(found) == NAMES - {'__version__'}
  for name, value in found.items():
    assert value is getattr(air_tf, name)


def test_version_is_that_of_the_package():
  project = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']
  assert project.get('version', air_tf.__version__) == air_tf.__version__
  assert re.fullmatch(r'\d+\.\d+\.\d+', air_tf.__version__)


@pytest.mark.slow
def test_the_examples_of_the_docstring_run(folder, tmp_path, monkeypatch):
  blocks = re.findall(r'(?:^    .*\n|^\n)+', air_tf.__doc__, re.M)
  code = '\n'.join(line[4:] for block in blocks for line in block.splitlines())
  assert all(f'air_tf.{name}' in code for name in NAMES - {
      '__version__', 'estimators'})
  for shown, tested in (
      ("'runs/multi_mnist'", repr(str(folder))),
      ("air_tf.Config(digits='embedded')", 'tiny_config'),
      ('range(40)', 'range(2)'), ('iterations=50', 'iterations=2')):
    assert shown in code
    code = code.replace(shown, tested)
  monkeypatch.chdir(tmp_path)
  values = {
      'air_tf': air_tf, 'math': math, 'tfd': tfp.distributions,
      'x': tiny.images(), 'tiny_config': tiny.config(
          num_iterations=4, counts=(0, 1),
          cache_dir=str(folder.parent / 'cache'))}
  with tiny.eagerly():
    exec(code, values)
  assert (tmp_path / 'progress.png').read_bytes().startswith(b'\x89PNG')
  assert (tmp_path / 'runs' / 'mine' / 'saved_model').is_dir()
  assert int(values['trainer'].iteration) == 4
  assert len(values['seen'].num_steps) == len(values['images']) == 10
  assert values['terms'].log_likelihood.shape == [3, 4]


def test_a_run_tells_what_it_is(run, folder):
  assert run.config.canvas_size == 16 and run.step == 4 and run.max_steps == 3
  assert run.image_shape == (16, 16)
  lines = (folder / 'metrics.jsonl').read_text().splitlines()
  assert [line['split'] for line in run.history()] == ['train', 'test']
  assert len(lines) == 2 and run.history()[1]['step'] == 4
  assert run.test.images.shape == (12, 16, 16) and run.test.counts.max() == 1
  assert run.scenes.train.images.shape == (40, 16, 16)
  assert run.scenes.config.image_shape == (16, 16)
  averaged = run.trainer.averaged_model()[0]
  assert run.model is averaged and run.model is not run.trainer.model


def test_reprs_are_short(run, loaded, folder):
  assert repr(run) == (
      f"Run('{folder}', step 4, images 16 x 16, up to 3 objects)")
  assert repr(loaded) == (
      f"LoadedModel('{folder / 'saved_model'}', images 16 x 16, up to 3 "
      'objects)')
  assert repr(run.scenes) == "Splits('embedded': .train, .test)"
  assert repr(tiny.scenes(5)) == (
      'Scenes(images=[5, 16, 16], counts=[5], boxes=None, labels=None, '
      'masks=None)')


def test_a_run_and_its_saved_model_explain_alike_as_the_model_does(
    run, loaded):
  images = run.test.images
  assert (loaded.image_shape, loaded.max_steps) == ((16, 16), 3)
  expected = explain_lib.explain(
      run.model, tf.cast(images, tf.float32) / 255.)
  assert np.all(expected.num_steps > 0)
  for seen in (run.explain(images), loaded.explain(images),
               run.explain(images / 255.), run.explain(
                   tf.constant(images / 255., tf.float32))):
    assert type(seen) is explain_lib.Explanation and seen.background is None
    for name, value in expected.as_dict().items():
      found = getattr(seen, name)
      assert type(found) is np.ndarray and found.dtype == value.numpy().dtype
      np.testing.assert_allclose(
          found, value, rtol=1e-5, atol=1e-5, err_msg=name)


def test_a_run_and_its_saved_model_refine_alike(run, loaded):
  images = run.test.images
  plain = run.explain(images)
  first, second = (x.explain(images, refined=True) for x in (run, loaded))
  np.testing.assert_array_equal(first.num_steps, plain.num_steps)
  assert not np.allclose(first.where, plain.where)
  np.testing.assert_allclose(first.where, second.where, rtol=1e-4, atol=1e-5)


def test_images_are_explained_a_batch_at_a_time(run, loaded, monkeypatch):
  images = tiny.scenes(5).images
  whole = run.explain(images)
  calls = []

  class Counting:
    structured_outputs = loaded.signatures['serving_default'].structured_outputs

    def __call__(self, images):
      calls.append(len(images))
      return loaded.signatures['serving_default'](images=images)

  monkeypatch.setattr(batched, '_MAX_BATCH', 2)
  parts = batched.explain(Counting(), images, (16, 16))
  assert sorted(calls) == [1, 2, 2]
  # Large images go one by one.
  monkeypatch.setattr(explain_lib, '_CANVAS_PIXELS', 5)
  batched.explain(Counting(), images, (16, 16))
  assert calls[3:] == [1] * 5
  for one, other in zip(whole.as_dict().values(), parts.as_dict().values(),
                        strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)
  none = run.explain(images[:0])
  assert none.num_steps.shape == (0,) and none.canvases.shape == (0, 3, 16, 16)


def test_a_saved_model_from_before_step_probs_has_them_too(loaded):
  serve = loaded.signatures['serving_default']

  class Old:
    structured_outputs = {
        name: spec for name, spec in serve.structured_outputs.items()
        if name != 'step_probs'}

    def __call__(self, images):
      answer = serve(images=images)
      return {name: answer[name] for name in self.structured_outputs}

  images = tiny.scenes(3).images
  np.testing.assert_allclose(
      batched.explain(Old(), images, (16, 16)).step_probs,
      loaded.explain(images).step_probs, rtol=1e-5)


@pytest.mark.parametrize('images, text', [
    (np.zeros([16, 16]), r'one image, give images\[np.newaxis\]'),
    (np.zeros([2, 16, 16, 1]), r'give images\[..., 0\]'),
    (np.zeros([2, 16, 16, 3]), r'found shape \[2, 16, 16, 3\], expected \[N, '
                               r'16, 16\]'),
    (np.zeros([2, 20, 16]), 'the size that it was trained on'),
    (np.full([2, 16, 16], 255.), 'from 255 to 255, .* divide by 255'),
    (np.full([2, 16, 16], -.1), 'from -0.1 to'),
    (np.full([2, 16, 16], np.nan), 'from nan to nan'),
    (np.ones([2, 16, 16], np.uint8), 'uint8 from 0 to 1, .*multiply by 255'),
    (np.ones([2, 16, 16], np.int64), r'found int64, .*astype\(np.uint8\)'),
    (np.ones([2, 16, 16], bool), 'found bool')])
def test_images_of_another_kind_are_refused(loaded, images, text):
  with pytest.raises(errors.UserError, match=text) as raised:
    loaded.explain(images)
  assert isinstance(raised.value, ValueError)
  assert '\n' not in str(raised.value)


def test_what_is_no_run_is_refused(tmp_path):
  with pytest.raises(errors.UserError, match='no such folder.*--logdir'):
    air_tf.load(tmp_path / 'nowhere')
  with pytest.raises(errors.UserError, match='neither.*SavedModel'):
    air_tf.load(tmp_path)
  (tmp_path / 'saved_model.pb').write_text('no protocol buffer')
  with pytest.raises(errors.UserError, match='not a SavedModel of AIR'):
    air_tf.load(tmp_path)


def test_a_run_without_a_checkpoint_says_so(folder, tmp_path):
  text = (folder / 'config.json').read_text()
  (tmp_path / 'config.json').write_text(text)
  with pytest.raises(errors.UserError, match='without a checkpoint'):
    air_tf.load(tmp_path)


def test_scenes_are_made_on_first_use(tmp_path):
  scenes = air_tf.load_scenes(tiny.config(scenes=str(tmp_path / 'none.npz')))
  with pytest.raises(errors.UserError, match='none.npz'):
    scenes.test  # noqa: B018


@pytest.mark.parametrize('changes', [{}, tiny.DAIR, {'background': True}])
def test_a_model_has_its_variables_at_once(changes):
  model = air_tf.AIRModel(tiny.config(**changes))
  names = [v.name for v in model.trainable_variables]
  assert len(names) > 30
  config = model.config
  inference = model.infer(tiny.images(), seed=[0, 1])
  model.elbo_terms(tiny.images(), inference, air_tf.truncated_geometric(
      0., config.max_steps))
  model.sample_prior(tf.constant([1, 2]), [0, 1], *config.image_shape)
  assert names == [v.name for v in model.trainable_variables]


@pytest.mark.slow
def test_gradients_in_ones_own_tape_and_function():
  config = tiny.config()
  model = air_tf.AIRModel(config)
  prior = air_tf.truncated_geometric(math.log(.1), config.max_steps)

  def gradients(images):
    with tf.GradientTape() as tape:
      terms = model.elbo_terms(
          images, model.infer(images, seed=[0, 1]), prior)
      elbo = tf.reduce_sum(tf.exp(terms.log_posterior) * (
          terms.log_likelihood - terms.cumulative_kl
          + terms.log_prior - terms.log_posterior), axis=1)
      loss = -tf.reduce_mean(elbo)
    return tape.gradient(loss, model.trainable_variables)

  eager = gradients(tiny.images())
  compiled = tf.function(gradients)(tiny.images())
  for variable, one, other in zip(
      model.trainable_variables, eager, compiled):
    assert np.any(one != 0.), variable.name
    np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)


def test_evaluation_of_a_run_and_of_its_saved_model(run, loaded, folder):
  found = run.evaluate()
  few = run.evaluate(probe_scenes=20)
  assert 0 < few['probe_train_objects'] < found['probe_train_objects']
  path, = (folder.parent / 'cache').glob('test-*.npz')
  again = loaded.evaluate(str(path))
  assert found['step'] == 4 and found['scenes'] == 12
  last = run.history()[-1]
  assert found['count_accuracy'] == last['count_accuracy']
  for name in 'elbo', 'count_accuracy', 'reconstruction_mse':
    np.testing.assert_allclose(again[name], found[name], rtol=1e-4)

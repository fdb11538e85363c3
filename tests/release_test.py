"""The trained models of the repository, and the command that makes them."""

import re
import shutil

import numpy as np
import pytest
import tensorflow as tf
import tiny

import air_tf
from air_tf import errors
from air_tf import model as model_lib
from air_tf.serving import half_precision
from air_tf.serving import released
from air_tf.serving import saved_model

pytestmark = pytest.mark.slow

NAMES = released.names()


@pytest.mark.parametrize('name', NAMES)
def test_each_model_counts_as_its_card_says(name):
  from air_tf.studies import release
  model = air_tf.load(name)
  accuracy = release.check_accuracy(model, name)
  # Other processors round otherwise: a scene or two may be counted otherwise.
  assert abs(accuracy - release.card_value(name, 'check accuracy')) <= .002
  assert release.card_value(name, 'count accuracy') >= .95
  size = sum(path.stat().st_size for path in model.path.rglob('*')
             if path.is_file())
  assert size <= 8e6


def test_the_check_sees_a_model_that_counts_otherwise(monkeypatch):
  from air_tf.studies import release
  monkeypatch.setattr(release, '_counts', lambda model, scenes: np.where(
      np.arange(len(scenes.counts)) < 5, -1, scenes.counts))  # 5 of 1,000.
  with pytest.raises(AssertionError):
    test_each_model_counts_as_its_card_says('multi_mnist')


def test_what_exists_comes_before_a_name(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  assert released.saved_model_path('embedded').parent.name == 'embedded'
  assert released.saved_model_path('embedded').is_absolute()
  (tmp_path / 'embedded').mkdir()
  assert str(released.saved_model_path('embedded')) == 'embedded'
  with pytest.raises(errors.UserError, match='with neither'):
    air_tf.load('embedded')
  with pytest.raises(errors.UserError, match='or one of .*multi_mnist'):
    air_tf.load('multi_mnists')


def test_half_precision_rounds_the_weights_and_nothing_else(tmp_path):
  # Weights large enough for their rounding to be seen in probabilities.
  tf.random.set_seed(0)
  model = model_lib.AIRModel(tiny.config(steps_init_scale=10.))
  images = tiny.images()
  saved_model.save(model, tmp_path / 'half', half_precision=True)
  saved_model.save(model, tmp_path / 'full')
  stored = lambda name: tf.train.load_checkpoint(
      str(tmp_path / name / 'variables' / 'variables')
      ).get_variable_to_dtype_map()
  assert tf.float32 not in stored('half').values()
  assert tf.float16 not in stored('full').values()
  sizes = [(tmp_path / name / 'variables' / 'variables.data-00000-of-00001'
            ).stat().st_size for name in ('half', 'full')]
  assert .4 < sizes[0] / sizes[1] < .6
  answer = air_tf.load(tmp_path / 'half').explain(images.numpy())
  exact = air_tf.load(tmp_path / 'full').explain(images.numpy())
  for variable in model.variables:
    variable.assign(tf.cast(tf.cast(variable, tf.float16), tf.float32))
  saved_model.save(model, tmp_path / 'rounded')
  rounded = air_tf.load(tmp_path / 'rounded').explain(images.numpy())
  probs = lambda explanation: explanation.num_steps_probs
  np.testing.assert_allclose(probs(answer), probs(rounded), atol=1e-6)
  assert 1e-3 > np.abs(probs(answer) - probs(exact)).max() > 1e-6
  # The model itself is as it was, and is read as such again.
  assert all(v.dtype == tf.float32 for v in model.variables)


def test_small_weights_may_stay_as_they_are():
  model = model_lib.AIRModel(tiny.config())
  largest = max(v.shape.num_elements() for v in model.variables)
  half = half_precision.HalfPrecision(model, min_size=largest)
  assert {v.shape.num_elements() for v in half.copies} == {largest}
  assert len(half.copies) + len(half.kept) == len(model.variables)
  assert {v.dtype for v in half.variables} == {tf.float16, tf.float32}
  small = half.kept[0]
  assert half._read(small) is small


def test_weights_beyond_float16_are_refused():
  model = model_lib.AIRModel(tiny.config())
  model.variables[0].assign(tf.fill(model.variables[0].shape, 1e5))
  with pytest.raises(errors.UserError, match='beyond float16'):
    half_precision.HalfPrecision(model)


def test_a_release_is_a_model_and_its_card(finished, tmp_path, monkeypatch):
  from air_tf.studies import release
  run, _ = finished
  shutil.copytree(run, tmp_path / 'run')
  folder = tmp_path / 'models' / 'small'
  folder.mkdir(parents=True)
  (folder / 'train.flags').write_text(
      '# Counts nothing well.\n' + (run / 'flags.txt').read_text())
  monkeypatch.setattr(released, 'FOLDER', tmp_path / 'models')
  measured = release.release('small', tmp_path / 'run')
  assert 0 <= measured['accuracy'] <= 1
  card = (folder / 'README.md').read_text()
  assert card.startswith('---\nlicense: apache-2.0\n')
  assert 'Counts nothing well.' in card and '{' not in re.sub(
      r'\{type.*\}', '', card)
  for metric, key in (('count accuracy', 'accuracy'),
                      ('check accuracy', 'check_accuracy')):
    assert release.card_value('small', metric) == round(measured[key], 4)
  loaded = air_tf.load('small')
  assert release.check_accuracy(loaded, 'small') == measured['check_accuracy']

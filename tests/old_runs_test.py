"""Run folders from before the sub-packages load: see old_runs/README.md."""

import hashlib
import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf
import tiny

from air_tf import config as config_lib
from air_tf import explain as explain_lib
from air_tf import run as run_lib
from air_tf.training import run_folder
from air_tf.training import trainer as trainer_lib

pytestmark = pytest.mark.slow

RUNS = pathlib.Path(__file__).with_name('old_runs')


@pytest.mark.parametrize('name', ['air_rebar', 'dair'])
def test_an_old_run_loads_to_the_bit_and_trains_on(name):
  expected = json.loads((RUNS / name / 'expected.json').read_text())
  trainer = run_lib.Run(RUNS / name).trainer
  parts = sorted(v.numpy().tobytes() for v in trainer.variables)
  assert hashlib.sha256(b''.join(parts)).hexdigest() == expected['digest']
  answer = explain_lib.explain(trainer.ema_model, tiny.images())
  for field, values in expected['explain'].items():
    np.testing.assert_allclose(
        getattr(answer, field), values, rtol=1e-4, atol=1e-5)
  with tiny.eagerly():
    trainer.train(tf.constant(tiny.scenes().images), tf.constant(4))
  assert_norms(trainer, expected['trained'], 1e-4)


@pytest.mark.parametrize('name', ['air_rebar', 'dair'])
def test_new_weights_are_those_of_old(name):
  expected = json.loads((RUNS / name / 'expected.json').read_text())
  assert_norms(
      trainer_lib.Trainer(run_folder.RunFolder(RUNS / name).config()),
      expected['initial'], 1e-6)


def assert_norms(trainer, expected, rtol):
  norms = {v.name: np.linalg.norm(v.numpy().astype(np.float64))
           for v in trainer.model.trainable_variables}
  assert norms == pytest.approx(expected, rel=rtol, abs=1e-7)


@pytest.mark.parametrize('estimator', config_lib.ESTIMATORS)
def test_the_keys_of_a_checkpoint_stay(estimator, tmp_path):
  keys = json.loads((RUNS / 'checkpoint_keys.json').read_text())
  nvil = estimator == 'nvil'
  trainer = trainer_lib.Trainer(tiny.config(
      max_steps=2, estimator=estimator, optimizer='rmsprop' if nvil else 'adam',
      moving_signal=nvil))
  path = tf.train.Checkpoint(trainer=trainer).write(str(tmp_path / 'c'))
  found = {name for name, _ in tf.train.list_variables(path)}
  assert found == {*keys['all estimators'], *keys[estimator]}

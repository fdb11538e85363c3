"""The estimate of memory: near the truth, below it, and refused in words."""

import dataclasses

import pytest
import tiny

from air_tf import config as config_lib
from air_tf import errors
from air_tf import memory


@pytest.mark.parametrize('changes', [
    {}, tiny.DAIR, dict(image_encoder='mlp', hidden_size=64, lstm_size=32),
    dict(background=True, channels=3, what_size=20, hidden_size=50)])
def test_the_number_of_parameters_is_about_that_of_the_model(changes):
  config = tiny.config(**changes)
  exact = sum(int(v.shape.num_elements())
              for v in tiny.trainer(**changes).model.trainable_variables)
  assert .6 * exact < memory._num_parameters(config) <= exact


@pytest.mark.parametrize('changes, flag', [
    (dict(batch_size=1_000_000_000), '--batch_size'),
    (dict(num_test_scenes=1_000_000_000_000), '--num_test_scenes'),
    (dict(num_train_scenes=100_000_000), '--num_train_scenes'),
    (dict(hidden_size=1_000_000), '--hidden_size'),
    (dict(lstm_size=500_000), '--lstm_size'),
    (dict(glimpse_size=100_000), '--glimpse_size'),
    (dict(what_size=10**9), '--what_size'),
    (dict(num_particles=1_000, estimator='vimco', batch_size=10_000),
     '--num_particles'),
    (dict(max_steps=64, canvas_size=1_024, estimator='nvil'),
     '--canvas_size')])
def test_what_cannot_fit_is_refused_with_an_estimate(
    changes, flag, monkeypatch):
  monkeypatch.setattr(memory, 'available', lambda: 32. * 2**30)
  with pytest.raises(errors.UserError, match=rf'GiB.*{flag}.*32\.0 GiB') as e:
    memory.require(config_lib.Config(**changes))
  assert '\n' not in str(e.value)


def test_what_works_is_not_refused(monkeypatch):
  # Measured on a machine of 24 GiB: 3.5, 2.2 and 1.7 GiB at the peak.
  for changes, peak in ((dict(batch_size=1024, canvas_size=100), 3.5),
                        (dict(batch_size=1024), 2.2), ({}, 1.7)):
    monkeypatch.setattr(memory, 'available', lambda limit=peak * 2**30: limit)
    memory.require(config_lib.Config(**changes))


def test_where_nothing_is_certain_nothing_is_refused(monkeypatch):
  monkeypatch.setattr(memory, 'available', lambda: 1.)
  memory._require({}, of_process=2.)


def test_scenes_from_a_file_are_not_counted():
  config = config_lib.Config(num_train_scenes=10**12)
  assert '--num_train_scenes' in memory.parts(config)
  assert '--num_train_scenes' not in memory.parts(
      dataclasses.replace(config, scenes='some.npz'))


def test_limits_of_the_process_count(monkeypatch):
  resource = pytest.importorskip('resource')
  assert 2**28 < memory.available() < 2**60
  monkeypatch.setattr(resource, 'getrlimit', lambda _: (2**28, 2**28))
  assert memory.available() == 2**28
  with pytest.raises(errors.UserError, match=r'0\.2 GiB'):
    memory.require_for_scenes(10**6, tiny.config(), '--num_scenes')

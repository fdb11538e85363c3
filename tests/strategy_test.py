"""Many devices: two of one process, and two processes, against one device."""

import json
import time

import cluster_util
import numpy as np
import pytest
import scripts
from tensorboard.backend.event_processing import event_accumulator
import tensorflow as tf
import tiny

from air_tf import config as config_lib
from air_tf import errors
from air_tf.data import datasets
from air_tf.training import all_reduce
from air_tf.training import cluster as cluster_lib
from air_tf.training import gradient_monitor
from air_tf.training import rendezvous
from air_tf.training import run_folder
from air_tf.training import strategy
from air_tf.training import trainer as trainer_lib

# Measured: rounding changes a weight by 1.2e-7 (they move by .07) and a loss by
# 7e-7 of it. Faults change a weight by .0011 (a mean of two variances), .023
# (gradients summed, not averaged), .15 (the same noise in both halves) or .24
# (the same scenes), and a loss by .0022 of it (rows of particles mixed up).
ROUNDING = 1e-5


@pytest.fixture(scope='module')
def mirrored(tmp_path_factory):
  """What `two_devices.py` prints, and its folder."""
  folder = tmp_path_factory.mktemp('mirrored')
  process = scripts.run('tests/two_devices.py', folder)
  assert process.returncode == 0, process.stderr
  return json.loads(process.stdout.splitlines()[-1]), folder


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize('estimator', config_lib.ESTIMATORS)
def test_the_halves_of_a_batch_meet_the_noise_of_the_whole(mirrored, estimator):
  assert mirrored[0]['estimates'][estimator] < ROUNDING


@pytest.mark.slow
@pytest.mark.long
def test_a_run_on_two_devices_is_that_of_one_and_goes_on_there(mirrored):
  result, folder = mirrored[0]['run'], mirrored[1] / 'run'
  assert result['step'] == 12 and np.isfinite(result['elbo'])
  config = run_folder.RunFolder(folder).config()
  assert config.distribution_strategy == 'mirrored'
  trainer = trainer_lib.Trainer(config)  # On one device, whatever it was.
  start = [v.numpy() for v in trainer.model.trainable_variables]
  assert run_folder.RunFolder(folder).restore(
      tf.train.Checkpoint(trainer=trainer)) == 12
  assert max(np.abs(a - b).max() for a, b in zip(
      start, trainer.model.trainable_variables)) > 1_000. * ROUNDING
  scenes = datasets.load(config)[0](0).images
  with tiny.eagerly():
    assert_follows(trainer, trained_on_one_device(config, scenes))
    variances = gradient_monitor.Monitor(trainer)(tf.constant(scenes))
  events = event_accumulator.EventAccumulator(str(folder / 'train'))
  events.Reload()
  for name, value in variances.items():
    shown = tf.make_ndarray(events.Tensors(name)[-1].tensor_proto)
    np.testing.assert_allclose(shown, value, rtol=1e-3, err_msg=name)

  images = tiny.images(2)
  served = tf.saved_model.load(str(folder / 'saved_model')).signatures[
      'serving_default'](images=images)
  np.testing.assert_allclose(
      served['what'][:, 0],
      trainer.ema_model.infer(images).what[:, 0]
      * served['presence'][:, 0, np.newaxis], rtol=1e-4, atol=1e-5)


def trained_on_one_device(config, scenes):
  trainer = trainer_lib.Trainer(config)
  trainer.train(tf.constant(scenes), tf.constant(config.num_iterations))
  return trainer


def assert_follows(first, second):
  """Weights, their averages, the estimator's state and the optimizers'."""
  for a, b in zip(first.variables, second.variables, strict=True):
    np.testing.assert_allclose(
        a, b, rtol=ROUNDING, atol=ROUNDING, err_msg=a.name)


def start(flags, ports, index):
  return scripts.Process('bin/train.py', *flags, environment={
      'TF_CONFIG': cluster_util.tf_config(ports, index)})


@pytest.mark.slow
def test_two_processes_of_which_one_is_killed_and_started_again(tmp_path):
  """Ends where one device does, with one folder, which the chief wrote."""
  changes = dict(
      cache_dir=str(tmp_path / 'cache'), refresh_every=0, optimizer='rmsprop',
      learning_rate=1e-4, max_steps=2)
  flags = [f'--logdir={tmp_path / "run"}', *tiny.flags(
      distribution_strategy='multi_worker', num_iterations=1_000,
      checkpoint_every=2,
      eval_every=1_000, **changes)]
  ports = cluster_util.free_ports(2)
  chief, other = (start(flags, ports, i) for i in range(2))
  while not list((tmp_path / 'run' / 'checkpoints').glob('*.index')):
    assert chief.poll() is None and other.poll() is None
    time.sleep(.05)
  other.kill()
  other.wait()
  code, _, error = chief.wait()
  assert code == errors.WorkerLost.exit_code, error
  assert 'another process' in error
  assert 'Traceback' not in error
  reached = run_folder.RunFolder(tmp_path / 'run').saved()[-1][0]
  assert 2 <= reached < 1_000

  last = reached + 20
  flags.append(f'--num_iterations={last}')
  chief, other = (start(flags, ports, i) for i in range(2))
  (code, printed, error), (other_code, nothing, others) = (
      process.wait() for process in (chief, other))
  assert code == other_code == 0, error + others
  assert f'Resumed at iteration {reached}' in error
  assert json.loads(printed.splitlines()[-1])['step'] == last
  assert nothing == ''  # Only the chief has a result.
  config = tiny.config(num_iterations=last, **changes)
  ended = trainer_lib.Trainer(config)
  run_folder.RunFolder(tmp_path / 'run').restore(
      tf.train.Checkpoint(trainer=ended))
  assert ended.iteration == last
  assert_follows(ended, trained_on_one_device(
      config, datasets.load(config)[0](0).images))


@pytest.mark.slow
def test_a_process_that_ends_while_all_join_ends_the_others():
  flags = {'distribution_strategy': 'multi_worker', 'num_iterations': 4}
  ports = cluster_util.free_ports(2)
  chief = start(tiny.flags(**flags), ports, 0)
  cluster = json.loads(cluster_util.tf_config(ports))['cluster']
  partners = rendezvous.meet(
      cluster_lib.Cluster(cluster, 'worker', 1),
      strategy._common(tiny.config(**flags)), 60.)
  del partners  # As the end of this process would.
  code, _, error = chief.wait(60.)
  assert code == errors.WorkerLost.exit_code, error
  assert f':{ports[1]} ended while all joined' in error.splitlines()[-1]
  assert 'Traceback' not in error


def test_a_cluster_that_does_not_divide_the_batch_is_refused(monkeypatch):
  monkeypatch.setenv('TF_CONFIG', cluster_util.tf_config([1, 2, 3]))
  with pytest.raises(errors.UserError, match='=4: expected a multiple of 3'):
    strategy.make(tiny.config(distribution_strategy='multi_worker'))


def test_no_tpu_is_a_user_error(monkeypatch):
  monkeypatch.delenv('TPU_NAME', raising=False)
  with pytest.raises(errors.UserError, match='tpu: found no'):
    strategy.make(config_lib.Config(distribution_strategy='tpu'))


def test_variances_of_halves_are_joined():
  # By hand: the halves (1, 3) and (5, 9) of (1, 3, 5, 9).
  halves = [all_reduce.to_moments(
      {'x/mean': tf.constant(np.mean(x)), 'x/variance': tf.constant(np.var(x))})
            for x in ((1., 3.), (5., 9.))]
  joined = all_reduce.from_moments(
      {name: .5 * (halves[0][name] + halves[1][name]) for name in halves[0]})
  np.testing.assert_allclose(joined['x/mean'], 4.5)
  np.testing.assert_allclose(joined['x/variance'], np.var([1., 3., 5., 9.]))

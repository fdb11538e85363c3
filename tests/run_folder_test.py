import contextlib
import dataclasses
import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf
import tiny

from air_tf import config as config_lib
from air_tf import errors
from air_tf.training import run_folder


@pytest.fixture
def write():
  """Opens folders for writing, until the test ends."""
  with contextlib.ExitStack() as opened:
    yield lambda path: opened.enter_context(run_folder.Writer(path))


def begin(path, **changes):
  """Begins a run, or resumes it, and ends."""
  with run_folder.Writer(path) as folder:
    folder.begin(tiny.config(**changes))


def folder_with_checkpoints(folder, iterations):
  """Returns a folder, and a checkpoint of a variable equal to the iteration."""
  folder.begin(tiny.config())
  variable = tf.Variable(np.zeros(1000, np.float32))
  checkpoint = tf.train.Checkpoint(variable=variable)
  for iteration in iterations:
    variable.assign(tf.fill([1000], float(iteration)))
    folder.save(checkpoint, iteration)
  variable.assign(tf.fill([1000], -1.))
  return folder, checkpoint


def evaluation(step, split='test', **changes):
  return {'step': step, 'split': split, 'elbo': -1.5, 'seconds': 2.,
          'count_accuracy': .5} | changes


def data_file(path, iteration):
  return path / 'checkpoints' / f'ckpt-{iteration}.data-00000-of-00001'


def test_newest_checkpoint_is_restored_and_old_ones_are_dropped(
    tmp_path, write):
  folder, checkpoint = folder_with_checkpoints(
      write(tmp_path), [5, 10, 100, 1000])
  assert folder.restore(checkpoint) == 1000
  assert np.all(checkpoint.variable == 1000.)
  assert [i for i, _ in folder.saved()] == [10, 100, 1000]
  assert not data_file(tmp_path, 5).exists()


def test_no_checkpoint_is_iteration_0(tmp_path, write):
  folder, checkpoint = folder_with_checkpoints(write(tmp_path), [])
  assert folder.restore(checkpoint) == 0


def truncate(file):
  file.write_bytes(file.read_bytes()[:100])


def flip(file):
  data = bytearray(file.read_bytes())
  data[len(data) // 2] ^= 1
  file.write_bytes(data)


def empty(file):
  file.write_bytes(b'')


@pytest.mark.parametrize('damage', [truncate, flip, empty,
                                    lambda file: file.unlink()])
def test_damaged_newest_checkpoint_falls_back_and_says_so(
    tmp_path, write, damage, caplog):
  folder, checkpoint = folder_with_checkpoints(write(tmp_path), [10, 20])
  damage(data_file(tmp_path, 20))
  assert folder.restore(checkpoint) == 10
  assert np.all(checkpoint.variable == 10.)
  assert 'ckpt-20 cannot be read' in caplog.text


def test_damaged_index_falls_back(tmp_path, write):
  folder, checkpoint = folder_with_checkpoints(write(tmp_path), [10, 20])
  truncate(tmp_path / 'checkpoints' / 'ckpt-20.index')
  assert folder.restore(checkpoint) == 10


def test_a_kill_while_the_first_checkpoint_is_written_leaves_none(
    tmp_path, write):
  class Killed:
    def write(self, prefix):
      pathlib.Path(prefix + '.index').write_bytes(b'half')
      raise KeyboardInterrupt

  folder = write(tmp_path)
  folder.begin(tiny.config())
  with pytest.raises(KeyboardInterrupt):
    folder.save(Killed(), 2)
  assert folder.restore(tf.train.Checkpoint(x=tf.Variable(0))) == 0
  checkpoint = tf.train.Checkpoint(x=tf.Variable(3))
  folder.save(checkpoint, 4)
  assert folder.restore(checkpoint) == 4


def test_no_readable_checkpoint_is_a_user_error(tmp_path, write):
  folder, checkpoint = folder_with_checkpoints(write(tmp_path), [10])
  empty(data_file(tmp_path, 10))
  with pytest.raises(errors.UserError, match='none of the 1 checkpoints'):
    folder.restore(checkpoint)


def test_config_comes_back_as_it_was(tmp_path, write):
  folder = write(tmp_path)
  config = tiny.config(counts=(0, 3), digits='somewhere', overlap=True)
  folder.begin(config)
  assert folder.config() == config


def test_a_run_from_before_colour_was_grey_and_goes_on(tmp_path, write):
  folder, _ = folder_with_checkpoints(write(tmp_path), [10])
  file = tmp_path / 'config.json'
  values = json.loads(file.read_text())
  del values['channels']
  file.write_text(json.dumps(values))
  assert folder.config() == tiny.config()
  folder.begin(tiny.config(num_iterations=11))
  assert json.loads(file.read_text())['channels'] == 1
  with pytest.raises(errors.UserError, match='--channels was 1 and is 3'):
    folder.begin(tiny.config(channels=3))


def test_flags_repeat_every_field(tmp_path):
  begin(tmp_path, counts=(0, 3))
  flags = (tmp_path / 'flags.txt').read_text().splitlines()
  assert len(flags) == len(dataclasses.fields(config_lib.Config))
  assert '--counts=0,3' in flags and '--overlap=false' in flags


@pytest.mark.parametrize('changes', [
    dict(num_iterations=9), dict(log_every=7), dict(cache_dir='elsewhere')])
def test_what_changes_no_parameter_may_change(tmp_path, changes):
  begin(tmp_path)
  begin(tmp_path, **changes)
  assert run_folder.RunFolder(tmp_path).config() == tiny.config(**changes)


def test_another_run_is_refused_and_left_as_it_was(tmp_path, write):
  folder, _ = folder_with_checkpoints(write(tmp_path), [10])
  with pytest.raises(errors.UserError) as raised:
    folder.begin(tiny.config(estimator='nvil', num_iterations=9))
  text = str(raised.value)
  assert '--estimator was marginal and is nvil' in text
  assert 'num_iterations' not in text
  assert run_folder.RunFolder(tmp_path).config() == tiny.config()


def test_a_run_without_a_checkpoint_gives_way(tmp_path):
  begin(tmp_path, learning_rate=5.)
  begin(tmp_path)
  assert run_folder.RunFolder(tmp_path).config() == tiny.config()


def test_damaged_checkpoints_do_not_push_out_good_ones(tmp_path, write):
  folder, checkpoint = folder_with_checkpoints(write(tmp_path), [10, 20, 30])
  for iteration in 20, 30:
    empty(data_file(tmp_path, iteration))
  assert folder.restore(checkpoint) == 10
  folder.save(checkpoint, 15)
  assert [i for i, _ in folder.saved()] == [10, 15]


def test_a_folder_without_checkpoints_restores_nothing(tmp_path):
  checkpoint = tf.train.Checkpoint(variable=tf.Variable(1.))
  assert run_folder.RunFolder(tmp_path / 'none').restore(checkpoint) == 0


def test_an_unwritable_folder_is_named(tmp_path):
  (tmp_path / 'file').write_text('')
  with pytest.raises(errors.UserError, match='--logdir=.*file.*written'):
    begin(tmp_path / 'file' / 'run')


@pytest.mark.parametrize('text, fragment', [
    (None, 'no run here'), ('{', 'not JSON'), ('[1]', 'missing'),
    ('{"seed": 1}', 'missing'), ('{"name": 1}', 'no field of a run'),
    (json.dumps(dataclasses.asdict(tiny.config()) | {'new': 1}), "'new'")])
def test_a_folder_without_a_usable_config_is_named(tmp_path, text, fragment):
  if text is not None:
    (tmp_path / 'config.json').write_text(text)
  with pytest.raises(errors.UserError, match=fragment):
    run_folder.RunFolder(tmp_path).config()


def test_metrics_after_a_checkpoint_are_forgotten(tmp_path, write):
  folder = write(tmp_path)
  folder.begin(tiny.config())
  for step in 1, 2, 3:
    folder.log_metrics(evaluation(step))
  with open(tmp_path / 'metrics.jsonl', 'a') as file:
    file.write('{"step": 4, "spl')  # As a kill may leave it.
  folder.truncate_metrics(2)
  assert folder.metrics() == [evaluation(1), evaluation(2)]

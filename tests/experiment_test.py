"""The real `bin/train.py`, as a process, on tiny scenes."""

import json
import signal

import numpy as np
import pytest
import run_util
import scripts
import tensorflow as tf
import tiny

from air_tf import errors
from air_tf import experiment
from air_tf import explain as explain_lib
from air_tf import run as run_lib
from air_tf.data import npz
from air_tf.data import scene_files
from air_tf.training import run_folder
from air_tf.training import strategy

pytestmark = pytest.mark.slow
# Executed in a process before its script: it gets a signal once, after the
# first call of a method of the run folder.
AFTER = """
import os
from air_tf.training import run_folder

def once(*arguments):
  run_folder.Writer.{method} = original
  original(*arguments)
  os.kill(os.getpid(), {number})

original = run_folder.Writer.{method}
run_folder.Writer.{method} = once
"""


def metrics(folder):
  return run_folder.RunFolder(folder).metrics()


def test_leaves_everything_in_its_folder(finished):
  folder, process = finished
  result = json.loads(process.stdout.splitlines()[-1])
  assert result['step'] == 12 and 0. <= result['count_accuracy'] <= 1.
  assert 'count accuracy' in process.stderr
  for name in ('config.json', 'flags.txt', 'versions.json', 'metrics.jsonl',
               'figures/progress.png', 'saved_model/saved_model.pb'):
    assert (folder / name).stat().st_size > 0, name
  lines = metrics(folder)
  assert [(x['step'], x['split']) for x in lines] == [
      (step, split) for step in (4, 8, 12) for split in ('train', 'test')]
  assert {'elbo', 'log_likelihood', 'kl_what', 'kl_where', 'kl_num_steps',
          'expected_num_steps', 'count_accuracy', 'seconds'} <= set(lines[0])
  for line in lines:
    np.testing.assert_allclose(
        line['elbo'], line['log_likelihood'] - line['kl_what']
        - line['kl_where'] - line['kl_num_steps'], rtol=1e-4)


def test_events_read_back(finished):
  folder, _ = finished
  found = {'train': {}, 'test': {}}
  for (split, tag), entries in run_util.events(folder).items():
    found[split][tag] = {entry.step: entry.value for entry in entries}
  train, test = found['train'], found['test']
  assert {f'training/{name}' for name in (
      'elbo', 'log_likelihood', 'kl_what', 'kl_where', 'kl_num_steps',
      'expected_num_steps', 'prior_log_success', 'exploration', 'learning_rate',
      'gradient_norm')} <= set(train)
  assert set(train['training/elbo']) == {2, 4, 6, 8, 10, 12}
  assert set(train['gradient_variance/encoder']) == {4, 8, 12}
  for line in metrics(folder):
    for name in ('elbo', 'count_accuracy', 'kl_what'):
      np.testing.assert_allclose(
          found[line['split']][f'evaluation/{name}'][line['step']], line[name],
          rtol=1e-5)
  # Of a tag's pictures an entry has width and height, then the PNGs.
  width, height, png, *_ = test['scenes'][12]
  decoded = tf.io.decode_png(png)
  assert decoded.shape == [int(height), int(width), 3]
  assert len(np.unique(decoded)) > 10


def test_killed_resumed_and_prolonged_run_ends_with_the_same_bits(
    finished, tmp_path):
  # By the flags that the folder holds, which repeat the run, but for those
  # that change nothing.
  folder, logdir = finished[0], tmp_path / 'run'
  flags = [f'--flagfile={folder}/flags.txt', f'--logdir={logdir}',
           '--checkpoint_every=2', '--gradient_variance_every=0']
  scripts.succeed('train.py', *flags, code=-signal.SIGKILL, before=AFTER.format(
      method='save', number=int(signal.SIGKILL)))
  assert run_folder.RunFolder(logdir).saved()[-1][0] == 2

  resumed = scripts.succeed('train.py', *flags, '--num_iterations=8')
  assert 'Resumed at iteration 2' in resumed.stderr
  longer = scripts.succeed('train.py', *flags)
  assert 'Resumed at iteration 8' in longer.stderr
  run_util.assert_same_end(folder, logdir)
  without_time = lambda lines: [
      {k: v for k, v in x.items() if k != 'seconds'} for x in lines]
  assert without_time(metrics(logdir)) == without_time(metrics(folder))


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_signal_saves_and_says_so(tmp_path, number):
  # It arrives in the first evaluation.
  ended = scripts.succeed(
      'train.py', *tiny.run_flags(
          tmp_path, num_iterations=1_000_000, eval_every=2,
          checkpoint_every=1_000_000), code=128 + number,
      before=scripts.EAGER + AFTER.format(
          method='log_metrics', number=int(number)))
  assert 'saved at iteration' in ended.stderr and ended.stdout == ''
  reached = run_folder.RunFolder(tmp_path / 'run').saved()[-1][0]
  assert f'iteration {reached}' in ended.stderr and reached > 0


def test_a_signal_just_before_an_evaluation_does_not_lose_it(
    tmp_path, monkeypatch):
  config = tiny.config(
      max_steps=2, num_iterations=6, eval_every=2,
      cache_dir=str(tmp_path / 'cache'))
  logdir = str(tmp_path / 'run')
  with monkeypatch.context() as patch, tiny.eagerly():
    patch.setattr(strategy.OneDevice, 'max_over_workers',
                  lambda self, number: signal.SIGTERM)
    with pytest.raises(errors.Interrupted, match='iteration 2;'):
      experiment.run(config, logdir)
  with tiny.eagerly():
    experiment.run(config, logdir)
  steps = [line['step'] for line in run_folder.RunFolder(logdir).metrics()
           if line['split'] == 'test']
  assert steps == [2, 4, 6]


def test_another_configuration_is_refused_with_the_difference(
    finished, tmp_path):
  folder, _ = finished
  before = metrics(folder)
  flags = tiny.run_flags(
      folder.parent, learning_rate=.5, seed=3, **tiny.FINISHED)
  error = scripts.succeed('train.py', *flags, code=2).stderr.splitlines()[-1]
  assert '--learning_rate was 0.0007 and is 0.5' in error
  assert '--seed was 0 and is 3' in error
  assert metrics(folder) == before


def test_divergence_names_the_term_and_keeps_the_last_good_checkpoint(
    tmp_path):
  flags = tiny.run_flags(
      tmp_path, learning_rate=1e30, clip_norm=0., checkpoint_every=1)
  error = scripts.succeed(
      'train.py', *flags, code=3, before=scripts.EAGER).stderr.splitlines()[-1]
  assert 'the first term that is not finite' in error
  assert 'iteration' in error and 'checkpoints' in error
  for value in run_util.last_variables(tmp_path / 'run').values():
    assert np.all(np.isfinite(value))


@pytest.mark.parametrize('from_disk', [False, True])
def test_what_xla_compiles_is_traced_once_and_so_is_the_evaluation(
    from_disk, tmp_path, monkeypatch):
  # XLA itself would take ten seconds, and is not what is tested.
  monkeypatch.setattr(strategy.OneDevice, '_compiled', lambda self, function: (
      tf.function(function, autograph=False)))
  # Of 40 and 12 scenes, in batches of one size.
  monkeypatch.setattr(explain_lib, 'batch_size', lambda *_: 4)
  source = dict(cache_dir=str(tmp_path / 'cache'))
  if from_disk:
    monkeypatch.setattr(npz, '_LARGE', 0)
    for name, number in ('scenes', 40), ('test_scenes', 12):
      source[name] = str(tmp_path / f'{name}.npz')
      scenes = tiny.scenes(number, size=16)
      np.savez(source[name], images=scenes.images,
               counts=np.minimum(scenes.counts, 1))
  made, train = [], experiment.Experiment.train
  monkeypatch.setattr(experiment.Experiment, 'train',
                      lambda self: made.append(self) or train(self))
  experiment.run(
      tiny.config(jit_compile=True, max_steps=1, counts=(0, 1),
                  num_iterations=4, eval_every=2, **source),
      str(tmp_path / 'run'))
  loop = made[0].trainer.run_iterations
  assert loop.experimental_get_tracing_count() == 1
  assert made[0]._evaluator._score.experimental_get_tracing_count() == 1
  assert made[0]._tracing.done()


def test_scene_file_of_another_size_trains_and_evaluates(tmp_path):
  path = tmp_path / 'own.npz'
  scenes = tiny.scenes(30, size=18)
  scene_files.write(str(path), scenes._replace(counts=None))
  result = scripts.result('train.py', *tiny.run_flags(
      tmp_path, scenes=path, num_iterations=2, **tiny.DAIR),
      before=scripts.EAGER)
  assert 'count_accuracy' not in result and np.isfinite(result['elbo'])
  counted = tmp_path / 'counted.npz'
  scene_files.write(str(counted), scenes)
  with tiny.eagerly():
    evaluated = run_lib.Run(tmp_path / 'run').evaluate(str(counted))
  assert evaluated['scenes'] == 30 and 'count_accuracy' in evaluated

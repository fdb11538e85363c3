"""The real `bin/train.py`, as a process, on tiny scenes."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
from PIL import Image
import pytest
from tensorboard.backend.event_processing import event_accumulator
import tensorflow as tf
import tiny

from air_tf import errors
from air_tf import experiment
from air_tf import run as run_lib
from air_tf.data import scene_files
from air_tf.training import run_folder
from air_tf.training import strategy

ROOT = pathlib.Path(__file__).parent.parent
ENVIRONMENT = os.environ | {'TF_CPP_MIN_LOG_LEVEL': '3',
                            'CUDA_VISIBLE_DEVICES': '-1'}
# What is trained here; `model={}` is AIR, for what any model does, in half the
# time to compile.
COMPILED_DAIR = dict(jit_compile=True, **tiny.DAIR)


def command(script, *arguments):
  return [sys.executable, str(ROOT / 'bin' / script), *map(str, arguments)]


def run(script, *arguments, code=0):
  """Runs a script to its end; returns the process."""
  process = subprocess.run(
      command(script, *arguments), capture_output=True, text=True,
      env=ENVIRONMENT, timeout=300)
  assert process.returncode == code, process.stderr
  assert 'Traceback' not in process.stderr
  return process


def train_flags(tmp_path, name='run', model=COMPILED_DAIR, **changes):
  usual = dict(
      cache_dir=tmp_path / 'cache', num_iterations=12, refresh_every=6)
  return [f'--logdir={tmp_path / name}',
          *tiny.flags(**(usual | model | changes))]


def metrics(folder):
  return run_folder.RunFolder(folder).metrics()


def parameters(folder):
  """All that the newest checkpoint holds, by name."""
  prefix = run_folder.RunFolder(folder)._saved()[-1][1]
  reader = tf.train.load_checkpoint(str(prefix))
  return {name: reader.get_tensor(name)
          for name in reader.get_variable_to_shape_map()
          if not name.startswith('_')}


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
  """A run of 12 iterations, never disturbed."""
  folder = tmp_path_factory.mktemp('finished')
  # Measuring changes nothing: the runs compared with this one do without.
  process = run('train.py', *train_flags(folder, gradient_variance_every=4))
  return folder / 'run', process


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
  def read(split):
    events = event_accumulator.EventAccumulator(
        str(folder / split), size_guidance={'tensors': 0})
    events.Reload()
    return {tag: {e.step: tf.make_ndarray(e.tensor_proto)
                  for e in events.Tensors(tag)}
            for tag in events.Tags()['tensors']}
  train, test = read('train'), read('test')
  assert {f'training/{name}' for name in (
      'elbo', 'log_likelihood', 'kl_what', 'kl_where', 'kl_num_steps',
      'expected_num_steps', 'prior_log_success', 'exploration', 'learning_rate',
      'gradient_norm')} <= set(train)
  assert set(train['training/elbo']) == {2, 4, 6, 8, 10, 12}
  assert set(train['gradient_variance/encoder']) == {4, 8, 12}
  for split, found in (('train', train), ('test', test)):
    for line in metrics(folder):
      if line['split'] == split:
        for name in ('elbo', 'count_accuracy', 'kl_what'):
          np.testing.assert_allclose(
              found[f'evaluation/{name}'][line['step']], line[name], rtol=1e-5)
  # An image's entry is width, height and the PNG itself.
  width, height, png = test['progress'][12]
  decoded = tf.io.decode_png(png)
  assert decoded.shape == [int(height), int(width), 3]
  assert len(np.unique(decoded)) > 10


def test_flags_of_the_folder_repeat_the_run(finished, tmp_path):
  folder, _ = finished
  run('train.py', f'--flagfile={folder}/flags.txt',
      f'--logdir={tmp_path / "again"}')
  for name, value in parameters(folder).items():
    np.testing.assert_array_equal(
        value, parameters(tmp_path / 'again')[name], err_msg=name)


@pytest.mark.parametrize('checkpoint_every', [2])
def test_killed_and_resumed_run_ends_with_the_same_bits(
    finished, tmp_path, checkpoint_every):
  folder, _ = finished
  flags = train_flags(tmp_path, cache_dir=folder.parent / 'cache',
                      checkpoint_every=checkpoint_every)
  saved = tmp_path / 'run' / 'checkpoints'
  process = subprocess.Popen(
      command('train.py', *flags), env=ENVIRONMENT,
      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
  # Killed after its first checkpoint.
  while not list(saved.glob('ckpt-*.index')):
    assert process.poll() is None
    time.sleep(.01)
  process.kill()
  process.wait()
  reached = run_folder.RunFolder(tmp_path / 'run')._saved()[-1][0]
  assert 2 <= reached < 12, 'the run ended before it could be killed'

  resumed = run('train.py', *flags)
  assert f'Resumed at iteration {reached}' in resumed.stderr
  for name, value in parameters(folder).items():
    np.testing.assert_array_equal(
        value, parameters(tmp_path / 'run')[name], err_msg=name)
  without_time = lambda lines: [
      {k: v for k, v in x.items() if k != 'seconds'} for x in lines]
  assert without_time(metrics(tmp_path / 'run')) == without_time(
      metrics(folder))


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_signal_saves_and_says_so(finished, tmp_path, number):
  folder, _ = finished
  flags = train_flags(
      tmp_path, cache_dir=folder.parent / 'cache', num_iterations=1_000_000,
      eval_every=1_000_000, checkpoint_every=1_000_000, model={})
  process = subprocess.Popen(
      command('train.py', *flags), env=ENVIRONMENT, text=True,
      stdout=subprocess.PIPE, stderr=subprocess.PIPE)
  events = tmp_path / 'run' / 'train'
  while not list(events.glob('*')):  # The loop is about to start.
    assert process.poll() is None
    time.sleep(.01)
  time.sleep(3.)
  process.send_signal(number)
  output, error = process.communicate(timeout=120)
  assert process.returncode == 128 + number, error
  assert 'saved at iteration' in error and 'Traceback' not in error
  assert output == ''
  reached = run_folder.RunFolder(tmp_path / 'run')._saved()[-1][0]
  assert f'iteration {reached}' in error and reached > 0


def test_a_signal_just_before_an_evaluation_does_not_lose_it(
    tmp_path, monkeypatch):
  config = tiny.config(
      num_iterations=6, eval_every=2, cache_dir=str(tmp_path / 'cache'))
  logdir = str(tmp_path / 'run')
  with monkeypatch.context() as patch:
    patch.setattr(strategy.OneDevice, 'max_over_workers',
                  lambda self, number: signal.SIGTERM)
    with pytest.raises(errors.Interrupted, match='iteration 2;'):
      experiment.run(config, logdir)
  experiment.run(config, logdir)
  steps = [line['step'] for line in run_folder.RunFolder(logdir).metrics()
           if line['split'] == 'test']
  assert steps == [2, 4, 6]


def test_another_configuration_is_refused_with_the_difference(
    finished, tmp_path):
  folder, _ = finished
  before = metrics(folder)
  flags = train_flags(folder.parent, learning_rate=.5, seed=3)
  error = run('train.py', *flags, code=2).stderr.splitlines()[-1]
  assert '--learning_rate was 0.0007 and is 0.5' in error
  assert '--seed was 0 and is 3' in error
  assert metrics(folder) == before


def test_a_finished_run_goes_on_when_iterations_are_raised(finished, tmp_path):
  folder, _ = finished
  flags = train_flags(tmp_path, cache_dir=folder.parent / 'cache',
                      num_iterations=8)
  run('train.py', *flags)
  longer = run('train.py', *flags, '--num_iterations=12')
  assert 'Resumed at iteration 8' in longer.stderr
  for name, value in parameters(folder).items():
    np.testing.assert_array_equal(
        value, parameters(tmp_path / 'run')[name], err_msg=name)


def test_divergence_names_the_term_and_keeps_the_last_good_checkpoint(
    finished, tmp_path):
  folder, _ = finished
  flags = train_flags(
      tmp_path, cache_dir=folder.parent / 'cache', learning_rate=1e30,
      clip_norm=0., checkpoint_every=1, model={})
  error = run('train.py', *flags, code=3).stderr.splitlines()[-1]
  assert 'the first term that is not finite' in error
  assert 'iteration' in error and 'checkpoints' in error
  for value in parameters(tmp_path / 'run').values():
    assert np.all(np.isfinite(value))


def test_scene_file_of_another_size_trains_and_evaluates(tmp_path):
  path = tmp_path / 'own.npz'
  scenes = tiny.scenes(30, size=18)
  scene_files.write(str(path), scenes._replace(counts=None))
  result = json.loads(run('train.py', *train_flags(
      tmp_path, scenes=path, num_iterations=2)).stdout.splitlines()[-1])
  assert 'count_accuracy' not in result and np.isfinite(result['elbo'])
  counted = tmp_path / 'counted.npz'
  scene_files.write(str(counted), scenes)
  evaluated = run_lib.Run(tmp_path / 'run').evaluate(str(counted))
  assert evaluated['scenes'] == 30 and 'count_accuracy' in evaluated


def test_evaluate_agrees_with_the_last_line(finished):
  folder, process = finished
  output = run('evaluate.py', f'--logdir={folder}', '--importance_samples=2'
               ).stdout.splitlines()
  found = json.loads(output[-1])
  expected = json.loads(process.stdout.splitlines()[-1])
  assert found['step'] == expected['step']
  assert found['count_accuracy'] == expected['count_accuracy']
  for name in ('elbo', 'kl_what'):
    np.testing.assert_allclose(found[name], expected[name], rtol=1e-5)
  assert {'confusion', 'localisation', 'log_likelihood_bound'} <= set(found)
  assert output[0].startswith('count accuracy')
  # The same again, here: to the last digit.
  assert found == json.loads(json.dumps(
      run_lib.Run(folder).evaluate(num_samples=2)))


def test_figures_are_drawn_and_shown_in_tensorboard(finished, tmp_path):
  folder, _ = finished
  names = {'progress', 'policy', 'film_strip', 'samples', 'traversals',
           'errors', 'accuracy', 'elbo'}
  result = json.loads(run('figures.py', f'--logdir={folder}',
                          f'--out={tmp_path}').stdout.splitlines()[-1])
  # Without any object found there is no code to move about.
  assert names - {'traversals'} <= {
      pathlib.Path(path).stem for path in result['figures']}
  for path in result['figures']:
    assert tf.io.decode_png(pathlib.Path(path).read_bytes()).shape[0] >= 16
  events = event_accumulator.EventAccumulator(str(folder / 'test'))
  events.Reload()
  assert {f'figures/{name}' for name in names - {'traversals'}} <= set(
      events.Tags()['tensors'])


def test_downstream_learns_from_latents_and_from_pixels(finished, tmp_path):
  folder, _ = finished
  result = json.loads(run(
      'downstream.py', f'--logdir={folder}', '--labels=60,50',
      '--num_test_scenes=30', f'--out={tmp_path}').stdout.splitlines()[-1])
  assert result['num_labels'] == [50, 60]
  for task in ('sum', 'ascending'):
    for name in ('latents', 'pixels'):
      assert len(result[task][name]) == 2
      assert all(0. <= x <= 1. for x in result[task][name])
  assert pathlib.Path(result['figure']) == tmp_path / 'downstream.png'


def test_export_writes_what_training_wrote(finished, tmp_path):
  folder, _ = finished
  run('export.py', f'--logdir={folder}', f'--out={tmp_path / "model"}')
  images = tiny.images(2)
  serve = lambda path: tf.saved_model.load(str(path)).signatures[
      'serving_default'](images=images)
  ours, theirs = serve(tmp_path / 'model'), serve(folder / 'saved_model')
  for name, value in ours.items():
    np.testing.assert_array_equal(value, theirs[name])


def test_a_run_counts_further_than_it_was_trained(finished, tmp_path):
  folder, _ = finished
  path = tmp_path / 'more.npz'
  scenes = tiny.scenes(20)
  scene_files.write(str(path), scenes._replace(counts=scenes.counts + 2))
  result = json.loads(run(
      'evaluate.py', f'--logdir={folder}', f'--scenes={path}', '--max_steps=5'
      ).stdout.splitlines()[-1])
  assert [len(row) for row in result['confusion']] == [6] * 5
  run('export.py', f'--logdir={folder}', '--max_steps=5',
      f'--out={tmp_path / "model"}')
  answer = tf.saved_model.load(str(tmp_path / 'model')).signatures[
      'serving_default'](images=tiny.images(2))
  assert answer['num_steps_probs'].shape == [2, 6]


def test_generalise_trains_and_asks(tmp_path):
  models = '--difference', '--image_encoder', '--max_steps', '--counts'
  flags = [
      x for x in train_flags(tmp_path, num_iterations=2, jit_compile=False,
                             digits='embedded')[1:]
      if not x.startswith(models)]
  first = run(
      'generalise.py', f'--logdir={tmp_path / "runs"}', '--seeds=0:1', *flags)
  result = json.loads(first.stdout.splitlines()[-1])
  for name in 'extrapolation', 'interpolation':
    assert set(result[name]) == {'AIR', 'DAIR'}
    assert all(0. <= x <= 1. for found in result[name].values() for x in found)
  assert '| 0, 1, 3 | 2 | DAIR |' in first.stdout
  saved = json.loads((tmp_path / 'runs' / 'generalisation.json').read_text())
  assert [sum(x['runs'][0]['counted']) for x in saved] == [12] * 4
  for model, difference in ('AIR', False), ('DAIR', True):
    config = json.loads((tmp_path / 'runs' / 'interpolation' / model / 'seed-0'
                         / 'config.json').read_text())
    assert config['difference'] == difference
    assert config['counts'] == [0, 1, 3] and config['max_steps'] == 4


def test_generalise_wants_digits():
  process = run('generalise.py', '--scenes=some.npz', code=2)
  assert 'wanted --digits' in process.stderr


def test_infer_reads_all_kinds_and_draws(finished, tmp_path):
  folder, _ = finished
  scenes = tiny.scenes(3)
  scene_files.write(str(tmp_path / 'some.npz'), scenes)
  np.save(tmp_path / 'stack.npy', scenes.images)
  (tmp_path / 'folder').mkdir()
  Image.fromarray(scenes.images[1]).save(tmp_path / 'folder' / 'one.png')
  Image.fromarray(scenes.images[1]).resize((48, 32)).save(tmp_path / 'two.png')
  output = run(
      'infer.py', f'--saved_model={folder}/saved_model', '--resize',
      f'--overlay={tmp_path / "overlay"}', f'--csv={tmp_path / "table.csv"}',
      '--batch_size=2', tmp_path / 'some.npz', tmp_path / 'stack.npy',
      tmp_path / 'folder', tmp_path / 'two.png').stdout.splitlines()
  lines = [json.loads(line) for line in output]
  assert lines[-1]['images'] == 8 and len(lines) == 9
  for name in ('count', 'boxes'):  # The same picture in three files.
    assert lines[1][name] == lines[4][name] == lines[6][name]
  for line in lines[:-1]:
    assert len(line['boxes']) == line['count']
    np.testing.assert_allclose(sum(line['probabilities']), 1., atol=1e-5)
  assert lines[-1]['objects'] == sum(line['count'] for line in lines[:-1])
  pictures = sorted((tmp_path / 'overlay').iterdir())
  assert len(pictures) == 8
  assert tf.io.decode_png(pictures[0].read_bytes()).shape[0] > 100
  assert len((tmp_path / 'table.csv').read_text().splitlines()) == 9


def test_gradient_variance_is_left_in_the_folder(finished, tmp_path):
  folder = tmp_path / 'run'
  shutil.copytree(finished[0], folder)
  result = json.loads(run(
      'gradient_variance.py', f'--logdir={folder}', '--repeats=3',
      '--warm_up=2', '--estimators=marginal,nvil').stdout.splitlines()[-1])
  assert result['step'] == 12 and result['repeats'] == 3
  assert list(result['estimators']) == ['marginal', 'nvil']
  assert json.loads((folder / 'gradient_variance.json').read_text()) == result
  assert (folder / 'gradient_variance.md').read_text().count('\n') == 8
  assert (folder / 'figures' / 'gradient_variance.png').stat().st_size > 5_000


def test_sweep_compares_recipes_and_goes_on(tmp_path):
  flags = train_flags(tmp_path, num_iterations=2, jit_compile=False)[1:]
  (tmp_path / 'a.flags').write_text('\n'.join(flags))
  arguments = [f'--logdir={tmp_path / "sweep"}', '--seeds=0:1', '--threshold=0',
               f'--flagfile={tmp_path / "a.flags"}', '--num_iterations=1',
               '--vary=estimator=marginal,mvd']
  first = run('sweep.py', *arguments)
  result = json.loads(first.stdout.splitlines()[-1])
  assert list(result['recipes']) == ['a,estimator=marginal', 'a,estimator=mvd']
  for found in result['recipes'].values():
    assert found['successes'] == found['num_runs'] == 1
  assert (tmp_path / 'sweep' / 'report.md').exists()
  again = run('sweep.py', *arguments)
  assert '2 runs, 2 of them finished before.' in again.stderr
  assert again.stdout == first.stdout

"""Mistakes of users: one clear line, exit code 2, no traceback."""

import dataclasses
import subprocess
import sys

import numpy as np
from PIL import Image
import pytest
import scripts
import tiny

from air_tf import config as config_lib

pytestmark = pytest.mark.slow

run = scripts.run


def assert_refused(process, *fragments):
  """Exit code 2, and a last line on standard error that holds `fragments`."""
  assert process.returncode == 2, process.stderr
  assert 'Traceback' not in process.stderr and process.stdout == ''
  line = process.stderr.splitlines()[-1]
  for fragment in fragments:
    assert str(fragment) in line, line


@pytest.mark.parametrize('flag, expected', [
    ('--learning_rate=-1', 'more than 0'),
    ('--learning_rate=fast', 'learning_rate'),
    ('--learning_rate=nan', 'a finite number'),
    ('--estimator=magic', 'one of marginal'),
    ('--optimizer=sgd', 'one of adam'),
    ('--distribution_strategy=many', 'one of none'),
    ('--distribution_strategy=multi_worker', 'found TF_CONFIG'),
    ('--num_particles=2 --estimator=mvd', 'has no importance-weighted bound'),
    ('--num_particles=1 --estimator=rws', 'at least 2 for --estimator=rws'),
    ('--num_particles=7', 'fewer: --estimator=marginal sums over all'),
    ('--counts=0,1,7', 'no more than --max_steps=3'),
    ('--counts=', 'at least one number'),
    ('--counts=one', 'int numbers with commas'),
    ('--digit_scale=.8,.2', 'the smaller first'),
    ('--digits=nowhere.npz', 'no such file or folder'),
    ('--test_scenes=some.npz', 'to stand beside --scenes'),
    ('--batch_size=0', 'at least 1'),
    ('--exploration_init=2', 'at most 1'),
    ('--backdrop=magic', 'one of black'),
    ('--backdrop_level=1.5', 'at most 1'),
    ('--channels=2', '1 or 3'),
    ('--object_size=50', 'fewer pixels than --canvas_size=50'),
    ('--no_such_flag=1', 'no_such_flag'),
    ('stray', "'stray'"),
])
def test_train_refuses(flag, expected, tmp_path):
  assert_refused(run('bin/train.py', f'--logdir={tmp_path}', *flag.split()),
                 flag.split('=')[0].strip('-'), expected)
  assert list(tmp_path.iterdir()) == []


def damaged_scenes(path, kind):
  images = tiny.scenes(4).images
  counts = np.array([0, 1, 2, 1], np.int32)
  arrays = {
      'truncated': None, 'key': dict(pictures=images),
      'shape': dict(images=images[0]), 'dtype': dict(images=images.astype(str)),
      'nan': dict(images=images / 255. * np.nan),
      'channels': dict(images=np.stack([images] * 2, axis=-1)),
      'empty': dict(images=images[:0]), 'wide': dict(images=images[:, :8]),
      'counts': dict(images=images, counts=counts[:2]),
      'many': dict(images=images, counts=counts + 5)}[kind]
  if arrays is None:
    np.savez(path, images=images)
    path.write_bytes(path.read_bytes()[:500])
  else:
    np.savez(path, **arrays)


def test_train_refuses_scenes_that_are_not_there(tmp_path):
  process = run('bin/train.py', f'--logdir={tmp_path}', '--scenes=none.npz')
  assert_refused(process, 'none.npz', 'no such file')


@pytest.mark.parametrize('kind, expected', [
    ('truncated', 'damaged'), ('key', 'images'), ('shape', 'images'),
    ('dtype', 'images'), ('nan', 'not finite'),
    ('channels', '[N, H, W, 3]'),
    ('empty', 'images'), ('wide', 'square'), ('counts', 'counts'),
    ('many', '--max_steps=3')])
def test_train_refuses_damaged_scenes(kind, expected, tmp_path):
  path = tmp_path / 'scenes.npz'
  damaged_scenes(path, kind)
  process = run('bin/train.py', f'--logdir={tmp_path / "run"}',
                f'--scenes={path}', '--object_size=7')
  assert_refused(process, path, expected)


def test_train_refuses_a_folder_it_cannot_write(tmp_path):
  (tmp_path / 'file').write_text('')
  assert_refused(
      run('bin/train.py', f'--logdir={tmp_path / "file" / "run"}',
          '--num_train_scenes=5', '--num_test_scenes=5',
          f'--cache_dir={tmp_path / "cache"}'),
      '--logdir', 'cannot be written')


def test_scripts_without_their_required_flag_say_which():
  for script, flag in (('evaluate', 'logdir'), ('export', 'logdir'),
                       ('figures', 'logdir'), ('downstream', 'logdir'),
                       ('infer', 'saved_model')):
    assert_refused(run(f'bin/{script}.py', fresh=True), flag)


@pytest.mark.parametrize('flag, expected', [
    ('--seeds=none', '--seeds=none: expected first:last'),
    ('--vary=estimator', 'expected FLAG=V1,V2'),
    ('stray', "'stray'"),
    ('--jobs=0', 'jobs')])
def test_sweep_refuses(flag, expected, tmp_path):
  assert_refused(run('bin/sweep.py', f'--logdir={tmp_path}', flag, fresh=True),
                 expected)
  assert list(tmp_path.iterdir()) == []


def test_sweep_hands_on_what_training_says_of_its_flags(tmp_path):
  assert_refused(
      run('bin/sweep.py', f'--logdir={tmp_path}', '--seeds=0:2', '--no_flag=1'),
      'sweep.py: Unknown command line flag \'no_flag\'')


def test_gradient_variance_refuses(tmp_path):
  logdir = f'--logdir={tmp_path}'
  assert_refused(run('bin/gradient_variance.py', logdir), 'no run here')
  assert_refused(run('bin/gradient_variance.py', logdir, '--estimators=magic'),
                 '--estimators=magic', 'marginal')


def test_evaluate_and_export_refuse_a_folder_without_a_run(tmp_path):
  for script in 'evaluate', 'export':
    assert_refused(run(f'bin/{script}.py', f'--logdir={tmp_path}'),
                   tmp_path, 'no run here')
  assert_refused(run('bin/evaluate.py', '--saved_model=x'), '--scenes')
  assert_refused(run('bin/evaluate.py', '--saved_model=x', '--scenes=y',
                     '--max_steps=5'), '--max_steps goes with --logdir')
  assert_refused(run('bin/evaluate.py', '--saved_model=x', '--scenes=y',
                     '--probe_scenes=5'), '--probe_scenes goes with --logdir')
  assert_refused(run('bin/evaluate.py', '--saved_model=x', '--logdir=y'),
                 'one of --logdir and --saved_model')


def test_downstream_refuses_numbers_of_labels_it_cannot_use():
  for labels in ('many', '', '7,100', '100,0100'):
    assert_refused(run('bin/downstream.py', '--logdir=x', f'--labels={labels}'),
                   '--labels', 'at least 50')


@pytest.mark.parametrize('shape', [(16, 17), (50, 50)])
def test_infer_refuses_images_of_another_size(untrained, tmp_path, shape):
  Image.fromarray(np.zeros(shape, np.uint8)).save(tmp_path / 'a.png')
  assert_refused(
      run('bin/infer.py', f'--saved_model={untrained}', tmp_path / 'a.png'),
      tmp_path / 'a.png', f'{shape[0]} x {shape[1]}', '16 x 16')


def test_infer_refuses_what_is_no_image(untrained, tmp_path):
  (tmp_path / 'a.png').write_text('not a picture')
  model = f'--saved_model={untrained}'
  assert_refused(run('bin/infer.py', model, tmp_path / 'a.png'),
                 tmp_path / 'a.png', 'cannot be read as an image')
  assert_refused(run('bin/infer.py', model, tmp_path / 'none.png'),
                 tmp_path / 'none.png', 'no such file')
  assert_refused(run('bin/infer.py', model), 'found no image')
  assert_refused(run('bin/infer.py', f'--saved_model={tmp_path}',
                     tmp_path / 'a.png'), tmp_path, 'not a SavedModel of AIR')


def test_make_scenes_refuses(tmp_path):
  out = f'--out={tmp_path / "scenes.npz"}'
  assert_refused(run('data/make_scenes.py'), 'out')
  assert_refused(run('data/make_scenes.py', out, '--counts=0,60'), '--counts')


def test_help_explains_every_flag_and_ends_quietly_in_a_pipe():
  text = ' '.join(run(
      'bin/train.py', '--help', fresh=True).stdout.split())
  for field in dataclasses.fields(config_lib.Config):
    assert f'--{field.name}:' in text or f'--[no]{field.name}:' in text
    assert ' '.join(field.metadata['help'].split())[:40] in text
  piped = subprocess.run(
      f'{sys.executable} {scripts.ROOT}/bin/train.py --help | head -1',
      shell=True, capture_output=True, text=True, env=scripts.ENVIRONMENT)
  assert 'Traceback' not in piped.stderr

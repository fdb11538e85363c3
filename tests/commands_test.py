"""The scripts that use a trained run, as processes."""

import json
import pathlib
import shutil

import numpy as np
from PIL import Image
import pytest
import run_util
import scripts
import tensorflow as tf
import tiny

from air_tf import run as run_lib
from air_tf.data import scene_files

pytestmark = pytest.mark.slow
# Executed before a script: classifiers of scenes learn as good as nothing.
_HASTY = '''
from air_tf.studies import object_classifier
from air_tf.studies import scene_classifier
object_classifier._UPDATES = 2
scene_classifier._UPDATES, scene_classifier._EPOCHS = 1, 2
'''


def test_evaluate_agrees_with_the_last_line(finished):
  folder, process = finished
  output = scripts.succeed(
      'evaluate.py', f'--logdir={folder}', '--importance_samples=2'
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
  folder = shutil.copytree(finished[0], tmp_path / 'run')
  names = {'progress', 'policy', 'film_strip', 'samples', 'traversals',
           'errors', 'accuracy', 'elbo', 'masks'}
  films = {'film', 'training'}
  result = scripts.result(
      'figures.py', f'--logdir={folder}')
  # Without any object found there is no code to move about.
  assert names - {'traversals'} | films <= {
      pathlib.Path(path).stem for path in result['figures']}
  for path in map(pathlib.Path, result['figures']):
    assert (path.suffix == '.gif') == (path.stem in films)
    assert tf.io.decode_image(
        path.read_bytes(), expand_animations=False).shape[0] >= 16
  shown = {tag for split, tag in run_util.events(folder) if split == 'test'}
  assert {f'figures/{name}' for name in names - {'traversals'}} <= shown


def test_downstream_learns_from_objects_and_from_pixels(finished, tmp_path):
  folder, _ = finished
  before = {path: path.stat().st_mtime_ns for path in folder.rglob('*')}
  result = scripts.result(
      'downstream.py', f'--logdir={folder}', '--labels=60,50',
      '--num_test_scenes=30', '--inputs=refined,objects,latents,pixels',
      f'--out={tmp_path}', before=scripts.EAGER + _HASTY)
  assert result['num_labels'] == [50, 60]
  for task in ('sum', 'ascending'):
    for name in ('refined', 'objects', 'latents', 'pixels'):
      assert np.shape(result[task][name]) == (1, 2)
      assert all(0. <= x <= 1. for x in result[task][name][0])
  assert pathlib.Path(result['figure']) == tmp_path / 'downstream.png'
  # With --out, a run is only read; it may be read-only.
  assert before == {path: path.stat().st_mtime_ns for path in folder.rglob('*')}


def test_export_writes_what_training_wrote(finished, tmp_path):
  folder, _ = finished
  scripts.succeed('export.py', f'--logdir={folder}',
                  f'--out={tmp_path / "model"}')
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
  result = scripts.result(
      'evaluate.py', f'--logdir={folder}', f'--scenes={path}', '--max_steps=5',
      before=scripts.EAGER)
  assert [len(row) for row in result['confusion']] == [6] * 5
  scripts.succeed('export.py', f'--logdir={folder}', '--max_steps=5',
                  f'--out={tmp_path / "model"}')
  answer = tf.saved_model.load(str(tmp_path / 'model')).signatures[
      'serving_default'](images=tiny.images(2))
  assert answer['num_steps_probs'].shape == [2, 6]


def test_infer_reads_all_kinds_and_draws(finished, tmp_path):
  folder, _ = finished
  scenes = tiny.scenes(3)
  scene_files.write(str(tmp_path / 'some.npz'), scenes)
  np.save(tmp_path / 'stack.npy', scenes.images)
  (tmp_path / 'folder').mkdir()
  Image.fromarray(scenes.images[1]).save(tmp_path / 'folder' / 'one.png')
  Image.fromarray(scenes.images[1]).resize((48, 32)).save(tmp_path / 'two.png')
  output = scripts.succeed(
      'infer.py', f'--saved_model={folder}/saved_model', '--resize',
      f'--overlay={tmp_path / "overlay"}', f'--csv={tmp_path / "table.csv"}',
      f'--masks={tmp_path / "masks"}', '--batch_size=2',
      tmp_path / 'some.npz', tmp_path / 'stack.npy',
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
  masks = sorted((tmp_path / 'masks').iterdir())
  assert len(masks) == 9 and masks[-1].name == 'coco.json'
  with Image.open(masks[-2]) as mask:  # As large as the picture.
    assert mask.size == (48, 32)
    assert np.asarray(mask).max() <= lines[-2]['count']


def test_infer_explains_large_pictures_by_windows(finished, tmp_path):
  folder, _ = finished
  rng = np.random.default_rng(0)
  large = np.zeros([45, 70], np.uint8)
  for y, x in rng.integers(0, 40, [9, 2]):
    large[y:y + 5, x:x + 5] = 255
  Image.fromarray(large).save(tmp_path / 'large.png')
  Image.fromarray(large[:16, :16]).save(tmp_path / 'small.png')
  infer = lambda *flags: [json.loads(line) for line in scripts.succeed(
      'infer.py', f'--saved_model={folder}/saved_model', *flags
  ).stdout.splitlines()]
  found, small, last = infer(
      '--tile', f'--csv={tmp_path}/table', f'--masks={tmp_path}/masks',
      f'--tables={tmp_path}/tables', f'--overlay={tmp_path}/marked',
      '--window_overlap=9', tmp_path / 'large.png', tmp_path / 'small.png')
  assert len(found['boxes']) == len(found['scores']) == found['num_steps']
  assert last == {'images': 2, 'objects': found['num_steps']
                  + small['num_steps']}
  plain, _ = infer(tmp_path / 'small.png')
  assert small['num_steps'] == plain['count']  # One window: the same answer.
  with Image.open(tmp_path / 'masks' / '00000_large.png.tif') as mask:
    assert mask.size == (70, 45)
    assert np.asarray(mask).max() <= found['num_steps']
  with Image.open(tmp_path / 'marked' / '00000_large.png.png') as marked:
    assert marked.size == (70 * 8, 45 * 8)
  assert len(list((tmp_path / 'tables').iterdir())) == 4
  assert len((tmp_path / 'table').read_text().splitlines()) == 1 + last[
      'objects']


@pytest.mark.parametrize('flags,text', [
    (['--tile', '--resize'], '--resize and --tile'),
    (['--tables=x'], '--tables=x: expected --tile'),
    (['--tile', '--window_overlap=16'], '--window_overlap=16: expected')])
def test_infer_refuses_flags_that_do_not_fit(finished, flags, text, tmp_path):
  Image.fromarray(tiny.scenes(1).images[0]).save(tmp_path / 'picture.png')
  ended = scripts.run(
      'bin/infer.py', f'--saved_model={finished[0]}/saved_model', *flags,
      tmp_path / 'picture.png')
  assert ended.returncode == 2 and text in ended.stderr


def test_detectors_are_compared_on_scenes_and_on_whole_pictures(
    finished, tmp_path):
  folder, _ = finished
  result = scripts.result('compare_detectors.py', f'--logdir={folder}',
                          f'--out={tmp_path / "scenes"}')
  assert list(result['methods']) == ['air', 'components', 'watershed', 'log']
  assert result['images'] == 12
  assert result['methods']['air']['count_accuracy'] == json.loads(
      finished[1].stdout.splitlines()[-1])['count_accuracy']
  image = np.zeros([40, 50], np.uint8)
  image[8:14, 20:26] = 255
  Image.fromarray(image).save(tmp_path / 'a.png')
  result = scripts.result(
      'compare_detectors.py', f'--logdir={folder}', '--tile',
      f'--scenes={tmp_path / "a.png"}', f'--out={tmp_path / "whole"}')
  assert result['methods']['components'] == {'found': 1}  # No truth.
  Image.fromarray(image // 255).save(tmp_path / 'b.png')
  result = scripts.result(
      'compare_detectors.py', f'--logdir={folder}', '--tile',
      f'--scenes={tmp_path / "a.png"}', f'--truth={tmp_path / "b.png"}',
      f'--out={tmp_path / "whole"}')
  assert result['methods']['components']['f1'] == 1.
  assert (tmp_path / 'whole' / 'detectors.png').exists()


def test_gradient_variance_is_left_in_the_folder(finished, tmp_path):
  folder = tmp_path / 'run'
  shutil.copytree(finished[0], folder)
  result = scripts.result(
      'gradient_variance.py', f'--logdir={folder}', '--repeats=3',
      '--warm_up=2', '--estimators=marginal,nvil', before=scripts.EAGER)
  assert result['step'] == 12 and result['repeats'] == 3
  assert list(result['estimators']) == ['marginal', 'nvil']
  assert json.loads((folder / 'gradient_variance.json').read_text()) == result
  assert (folder / 'gradient_variance.md').read_text().count('\n') == 8
  assert (folder / 'figures' / 'gradient_variance.png').stat().st_size > 5_000

"""Tests of data/make_scenes.py and of the flagfiles, which describe scenes."""

import dataclasses
import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import scripts

from air_tf import config_flags
from air_tf import flagfiles
from air_tf.data import scene_files

ROOT = pathlib.Path(__file__).parent.parent
FLAGFILES = sorted(path.stem for path in ROOT.glob('bin/flags/*.flags'))
# What bin/train.py does with its flags, without TensorFlow.
PARSE = '''
import dataclasses, json, sys
from absl import flags
from air_tf import cli
flags.DEFINE_string('logdir', None, '')
cli.define_config_flags()
cli.parse(sys.argv)
print(json.dumps(dataclasses.asdict(cli.config_from_flags())))
'''


def parse(name):
  """Returns the configuration of a flagfile."""
  with flagfiles.on_its_own():
    return dataclasses.asdict(config_flags.config_of([flagfile(name)]))


def make_scenes(path, *flags):
  """Returns what the script prints, and the scenes that it wrote."""
  ended = scripts.run('data/make_scenes.py', f'--out={path}', *flags)
  assert ended.returncode == 0, ended.stderr
  return json.loads(ended.stdout.splitlines()[-1]), scene_files.read(str(path))


def flagfile(name):
  return f'--flagfile={ROOT / "bin/flags" / name}.flags'


@pytest.mark.parametrize('name', FLAGFILES)
def test_flagfile_is_a_valid_configuration(name):
  config = parse(name)
  # One step more than the scenes hold, so that counting too many is possible.
  assert config['max_steps'] == max(config['counts']) + 1


def test_a_script_makes_the_same_of_a_flagfile():
  process = subprocess.run(
      [sys.executable, '-c', PARSE, flagfile('blog')], capture_output=True,
      text=True, env=scripts.ENVIRONMENT, timeout=120, cwd=ROOT / 'bin')
  assert process.returncode == 0, process.stderr
  # JSON has no tuples.
  assert json.loads(process.stdout) == json.loads(json.dumps(parse('blog')))


def test_the_two_recipes_of_the_blog_differ_where_they_say():
  text, code = parse('blog'), parse('blog_code')
  assert {name for name in text if text[name] != code[name]} == {
      'decoder_init_scale', 'estimator', 'scale_prior_stddev', 'steps_bias',
      'steps_init_scale', 'success_final', 'success_init', 'where_init_scale',
      'where_stddev_init'}


@pytest.mark.parametrize('name, size, most, heights', [
    ('small_digits', 50, 2, (11, 12)), ('mixed_digits', 50, 2, (8, 20)),
    ('many_digits', 50, 4, (11, 12)), ('group', 75, 6, (11, 12)),
    ('crowd', 100, 9, (11, 12)), ('noise', 50, 2, (19, 20)),
    ('grid', 50, 2, (19, 20)), ('sprites', 50, 3, (14, 20)),
    ('blobs', 50, 4, (4, 18))])
@pytest.mark.slow
def test_scenes_of_a_flagfile(tmp_path, name, size, most, heights):
  # The last --digits counts: no test needs MNIST.
  digits = [] if name in ('sprites', 'blobs') else ['--digits=embedded']
  result, scenes = make_scenes(
      tmp_path / 'scenes.npz', flagfile(name), *digits, '--num_scenes=200')
  assert result['image_size'] == size and result['num_scenes'] == 200
  assert set(result['counts']) == set(map(str, range(most + 1)))
  colours = (3,) if name == 'sprites' else ()
  assert scenes.images.shape == (200, size, size, *colours)
  found = scenes.boxes[..., 2][scenes.labels >= 0]
  np.testing.assert_allclose([found.min(), found.max()], heights, atol=1)
  empty = scenes.images[scenes.counts == 0]
  assert empty.any() == (name in ('noise', 'grid', 'blobs'))


@pytest.mark.parametrize('name, side, counts', [
    ('dsprites_like', 64, {2, 3, 4, 5}), ('tetrominoes_like', 35, {3})])
def test_scenes_like_the_published_ones(tmp_path, name, side, counts):
  _, scenes = make_scenes(
      tmp_path / 'scenes.npz', flagfile(name), '--num_scenes=60')
  assert scenes.images.shape == (60, side, side, 3)
  assert set(scenes.counts) == counts
  for count, mask in zip(scenes.counts, scenes.masks):
    assert set(np.unique(mask)) == set(range(count + 1))
  grounds = {tuple(image[mask == 0][0])
             for image, mask in zip(scenes.images, scenes.masks)}
  assert len(grounds) == (1 if name == 'tetrominoes_like' else len(grounds))
  assert (len(grounds) > 40) == (name == 'dsprites_like')
  hidden = [(mask == k + 1).sum() < height * width / 4 for mask, boxes in zip(
      scenes.masks, scenes.boxes) for k, (_, _, height, width) in enumerate(
          boxes)]
  assert any(hidden) == (name == 'dsprites_like')


def test_flags_of_the_backdrop_arrive(tmp_path):
  _, dim = make_scenes(tmp_path / 'dim.npz', '--backdrop=noise', '--counts=0',
                       '--num_scenes=5', '--backdrop_level=.2')
  assert dim.images.max() == 51  # .2 * 255.
  _, other = make_scenes(tmp_path / 'other.npz', '--backdrop=texture',
                         '--counts=0', '--num_scenes=5')
  assert other.images.max() == 102  # .4 * 255, by default.


def test_what_flagfiles_say_of_models_is_ignored(tmp_path):
  flags = '--digits=embedded', '--num_scenes=4'
  _, plain = make_scenes(tmp_path / 'plain.npz', *flags)
  for name in 'blog', 'multi_mnist', 'real_pictures':
    _, scenes = make_scenes(
        tmp_path / f'{name}.npz', flagfile(name), *flags, '--counts=0,1,2')
    np.testing.assert_array_equal(scenes.images, plain.images)


def test_more_objects_than_any_model_counts(tmp_path):
  """For --crop."""
  result, scenes = make_scenes(
      tmp_path / 'mosaic.npz', '--digits=embedded', '--counts=70',
      '--canvas_size=400', '--num_scenes=1')
  assert result['counts'] == {'70': 1} and scenes.boxes.shape == (1, 70, 4)


def test_more_objects_than_the_default_model_counts(tmp_path):
  result, _ = make_scenes(tmp_path / 'five.npz', '--counts=5',
                          '--num_scenes=3', '--canvas_size=100')
  assert result['counts'] == {'5': 3}

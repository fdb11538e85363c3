"""The look at images before training: numbers, guesses, hints."""

import json

import numpy as np
from PIL import Image
import pytest
import scripts

from air_tf import config as config_lib
from air_tf.data import look
from air_tf.data import survey
from air_tf.plotting import canvas
from air_tf.plotting import looks

CONFIG = config_lib.Config(scenes='x', object_size=9., max_steps=4)


def blobs(number=20, side=40, ground=0, light=200, noise=4.):
  """Returns images of 0, 1 and 2 squares of 9 x 9 in turn."""
  rng = np.random.default_rng(0)
  images = ground + noise * np.abs(rng.normal(size=[number, side, side]))
  for i in range(number):
    for k in range(i % 3):
      images[i, 3 + 20 * k:12 + 20 * k, 5:14] += light
  return images.clip(0, 255).astype(np.uint8)


def hints(images, config=CONFIG):
  return ' | '.join(look.look(images, config).hints)


def test_sizes_and_counts_are_guessed_and_nothing_is_odd():
  seen = look.look(blobs(), CONFIG)
  assert seen.object_size == 9. and seen.most == 2
  assert seen.mean_count == pytest.approx(np.mean([i % 3 for i in range(20)]))
  assert seen.ground < .04 and .75 < seen.ink < .85
  assert seen.hints == ()
  line, = look.text(seen)
  assert line.startswith('20 training images of 40 x 40 pixels; ground 0.0')
  assert 'up to about 9 pixels, 0.9 an image, 2 at most' in line


@pytest.mark.parametrize('images, changes, expected', [
    (blobs(light=20, noise=1.), {}, 'nearly all black'),
    (255 - blobs(), {}, 'darker objects on a lighter ground: --invert '),
    (255 - blobs(), {'invert': True}, '--invert=false'),
    (blobs(ground=23, noise=.1), {}, 'ground at 0.09'),
    (blobs(), {'object_size': 22.}, 'of 9 pixels, --object_size=22'),
    (blobs(), {'max_steps': 2, 'counts': (0, 1)}, '--max_steps=2'),
    (0 * blobs(), {}, 'all images are black')])
def test_what_is_odd_is_hinted_at(images, changes, expected):
  config = config_lib.Config(**(dict(
      scenes='x', object_size=9., max_steps=4) | changes))
  assert expected in hints(images, config)


@pytest.mark.parametrize('explained_by', ['background', 'ground'])
def test_the_ground_may_be_explained(explained_by):
  config = config_lib.Config(
      scenes='x', object_size=9., max_steps=4, **{explained_by: True})
  assert hints(blobs(ground=23, noise=.1), config) == ''


def test_a_survey_says_what_it_has_seen():
  seen = survey.Survey()
  for shape, value in (((4, 6), 7), ((8, 9), 3012), ((3, 9), 98)):
    seen.add(np.full(shape, value, np.uint16))
  assert str(seen) == ('3 images of 4 x 6 to 8 x 9 pixels, uint16 from 7 to '
                       '3012')


def test_memory_of_a_survey_is_bounded_and_hot_pixels_do_not_count():
  rng = np.random.default_rng(0)
  seen = survey.Survey()
  ground = rng.normal(100., 3., [512, 512])
  for i in range(20):  # More than are kept whole.
    image = np.roll(ground, 37 * i)
    image[100:130, 100:130] += 900.
    image[5, 5] = 60_000.
    seen.add(image.round().astype(np.uint16))
  low, high = seen.limits()
  assert seen.sample.size <= 1 << 22 and seen.maximum == 60_000
  assert 85 < low < 95 and 990 < high < 1_030


def test_the_first_images_are_drawn():
  pixels = canvas.rgb(looks.first_images(blobs(20)))
  blank = canvas.rgb(looks.first_images(0 * blobs(20)))
  assert pixels.shape == blank.shape and (pixels != blank).any(axis=(1, 2)).sum(
      ) > 30


def test_inspect_images_prints_and_draws(tmp_path):
  (pictures := tmp_path / 'pictures').mkdir()
  for i, image in enumerate(blobs(12)):
    Image.fromarray(image.astype(np.uint16) * 12 + 90).save(
        pictures / f'{i:02d}.png')
  ended = scripts.run(
      'bin/inspect_images.py', f'--scenes={pictures}', '--canvas_size=40',
      '--object_size=9', f'--out={tmp_path}/look.png')
  assert ended.returncode == 0, ended.stderr
  result = json.loads(ended.stdout.splitlines()[-1])
  assert result['num_images'] == 11 and result['object_size'] == 9
  low, high = map(float, result['range'].split(','))
  assert low < 120 and 2_400 < high < 2_800
  assert '12 images of 40 x 40 pixels, uint16 from ' in ended.stderr
  with Image.open(tmp_path / 'look.png') as drawn:
    assert drawn.size[0] > 500

"""Classical detectors, and their comparison with AIR."""

import builtins

import numpy as np
import pytest

from air_tf import errors
from air_tf.data import crops
from air_tf.data import scenes as scenes_lib
from air_tf.studies import detector_comparison
from air_tf.studies import detectors

SIZE = 9.  # Diameter of the discs.
APART = np.array([(8.5, 9.5), (10.5, 30.5), (30.5, 20.5)])
TOUCHING = np.array([(20.5, 14.5), (20.5, 22.5)])
BRIGHT = .8


def discs(places, side=40, value=BRIGHT):
  y, x = np.mgrid[:side, :side] + .5
  image = np.zeros([side, side])
  for top, left in places:
    image[np.hypot(y - top, x - left) <= SIZE / 2] = value
  return image


def near(found, places):
  """Whether each place has one found within a pixel, and no other is found."""
  return len(found) == len(places) and all(
      np.hypot(*(found - place).T).min() < 1.1 for place in places)


@pytest.mark.parametrize('name', detectors.DETECTORS)
def test_discs_apart_from_each_other_are_found(name):
  found = detectors.DETECTORS[name](discs(APART), .2, SIZE)
  assert near(found, APART)
  assert detectors.DETECTORS[name](np.zeros([40, 40]), .2, SIZE).shape == (
      0, 2)


@pytest.mark.parametrize('name,right', [
    ('components', False), ('watershed', True), ('log', True)])
def test_touching_discs_need_more_than_a_threshold(name, right):
  found = detectors.DETECTORS[name](discs(TOUCHING), .2, SIZE)
  assert near(found, TOUCHING) == right


@pytest.mark.parametrize('name', detectors.DETECTORS)
def test_a_level_above_an_object_leaves_it_out(name):
  image = np.maximum(discs(APART[:1]), discs(APART[1:2], value=.2))
  detect = detectors.DETECTORS[name]
  assert near(detect(image, .1, SIZE), APART[:2])
  assert near(detect(image, .25, SIZE), APART[:1])


def test_specks_are_no_objects():
  image = discs(APART)
  image[38, 2] = 1.
  assert len(detectors.components(image, .1, SIZE)) == 3


def test_the_level_with_counts_is_that_of_the_least_error():
  found = np.array([[4, 9], [2, 3], [2, 2], [0, 1]])
  assert detectors.choose(found, np.array([2, 2])) == 2
  assert detectors.choose(found, np.array([2, 3])) == 1
  # Of three that are as good, the one in their middle.
  assert detectors.choose(np.array([[9], [3], [3], [3], [0]]), [3]) == 2


@pytest.mark.parametrize('name', detectors.DETECTORS)
def test_without_counts_dim_objects_are_found_beside_bright_ones(name):
  rng = np.random.default_rng(0)
  image = .1 + np.maximum(discs(APART[:1]), discs(APART[1:], value=.12))
  image = np.clip(255 * (image + rng.normal(0., .01, image.shape)), 0, 255)
  image = image.astype(np.uint8)
  fitted = detectors.fit(name, image[np.newaxis], None, SIZE)
  assert near(fitted(image), APART)
  assert not near(fitted._replace(level=1.)(image), APART)  # Otsu's level.


def test_responses_are_what_is_compared_with_the_level():
  image = discs(APART[:2]) + discs(APART[2:], value=.3)
  for name, detect in detectors.DETECTORS.items():
    values = detectors.responses(name, image, SIZE)
    highest = values.max()
    assert len(detect(image, highest + 1e-6, SIZE)) == 0
    assert len(detect(image, .2 * highest, SIZE)) == 3


@pytest.mark.parametrize('name', detectors.DETECTORS)
def test_fit_chooses_a_level_that_counts_right(name):
  rng = np.random.default_rng(0)
  images = np.stack([np.clip(255 * (
      discs(APART[:n]) + rng.normal(0., .08, [40, 40])), 0, 255).astype(
          np.uint8) for n in (0, 1, 2, 3)])
  counts = np.array([0, 1, 2, 3])
  fitted = detectors.fit(name, images, counts, SIZE)
  assert [len(fitted(x)) for x in images] == counts.tolist()
  assert fitted.level in detectors.LEVELS and .2 < fitted.otsu < .6
  unaided = detectors.fit(name, images[1:], None, SIZE)
  assert [len(unaided(x)) for x in images[1:]] == [1, 2, 3]


def test_colours_are_as_bright_as_their_brightest_channel():
  image = np.zeros([2, 2, 3], np.uint8)
  image[0, 1, 2] = 51
  np.testing.assert_allclose(detectors.grey(image), [[0, .2], [0, 0]])


def test_a_missing_library_is_one_clear_line(monkeypatch):
  real = builtins.__import__
  def without(name, *rest, **options):
    if name.startswith('skimage'):
      raise ImportError(name)
    return real(name, *rest, **options)
  monkeypatch.setattr(builtins, '__import__', without)
  with pytest.raises(errors.UserError, match='pip install scikit-image'):
    detectors.fit('log', np.zeros([1, 8, 8], np.uint8), None, 4.)


# --- The comparison -----------------------------------------------------------
def blind(images):
  """A model that sees nothing."""
  return {'presence': np.zeros([len(images), 2]), 'num_steps': np.zeros(
      len(images), np.int32), 'boxes': np.zeros([len(images), 2, 4]),
          'canvases': np.zeros([len(images), 2, 20, 20], np.float32),
          'step_probs': np.zeros([len(images), 2])}


def test_whole_pictures_against_truth_and_each_other(tmp_path):
  image = (255 * discs(APART)).astype(np.uint8)
  boxes = np.concatenate([APART - SIZE / 2, np.full([3, 2], SIZE)], axis=1)
  fitted = [detectors.Detector('log', detectors.log_blobs, .5, .4, SIZE)]
  found = detector_comparison.in_pictures(
      blind, 20, fitted, [crops.Picture(image, boxes)])
  result = detector_comparison.compare(found, SIZE / 2)
  assert result['methods']['log']['f1'] == 1.
  assert result['methods']['air']['f1'] == 0.
  assert result['agreement']['air/log']['mean_absolute_error'] == 3.
  detector_comparison.save(found, result, tmp_path)
  assert {x.name for x in tmp_path.iterdir()} == {
      'detectors.json', 'detectors.md', 'detectors.png'}
  lines = detector_comparison.markdown(result).splitlines()
  assert lines[3] == '| log | 1.000 | 0.00 | 1.000 | 1.000 | 1.000 | 3 | 3 |'
  unknown = found._replace(truth=None)
  result = detector_comparison.compare(unknown, SIZE / 2)
  assert result['methods'] == {'air': {'found': 0}, 'log': {'found': 3}}
  assert '| air/log |' in detector_comparison.markdown(result)


def test_thresholds_are_chosen_on_the_first_training_images():
  image = (255 * discs(APART)).astype(np.uint8)
  scenes = scenes_lib.Scenes(
      np.stack([image, image]), np.array([3, 3]), None, None)
  fitted = detector_comparison.fit_all(scenes, SIZE)
  assert [x.name for x in fitted] == ['components', 'watershed', 'log']
  assert all(near(x(image), APART) for x in fitted)

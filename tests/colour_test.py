"""Colour from end to end: a tiny run on sprites, and all that is made of it."""

import json
import pathlib

import numpy as np
from PIL import Image
import pytest
import tensorflow as tf
import tiny

from air_tf import errors
from air_tf import experiment
from air_tf import run as run_lib
from air_tf.data import images as images_lib
from air_tf.data import sprites
from air_tf.plotting import canvas
from air_tf.serving import predictor as predictor_lib
from air_tf.studies import downstream
from air_tf.studies import gradient_variance
from air_tf.studies import run_figures
from air_tf.training import trainer as trainer_lib

pytestmark = pytest.mark.slow


@pytest.fixture(scope='module')
def run(tmp_path_factory):
  """The folder of a run of 4 iterations; what `--channels` says is ignored."""
  folder = tmp_path_factory.mktemp('colour')
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(sprites, '_NUM_SPRITES', 80)  # All take a second.
    patch.setattr(sprites, '_NUM_TEST', 20)
    with tiny.eagerly():
      result = experiment.run(tiny.config(
          digits='sprites', cache_dir=str(folder / 'cache'), num_iterations=4,
          channels=1, max_steps=2), str(folder / 'run'))
    assert np.isfinite(result['elbo']) and result['step'] == 4
    yield folder / 'run'


@pytest.fixture(scope='module')
def predictor(run):
  return predictor_lib.Predictor(run / 'saved_model')


def test_the_folder_says_that_the_run_is_in_colour(run):
  assert json.loads((run / 'config.json').read_text())['channels'] == 3
  assert '--channels=3' in (run / 'flags.txt').read_text().splitlines()


def test_every_channel_is_trained(run):
  trainer = run_lib.Run(run).trainer
  fresh = trainer_lib.Trainer(trainer.config)
  def moved(name):
    after, before = (
        next(v for v in x.model.trainable_variables if v.name.endswith(name))
        for x in (trainer, fresh))
    return np.abs(after - before)
  pixels = moved('glimpse_decoder/pixels/w:0').reshape([-1, 6, 6, 3])
  assert np.all(pixels.max(axis=(0, 1, 2)) > 0.)
  fields = moved('image_encoder/conv_0/w:0')  # [8, 8, 3, 16]
  assert np.all(fields.max(axis=(0, 1, 3)) > 0.)


def test_a_run_and_its_saved_model_evaluate_alike(run, predictor, tmp_path):
  found = run_lib.Run(run).evaluate(num_samples=2)
  assert {'localisation', 'confusion', 'log_likelihood_bound'} <= set(found)
  path, = (run.parent / 'cache').glob('test-*.npz')
  model = run_lib.LoadedModel(run / 'saved_model')
  loaded = model.evaluate(str(path))
  for name in ('elbo', 'reconstruction_mse', 'count_accuracy'):
    np.testing.assert_allclose(loaded[name], found[name], rtol=1e-4)
  grey = tmp_path / 'grey.npz'
  np.savez(grey, images=tiny.scenes(4).images)
  with pytest.raises(
      errors.UserError, match='expected 16 x 16 pixels in colour'):
    model.evaluate(str(grey))


def test_saved_model_draws_in_colour_what_it_explained(predictor):
  air = predictor.signatures
  answer = air['serving_default'](images=tiny.images(3, channels=3))
  drawn = air['decode'](**{
      name: answer[name] for name in ('what', 'where', 'presence')})['images']
  assert drawn.shape == [3, 16, 16, 3]
  np.testing.assert_allclose(drawn, answer['reconstruction'], atol=1e-5)
  sample = air['sample'](num_steps=tf.constant([0, 2]))['images'].numpy()
  assert np.all(sample[0] == 0.) and np.any(sample[1] != sample[1, ..., ::-1])


def test_pictures_of_any_colours_are_explained(predictor, tmp_path):
  red = np.zeros([16, 16, 3], np.uint8)
  red[4:12, 4:12, 0] = 255
  grey = red[..., 0]
  for name, image in (('a', red), ('b', grey), ('c', np.stack([grey] * 3, -1))):
    Image.fromarray(image).save(tmp_path / f'{name}.png')
  np.save(tmp_path / 'stack.npy', red[np.newaxis])
  in_red, in_grey, in_both, in_stack = (
      found for path in (tmp_path, tmp_path / 'stack.npy')
      for found in predictor_lib.predict(
          predictor, images_lib.open_source(str(path)).read_pixels(), 1))
  same = lambda a, b: np.array_equal(a.probabilities, b.probabilities)
  assert same(in_red, in_stack) and same(in_grey, in_both)
  assert not same(in_red, in_grey)
  np.testing.assert_array_equal(in_red.image, red)  # For its overlay.


def test_a_grey_model_takes_coloured_pictures():
  class Grey:
    image_shape = (16, 16)
    max_steps = 0
    def detect(self, images):
      assert images.shape[1:] == (16, 16) and np.all(images == 124)
      return {'num_steps': [0], 'num_steps_probs': np.ones([1, 1]),
              'step_probs': np.zeros([1, 0]),
              'tight_boxes': np.zeros([1, 0, 4])}
  coloured = np.tile(np.uint8([200, 100, 50]), [16, 16, 1])
  found, = predictor_lib.predict(Grey(), [('a', coloured)], 4)
  assert found.image.shape == (16, 16)


def test_all_pictures_are_drawn(run):
  paths = run_figures.make(str(run))['figures']
  assert {'progress', 'policy', 'film_strip', 'samples', 'errors', 'accuracy',
          'elbo', 'example'} <= {pathlib.Path(path).stem for path in paths}
  example = np.asarray(Image.open(run / 'figures' / 'example.png'))
  assert example.shape == (16, 16, 3)


def test_pictures_show_each_channel_and_clip_where_objects_overlap(caplog):
  image = np.zeros([4, 4, 3])
  image[:, :2], image[:, 2:] = [1.7, 0., .5], [0., 1., 0.]
  pixels = canvas.rgb(canvas.plot_boxes(image, np.zeros([0, 4])))
  height, width = pixels.shape[:2]
  np.testing.assert_allclose(
      pixels[height // 2, [width // 4, 3 * width // 4]],
      [[255, 0, 128], [0, 255, 0]], atol=1)
  assert not caplog.text  # As of matplotlib, which clips, but complains.


def test_downstream_is_refused_as_sprites_have_no_order(run):
  with pytest.raises(errors.UserError, match='expected a run on digits'):
    downstream.run([str(run)], [50], 30, ['objects'])


def test_gradient_variance(run):
  with tiny.eagerly():
    result = gradient_variance.compare(str(run), ['marginal'], 2, 0)
  assert result['estimators']['marginal']['groups']['decoder']['total'] > 0.

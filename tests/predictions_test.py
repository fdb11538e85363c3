import numpy as np
import pytest
import tensorflow as tf
import tiny

from air_tf import errors
from air_tf import explain as explain_lib
from air_tf import model as model_lib
from air_tf import prior
from air_tf.data import scenes as scenes_lib
from air_tf.data import streams
from air_tf.evaluation import counting
from air_tf.evaluation import predictions as predictions_lib
from air_tf.evaluation import probes
from air_tf.evaluation import report
from air_tf.serving import predictor
from air_tf.serving import saved_model


@pytest.fixture(scope='module')
def model():
  model = model_lib.AIRModel(tiny.config())
  model.infer(tiny.images())
  tiny.fill(model.trainable_variables)
  return model


@pytest.fixture(scope='module')
def exported(model):
  return saved_model.ExportedAIR(model)


@pytest.fixture(scope='module')
def saved(model, tmp_path_factory):
  path = tmp_path_factory.mktemp('model') / 'saved_model'
  saved_model.save(model, path)
  return predictor.Predictor(path)


def boxed_scenes(num_scenes=20):
  """Squares with boxes and labels, two at most."""
  scenes = tiny.scenes(num_scenes)
  boxes = np.full([num_scenes, 2, 4], np.nan, np.float32)
  labels = np.full([num_scenes, 2], -1, np.int32)
  rng = np.random.default_rng(1)
  for i, count in enumerate(scenes.counts):
    boxes[i, :count] = np.concatenate(
        [rng.integers(0, 12, [count, 2]), np.full([count, 2], 4)], axis=1)
    labels[i, :count] = rng.integers(0, 3, count)
  return scenes_lib.Scenes(scenes.images, scenes.counts, boxes, labels)


def test_batches_do_not_matter(exported, monkeypatch):
  images = tiny.scenes(11).images
  whole = predictions_lib.collect(exported.endpoints, images, masks=True)
  monkeypatch.setattr(explain_lib, '_CANVAS_PIXELS', 3 * 4 * 16 * 16)
  parts = predictions_lib.collect(exported.endpoints, images, masks=True)
  for name, value in whole._asdict().items():
    assert len(value) == 11
    np.testing.assert_allclose(
        value, getattr(parts, name), rtol=1e-4, atol=1e-5, err_msg=name)


def test_answers_are_those_of_explain(model, exported):
  images = tiny.scenes(5).images
  found = predictions_lib.collect(exported.endpoints, images)
  pixels = streams.to_pixels(images)
  expected = explain_lib.explain(model, pixels)
  np.testing.assert_allclose(found.what, expected.what, rtol=1e-5)
  np.testing.assert_allclose(
      found.squared_error, np.mean(
          (expected.reconstruction - pixels) ** 2, axis=(1, 2)), rtol=1e-4)
  probs = found.num_steps_probs
  np.testing.assert_allclose(
      found.step_probs[:, 1], probs[:, 2:].sum(1), rtol=1e-5)


def test_scores_begin_with_the_sample_of_the_evaluator(model, exported):
  # And the SavedModel gives them too: it has the prior that it was made with.
  scenes = tiny.scenes(6)
  config = model.config
  found = predictions_lib.scores(
      exported.endpoints, scenes.images, num_samples=3)
  assert found['log_weight'].shape == (3, 6)
  assert np.any(np.ptp(found['log_weight'], axis=0) > 0.)  # Three samples.
  expected = counting.Evaluator(model)(
      scenes, prior.truncated_geometric(np.log(config.success_final), 3))
  for name in (
      'elbo', 'kl_what', 'kl_where', 'kl_num_steps', 'kl_background'):
    np.testing.assert_allclose(found[name].mean(), expected[name], rtol=1e-5)


def test_a_model_and_its_saved_model_evaluate_alike_and_again(
    exported, saved):
  scenes = boxed_scenes()
  first, again, loaded = (
      report.evaluate(model, scenes, None, num_samples=12)
      for model in (exported.endpoints, exported.endpoints, saved.signatures))
  assert first == again
  assert set(first['log_likelihood_bound']) == {'1', '10', '12'}
  assert set(first['localisation']) == {'glimpse', 'ink'}
  confusion = np.array(first['confusion'])
  true, found = np.indices(confusion.shape)
  assert confusion.sum() == 20
  assert first['objects'] == (true * confusion).sum()
  assert first['objects_found'] == (found * confusion).sum()
  assert first['count_error'] == pytest.approx(
      (abs(found - true) * confusion).sum() / 20)
  low, high = first['count_accuracy_interval']
  assert low <= first['count_accuracy'] <= high
  assert 'ELBO' in report.table(first)
  for name in ('elbo', 'reconstruction_mse', 'count_accuracy'):
    np.testing.assert_allclose(loaded[name], first[name], rtol=1e-4)
  for k, value in first['log_likelihood_bound'].items():
    np.testing.assert_allclose(
        loaded['log_likelihood_bound'][k], value, rtol=1e-4)


def test_what_scenes_do_not_tell_is_left_out(exported):
  scenes = boxed_scenes()._replace(counts=None, boxes=None, labels=None)
  found = report.evaluate(exported.endpoints, scenes, None)
  assert set(found) == {
      'scenes', 'elbo', 'log_likelihood', 'kl_what', 'kl_where',
      'kl_num_steps', 'kl_background', 'expected_num_steps',
      'reconstruction_mse'}
  assert 'count' not in report.table(found)


def test_masks_are_scored_with_intervals():
  model = model_lib.AIRModel(tiny.config(steps_bias=9.))
  endpoints = saved_model.ExportedAIR(model).endpoints
  scenes = boxed_scenes()
  masks = predictions_lib.collect(
      endpoints, scenes.images, masks=True).masks
  assert masks.max() > 1
  masks[:10, :8, :8] = 1 + np.indices([8, 8])[0] % 2
  scenes = scenes._replace(masks=masks)
  found = report.evaluate(endpoints, scenes, None)
  for name in ('ari', 'fg_ari', 'miou', 'mbo', 'mask_ap50'):
    low, high = found[f'{name}_interval']
    assert low < found[name] < high
  assert 'FG-ARI ' in report.table(found)
  # Equal to what training reports at each evaluation.
  expected = counting.Evaluator(model)(
      scenes, prior.truncated_geometric(np.log(.1), 3))
  assert found['fg_ari'] == pytest.approx(expected['fg_ari'], abs=.01)


def test_tight_boxes_are_around_what_hides_the_ground():
  # A black object on white, of an even opacity everywhere else.
  made = saved_model.ExportedAIR(model_lib.AIRModel(tiny.config(
      compositing='over', steps_bias=9.)))
  outputs = {name: x.numpy() for name, x in made.endpoints['serving_default'](
      images=tiny.images()).items()}
  outputs['background'] = np.ones_like(outputs['reconstruction'])
  outputs['where'][:] = [.5, 0., 0.]  # Nowhere beyond the edge of the image.
  outputs['glimpses'][:] = outputs['alphas'][:] = .5
  outputs['alphas'][..., 2:4, 1:3] = 1.
  del outputs['tight_boxes']  # As in a SavedModel of an earlier version.
  serve = lambda images: {
      name: tf.constant(x[:len(images)]) for name, x in outputs.items()}
  found = predictions_lib.collect(
      {'serving_default': serve}, tiny.scenes(3).images)
  np.testing.assert_allclose(
      found.tight_boxes[..., 2:], found.boxes[..., 2:] / 3., rtol=1e-5)


def test_scenes_in_other_colours_than_the_models_are_refused(tmp_path):
  path = tmp_path / 'scenes.npz'
  np.savez(path, images=np.zeros([2, 16, 16, 3], np.uint8))
  with pytest.raises(errors.UserError, match=(
      'found 16 x 16 pixels in colour, expected 16 x 16 pixels, as')):
    report.read_scenes(str(path), (16, 16), 3)
  assert report.read_scenes(str(path), (16, 16, 3), 3).images.shape[0] == 2


def test_probe_needs_labels_that_it_was_fitted_on(exported, monkeypatch):
  # The test characters of Omniglot are none of the training ones.
  def objects(predictions, scenes):
    labels = scenes.labels[scenes.labels >= 0]
    return np.eye(6)[labels], labels, np.arange(len(labels))
  monkeypatch.setattr(probes, 'objects', objects)
  scenes = boxed_scenes()
  other = scenes._replace(
      labels=np.where(scenes.labels < 0, -1, scenes.labels + 3))
  for train, probed in ((scenes, True), (other, False)):
    found = report.evaluate(exported.endpoints, scenes, train)
    for probe in 'probe_accuracy', 'kernel_probe_accuracy':
      assert (probe in found) == probed


def test_probe_takes_each_code_with_its_own_label():
  # Codes are labels, one hot and swapped in their order: a wrong pairing would
  # score at chance.
  rng = np.random.default_rng(0)
  labels = rng.integers(0, 4, [60, 2]).astype(np.int32)
  boxes = np.tile(np.array([[0., 0., 4., 4.], [8., 8., 4., 4.]],
                           np.float32), [60, 1, 1])
  swapped = rng.integers(0, 2, 60).astype(bool)
  flip = lambda x: np.where(
      swapped.reshape([-1] + [1] * (x.ndim - 1)), x[:, ::-1], x)
  predictions = predictions_lib.Predictions(
      num_steps=None, num_steps_probs=None, presence=np.ones([60, 2]),
      where=None, what=flip(np.eye(4)[labels]), boxes=flip(boxes),
      tight_boxes=None, squared_error=None)
  scenes = scenes_lib.Scenes(
      images=None, counts=None, boxes=boxes, labels=labels)
  codes, found, scene = probes.objects(predictions, scenes)
  assert len(codes) == 120 and np.array_equal(scene, np.repeat(range(60), 2))
  np.testing.assert_array_equal(codes.argmax(axis=1), found)
  shuffled = rng.permutation(found)
  for probe in probes.linear_probe, probes.kernel_probe:
    assert probe((codes[:60], found[:60]), (codes[60:], found[60:])) == 1.
    assert probe((codes[:60], shuffled[:60]), (codes[60:], found[60:])) < .6


def test_kernels_tell_apart_what_no_plane_does():
  # Inside and outside of a circle.
  rng = np.random.default_rng(0)
  codes = rng.normal(size=[600, 2])
  labels = (np.hypot(*codes.T) < 1.2).astype(np.int32)  # About half.
  halves = (codes[:300], labels[:300]), (codes[300:], labels[300:])
  assert probes.linear_probe(*halves) < .7
  assert probes.kernel_probe(*halves) > .95


def test_score_is_a_function_of_its_seed(exported):
  score = exported.endpoints['score']
  draw = lambda k: score(images=tiny.images(2), seed=tf.constant([k, 0]))
  assert np.array_equal(draw(1)['elbo'], draw(1)['elbo'])
  assert np.all(draw(1)['elbo'] != draw(2)['elbo'])

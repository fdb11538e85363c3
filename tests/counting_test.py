import functools

import numpy as np
import pytest
import tiny

from air_tf import explain as explain_lib
from air_tf import model as model_lib
from air_tf import prior
from air_tf.data import streams
from air_tf.evaluation import counting


@functools.cache
def num_steps_prior():
  return prior.truncated_geometric(np.log(.1), 3)


def test_count_metrics_by_hand():
  metrics = counting.count_metrics(
      np.array([0, 1, 2, 1, 3]), np.array([0, 1, 1, 2, 3]))
  assert metrics == {
      'count_accuracy': .6, 'count_accuracy/0': 1., 'count_accuracy/1': .5,
      'count_accuracy/2': 0., 'count_accuracy/3': 1.}


def make(num_scenes):
  model = model_lib.AIRModel(tiny.config())
  scenes = tiny.scenes(num_scenes)
  model.infer(streams.to_pixels(scenes.images))
  tiny.fill(model.trainable_variables)
  return model, scenes


@pytest.mark.slow
def test_all_scenes_count_and_batches_do_not_matter(monkeypatch):
  # Not only the first 64, as in code before this one.
  model, scenes = make(70)
  whole = counting.Evaluator(model)(scenes, num_steps_prior())
  monkeypatch.setattr(explain_lib, '_CANVAS_PIXELS', 3 * 4 * 16 * 16)
  parts = counting.Evaluator(model)(scenes, num_steps_prior())
  assert whole['count_accuracy'] == parts['count_accuracy']
  posterior = model.infer(streams.to_pixels(scenes.images)).num_steps_posterior
  assert whole['count_accuracy'] == np.mean(
      posterior.mode().numpy() == scenes.counts)
  # The samples differ with the batch, and with them the ELBO, a little.
  np.testing.assert_allclose(whole['elbo'], parts['elbo'], rtol=.05)


def test_terms_add_up_and_repeat():
  model, scenes = make(7)
  evaluator = counting.Evaluator(model)
  first = evaluator(scenes, num_steps_prior())
  np.testing.assert_allclose(
      first['elbo'], first['log_likelihood'] - first['kl_what']
      - first['kl_where'] - first['kl_num_steps'], rtol=1e-5)
  assert first == evaluator(scenes, num_steps_prior())


def test_it_sees_the_model_as_it_is_now():
  model, scenes = make(7)
  evaluator = counting.Evaluator(model)
  before = evaluator(scenes, num_steps_prior())
  for variable in model.trainable_variables:
    variable.assign(variable * .5)
  assert evaluator(scenes, num_steps_prior())['elbo'] != before['elbo']


def test_scenes_without_counts_have_no_accuracy():
  model, scenes = make(5)
  metrics = counting.Evaluator(model)(
      scenes._replace(counts=None), num_steps_prior())
  assert 'elbo' in metrics and 'count_accuracy' not in metrics


def test_confusion_by_hand():
  matrix = counting.confusion(
      np.array([0, 1, 1, 3, 1]), np.array([0, 1, 2, 2, 2]), max_steps=3)
  assert matrix.tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 2, 0, 1]]


@pytest.mark.parametrize('right, total', [(0, 7), (7, 7), (1, 1), (4974, 5000)])
def test_interval_holds_rates_within_two_standard_errors(right, total):
  # Wilson 1927: the ends are the rates p at which what was seen is 1.96
  # standard errors away, (right / total - p)^2 = 1.96^2 p (1 - p) / total.
  low, high = counting.wilson_interval(right, total)
  assert 0. <= low < high <= 1.
  for p in (low, high):
    np.testing.assert_allclose(
        (right / total - p)**2, 1.959964**2 * p * (1. - p) / total,
        rtol=1e-5, atol=1e-15)
  assert low < right / total or right == 0
  assert high > right / total or right == total


def test_masks_are_scored_if_scenes_have_them():
  model, scenes = make(7)
  counts = model.infer(
      streams.to_pixels(scenes.images)).num_steps_posterior.mode().numpy()
  found = explain_lib.explain(
      model, streams.to_pixels(scenes.images), masks=True).masks.numpy()
  evaluator = counting.Evaluator(model)
  evaluate = lambda masks: evaluator(
      scenes._replace(masks=masks), num_steps_prior())
  assert 'ari' not in evaluate(None)
  perfect = evaluate(found)
  assert counts.any() == ('fg_ari' in perfect)
  assert perfect['ari'] == perfect.get('miou', 1.) == 1.
  other = found.copy()
  other[:, :8, :8] = 1 + np.indices([8, 8])[0] % 2
  assert 0. <= evaluate(other)['miou'] < .9

"""Tests of several candidate explanations, of which the best is taken."""

import numpy as np
import pytest
import scripts
import stat_util
import tensorflow as tf
import tiny

import air_tf
from air_tf import elbo as elbo_lib
from air_tf import errors
from air_tf import explain as explain_lib
from air_tf import model as model_lib
from air_tf import noise as noise_lib
from air_tf import prior
from air_tf import run as run_lib
from air_tf import search as search_lib


@pytest.fixture(scope='module')
def model():
  made = model_lib.AIRModel(tiny.config(**tiny.DAIR))
  tiny.fill(made.trainable_variables)
  return made


def num_steps_prior():
  return prior.truncated_geometric(np.log(.1), 3)


def images(num=12):
  return tf.constant(np.random.default_rng(3).random(
      [num, 16, 16], np.float32))


def test_gumbel_noise_samples_places_from_the_weights():
  shares = np.float32([.1, 0., .2, 0., .3, 0., .4])  # No two are neighbours.
  noise = np.random.default_rng(5).gumbel(size=[20_000, 7]).astype(np.float32)
  kept = search_lib._keep_largest(
      tf.tile(shares[np.newaxis, :, np.newaxis], [20_000, 1, 1]), 1, 7,
      tf.constant(noise))[..., 0]
  np.testing.assert_allclose(np.sort(kept, axis=1)[:, -1], 1.)
  stat_util.assert_mean_matches(kept, shares, resolution=.04)


def test_the_first_candidate_has_no_noise_and_all_images_have_the_same():
  steps, _ = noise_lib.of_pass([3, 8, 5], [8, 2], None, candidates=4,
                               num_places=6)
  noise = np.stack(steps)
  assert noise.shape == (3, 8, 5 + 6)
  np.testing.assert_array_equal(noise[:, :2], 0.)
  np.testing.assert_array_equal(noise[:, ::2], noise[:, 1::2])
  assert len(np.unique(noise[:, 2::2, 5:].reshape(9, 6), axis=0)) == 9


def test_the_candidate_with_the_highest_elbo_is_taken(model):
  found = explain_lib.explain(
      model, images(), candidates=4, num_steps_prior=num_steps_prior())
  copies = tf.concat([images()] * 4, axis=0)
  inference = model.infer(copies, candidates=4)
  terms = model.elbo_terms(copies, inference, num_steps_prior())
  elbo = elbo_lib.expected_elbo(terms, terms.log_posterior).elbo
  best = np.reshape(elbo, [4, 12]).argmax(axis=0)
  assert len(set(best)) > 2
  logits = np.reshape(inference.where, [4, 12, 3, 3])[best, np.arange(12)]
  np.testing.assert_allclose(
      found.where, logits * found.presence.numpy()[..., np.newaxis], rtol=1e-5)
  alone = explain_lib.explain(model, images())
  first = best == 0
  assert first.any()
  for name in ('where', 'what', 'reconstruction', 'num_steps_probs'):
    a, b = getattr(found, name).numpy(), getattr(alone, name).numpy()
    np.testing.assert_allclose(a[first], b[first], rtol=1e-4, atol=1e-5)


def test_equal_images_get_equal_explanations(model):
  x = tf.concat([images(1), images(3)], axis=0)
  found = explain_lib.explain(model, x, True, 3, num_steps_prior())
  for value in found.as_dict().values():
    np.testing.assert_allclose(
        np.float32(value[0]), np.float32(value[1]), rtol=1e-4, atol=1e-5)


def test_a_model_without_a_search_has_no_candidates():
  with pytest.raises(errors.UserError, match='to be 1 beside --image_enc'):
    tiny.config(candidates=2)


@pytest.mark.slow
@pytest.mark.long
def test_a_run_takes_the_best_of_candidates(finished):
  folder, _ = finished
  plain, searched = (air_tf.load(folder, candidates=n) for n in (1, 5))
  x = plain.test.images
  best, first = searched.explain(x), plain.explain(x)
  elbo = lambda run: run.evaluate()['elbo']
  assert elbo(plain) == elbo(searched)  # Of one pass.
  assert np.abs(best.where - first.where).max() > 1e-3
  with pytest.raises(errors.UserError, match=r'bin/export.py --candidates'):
    air_tf.load(folder / 'saved_model', candidates=2)


@pytest.mark.slow
@pytest.mark.long
def test_a_saved_model_of_candidates_explains_as_its_run(finished, tmp_path):
  folder, _ = finished
  scripts.succeed('export.py', f'--logdir={folder}', '--candidates=2',
                  f'--out={tmp_path / "two"}')
  loaded = run_lib.load(tmp_path / 'two')
  run = run_lib.load(folder, candidates=2)
  x = run.test.images
  for a, b in zip(loaded.explain(x), run.explain(x), strict=True):
    if a is not None:
      np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)

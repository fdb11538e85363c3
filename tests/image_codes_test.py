import numpy as np
import pytest
import tiny

from air_tf.studies import image_codes


def images(num, seed, shape):
  """One of four bright quarters, and which."""
  rng = np.random.default_rng(seed)
  y = rng.integers(4, size=num)
  x = rng.integers(40, size=[num, *shape])
  for image, quarter in zip(x, y, strict=True):
    row, column = divmod(quarter, 2)
    image[7 * row:7 * row + 7, 9 * column:9 * column + 9] += 180
  return x.astype(np.uint8), y


def nearest_mean(codes, y, others):
  means = np.stack([codes[y == i].mean(axis=0) for i in range(4)])
  return np.square(others[:, np.newaxis] - means).sum(axis=2).argmin(axis=1)


@pytest.mark.parametrize('train, shape', [
    (lambda x: image_codes.vae(x, .3, seed=0), (14, 18)),
    # Not what convolutions would halve evenly.
    (lambda x: image_codes.autoencoder(x, seed=0), (14, 18, 3))])
def test_codes_tell_what_images_differ_in(train, shape, monkeypatch):
  monkeypatch.setattr(image_codes, '_UPDATES', 60)
  x, y = images(400, 1, shape)
  x_test, y_test = images(400, 2, shape)
  encode = train(x)
  codes = encode(x_test)
  assert codes.shape == (400, 100)
  assert np.mean(nearest_mean(encode(x), y, codes) == y_test) >= .98
  np.testing.assert_allclose(encode(x_test), codes, atol=1e-5)  # The mean.


def test_a_vae_has_no_code_for_noise(monkeypatch):
  # N(0, 1) pulls all entries to 0; as the weights start, they are .19 or more.
  monkeypatch.setattr(image_codes, '_UPDATES', 150)
  x = np.random.default_rng(0).integers(256, size=[400, 14, 18])
  x = x.astype(np.uint8)
  assert image_codes.vae(x, 1., seed=0)(x).std(axis=0).max() < .1


def test_equal_seeds_give_equal_codes(monkeypatch):
  monkeypatch.setattr(image_codes, '_UPDATES', 3)
  x, _ = images(200, 1, (14, 18))
  with tiny.eagerly():
    first, again, other = (
        image_codes.vae(x, .3, seed=seed)(x) for seed in (0, 0, 1))
  np.testing.assert_allclose(first, again, atol=1e-5)
  assert np.abs(first - other).max() > .01

"""Tests of blobs.py: ellipses of light."""

import numpy as np

from air_tf.data import blobs

IMAGES, LABELS = blobs.make(600, seed=0)


def _moments():
  """Returns the half axes of each blob, [D, 2], from its outline's moments."""
  ink = (IMAGES > 0).astype(float)
  area = ink.sum(axis=(1, 2))
  y, x = np.mgrid[:28, :28] - 13.5
  cov = np.stack([[(ink * a * b).sum(axis=(1, 2)) / area for a in (y, x)]
                  for b in (y, x)])
  # The variance of a filled ellipse along a half axis a is a^2 / 4.
  return 2. * np.sqrt(np.linalg.eigvalsh(cov.transpose(2, 0, 1)))


def test_half_axes_are_those_that_are_said():
  shorter, longer = _moments().T
  assert 5. < longer.min() < 5.8 and 8.8 < longer.max() < 9.8
  roundness = shorter / longer
  assert .55 < roundness.min() < .65 and .97 < roundness.max() <= 1.


def test_blobs_take_the_middle_20_pixels_whole():
  ink = IMAGES > 0
  assert ink[:, 4:24, 4:24].sum() == ink.sum()
  assert ink.any(axis=(1, 2)).all()
  weights = ink / ink.sum(axis=(1, 2), keepdims=True)
  middles = np.stack([weights.sum(axis) @ np.arange(28) for axis in (1, 2)])
  np.testing.assert_allclose(middles, 13.5, atol=.1)


def test_brightness_spans_a_factor_of_five_and_labels_tell():
  ink = IMAGES > 0
  level = IMAGES.sum(axis=(1, 2)) / ink.sum(axis=(1, 2)) / 255.
  low, high = np.quantile(level, [.05, .95])
  assert 3. < high / low < 6.
  assert level[LABELS == 0].max() < 1.6 * level[LABELS == 1].min()
  assert .4 < LABELS.mean() < .6


def test_light_within_a_blob_is_uneven_but_never_gone():
  for image in IMAGES[LABELS == 0][:100]:  # The brighter ones reach white.
    inside = image[12:16, 12:16].astype(float)
    assert .01 < inside.std() / inside.mean() < .8
    assert inside.min() >= .3 * .18 * 255. - 1.


def test_equal_seeds_equal_blobs():
  again, labels = blobs.make(600, seed=0)
  np.testing.assert_array_equal(again, IMAGES)
  np.testing.assert_array_equal(labels, LABELS)
  assert (blobs.make(600, seed=1)[0] != IMAGES).any()

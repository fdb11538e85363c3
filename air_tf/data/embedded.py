"""Handwritten digits that ship with scikit-learn, enlarged to MNIST's size."""

import numpy as np
from PIL import Image

from air_tf.data import digits as digits_lib

__all__ = ['load']

_NUM_TEST = 360  # A fifth of the 1,797, rounded up.


def load() -> digits_lib.Digits:
  """Returns them, [D, 28, 28]; the split is always the same."""
  from sklearn import datasets as sklearn_datasets  # A second to import.
  bunch = sklearn_datasets.load_digits()
  images = np.zeros([len(bunch.images), 28, 28], np.uint8)
  images[:, 4:24, 4:24] = [_enlarged(image) for image in bunch.images]
  labels = bunch.target.astype(np.int32)
  # RandomState: numpy has frozen its stream, so the split holds for good.
  order = np.random.RandomState(0).permutation(len(images))
  test, train = np.split(order, [_NUM_TEST])
  return digits_lib.Digits(
      images[train], labels[train], images[test], labels[test])


def _enlarged(image: np.ndarray) -> np.ndarray:
  """Returns [20, 20] uint8, MNIST's size of a digit, from [8, 8] in 0...16."""
  large = np.asarray(Image.fromarray(image.astype(np.float32)).resize(
      (20, 20), Image.Resampling.BICUBIC))
  # Fainter than one grey level of the original is the filter's, not the pen's;
  # left in, it would widen the box around the ink.
  large = np.where(large < 1., 0., np.minimum(large, 16.))
  return np.round(large * (255. / 16.)).astype(np.uint8)

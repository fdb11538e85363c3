"""Scenes like those of Multi-dSprites, drawn here: not the originals.

Squares, ellipses and hearts of any angle, each of one colour, opaque, in front
of each other. Published numbers are of the originals (google-deepmind/
multi_object_datasets), which `--scenes` reads.

Shapes: D outlines of 32 x 32 pixels.
"""

import colorsys

import numpy as np

from air_tf.data import digits as digits_lib
from air_tf.data import layers
from air_tf.data import scenes as scenes_lib

__all__ = ['SHAPES', 'compose', 'load', 'make']

_NUM_OUTLINES, _NUM_TEST = 6_000, 1_000  # The first ones are for tests.

_SIDE = 32
_SCALE = .5, 1.  # As in dSprites.
_SATURATION = _VALUE = .5, 1.  # So that no object has the grey of a ground.


def _square(u, v):
  return np.maximum(np.abs(u), np.abs(v)) <= 10.


def _ellipse(u, v):
  return np.hypot(u / 13.5, v / 9.) <= 1.


def _heart(u, v):
  """The sextic, 23 pixels wide; v points down, the tip with it."""
  u, v = u / 10., -v / 10. + .1
  return (u**2 + v**2 - 1.)**3 <= u**2 * v**3


# By label, in the order of dSprites: of coordinates, pixels from the middle at
# scale 1, which are inside.
SHAPES = (_square, _ellipse, _heart)


def load() -> digits_lib.Digits:
  """Returns the outlines of all runs.

  Small ones at nearly the same angle are equal, pixel for pixel: training does
  without those that are for tests.
  """
  digits = digits_lib.split(*make(_NUM_OUTLINES, seed=0), _NUM_TEST)
  tests = {image.tobytes() for image in digits.test_images}
  new = [image.tobytes() not in tests for image in digits.train_images]
  return digits._replace(train_images=digits.train_images[new],
                         train_labels=digits.train_labels[new])


def make(num_outlines: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
  """Returns outlines uint8 [D, 32, 32], 0 or 255, and labels int32 [D].

  Shape, angle and scale (.5 to 1) are uniform. As in dSprites, edges are hard:
  a pixel is an object's if its middle is. Equal seeds give equal outlines, with
  any numpy.
  """
  rng = np.random.RandomState(seed)  # numpy has frozen its stream.
  labels = rng.randint(len(SHAPES), size=num_outlines).astype(np.int32)
  angles = rng.uniform(0., 2. * np.pi, [num_outlines, 1, 1])
  scales = rng.uniform(*_SCALE, [num_outlines, 1, 1])
  x = np.arange(_SIDE) - (_SIDE - 1) / 2
  y = x[:, np.newaxis]
  u = (x * np.cos(angles) + y * np.sin(angles)) / scales
  v = (y * np.cos(angles) - x * np.sin(angles)) / scales
  inside = np.zeros([num_outlines, _SIDE, _SIDE], bool)
  for label, shape in enumerate(SHAPES):
    mine = labels == label
    inside[mine] = shape(u[mine], v[mine])
  return inside.astype(np.uint8) * np.uint8(255), labels


def compose(digits: np.ndarray, labels: np.ndarray,
            **options: object) -> scenes_lib.Scenes:
  """Returns scenes; see `layers.compose`.

  Of colours, the hue is uniform, saturation and value are so from .5 to 1.
  """
  return layers.compose(digits, labels, colours=_colours, **options)


def _colours(rng: np.random.Generator, number: int) -> np.ndarray:
  """Returns uint8 [K, 3]."""
  hsv = np.stack([rng.uniform(size=number), rng.uniform(*_SATURATION, number),
                  rng.uniform(*_VALUE, number)], axis=1)
  rgb = np.reshape([colorsys.hsv_to_rgb(*row) for row in hsv], [-1, 3])
  return np.round(255. * rgb).astype(np.uint8)

"""Scenes like those of Tetrominoes, drawn here: not the originals.

Four squares side by side, in six colours. Published numbers are of the
originals (google-deepmind/multi_object_datasets), which `--scenes` reads.

Shapes: D outlines of 20 x 20 pixels.
"""

import numpy as np

from air_tf.data import digits as digits_lib
from air_tf.data import layers
from air_tf.data import scenes as scenes_lib

__all__ = ['OUTLINES', 'compose', 'load']

_BLOCK = 5  # Pixels, side of each of the four squares.
_SIDE = 4 * _BLOCK

# One orientation of each; the others follow by quarter turns.
_SHAPES = ('####', '##|##', '###| # ', ' ##|## ', '## | ##', '###|  #',
           '###|#  ')
# Red, green, blue, yellow, magenta, cyan.
_COLOURS = 255 * np.array(
    [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1]],
    np.uint8)


def _turned(shape: str) -> list[np.ndarray]:
  """Returns the different orientations of a shape, bool, in squares."""
  blocks = np.array([[x == '#' for x in row] for row in shape.split('|')])
  found = {}
  for turn in range(4):
    turned = np.rot90(blocks, turn)
    found.setdefault((turned.shape, turned.tobytes()), turned)
  return list(found.values())


# Bool, in squares, by label: all 19 shapes and orientations.
OUTLINES = tuple(x for shape in _SHAPES for x in _turned(shape))


def load() -> digits_lib.Digits:
  """Returns the outlines of all runs, for training as for tests.

  There are no others: what is new in a test scene is what stands where.
  """
  images = np.zeros([len(OUTLINES), _SIDE, _SIDE], np.uint8)
  for image, blocks in zip(images, OUTLINES, strict=True):
    pixels = blocks.repeat(_BLOCK, axis=0).repeat(_BLOCK, axis=1)
    height, width = pixels.shape
    image[:height, :width] = 255 * pixels
  labels = np.arange(len(images), dtype=np.int32)
  return digits_lib.Digits(images, labels, images, labels)


def compose(digits: np.ndarray, labels: np.ndarray,
            **options: object) -> scenes_lib.Scenes:
  """Returns scenes in six colours, equally likely; see `layers.compose`."""
  return layers.compose(digits, labels, colours=_colours, **options)


def _colours(rng: np.random.Generator, number: int) -> np.ndarray:
  """Returns uint8 [K, 3]."""
  return _COLOURS[rng.integers(len(_COLOURS), size=number)]

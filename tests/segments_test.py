"""Tests of plotting/segments.py: masks beside images."""

import numpy as np

from air_tf.plotting import canvas
from air_tf.plotting import segments


def test_the_models_objects_have_the_colours_of_the_true_ones():
  true = np.zeros([1, 8, 8], np.uint8)
  true[0, :4], true[0, 4:, :4] = 1, 2
  swapped = np.array([0, 2, 1], np.uint8)[true]
  image = np.zeros([1, 8, 8, 3])
  draw = lambda found: canvas.rgb(segments.masks(image, true, found))
  np.testing.assert_array_equal(draw(true), draw(swapped))
  assert (draw(true) != draw(0 * true)).any()


def test_an_object_too_many_has_a_colour_of_its_own():
  true = np.ones([1, 4, 6], np.uint8)
  found = true.copy()
  found[0, :, 4:] = 2
  drawn = canvas.rgb(segments.masks(np.zeros([1, 4, 6]), true, found))
  colours = {tuple(x) for x in drawn.reshape(-1, 3)}
  for step in (0, 1):
    hexadecimal = canvas.step_colour(step).lstrip('#')
    assert tuple(bytes.fromhex(hexadecimal)) in colours


def test_scenes_without_objects_are_black():
  nothing = np.zeros([2, 5, 5], np.uint8)
  drawn = canvas.rgb(segments.masks(255 + nothing, nothing, nothing))
  assert (drawn == drawn[..., :1]).all()  # Grey, without any colour.
  pixels = drawn[:, 90:, 0]  # Left of them are the names of the rows.
  # Squares of 90 x 90 pixels, but for their borders: white images, black masks.
  for value, squares in ((255, 2), (0, 4)):
    assert abs((pixels == value).sum() / 90**2 - squares) < .1

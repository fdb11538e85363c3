import numpy as np
import pytest
from scipy import ndimage
import tensorflow as tf

from air_tf import glimpses as glimpses_lib

RNG = np.random.default_rng(0)
# Scale, shift_x, shift_y: inside, over an edge, tiny, all, and outside.
PLACES = np.array([[.4, .1, -.3], [.5, .8, -.9], [.1, 0., 0.], [1., 0., 0.],
                   [.3, -1., 1.], [.2, 1.5, 0.]], np.float32)


def images(height=12, width=15):
  return RNG.random([len(PLACES), height, width]).astype(np.float32)


def bilinear(image, y, x):
  """Bilinear sample of one point, zeros outside: a plain loop over pixels."""
  value = 0.
  for i in range(image.shape[0]):
    for j in range(image.shape[1]):
      value += (image[i, j] * max(0., 1. - abs(y - i))
                * max(0., 1. - abs(x - j)))
  return value


def read_by_loop(image, place, size):
  scale, shift_x, shift_y = place
  height, width = image.shape
  glimpse = np.zeros([size, size])
  for i in range(size):
    for j in range(size):
      # Centre of glimpse pixel (i, j) in -1 ... 1, then in image pixels.
      v = shift_y + scale * ((i + .5) / size * 2. - 1.)
      u = shift_x + scale * ((j + .5) / size * 2. - 1.)
      glimpse[i, j] = bilinear(
          image, (v + 1.) / 2. * height - .5, (u + 1.) / 2. * width - .5)
  return glimpse


def test_read_agrees_with_a_loop():
  x = images()
  expected = [read_by_loop(*pair, size=5) for pair in zip(x, PLACES)]
  np.testing.assert_allclose(
      glimpses_lib.read(x, tf.constant(PLACES), 5), expected, atol=1e-5)


def test_read_agrees_with_scipy():
  x = images()
  glimpses = glimpses_lib.read(x, tf.constant(PLACES), 7)
  for image, (scale, shift_x, shift_y), glimpse in zip(x, PLACES, glimpses):
    centres = (np.arange(7) + .5) / 7 * 2. - 1.
    rows = (shift_y + scale * centres + 1.) / 2. * 12 - .5
    columns = (shift_x + scale * centres + 1.) / 2. * 15 - .5
    # A black frame, because scipy cuts off at the outermost pixel's centre.
    expected = ndimage.map_coordinates(
        np.pad(image, 1), np.meshgrid(rows + 1, columns + 1, indexing='ij'),
        order=1, mode='constant')
    np.testing.assert_allclose(glimpse, expected, atol=1e-5)


def test_write_agrees_with_scipy():
  glimpses = RNG.random([len(PLACES), 6, 6]).astype(np.float32)
  written = glimpses_lib.write(glimpses, tf.constant(PLACES), 12, 15)
  for glimpse, (scale, shift_x, shift_y), image in zip(
      glimpses, PLACES, written):
    y = (np.arange(12) + .5) / 12 * 2. - 1.
    x = (np.arange(15) + .5) / 15 * 2. - 1.
    rows = ((y - shift_y) / scale + 1.) / 2. * 6 - .5
    columns = ((x - shift_x) / scale + 1.) / 2. * 6 - .5
    expected = ndimage.map_coordinates(
        np.pad(glimpse, 1), np.meshgrid(rows + 1, columns + 1, indexing='ij'),
        order=1, mode='constant')
    np.testing.assert_allclose(image, expected, atol=1e-5)


def test_each_channel_is_read_and_written_as_if_it_were_grey():
  places = tf.constant(PLACES)
  for size in ([12, 15], [6, 6]):
    x = RNG.random([len(PLACES), *size, 3]).astype(np.float32)
    for act in (lambda x: glimpses_lib.read(x, places, 5),
                lambda x: glimpses_lib.write(x, places, 9, 14)):
      found = act(x).numpy()
      assert found.shape[3:] == (3,) and np.any(found > .5)
      for channel in range(3):
        np.testing.assert_allclose(
            found[..., channel], act(x[..., channel]), atol=1e-6)


def test_the_whole_image_at_its_own_size_is_read_and_written_unchanged():
  x = RNG.random([2, 9, 9]).astype(np.float32)
  whole = tf.constant([[1., 0., 0.]] * 2)
  np.testing.assert_allclose(glimpses_lib.read(x, whole, 9), x, atol=1e-5)
  np.testing.assert_allclose(glimpses_lib.write(x, whole, 9, 9), x, atol=1e-5)


def test_shift_x_is_right_and_shift_y_is_down():
  x = np.zeros([1, 10, 10], np.float32)
  x[0, 2, 7] = 1.  # Row 2 (up), column 7 (right).
  seen = glimpses_lib.read(x, tf.constant([[.3, .5, -.5]]), 3)
  assert np.sum(seen) > .5
  assert np.sum(glimpses_lib.read(x, tf.constant([[.3, -.5, .5]]), 3)) == 0.


def test_reading_what_was_written_gives_it_back():
  glimpse = ndimage.gaussian_filter(RNG.random([8, 8]), 1.5)[np.newaxis]
  place = tf.constant([[.5, .25, -.25]])
  image = glimpses_lib.write(tf.constant(glimpse, tf.float32), place, 64, 64)
  back = glimpses_lib.read(image, place, 8)
  inner = np.s_[:, 1:-1, 1:-1]  # Edges fade into the black outside.
  np.testing.assert_allclose(back[inner], glimpse[inner], atol=.02)


def test_read_and_write_pass_gradients_to_place_and_pixels():
  place = tf.Variable([[.5, .1, .2]])
  x = tf.Variable(RNG.random([1, 12, 12]).astype(np.float32))
  with tf.GradientTape() as tape:
    loss = tf.reduce_sum(tf.square(
        glimpses_lib.write(glimpses_lib.read(x, place, 5), place, 12, 12)))
  gradients = tape.gradient(loss, [place, x])
  assert np.all(gradients[0] != 0.) and np.any(gradients[1] != 0.)


@pytest.mark.parametrize('scale', [1e-3, 1e-10, 1e-20, 1e-38])
def test_gradients_are_finite_however_small_the_scale(scale):
  # A weight of 0 times a slope of 1 / scale^2 = inf is NaN: it ended a run.
  place = tf.Variable([[scale, .1, .2]])
  with tf.GradientTape() as tape:
    loss = tf.reduce_sum(glimpses_lib.write(tf.ones([1, 5, 5]), place, 12, 12))
  assert np.all(np.isfinite(tape.gradient(loss, place)))


def test_boxes_in_pixels_by_hand():
  # Scale .4 of 50 is 20; centre x = (.5 + 1) * 25 = 37.5, y = 12.5.
  box = glimpses_lib.boxes(tf.constant([.4, .5, -.5]), 50, 50)
  np.testing.assert_allclose(box, [2.5, 27.5, 20., 20.], atol=1e-5)


def test_box_frames_what_is_written():
  place = tf.constant([[.3, .4, -.2]])
  image = glimpses_lib.write(tf.ones([1, 6, 6]), place, 60, 60)[0].numpy()
  y, x, height, width = glimpses_lib.boxes(place, 60, 60)[0].numpy()
  rows, columns = np.nonzero(image > .5)
  np.testing.assert_allclose(
      [rows.min(), columns.min(), rows.max() + 1, columns.max() + 1],
      [y, x, y + height, x + width], atol=1.01)


@pytest.mark.parametrize('colours', [(), (3,)])
def test_contrast_is_what_each_glimpse_changes_of_the_ground(colours):
  ground = np.linspace(0., 1., 16)[:, np.newaxis] * np.ones(16)  # By row.
  ground = np.broadcast_to(
      ground.reshape(16, 16, *[1 for _ in colours]), [16, 16, *colours])
  where = np.float32([[[.25, 0., -.5], [.25, 0., .5]]])  # Rows 2-5, 10-13.
  alphas = np.float32([[np.full([4, 4], .5), np.ones([4, 4])]])
  behind = np.stack([ground[2:6, :4], ground[10:14, :4]])[np.newaxis]
  spread = alphas.reshape([1, 2, 4, 4, *[1 for _ in colours]])
  glimpses = spread * behind  # Nothing to be seen,
  glimpses[0, 1, 3, 1] -= .25  # but for one pixel.
  found = glimpses_lib.contrast(
      tf.constant(glimpses, tf.float32), tf.constant(alphas),
      tf.constant(ground[np.newaxis], tf.float32), tf.constant(where))
  expected = np.zeros_like(glimpses)
  expected[0, 1, 3, 1] = .25
  np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize('colours', [(), (3,)])
def test_tight_boxes_are_around_ink(colours):
  glimpses = np.zeros([1, 2, 10, 10, *colours])
  glimpses.reshape([1, 2, 10, 10, -1])[0, 0, 2:5, 4:8, 0] = .9  # Red.
  glimpses[0, 0, 0, 0] = .2  # Too faint beside .9.
  boxes = np.array([[[3., -1., 20., 20.], [0., 0., 0., 0.]]])
  found = glimpses_lib.tight_boxes(glimpses, tf.constant(boxes))
  np.testing.assert_allclose(found[0], [[7., 7., 6., 8.], [0., 0., 0., 0.]])

"""Tests of scenes.py: objects to scenes."""

import hashlib

import numpy as np
import pytest
from scipy import stats

from air_tf import errors
from air_tf.data import backdrops
from air_tf.data import scenes


def blocks(*sides):
  """Returns solid digits of these (height, width): digit k is 50 (k + 1)."""
  digits = np.zeros([len(sides), 28, 28], np.uint8)
  for k, (height, width) in enumerate(sides):
    digits[k, 3:3 + height, 5:5 + width] = 50 * (k + 1)
  return digits, np.arange(len(sides))


def ragged(num_digits=20, seed=0):
  """Returns digits of sparse random ink, none of them filling its frame."""
  rng = np.random.default_rng(seed)
  digits = np.zeros([num_digits, 28, 28], np.uint8)
  for digit in digits:
    height, width = rng.integers(5, 21, size=2)
    ink = rng.integers(1, 256, [height, width]) * (rng.random([height, width])
                                                   < .3)
    digit[4:4 + height, 6:6 + width] = ink
    digit[10, 10] = 255
    digit[2, 10] = 1  # Too faint to survive shrinking: the box must follow.
  return digits, rng.integers(0, 10, num_digits)


def assert_fits(observed, probs, smallest_fault):
  """Asserts that counts `observed` [C] were drawn from `probs` [C].

  A chi-square test that knows its own strength. Right code with a fresh seed
  fails once in 10^9. A fault is measured as sum((q - p)^2 / p) over the cells
  for true probabilities q; the sample must be so large that `smallest_fault`
  would be missed less than once in 10^6.
  """
  observed, probs = np.asarray(observed), np.asarray(probs)
  total = observed.sum()
  threshold = stats.chi2.isf(1e-9, len(probs) - 1)
  missed = stats.ncx2.cdf(threshold, len(probs) - 1, total * smallest_fault)
  assert missed < 1e-6, 'the sample is too small for this test'
  expected = total * probs
  assert np.sum((observed - expected)**2 / expected) < threshold


def rendered(made, sides):
  """Draws the scenes of `blocks` again from boxes and labels alone."""
  images = np.zeros_like(made.images)
  for image, count, boxes, labels in zip(
      images, made.counts, made.boxes, made.labels, strict=True):
    for box, label in zip(boxes[:count], labels[:count], strict=True):
      y, x, height, width = (int(value) for value in box)
      assert (height, width) == sides[label]
      for i in range(y, y + height):
        for j in range(x, x + width):
          image[i, j] = max(image[i, j], 50 * (label + 1))
  return images


@pytest.mark.parametrize('overlap', [False, True])
def test_boxes_and_labels_explain_every_pixel(overlap):
  sides = [(3, 5), (6, 2), (4, 4)]
  made = scenes.compose(*blocks(*sides), num_scenes=200, canvas_size=16,
                        counts=(0, 1, 2, 3), overlap=overlap, seed=0)
  np.testing.assert_array_equal(made.images, rendered(made, sides))


@pytest.mark.parametrize('digit_scale', [(1., 1.), (.4, 1.), (1.2, 1.7)])
def test_boxes_are_tight_around_the_ink(digit_scale):
  made = scenes.compose(*ragged(), num_scenes=300, canvas_size=100,
                        counts=(0, 2, 4), digit_scale=digit_scale, seed=0)
  for image, count, boxes in zip(
      made.images, made.counts, made.boxes, strict=True):
    outside = image.copy()
    for y, x, height, width in boxes[:count].astype(int):
      inside = image[y:y + height, x:x + width]
      assert inside.shape == (height, width)  # Not cut off by the canvas.
      for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]):
        assert edge.any()
      outside[y:y + height, x:x + width] = 0
    assert not outside.any()


def test_fields_agree_and_padding_is_last():
  made = scenes.compose(*ragged(), num_scenes=500, canvas_size=80,
                        counts=(0, 1, 4), seed=0)
  assert made.images.dtype == np.uint8 and made.images.shape == (500, 80, 80)
  assert made.counts.dtype == np.int32 and made.counts.shape == (500,)
  assert made.boxes.dtype == np.float32 and made.boxes.shape == (500, 4, 4)
  assert made.labels.dtype == np.int32 and made.labels.shape == (500, 4)
  present = np.arange(4) < made.counts[:, np.newaxis]
  np.testing.assert_array_equal(np.isnan(made.boxes).any(-1), ~present)
  np.testing.assert_array_equal(np.isnan(made.boxes).all(-1), ~present)
  np.testing.assert_array_equal(made.labels >= 0, present)
  assert (made.labels[~present] == -1).all()
  np.testing.assert_array_equal(made.images.any((1, 2)), made.counts > 0)


def test_empty_scenes_have_one_padded_slot():
  made = scenes.compose(*ragged(), num_scenes=3, canvas_size=30, counts=(0,),
                        seed=0)
  assert made.boxes.shape == (3, 1, 4) and np.isnan(made.boxes).all()
  np.testing.assert_array_equal(made.labels, [[-1]] * 3)
  assert not made.images.any()


def test_position_of_one_object_is_uniform():
  """Every (y, x) is equally likely, of 10 x 8 = 80 possible ones.

  The smallest fault looked for, .0125, is one position that is never used; only
  the diagonal would be 9, and a last row that is never used .11.
  """
  made = scenes.compose(*blocks((3, 5)), num_scenes=40_000, canvas_size=12,
                        counts=(1,), seed=0)
  y, x = made.boxes[:, 0, :2].astype(int).T
  assert (y.min(), y.max(), x.min(), x.max()) == (0, 9, 0, 7)
  assert_fits(np.bincount(y * 8 + x, minlength=80), np.full(80, 1 / 80), .0125)


def test_second_object_is_uniform_over_what_the_first_leaves_free():
  """All pairs of places of 2 x 2 boxes on a 5 x 5 canvas, by enumeration.

  The smallest fault looked for, .005, is the rarest of the 156 possible pairs
  never being drawn.
  """
  places = [(y, x) for y in range(4) for x in range(4)]
  probs = np.zeros([16, 16])
  for first, (y, x) in enumerate(places):
    free = [abs(y - v) >= 2 or abs(x - u) >= 2 for v, u in places]
    probs[first, free] = 1 / 16 / sum(free)
  made = scenes.compose(*blocks((2, 2)), num_scenes=60_000, canvas_size=5,
                        counts=(2,), seed=0)
  place = (made.boxes[..., 0] * 4 + made.boxes[..., 1]).astype(int)  # [N, 2]
  observed = np.zeros([16, 16])
  np.add.at(observed, tuple(place.T), 1)
  assert not observed[probs == 0].any()
  possible = probs > 0
  assert_fits(observed[possible], probs[possible], .005)


def test_overlapping_objects_are_placed_independently():
  """All 16 x 16 pairs of places are equally likely.

  The smallest fault looked for, .01, is 10 % off in each cell.
  """
  made = scenes.compose(*blocks((2, 2)), num_scenes=60_000, canvas_size=5,
                        counts=(2,), overlap=True, seed=0)
  place = (made.boxes[..., 0] * 4 + made.boxes[..., 1]).astype(int)
  observed = np.bincount(place[:, 0] * 16 + place[:, 1], minlength=256)
  assert_fits(observed, np.full(256, 1 / 256), .01)


def test_counts_and_digits_are_uniform_and_independent():
  """Joint table of count and first digit; .004 is 6 % off in each cell."""
  made = scenes.compose(*blocks((3, 3), (4, 4), (5, 5), (6, 6)),
                        num_scenes=60_000, canvas_size=30, counts=(0, 1, 3),
                        seed=0)
  by_count = np.bincount(made.counts, minlength=4)
  assert by_count[2] == 0
  assert_fits(by_count[[0, 1, 3]], np.full(3, 1 / 3), .004)
  some = made.counts > 0
  cell = (made.counts[some] == 3) * 4 + made.labels[some, 0]
  assert_fits(np.bincount(cell, minlength=8), np.full(8, 1 / 8), .004)


def test_scale_is_uniform():
  """Side 20, scale .5 to 1: 10 ... 20, the two ends half as likely.

  The smallest fault looked for, .01, is 10 % off in each cell.
  """
  made = scenes.compose(*blocks((20, 20)), num_scenes=20_000, canvas_size=40,
                        counts=(1,), digit_scale=(.5, 1.), seed=0)
  np.testing.assert_array_equal(made.boxes[:, 0, 2], made.boxes[:, 0, 3])
  side = made.boxes[:, 0, 2].astype(int)
  assert side.min() >= 10 and side.max() <= 20
  assert_fits(np.bincount(side - 10, minlength=11),
              np.array([.5] + [1] * 9 + [.5]) / 10, .01)


def test_boxes_are_disjoint_unless_overlap_is_allowed():
  def num_overlapping(overlap):
    made = scenes.compose(*ragged(), num_scenes=300, canvas_size=60,
                          counts=(4,), overlap=overlap, seed=0)
    covered = np.zeros(made.images.shape, int)
    for scene, boxes in zip(covered, made.boxes.astype(int), strict=True):
      for y, x, height, width in boxes:
        scene[y:y + height, x:x + width] += 1
    return (covered > 1).any((1, 2)).sum()
  assert num_overlapping(overlap=False) == 0
  assert num_overlapping(overlap=True) > 100


def test_crowded_scenes_start_over_until_all_objects_fit():
  # Four 2 x 2 boxes on 5 x 5 fit only if the first ones leave room: one in
  # the middle of an edge and one beside it can make the fourth impossible.
  made = scenes.compose(*blocks((2, 2)), num_scenes=2_000, canvas_size=5,
                        counts=(4,), seed=0)
  np.testing.assert_array_equal((made.images > 0).sum((1, 2)), 16)


def test_an_object_may_fill_the_canvas():
  made = scenes.compose(*blocks((12, 12)), num_scenes=5, canvas_size=12,
                        counts=(1,), seed=0)
  np.testing.assert_array_equal(made.boxes[:, 0], [[0, 0, 12, 12]] * 5)
  assert (made.images == 50).all()


def test_tiny_faint_digits_stay_visible():
  digits = np.zeros([1, 28, 28], np.uint8)
  digits[0, 0, 0] = digits[0, 27, 27] = 1
  made = scenes.compose(digits, [7], num_scenes=5, canvas_size=10, counts=(1,),
                        digit_scale=(.1, .1), seed=0)
  assert made.images.any((1, 2)).all()
  np.testing.assert_array_equal(made.labels, [[7]] * 5)


def test_equal_seeds_equal_scenes():
  def make(seed):
    return scenes.compose(*ragged(), num_scenes=100, canvas_size=50,
                          counts=(0, 1, 2), digit_scale=(.5, 1.), seed=seed)
  first, again, other = make(seed=3), make(seed=3), make(seed=4)
  for field, same in zip(first, again, strict=True):
    np.testing.assert_array_equal(field, same)
  assert (first.images != other.images).any((1, 2)).mean() > .5


@pytest.mark.parametrize('options, expected', [
    (dict(), 'a45aa766db2ebbe5'),
    (dict(digit_scale=(.4, 1.)), '3a47469d19171563'),
    (dict(overlap=True), '6eed3fc1fe208d2d'),
    (dict(counts=range(10), canvas_size=100, digit_scale=(.6, .6)),
     '7df01ac6e06d62b9')])
def test_scenes_never_change(options, expected):
  # Whoever changes these values changes what all runs are trained and tested
  # on, and has to raise `datasets._CACHE_VERSION`.
  made = scenes.compose(*ragged(), **{**dict(
      num_scenes=200, canvas_size=50, counts=(0, 1, 2), seed=(1, 3)),
      **options})
  digest = hashlib.sha256(b''.join(field.tobytes() for field in made[:4]))
  assert digest.hexdigest()[:16] == expected


@pytest.mark.parametrize('kind', backdrops.KINDS)
def test_objects_are_the_same_before_any_backdrop(kind):
  def make(kind):
    return scenes.compose(*ragged(), num_scenes=100, canvas_size=50,
                          counts=(0, 1, 2), digit_scale=(.5, 1.), seed=0,
                          backdrop=kind, backdrop_level=.5)
  black, other = make('black'), make(kind)
  for field in 'counts', 'boxes', 'labels':
    np.testing.assert_array_equal(
        getattr(other, field), getattr(black, field))
  # Everywhere the brighter one of the object and of what is behind it.
  assert (other.images >= black.images).all()
  behind = other.images > black.images
  assert behind.any() == (kind != 'black')
  assert not (other.images[behind] > 128).any()  # .5 * 255.
  # And not only where there are no objects.
  assert kind == 'black' or (behind & (black.images > 0)).any()


@pytest.mark.parametrize('options', [
    dict(), dict(overlap=True), dict(digit_scale=(.3, 1.3)),
    *(dict(backdrop=kind, backdrop_level=.7) for kind in backdrops.KINDS
      if kind != 'colour')])
def test_grey_objects_in_colour_make_grey_scenes_in_colour(options):
  digits, labels = ragged()
  options = dict(num_scenes=100, canvas_size=60, counts=(0, 2, 3), seed=0
                 ) | options
  grey = scenes.compose(digits, labels, **options)
  colour = scenes.compose(np.stack([digits] * 3, axis=-1), labels, **options)
  np.testing.assert_array_equal(colour.images,
                                np.stack([grey.images] * 3, axis=-1))
  for left, right in zip(colour[1:], grey[1:], strict=True):
    np.testing.assert_array_equal(left, right)


def test_channels_stay_apart():
  """Each channel of an object is resized by itself, and box and ink agree."""
  digits = np.zeros([3, 28, 28, 3], np.uint8)
  for channel in range(3):
    digits[channel, 4:24, 8:20, channel] = 255
  made = scenes.compose(digits, np.arange(3), num_scenes=60, canvas_size=40,
                        counts=(1,), digit_scale=(.5, .5), seed=0)
  assert made.images.shape == (60, 40, 40, 3)
  for image, [box], [label] in zip(
      made.images, made.boxes.astype(int), made.labels, strict=True):
    y, x, height, width = box
    expected = np.zeros([40, 40, 3], np.uint8)
    expected[y:y + height, x:x + width, label] = 255
    assert (height, width) == (10, 6)
    np.testing.assert_array_equal(image, expected)
  assert set(made.labels[:, 0]) == {0, 1, 2}


def test_of_coloured_pixels_the_brighter_one_is_seen():
  """Colours do not mix: (200, 10, 0) hides (40, 150, 90), whoever is first."""
  digits = np.zeros([2, 28, 28, 3], np.uint8)
  digits[0, :12, :12] = 200, 10, 0
  digits[1, :12, :12] = 40, 150, 90
  made = scenes.compose(digits, [0, 1], num_scenes=50, canvas_size=12,
                        counts=(2,), overlap=True, seed=0)
  assert len(np.unique(made.labels, axis=0)) == 4
  for image, labels in zip(made.images, made.labels, strict=True):
    expected = digits[0 if 0 in labels else 1, 0, 0]
    assert (image == expected).all()


@pytest.mark.slow
@pytest.mark.parametrize('changes, fragments', [
    (dict(canvas_size=19), ['--canvas_size=19', 'at least 20', 'digit_scale']),
    (dict(canvas_size=24, digit_scale=(1., 1.5)),
     ['at least 30', '--digit_scale=1,1.5']),
    (dict(counts=(1, 9)), ['--counts=1,9', '--canvas_size=50', '--overlap',
                           '--digit_scale=1,1', '9 digits', '20x16']),
])
def test_flags_that_do_not_fit_together_are_user_errors(changes, fragments):
  flags = dict(num_scenes=100, canvas_size=50, counts=(1,), seed=0)
  with pytest.raises(errors.UserError) as raised:
    scenes.compose(*blocks((20, 16)), **{**flags, **changes})
  for fragment in fragments:
    assert fragment in str(raised.value)
  assert '\n' not in str(raised.value)


def test_blank_digits_are_user_errors():
  digits, labels = blocks((3, 3), (4, 4))
  digits[1] = 0
  with pytest.raises(errors.UserError, match='1 of 2 .* number 1'):
    scenes.compose(digits, labels, num_scenes=1, canvas_size=20, counts=(1,),
                   seed=0)

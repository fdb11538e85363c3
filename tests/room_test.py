"""Objects of which two have no room are refused before the first scene."""

import re

import data_util
import numpy as np
import pytest

from air_tf import errors
from air_tf.data import arrangement
from air_tf.data import scenes as scenes_lib

OBJECTS = np.zeros([3, 28, 28], np.uint8)
OBJECTS[0, :28, :26] = 255
OBJECTS[1, :27, :28] = 255
OBJECTS[2, :9, :28] = 255


def compose(digits=OBJECTS, digit_scale=(1., 1.), **options):
  options = dict(num_scenes=20, canvas_size=50, counts=(0, 2), seed=0) | options
  return scenes_lib.compose(digits, np.zeros(len(digits), int),
                            digit_scale=digit_scale, **options)


def test_the_scale_that_the_error_names_fits_and_a_larger_one_does_not():
  with pytest.raises(errors.UserError) as raised:
    compose(digit_scale=(.6, 1.))
  found = re.search(r'expected --digit_scale=(\S+),(\S+), a larger',
                    str(raised.value))
  low, high = map(float, found.groups())
  assert low == .6
  compose(digit_scale=(high, high))
  data_util.assert_user_error(
      ['do not fit side by side', '--canvas_size=50'],
      lambda: compose(digit_scale=(high, high + .02)))


def test_what_fits_in_one_way_or_may_overlap_or_is_alone_is_taken():
  compose(OBJECTS[2:])  # 28 wide, and one above the other.
  compose(overlap=True)
  compose(counts=(0, 1))
  compose(canvas_size=56)


def test_the_pair_that_takes_most_room():
  sizes = np.array([[28, 26], [27, 28], [9, 28], [9, 28]])
  # min(28 + 28, 26 + 26) = 52; min(27 + 27, 28 + 28) = 54; of both: 54, 55.
  pair = arrangement.pair_without_room(sizes, 50)
  assert sorted(map(tuple, pair)) in ([(27, 28), (27, 28)],
                                      [(27, 28), (28, 26)])
  assert arrangement.pair_without_room(sizes, 54) is None

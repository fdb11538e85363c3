"""Tests of arrangement.py beyond those in scenes_test.py."""

import numpy as np
import pytest

from air_tf.data import arrangement


def arrange(num_scenes, num_objects, canvas_size):
  return arrangement.arrange(
      np.random.default_rng(0), np.full([num_scenes, num_objects, 2], 2),
      np.full(num_scenes, num_objects), canvas_size, overlap=False)


def test_rare_scenes_get_a_thousand_chances():
  # Nine boxes of 2 x 2 must tile 6 x 6: one attempt in 93 does. In 100 attempts
  # a third of the scenes would fail, in 1,000 one of 50,000.
  corners = arrange(20, 9, 6)
  tiles = np.sort(corners[..., 0] * 6 + corners[..., 1], axis=1)
  expected = [y * 6 + x for y in (0, 2, 4) for x in (0, 2, 4)]
  np.testing.assert_array_equal(tiles, [expected] * 20)


@pytest.mark.slow
def test_what_can_never_fit_is_given_up():
  with pytest.raises(arrangement.NoRoomError) as raised:
    arrange(300, 5, 4)
  assert raised.value.args[0] == [[2, 2]] * 5

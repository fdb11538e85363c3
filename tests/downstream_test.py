import dataclasses
import json

import numpy as np
import pytest
import tiny

from air_tf import errors
from air_tf.data import scenes as scenes_lib
from air_tf.studies import downstream


def test_targets_go_from_left_to_right():
  # The left digit comes second in the first two scenes.
  nowhere = [0., 0., 4., 4.]
  right, left = [0., 9., 4., 4.], nowhere
  scenes = scenes_lib.Scenes(
      images=None, counts=None,
      boxes=np.array([[right, left], [right, left], [left, right]]),
      labels=np.array([[7, 2], [2, 7], [5, 5]]))
  found = downstream.targets(scenes)
  assert found['sum'].tolist() == [9, 9, 10]
  assert found['ascending'].tolist() == [1, 0, 0]


def test_the_middle_decides_which_digit_is_left():
  scenes = scenes_lib.Scenes(
      images=None, counts=None, labels=np.array([[1, 2]]),
      boxes=np.array([[[0., 0., 9., 20.], [0., 5., 9., 2.]]]))
  assert downstream.targets(scenes)['ascending'].tolist() == [0]


def test_the_table_has_medians_and_ranges():
  of_task = {'objects': [[.5, .9], [.7, .8], [.6, 1.]], 'chance': .1}
  result = {'num_labels': [50, 1_000], 'sum': of_task,
            'ascending': {'pixels': [[.25, .5]], 'chance': .55}}
  lines = downstream.table(result).splitlines()
  assert lines[0] == '| task | input | 50 | 1,000 |'
  assert lines[2:] == [
      "| sum of the two digits | AIR's objects | .600 (.500 to .700) | "
      '.900 (.800 to 1.000) |',
      '| digits ascend from left to right | pixels, by convolutions | .250 | '
      '.500 |']


def test_runs_on_other_scenes_are_not_compared(tmp_path):
  for name, changes in (('a', {}), ('b', {}), ('c', {'overlap': True})):
    folder = tmp_path / name
    folder.mkdir()
    config = tiny.config(digits='embedded', **changes)
    (folder / 'config.json').write_text(json.dumps(dataclasses.asdict(config)))
  a, b, c = (str(tmp_path / name) for name in 'abc')
  with pytest.raises(errors.UserError, match=f'{c} was trained on other'):
    downstream.run([a, b, c], [50], 10, ['objects'])

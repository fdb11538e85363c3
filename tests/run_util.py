"""What a run leaves in its folder: variables of checkpoints, and events."""

import collections
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from air_tf.training import run_folder


def variables(prefix):
  """Returns the values of all variables of a checkpoint, by name."""
  reader = tf.train.load_checkpoint(str(prefix))
  return {name: np.asarray(reader.get_tensor(name))
          for name in reader.get_variable_to_shape_map()
          if not name.startswith('_CHECKPOINTABLE')}


def last_variables(folder):
  """Returns those of the newest checkpoint of a run."""
  return variables(run_folder.RunFolder(folder).saved()[-1][1])


def assert_same_end(folder, other):
  """Asserts that two runs ended with the same bits."""
  expected, found = last_variables(folder), last_variables(other)
  assert found.keys() == expected.keys()
  for name, value in expected.items():
    np.testing.assert_array_equal(found[name], value, err_msg=name)


class Entry(NamedTuple):
  """A value that TensorBoard shows."""
  step: int
  value: np.ndarray
  description: str


def events(folder):
  """Returns all entries of event files, by (split, tag) and in their order."""
  found = collections.defaultdict(list)
  for path in sorted(folder.rglob('*tfevents*')):
    for event in tf.compat.v1.train.summary_iterator(str(path)):
      for value in event.summary.value:
        found[path.parent.name, value.tag].append(Entry(
            event.step, tf.make_ndarray(value.tensor),
            value.metadata.summary_description))
  return dict(found)

"""The processes of a training run, as `TF_CONFIG` names them."""

import json
import os

from air_tf import errors

__all__ = ['is_chief', 'num_processes', 'read']


def read() -> dict[str, list[str]]:
  """Returns the addresses of all processes, by task type, from `TF_CONFIG`.

  Raises:
    errors.UserError: if the variable is missing or malformed.
  """
  text = os.environ.get('TF_CONFIG', '')
  try:
    value = json.loads(text)
    cluster, task = value['cluster'], value['task']
    _ = cluster[task['type']][task['index']]
    if not set(cluster) <= {'chief', 'worker'} or task['index'] < 0:
      raise KeyError(f'{list(cluster)}')
    return cluster
  except (ValueError, LookupError, TypeError) as error:
    raise errors.UserError(
        f'--distribution_strategy=multi_worker: found TF_CONFIG={text!r} '
        f'({type(error).__name__}: {errors.one_line(error)}); expected '
        '{"cluster": {"worker": ["host:port", ...]}, "task": {"type": '
        '"worker", "index": 0}}, the same in all processes but for the index.'
    ) from error


def num_processes(cluster: dict[str, list[str]]) -> int:
  """Returns the number of processes of all task types together."""
  return sum(map(len, cluster.values()))


def is_chief(cluster: dict[str, list[str]], task_type: str,
             task_id: int) -> bool:
  """Whether a process writes the run folder: the chief, or else worker 0."""
  return task_type == 'chief' or ('chief' not in cluster and task_id == 0)

"""The processes of a training run, as `TF_CONFIG` names them."""

import json
import os
import re
from typing import Any
from typing import NamedTuple

from air_tf import errors

__all__ = ['Cluster', 'is_chief', 'num_processes', 'read', 'split']

_FORM = ('{"cluster": {"worker": ["host:port", ...]}, "task": {"type": '
         '"worker", "index": 0}}, the same in all processes but for the task')
_ADDRESS = re.compile(r'(\[[0-9A-Fa-f:.%]+\]|[\w.-]+):(\d{1,5})', re.ASCII)
_LONGEST = 300  # Characters of the variable that are shown.


class Cluster(NamedTuple):
  """The processes, and which of them this one is.

  Attributes:
    processes: addresses 'host:port' by task type.
    task_type: that of this process, 'chief' or 'worker'.
    index: of this process among those of its type.
  """
  processes: dict[str, list[str]]
  task_type: str
  index: int

  @property
  def addresses(self) -> list[str]:
    """Those of all processes, the chief's first."""
    return [address for kind in sorted(self.processes)
            for address in self.processes[kind]]

  @property
  def rank(self) -> int:
    """Position of this process in `addresses`."""
    before = sum(len(self.processes[kind]) for kind in self.processes
                 if kind < self.task_type)
    return before + self.index


def read() -> Cluster:
  """Returns what `TF_CONFIG` says.

  Raises:
    errors.UserError: if the variable is missing or malformed.
  """
  text = os.environ.get('TF_CONFIG', '')
  try:
    value = json.loads(text)
  except (ValueError, RecursionError) as error:
    raise _refused(text, f'not JSON: {errors.one_line(error)}') from error
  fault = _fault(value)
  if fault:
    raise _refused(text, fault)
  return Cluster(
      value['cluster'], value['task']['type'], value['task']['index'])


def split(address: str) -> tuple[str, int]:
  """Returns the host and the port of 'host:port' or '[host]:port'."""
  host, _, port = address.rpartition(':')
  return host.strip('[]'), int(port)


def num_processes(processes: dict[str, list[str]]) -> int:
  """Returns the number of processes of all task types together."""
  return sum(map(len, processes.values()))


def is_chief(processes: dict[str, list[str]], task_type: str,
             task_id: int) -> bool:
  """Whether a process writes the run folder: the chief, or else worker 0."""
  return task_type == 'chief' or ('chief' not in processes and task_id == 0)


def _refused(text: str, fault: str) -> errors.UserError:
  shown = repr(text)
  if len(shown) > _LONGEST:
    shown = shown[:_LONGEST] + ' ...'
  return errors.UserError(
      f'--distribution_strategy=multi_worker: found TF_CONFIG={shown} '
      f'({fault}); expected {_FORM}.')


def _fault(value: Any) -> str:
  """Returns what is wrong with the value of `TF_CONFIG`; empty if nothing."""
  for name in 'cluster', 'task':
    if not isinstance(value, dict) or not isinstance(value.get(name), dict):
      return f'no object {name!r}'
  return _cluster_fault(value['cluster']) or _task_fault(
      value['task'], value['cluster'])


def _cluster_fault(processes: dict) -> str:
  unknown = set(processes) - {'chief', 'worker'}
  if unknown or not processes:
    return (f'task types {sorted(unknown)}' if unknown else 'no task type') + (
        "; those that share a batch are 'chief' and 'worker'")
  for kind, addresses in processes.items():
    if not isinstance(addresses, list) or not addresses:
      return f'{kind!r} is no list of addresses, or an empty one'
    for i, address in enumerate(addresses):
      fault = _address_fault(address)
      if fault:
        return f'address {i} of {kind!r} is {fault}'
  if len(processes.get('chief', ())) > 1:
    return 'more than one chief'
  every = [x.lower() for addresses in processes.values() for x in addresses]
  twice = sorted({x for x in every if every.count(x) > 1})
  return f'the address {twice[0]} is there twice' if twice else ''


def _address_fault(address: Any) -> str:
  if not isinstance(address, str):
    return f'{json.dumps(address)[:40]}, which is no text "host:port"'
  match = _ADDRESS.fullmatch(address)
  if not match or not 1 <= int(match[2]) <= 65_535:
    return f'{address[:80]!r}, not host:port with a port from 1 to 65535'
  return ''


def _task_fault(task: dict, processes: dict[str, list[str]]) -> str:
  kind, index = task.get('type'), task.get('index')
  if not isinstance(kind, str) or kind not in processes:
    return f"task type {kind!r}, which is not in 'cluster'"
  if type(index) is not int:  # True is an int, too.
    return f'task index {json.dumps(index)[:40]}, which is no whole number'
  if not 0 <= index < len(processes[kind]):
    return (f'task index {index}; {kind!r} has the indices 0 to '
            f'{len(processes[kind]) - 1}')
  return ''

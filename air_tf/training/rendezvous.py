"""Waits until all processes of a training run are there, before TensorFlow.

TensorFlow waits for lost partners in native code, where nothing is said and no
signal is heard. So the processes meet here first: each listens on its own port,
asks all others who they are, and leaves when it knows that all have met all.
Then the port is TensorFlow's. Connections stay open: one ends with its process.
"""

from collections.abc import Mapping
import contextlib
import json
import socket
import threading
import time
from typing import Any
import uuid

from air_tf import errors
from air_tf import progress
from air_tf.training import cluster as cluster_lib
from air_tf.training import connections

__all__ = ['meet']

_FLAG = connections.FLAG
_SECONDS_BETWEEN_ROUNDS = .2
_SECONDS_BETWEEN_LINES = 5.
_CONNECT_SECONDS = 2.
_ANSWER_SECONDS = 10.
_MAX_BYTES = 1 << 16  # Of what a process says about itself.
_STRANGER = 'something else answers there, or an earlier start of this run'


def meet(cluster: cluster_lib.Cluster, flags: Mapping[str, Any],
         seconds: float) -> connections.Partners:
  """Returns as soon as all processes are there and know it of each other.

  Args:
    cluster: all processes, and which is this one.
    flags: what has to be equal in all, as JSON takes it.
    seconds: to wait at most.

  Returns:
    The others, of whom it is known from here on when one ends.

  Raises:
    errors.UserError: if a host is unknown, the own port cannot be used, or
      another process was started with another cluster or other flags.
    errors.WorkerLost: if a process is not there in time.
  """
  for address in cluster.addresses:
    connections.resolve(address)
  meeting = _Meeting(cluster, flags)
  with connections.listening(cluster.addresses[cluster.rank]) as listener:
    threading.Thread(
        target=meeting.answer_all, args=[listener], daemon=True).start()
    _wait(meeting, seconds)
  return meeting.partners()


def _wait(meeting: '_Meeting', seconds: float) -> None:
  started = last_line = time.monotonic()
  while not meeting.is_over():
    passed = time.monotonic() - started
    if passed > seconds:
      raise errors.WorkerLost(
          f'{_FLAG}: waited {progress.duration(passed)} for '
          f'{meeting.missing()}; expected every process of TF_CONFIG to be '
          'started within --wait_seconds of the first. Start them all; a run '
          'resumes from its newest checkpoint.')
    if time.monotonic() - last_line >= _SECONDS_BETWEEN_LINES:
      last_line = time.monotonic()
      progress.status(
          f'Waiting for {meeting.missing()} ({progress.duration(passed)}).')
    time.sleep(_SECONDS_BETWEEN_ROUNDS)


class _Meeting:
  """What a process knows of the others; a thread of its own answers them."""

  def __init__(self, cluster: cluster_lib.Cluster, flags: Mapping[str, Any]):
    self._cluster = cluster
    # As they arrive elsewhere: with lists for tuples.
    self._flags = json.loads(json.dumps(dict(flags)))
    self._name = uuid.uuid4().hex  # Tells this process from its double.
    self._others = [i for i in range(len(cluster.addresses))
                    if i != cluster.rank]
    self._met = set()  # Those that were asked and gave the right answer,
    self._complete = set()  # that have met all, and
    self._told = set()  # that know that this process has met all.
    self._names = {}  # A new one stands for a process started again.
    self._trouble = {}  # What else is known of a missing one.
    self._asked, self._answered = {}, {}  # Last connections, by rank.
    self._fault = None  # Found by the thread.
    self._lock = threading.Lock()

  def is_over(self) -> bool:
    """Asks those that are not known to have met all; whether all have."""
    for i in self._others:
      if i not in self._complete or i not in self._told:
        self._ask(i)
      if self._fault:
        raise self._fault
    return set(self._others) <= self._complete & self._told

  def partners(self) -> connections.Partners:
    """Returns the connections to the others, once all are there."""
    with self._lock:
      return connections.Partners(
          {self._cluster.addresses[rank]: connection
           for rank, connection in self._asked.items()}, self._answered)

  def missing(self) -> str:
    """Returns the addresses of those that are not there, for people."""
    missing = [i for i in self._others if i not in self._met]
    if not missing:
      return 'the others to meet each other'
    return ', '.join(
        self._cluster.addresses[i]
        + (f' ({self._trouble[i]})' if self._trouble.get(i) else '')
        for i in missing)

  def answer_all(self, listener: socket.socket) -> None:
    """Answers whoever connects, until the listener is closed."""
    while True:
      try:
        connection, _ = listener.accept()
      except OSError:
        return
      with connection, contextlib.suppress(OSError, ValueError):
        connection.settimeout(_CONNECT_SECONDS)
        theirs = _receive(connection)
        mine = self._introduction()
        _send(connection, mine)
        with self._lock:
          if self._heard(theirs, mine):
            self._answered[theirs['rank']] = connection.dup()

  def _heard(self, theirs: dict, mine: dict) -> bool:
    """Notes what a process said; whether it is one of the others."""
    rank = theirs.get('rank')
    if rank == self._cluster.rank and theirs['name'] != self._name:
      self._fault = errors.UserError(
          f'{_FLAG}: another process was started as task {self._cluster.index} '
          f'of {self._cluster.task_type!r}; expected each index once.')
      return False
    if rank not in self._others:
      return False
    try:
      self._check(rank, theirs)
    except errors.UserError as error:
      self._fault = error
      return False
    self._note(rank, theirs, mine)
    return True

  def _note(self, rank: int, theirs: dict, mine: dict) -> None:
    if self._names.setdefault(rank, theirs['name']) != theirs['name']:
      self._names[rank] = theirs['name']
      for known in self._met, self._complete, self._told:
        known.discard(rank)
    if theirs['complete']:
      self._complete.add(rank)
    if mine['complete']:
      self._told.add(rank)

  def _ask(self, rank: int) -> None:
    address = self._cluster.addresses[rank]
    mine = self._introduction()
    try:
      with socket.create_connection(
          cluster_lib.split(address), _CONNECT_SECONDS) as connection:
        connection.settimeout(_ANSWER_SECONDS)
        _send(connection, mine)
        theirs = _receive(connection)
        kept = connection.dup()
    except (OSError, ValueError) as error:
      self._note_failure(rank, error, mine)
      return
    self._check(rank, theirs)
    with self._lock:
      self._note(rank, theirs, mine)
      self._met.add(rank)
      self._asked[rank] = kept

  def _note_failure(self, rank: int, error: Exception, mine: dict) -> None:
    if isinstance(error, ConnectionRefusedError):
      self._trouble[rank] = ''  # Not started yet.
    elif isinstance(error, TimeoutError):
      self._trouble[rank] = 'no answer'
      self._asked.pop(rank, None)  # It may have got a new one in its place.
    else:
      self._trouble[rank] = getattr(error, 'strerror', None) or _STRANGER
    with self._lock:
      if rank in self._complete and mine['complete']:
        self._told.add(rank)  # It has left: it knew all that it needs to.

  def _introduction(self) -> dict:
    return {'air_tf': 1, 'name': self._name, 'rank': self._cluster.rank,
            'cluster': self._cluster.processes, 'flags': self._flags,
            'complete': self._met >= set(self._others)}

  def _check(self, rank: int, theirs: dict) -> None:
    """Raises `UserError` unless a process is the one that is expected."""
    address = self._cluster.addresses[rank]
    if theirs['cluster'] != self._cluster.processes:
      raise errors.UserError(
          f'{_FLAG}: the process at {address} was started with the cluster '
          f'{json.dumps(theirs["cluster"])[:200]}, this one with '
          f'{json.dumps(self._cluster.processes)[:200]}; expected the same in '
          'TF_CONFIG of all processes.')
    if theirs['rank'] != rank:
      what = ('this process itself' if theirs['name'] == self._name
              else f'process {theirs["rank"]}')
      raise errors.UserError(
          f'{_FLAG}: {what} answers at {address}, where process {rank} of '
          'TF_CONFIG was expected; give each process an index and an address '
          'of its own.')
    differences = [
        f'--{name} is {json.dumps(theirs["flags"].get(name))[:80]} there and '
        f'{json.dumps(self._flags.get(name))[:80]} here'
        for name in sorted({*theirs['flags'], *self._flags})
        if theirs['flags'].get(name) != self._flags.get(name)]
    if differences:
      raise errors.UserError(
          f'{_FLAG}: the process at {address} was started with other flags: '
          f'{"; ".join(differences)[:800]}. Give all the same.')


def _send(connection: socket.socket, message: dict) -> None:
  connection.sendall(json.dumps(message).encode() + b'\n')


def _receive(connection: socket.socket) -> dict:
  """Returns what a process says of itself; raises `ValueError` for others."""
  deadline = time.monotonic() + _ANSWER_SECONDS
  data = b''
  while not data.endswith(b'\n'):
    part = connection.recv(4096)
    data += part
    if (not part or len(data) > _MAX_BYTES or time.monotonic() > deadline
        or not data.startswith(b'{')):
      raise ValueError('not a process of this program')
  try:
    message = json.loads(data)
  except RecursionError as error:
    raise ValueError('not a process of this program') from error
  kinds = {'air_tf': int, 'name': str, 'rank': int, 'cluster': dict,
           'flags': dict, 'complete': bool}
  if any(type(message.get(name)) is not kind for name, kind in kinds.items()):
    raise ValueError('not a process of this program')
  return message

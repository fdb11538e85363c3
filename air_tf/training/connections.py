"""Sockets of the processes of a training run: to meet on, and to notice an end.
"""

from collections.abc import Iterator
from collections.abc import Mapping
import contextlib
import errno
import select
import socket
import time

from air_tf import errors
from air_tf.training import cluster as cluster_lib

__all__ = ['FLAG', 'Partners', 'listening', 'resolve']

FLAG = '--distribution_strategy=multi_worker'


class Partners:
  """Connections between processes that have met, which end with these."""

  def __init__(self, asked: Mapping[str, socket.socket],
               answered: Mapping[int, socket.socket]):
    """Takes one connection to each address, and those that others hold."""
    self._asked = dict(asked)
    self._answered = answered  # Open as long as this object is there.

  def require_all(self, seconds: float, deadline: float) -> None:
    """Waits so many seconds at most.

    Raises:
      errors.WorkerLost: if a process has ended, or `time.monotonic()` is past
        the deadline.
    """
    ended = select.select(list(self._asked.values()), [], [], seconds)[0]
    lost = [x for x, one in self._asked.items() if one in ended]
    if lost or time.monotonic() > deadline:
      raise errors.WorkerLost(
          f'{FLAG}: '
          + (f'the process at {lost[0]} ended' if lost
             else 'too much time passed')
          + ' while all joined; nothing was begun. Start them all again: a run '
          'resumes from its newest checkpoint.')


def resolve(address: str) -> None:
  """Raises `errors.UserError` if the host of an address is unknown."""
  host, port = cluster_lib.split(address)
  try:
    socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
  except (OSError, UnicodeError) as error:
    reason = getattr(error, 'strerror', None) or errors.one_line(error)
    raise errors.UserError(
        f'{FLAG}: the host of {address} in TF_CONFIG is not known '
        f'({reason}); expected a name or an IP address that this machine can '
        'resolve.') from error


@contextlib.contextmanager
def listening(address: str) -> Iterator[socket.socket]:
  """Listens on the port of an address, on all interfaces as TensorFlow does.

  Raises:
    errors.UserError: if the port is in use, or cannot be used.
  """
  host, port = cluster_lib.split(address)
  try:
    listener = _listener(port)
  except OSError as error:
    what = ('is in use: by another program, or by this process started twice'
            if error.errno == errno.EADDRINUSE
            else f'cannot be used ({error.strerror})')
    raise errors.UserError(
        f'{FLAG}: port {port} of {host} {what}; expected the address of this '
        'process in TF_CONFIG to be free. Give another port, in all '
        'processes.') from error
  try:
    yield listener
  finally:
    with contextlib.suppress(OSError):
      listener.shutdown(socket.SHUT_RDWR)  # Wakes the thread that accepts.
    listener.close()


def _listener(port: int) -> socket.socket:
  if socket.has_dualstack_ipv6():
    try:
      return socket.create_server(
          ('', port), family=socket.AF_INET6, dualstack_ipv6=True)
    except OSError as error:
      if error.errno == errno.EADDRINUSE:
        raise
  return socket.create_server(('', port))  # IPv6 may be turned off.

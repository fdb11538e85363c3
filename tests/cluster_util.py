"""Clusters on the loopback interface."""

import fcntl
import json
import os
import pathlib
import socket
import tempfile

# The first port that the system may give to whoever asks for any.
_EPHEMERAL = pathlib.Path('/proc/sys/net/ipv4/ip_local_port_range')
# Which port is next, for all processes of all tests of this user.
_COUNTER = pathlib.Path(
    tempfile.gettempdir(), f'air-tf-test-ports-{os.getuid()}')


def free_ports(number):
  """Returns ports that nobody listens on, nor will be given by chance.

  Each call gives other ones: who closed a port may have connections left.
  """
  end = first_ephemeral()
  known, found = range(end // 2, end), []
  with open(_COUNTER, 'a+') as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    file.seek(0)
    start = int(file.read() or 0)
    for given in range(start, start + len(known)):
      if len(found) == number:
        break
      port = known[given % len(known)]
      if _is_free(port):
        found.append(port)
    file.truncate(0)
    file.write(str(given))
  assert len(found) == number, 'too few ports are free'
  return found


def first_ephemeral():
  try:
    return int(_EPHEMERAL.read_text().split()[0])
  except OSError:
    return 32_768


def _is_free(port):
  with socket.socket() as one:
    try:
      one.bind(('', port))
    except OSError:
      return False
  return True


def tf_config(ports, index=0, kind='worker'):
  """Returns `TF_CONFIG` of a process; a port may be an address, too."""
  addresses = [f'127.0.0.1:{port}' if isinstance(port, int) else port
               for port in ports]
  return json.dumps({'cluster': {'worker': addresses},
                     'task': {'type': kind, 'index': index}})

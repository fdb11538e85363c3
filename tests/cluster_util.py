"""Clusters on the loopback interface."""

import json
import socket


def free_ports(number):
  sockets = [socket.socket() for _ in range(number)]
  for one in sockets:
    one.bind(('127.0.0.1', 0))
  ports = [one.getsockname()[1] for one in sockets]
  for one in sockets:
    one.close()
  return ports


def tf_config(ports, index=0, kind='worker'):
  """Returns `TF_CONFIG` of a process; a port may be an address, too."""
  addresses = [f'127.0.0.1:{port}' if isinstance(port, int) else port
               for port in ports]
  return json.dumps({'cluster': {'worker': addresses},
                     'task': {'type': kind, 'index': index}})

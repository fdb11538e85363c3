"""Processes that wait for each other, here as threads and as processes."""

import concurrent.futures
import json
import math
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import cluster_util
import pytest
import scripts

from air_tf import errors
from air_tf import progress
from air_tf.training import cluster as cluster_lib
from air_tf.training import rendezvous

pytestmark = pytest.mark.slow

FLAGS = {'batch_size': 4, 'counts': (0, 1)}


def process(ports, index=0):
  value = json.loads(cluster_util.tf_config(ports, index))
  return cluster_lib.Cluster(value['cluster'], 'worker', index)


def test_free_ports_are_given_once_and_none_in_use(monkeypatch, tmp_path):
  counter = tmp_path / 'counter'
  monkeypatch.setattr(cluster_util, '_COUNTER', counter)
  counter.write_text('9000')  # Where no other test is.
  ports = cluster_util.free_ports(3)
  counter.write_text('9000')
  with socket.create_server(('127.0.0.1', ports[1])):
    others = cluster_util.free_ports(2)
  assert others == [ports[0], ports[2]]
  following = cluster_util.free_ports(1)
  assert ports[2] < following[0] < cluster_util.first_ephemeral()


def meet_all(*calls):
  """Calls `meet` with each of the arguments at once; returns the outcomes."""
  def call(arguments):
    try:
      return rendezvous.meet(*arguments)
    except (errors.UserError, errors.WorkerLost) as error:
      return error

  with concurrent.futures.ThreadPoolExecutor(len(calls)) as pool:
    return list(pool.map(call, calls))


@pytest.mark.parametrize('number', [1, 2, 5])
def test_all_leave_when_all_are_there(number):
  ports = cluster_util.free_ports(number)
  outcomes = meet_all(*(
      (process(ports, i), FLAGS, 20.) for i in range(number)))
  for port in ports:  # Each is TensorFlow's now.
    socket.create_server(('', port)).close()
  for outcome in outcomes:
    outcome.require_all(0., deadline=math.inf)
  ended = ports[0]
  del outcomes[0]  # And with it its connections.
  for outcome in outcomes:
    with pytest.raises(errors.WorkerLost, match=f':{ended} ended while all'):
      outcome.require_all(5., deadline=math.inf)


def test_nobody_leaves_before_the_last_is_there():
  ports = cluster_util.free_ports(3)
  left = []

  def meet(index):
    rendezvous.meet(process(ports, index), FLAGS, 20.)
    left.append(index)

  threads = [threading.Thread(target=meet, args=[i]) for i in range(3)]
  threads[0].start()
  threads[1].start()
  time.sleep(1.)
  assert not left
  threads[2].start()
  for thread in threads:
    thread.join(20.)
  assert sorted(left) == [0, 1, 2]


class InStep(threading.local):
  """A clock of each of some threads, which moves when they all sleep."""
  now = 0.

  def __init__(self, barrier):
    self._barrier = barrier

  def monotonic(self):
    return self.now

  def sleep(self, seconds):
    self._barrier.wait()
    self.now += seconds


def test_who_is_missing_is_said_until_the_time_is_over(monkeypatch):
  monkeypatch.setattr(rendezvous, 'time', InStep(
      threading.Barrier(2, timeout=60.)))
  lines = []
  monkeypatch.setattr(progress, 'status', lines.append)
  ports = cluster_util.free_ports(3)
  first, second = meet_all(*(
      (process(ports, i), FLAGS, 12.) for i in range(2)))
  missing = f'127.0.0.1:{ports[2]}'
  for outcome in first, second:
    assert type(outcome) is errors.WorkerLost and outcome.exit_code == 75
    assert f'waited 12 s for {missing};' in str(outcome)
    assert '--wait_seconds' in str(outcome)
  assert sorted(lines) == sorted(2 * [
      f'Waiting for {missing} ({seconds} s).' for seconds in (5, 10)])


@pytest.mark.parametrize('answer', [b'HTTP/1.1 400 Bad Request\r\n\r\n', b'',
                                    b'{"air_tf": 1}\n', b'{' + b'[' * 60_000])
def test_a_stranger_on_a_port_is_said(answer):
  with socket.create_server(('127.0.0.1', 0)) as stranger:
    def serve():
      while True:
        try:
          connection, _ = stranger.accept()
        except OSError:
          return
        with connection:
          connection.recv(1 << 16)
          connection.sendall(answer)

    threading.Thread(target=serve, daemon=True).start()
    port, = cluster_util.free_ports(1)
    other = stranger.getsockname()[1]
    outcome, = meet_all((process([port, other]), FLAGS, 1.))
    stranger.shutdown(socket.SHUT_RDWR)
  assert type(outcome) is errors.WorkerLost
  assert f'127.0.0.1:{other} (something else answers there' in str(outcome)


def test_strangers_who_connect_do_no_harm():
  ports = cluster_util.free_ports(2)

  def connect():
    deadline = time.monotonic() + 20.
    while True:
      try:
        return socket.create_connection(('127.0.0.1', ports[0]))
      except ConnectionRefusedError:  # It does not listen yet.
        assert time.monotonic() < deadline
        time.sleep(.01)

  def disturb():
    for text in (b'', b'GET / HTTP/1.1\r\n\r\n', b'{}\n', b'{"rank": []}\n',
                 b'\xff' * 100, b'{"air_tf": 1, "name": "x", "rank": 1, '
                 b'"cluster": {}, "flags": {}}\n'):
      with connect() as connection:
        connection.sendall(text)

  with concurrent.futures.ThreadPoolExecutor(1) as pool:
    first = pool.submit(rendezvous.meet, process(ports), FLAGS, 20.)
    disturb()
    second, = meet_all((process(ports, 1), FLAGS, 20.))
    for partners in second, first.result():
      partners.require_all(0., deadline=math.inf)


def test_other_flags_are_refused_in_both():
  ports = cluster_util.free_ports(2)
  here, there = meet_all((process(ports), FLAGS, 20.),
                         (process(ports, 1), FLAGS | {'batch_size': 8}, 20.))
  for outcome in here, there:
    assert type(outcome) is errors.UserError
  assert '--batch_size is 8 there and 4 here' in str(here) or (
      '--batch_size is 4 there and 8 here' in str(there))


def test_another_cluster_is_refused():
  first, second, third = cluster_util.free_ports(3)
  outcomes = meet_all((process([first, second, third]), FLAGS, 5.),
                      (process([first, second], 1), FLAGS, 5.))
  assert any('was started with the cluster' in str(x) for x in outcomes)
  assert {type(x) for x in outcomes} == {errors.UserError}


def test_an_index_twice_is_refused_here_and_on_another_host():
  ports = cluster_util.free_ports(2)
  one, other = meet_all((process(ports), FLAGS, 2.),
                        (process(ports), FLAGS, 2.))
  refused, waiting = sorted((one, other), key=lambda x: x.exit_code)
  assert f'port {ports[0]} of 127.0.0.1 is in use' in str(refused)
  assert type(waiting) is errors.WorkerLost
  # As if a second host had been given the index of the first, too: what answers
  # at the second address says that it is the first.
  own, = cluster_util.free_ports(1)
  double, = meet_all((process([own, f'localhost:{own}'], 0), FLAGS, 5.))
  assert 'this process itself answers at localhost' in str(double)


@pytest.mark.parametrize('host', ['no-such-host', 'x' * 70])
def test_an_unknown_host_is_refused_at_once(host, monkeypatch):
  def look_up(asked, *arguments, real=socket.getaddrinfo, **options):
    if asked == host:  # As a resolver without such a host.
      asked.encode('idna')  # Which may be an error of its own.
      raise socket.gaierror(socket.EAI_NONAME, 'Name or service not known')
    return real(asked, *arguments, **options)

  monkeypatch.setattr(socket, 'getaddrinfo', look_up)
  monkeypatch.setattr(
      rendezvous, '_wait', lambda *_: pytest.fail('it waits for the host'))
  port, = cluster_util.free_ports(1)
  outcome, = meet_all((process([port, f'{host}:2222']), FLAGS, 60.))
  assert type(outcome) is errors.UserError and 'is not known' in str(outcome)


@pytest.mark.parametrize('address', ['', '127.0.0.1'])
def test_a_port_in_use_is_refused(address):
  with socket.create_server((address, 0)) as server:
    port = server.getsockname()[1]
    outcome, = meet_all((process([port, 'localhost:1']), FLAGS, 60.))
  assert type(outcome) is errors.UserError
  assert f'port {port} of 127.0.0.1 is in use' in str(outcome)


_WAITS = '''
import json, sys
from absl import logging
from air_tf import cli
from air_tf.training import cluster, rendezvous, signals

def main(arguments):
  with signals.raised('stopped while waiting.'):
    rendezvous.meet(cluster.read(), {}, 60.)

rendezvous._SECONDS_BETWEEN_LINES = .1
cli.run(main)
'''


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_waiting_at_once(number):
  ports = cluster_util.free_ports(2)
  waiting = subprocess.Popen(
      [sys.executable, '-c', _WAITS], text=True, stderr=subprocess.PIPE,
      env=scripts.ENVIRONMENT | {'TF_CONFIG': cluster_util.tf_config(ports)})
  line = waiting.stderr.readline()
  assert line.startswith(f'Waiting for 127.0.0.1:{ports[1]} ('), line
  os.kill(waiting.pid, number)
  _, error = waiting.communicate(timeout=20)
  assert waiting.returncode == 128 + number
  assert 'Traceback' not in error
  assert f'{number.name}: stopped while waiting.' in error.splitlines()[-1]

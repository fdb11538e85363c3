"""Runs the real scripts as processes that need not import TensorFlow first.

A server imports the libraries once and forks a child for each script (as the
standard library's forkserver does), which saves seconds each time. The child is
a process as any: it has flags, signals, output and an exit code of its own.
What depends on a fresh interpreter (import time, TensorFlow's own messages)
asks for `fresh=True`.
"""

import atexit
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

ROOT = pathlib.Path(__file__).parent.parent
ENVIRONMENT = os.environ | {
    'TF_CPP_MIN_LOG_LEVEL': '3', 'CUDA_VISIBLE_DEVICES': '-1',
    'PYTHONPATH': os.pathsep.join(
        [str(ROOT), *filter(None, [os.environ.get('PYTHONPATH')])])}
# Where the server listens; children of the process that started it inherit it.
_ADDRESS = 'AIR_TF_TEST_SCRIPTS'
# The server takes one request per connection, a line, and answers with the
# child's pid; an exit code goes to a file. Finished children are collected in
# between. It ends with its standard input.
_SERVER = '''
import gc, json, os, select, signal, socket, sys
import air_tf.experiment, air_tf.run, air_tf.studies.run_figures  # And theirs.

def serve(listener):
  """Returns the request in a child, None when nobody asks any more."""
  exit_files = {}
  while True:
    ready, _, _ = select.select(
        [0, listener], [], [], .02 if exit_files else None)
    for pid in list(exit_files):
      ended, status = os.waitpid(pid, os.WNOHANG)
      if ended:
        path = exit_files.pop(pid)
        with open(path + '.part', 'w') as file:
          file.write(str(os.waitstatus_to_exitcode(status)))
        os.rename(path + '.part', path)
    if 0 in ready:
      return None
    if not ready:
      continue
    asked = listener.accept()[0]
    with asked, asked.makefile('rw') as lines:
      request = json.loads(lines.readline())
      pid = os.fork()
      if pid == 0:
        listener.close()
        return request
      exit_files[pid] = request['folder'] + '/exit_code'
      lines.write(f'{pid}\\n')

gc.freeze()  # Children need not walk through all of this when they end.
request = serve(socket.socket(fileno=int(sys.argv[1])))
if request is not None:
  for number, (name, flags) in enumerate([
      (os.devnull, os.O_RDONLY),
      (request['folder'] + '/stdout', os.O_WRONLY | os.O_CREAT),
      (request['folder'] + '/stderr', os.O_WRONLY | os.O_CREAT)]):
    os.dup2(os.open(name, flags), number)
  os.environ.update(request['environment'])
  sys.argv = request['arguments']
  import tensorflow as tf  # As `_plain_graphs` in conftest.py.
  tf.config.optimizer.set_experimental_options({'disable_meta_optimizer': True})
  exec(request['before'])
  import runpy
  sys.path[0] = os.path.dirname(sys.argv[0])
  runpy.run_path(sys.argv[0], run_name='__main__')
'''


# Executed before a script: it does not compile what it does a few times only.
EAGER = """
import tensorflow as tf
tf.config.run_functions_eagerly(True)
"""


class Ended(NamedTuple):
  """As `subprocess.CompletedProcess`."""
  returncode: int
  stdout: str
  stderr: str


class Process:
  """A running script; a small part of `subprocess.Popen`."""

  def __init__(self, script, *arguments, environment=None, before=''):
    """Starts a script.

    Args:
      script: path below the project's root.
      *arguments: of the command line, as anything that `str` takes.
      environment: variables beside those of `ENVIRONMENT`.
      before: Python source that the process executes before the script.
    """
    self._folder = pathlib.Path(tempfile.mkdtemp(prefix='script-'))
    for name in ('stdout', 'stderr'):  # It may be killed before it writes.
      (self._folder / name).touch()
    self.pid = _fork({
        'folder': str(self._folder), 'before': before,
        'environment': environment or {},
        'arguments': [str(ROOT / script), *map(str, arguments)]})

  def poll(self):
    """Returns the exit code, or None as long as the process runs."""
    path = self._folder / 'exit_code'
    return int(path.read_text()) if path.exists() else None

  def kill(self):
    os.kill(self.pid, signal.SIGKILL)

  def wait(self, timeout=300.) -> Ended:
    deadline = time.monotonic() + timeout
    while (code := self.poll()) is None:
      if time.monotonic() > deadline:
        self.kill()
        raise TimeoutError(f'still running after {timeout} s: {self._read()}')
      time.sleep(.01)
    return Ended(code, *self._read())

  def _read(self):
    return [(self._folder / name).read_text() for name in ('stdout', 'stderr')]


def run(script, *arguments, fresh=False, **options) -> Ended:
  """Runs a script to its end.

  Args:
    script: path below the project's root.
    *arguments: of the command line.
    fresh: whether in a new interpreter.
    **options: of `Process`.
  """
  if not fresh:
    return Process(script, *arguments, **options).wait()
  ended = subprocess.run(
      [sys.executable, str(ROOT / script), *map(str, arguments)],
      capture_output=True, text=True, env=ENVIRONMENT, timeout=300)
  return Ended(ended.returncode, ended.stdout, ended.stderr)


def succeed(script, *arguments, code=0, **options) -> Ended:
  """As `run`, of a script in bin/ that ends with `code` and no traceback."""
  ended = run(f'bin/{script}', *arguments, **options)
  assert ended.returncode == code, ended.stderr
  assert 'Traceback' not in ended.stderr
  return ended


def result(script, *arguments, **options):
  """As `succeed`; returns the last line on standard output, from JSON."""
  ended = succeed(script, *arguments, **options)
  return json.loads(ended.stdout.splitlines()[-1])


def _fork(request):
  """Returns the pid of a child that runs a script."""
  start_server()
  with socket.socket(socket.AF_UNIX) as asking:
    asking.connect(os.environ[_ADDRESS])
    with asking.makefile('rw') as lines:
      lines.write(json.dumps(request) + '\n')
      lines.flush()
      return int(lines.readline())


def start_server():
  """Starts the server, but for one that the parent process has started."""
  if _ADDRESS in os.environ:
    return
  folder = tempfile.mkdtemp(prefix='scripts-')
  os.environ[_ADDRESS] = os.path.join(folder, 'server')
  with socket.socket(socket.AF_UNIX) as listener:
    listener.bind(os.environ[_ADDRESS])
    listener.listen(100)
    server = subprocess.Popen(
        [sys.executable, '-c', _SERVER, str(listener.fileno())],
        env=ENVIRONMENT | {_ADDRESS: os.environ[_ADDRESS]},
        stdin=subprocess.PIPE, pass_fds=[listener.fileno()],
        stderr=open(os.path.join(folder, 'log'), 'w'))
  atexit.register(server.wait)  # Then what it took is known.
  atexit.register(server.stdin.close)  # Which ends it.

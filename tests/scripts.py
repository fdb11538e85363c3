"""Runs the real scripts as processes that need not import TensorFlow first.

A server imports the libraries once and forks a child for each script (as the
standard library's forkserver does), which saves seconds each time. The child is
a process as any: it has flags, signals, output and an exit code of its own.
What depends on a fresh interpreter (import time, TensorFlow's own messages)
asks for `fresh=True`.
"""

import atexit
import functools
import json
import os
import pathlib
import signal
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
# The server waits for a request a line, and answers with the child's pid; an
# exit code goes to a file. Finished children are collected in between.
_SERVER = '''
import gc, json, os, select, signal, sys
import air_tf.experiment, air_tf.run, air_tf.studies.run_figures  # And theirs.

def serve():
  """Returns the request in a child, None when nobody asks any more."""
  exit_files = {}
  while True:
    ready, _, _ = select.select([0], [], [], .02 if exit_files else None)
    for pid in list(exit_files):
      ended, status = os.waitpid(pid, os.WNOHANG)
      if ended:
        path = exit_files.pop(pid)
        with open(path + '.part', 'w') as file:
          file.write(str(os.waitstatus_to_exitcode(status)))
        os.rename(path + '.part', path)
    if not ready:
      continue
    request = b''
    while not request.endswith(b'\\n'):
      byte = os.read(0, 1)
      if not byte:
        return None
      request += byte
    request = json.loads(request)
    pid = os.fork()
    if pid == 0:
      return request
    exit_files[pid] = request['folder'] + '/exit_code'
    os.write(1, b'%d\\n' % pid)

gc.freeze()  # Children need not walk through all of this when they end.
request = serve()
if request is not None:
  for number, (name, flags) in enumerate([
      (os.devnull, os.O_RDONLY),
      (request['folder'] + '/stdout', os.O_WRONLY | os.O_CREAT),
      (request['folder'] + '/stderr', os.O_WRONLY | os.O_CREAT)]):
    os.dup2(os.open(name, flags), number)
  os.environ.update(request['environment'])
  sys.argv = request['arguments']
  exec(request['before'])
  import runpy
  sys.path[0] = os.path.dirname(sys.argv[0])
  runpy.run_path(sys.argv[0], run_name='__main__')
'''


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
    server = _server()
    server.stdin.write(json.dumps({
        'folder': str(self._folder), 'before': before,
        'environment': environment or {},
        'arguments': [str(ROOT / script), *map(str, arguments)]}) + '\n')
    server.stdin.flush()
    self.pid = int(server.stdout.readline())

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


@functools.cache
def _server():
  server = subprocess.Popen(
      [sys.executable, '-c', _SERVER], text=True, env=ENVIRONMENT,
      stdin=subprocess.PIPE, stdout=subprocess.PIPE)
  atexit.register(server.stdin.close)  # Which ends it.
  return server

"""Runs tests in processes that are forked from one that has imported all.

Collecting imports TensorFlow, once; its runtime has no threads yet, so that
the process can be forked. Each child runs one group of tests (the marker
`group`, or the file), reports to its parent, and gives its memory back when it
ends. What fixtures and compiled functions share, they share within a group.

`--jobs=0` runs all tests in this process, as a debugger needs it.
"""

import gc
import multiprocessing
from multiprocessing import connection as connection_lib
import os
import signal
import sys
import warnings

import pytest

_STARTED_BY = []  # The first test file that started TensorFlow's runtime.


def pytest_addoption(parser):
  parser.addoption(
      '--jobs', type=int, default=len(os.sched_getaffinity(0)), metavar='N',
      help='processes that run tests at a time; 0: run them in this one')


def pytest_configure(config):
  config.addinivalue_line(
      'markers', 'group(name): tests that share a process; else the file does')


@pytest.hookimpl(tryfirst=True)
def pytest_runtestloop(session):
  """Takes the place of pytest's loop, which stays that of `--jobs=0`."""
  option = session.config.option
  if not option.jobs or option.usepdb or option.collectonly:
    return None
  if session.testsfailed and not option.continue_on_collection_errors:
    raise session.Interrupted(f'{session.testsfailed} errors while collecting')
  _require_no_runtime()
  session.config._tmp_path_factory.getbasetemp()  # One for all children.
  gc.freeze()  # They need not walk through all that is imported.
  _Loop(session).run(groups(session.items), option.jobs)
  return True


def groups(items):
  """Lists of items that share a process, in the order of their first."""
  found = {}
  for item in items:
    mark = item.get_closest_marker('group')
    found.setdefault(mark.args[0] if mark else item.path.stem, []).append(item)
  return list(found.values())


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
  """Finds the test file that starts TensorFlow's runtime."""
  report = yield
  if not _STARTED_BY and _has_runtime():
    _STARTED_BY.append(collector.nodeid)
  return report


def _has_runtime():
  context = sys.modules.get('tensorflow.python.eager.context')
  return bool(context and context._context and context._context._initialized)


def _require_no_runtime():
  if _has_runtime():
    raise pytest.UsageError(
        f'{"".join(_STARTED_BY)} called TensorFlow while it was imported, and '
        'a process that runs TensorFlow cannot be forked. Call it in a '
        'function (`functools.cache` keeps the result) or a fixture.')


class _Loop:
  """Keeps some children at work and passes their reports to pytest."""

  def __init__(self, session):
    self._session, self._children = session, {}

  def run(self, waiting, jobs):
    try:
      while waiting or self._children:
        while waiting and len(self._children) < jobs:
          self._start(waiting.pop(0))
        for connection in connection_lib.wait(list(self._children)):
          try:
            self._receive(*connection.recv(), child=self._children[connection])
          except EOFError:
            left = self._end(connection)
            if left:
              waiting.insert(0, left)
        if self._session.shouldfail:
          raise self._session.Failed(self._session.shouldfail)
        if self._session.shouldstop:
          raise self._session.Interrupted(self._session.shouldstop)
    finally:
      for child in self._children.values():
        os.kill(child.pid, signal.SIGKILL)
        os.waitpid(child.pid, 0)

  def _start(self, items):
    ours, theirs = multiprocessing.Pipe(duplex=False)
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if not pid:
      status = 1
      try:
        ours.close()
        _run(self._session, items, theirs)
        status = 0
      finally:
        os._exit(status)
    theirs.close()
    self._children[ours] = _Child(pid, items)

  def _receive(self, kind, value, *, child):
    config = self._session.config
    if kind == 'warning':  # Also after the last test.
      config.hook.pytest_warning_recorded.call_historic(kwargs=value)
      return
    item = child.items[child.ended]
    if kind == 'start':
      item.ihook.pytest_runtest_logstart(
          nodeid=item.nodeid, location=item.location)
    elif kind == 'report':
      item.ihook.pytest_runtest_logreport(
          report=config.hook.pytest_report_from_serializable(
              config=config, data=value))
    elif kind == 'finish':
      item.ihook.pytest_runtest_logfinish(
          nodeid=item.nodeid, location=item.location)
      child.ended += 1

  def _end(self, connection):
    """Returns the tests that a child that died has left."""
    child = self._children.pop(connection)
    connection.close()
    code = os.waitstatus_to_exitcode(os.waitpid(child.pid, 0)[1])
    if child.ended == len(child.items):
      return []
    item = child.items[child.ended]
    item.ihook.pytest_runtest_logreport(report=pytest.TestReport(
        nodeid=item.nodeid, location=item.location, keywords={}, when='call',
        outcome='failed',
        longrepr=f'The process of the test ended with exit code {code}.'))
    return child.items[child.ended + 1:]


class _Child:

  def __init__(self, pid, items):
    self.pid, self.items = pid, items
    self.ended = 0  # Tests of it.


def _run(session, items, connection):
  """Runs tests in a child."""
  config = session.config
  capture = config.pluginmanager.getplugin('capturemanager')
  if capture.is_globally_capturing():  # To files that it shares with others.
    capture.read_global_capture()  # Or it would be shown now.
    capture.stop_global_capturing()
    capture.start_global_capturing()
  config.pluginmanager.unregister(name='terminalreporter')
  sender = _Sender(config, connection)
  config.pluginmanager.register(sender)  # It is told all earlier warnings.
  sender.ready = True
  for item, following in zip(items, [*items[1:], None]):
    config.hook.pytest_runtest_protocol(item=item, nextitem=following)


class _Sender:
  """A plugin that passes on what the terminal would show."""

  def __init__(self, config, connection):
    self._config, self.ready = config, False
    self._send = lambda *message: connection.send(message)

  def pytest_runtest_logstart(self):
    self._send('start', None)

  def pytest_runtest_logreport(self, report):
    self._send('report', self._config.hook.pytest_report_to_serializable(
        config=self._config, report=report))

  def pytest_runtest_logfinish(self):
    self._send('finish', None)

  def pytest_warning_recorded(self, warning_message, when, nodeid, location):
    if not self.ready:
      return
    message = warnings.WarningMessage(  # What it is about need not pickle.
        str(warning_message.message), warning_message.category,
        warning_message.filename, warning_message.lineno)
    self._send('warning', dict(
        warning_message=message, when=when, nodeid=nodeid, location=location))

"""The loop over processes, on test files of its own."""

import os
import subprocess
import sys

import pytest
import scripts

pytestmark = pytest.mark.slow
_FILES = {
    'one_test.py': '''
import os, signal, warnings
import pytest

pids = set()

def test_good():
  pids.add(os.getpid())

def test_bad():
  print('what it printed')
  assert 1 == 2

def test_crash():
  os.kill(os.getpid(), signal.SIGKILL)

def test_after(capfd):
  os.system('echo a child')
  assert capfd.readouterr().out == 'a child\\n'
  warnings.warn('take care')

@pytest.fixture(scope='module')
def broken():
  raise RuntimeError('no fixture')

def test_error(broken):
  pass

@pytest.mark.skip
def test_skipped():
  pass
''',
    'two_test.py': '''
import os
import pytest


pids = set()

def test_alone():
  pids.add(os.getpid())

@pytest.mark.group('other')
def test_grouped():
  assert os.getpid() not in pids and not pids

def test_together():
  assert pids == {os.getpid()}
'''}


def run(folder, *arguments):
  for name, text in _FILES.items():
    (folder / name).write_text(text)
  return subprocess.run(
      [sys.executable, '-m', 'pytest', '-p', 'forking', '-c', os.devnull,
       '--rootdir', folder, '-p', 'no:cacheprovider', '-o',
       'python_files=*_test.py', *arguments, folder],
      capture_output=True, text=True, cwd=folder, env=scripts.ENVIRONMENT | {
          'PYTHONPATH': str(scripts.ROOT / 'tests')})


@pytest.mark.parametrize('jobs', [1, 2])
def test_everything_is_reported_and_files_share_nothing(jobs, tmp_path):
  ended = run(tmp_path, f'--jobs={jobs}')
  assert ended.returncode == 1
  for text in (
      'what it printed', 'assert 1 == 2', 'RuntimeError: no fixture',
      'take care', 'ended with exit code -9',
      '2 failed, 5 passed, 1 skipped, 1 warning, 1 error'):
    assert text in ended.stdout, ended.stdout


def test_ends_at_the_first_failure_if_asked_to(tmp_path):
  ended = run(tmp_path, '--jobs=1', '-x')
  assert '1 failed, 1 passed' in ended.stdout
  assert 'test_crash' not in ended.stdout


def test_no_job_is_this_process(tmp_path):
  ended = run(tmp_path, '--jobs=0', '-k', 'not crash and not grouped')
  assert '1 failed, 4 passed, 1 skipped' in ended.stdout


def test_a_runtime_that_was_started_is_refused(tmp_path):
  # A stand-in for TensorFlow, which takes seconds to import.
  (tmp_path / 'early_test.py').write_text('''
import sys, types
sys.modules['tensorflow.python.eager.context'] = types.SimpleNamespace(
    _context=types.SimpleNamespace(_initialized=True))

def test_one():
  pass
''')
  ended = run(tmp_path, '--jobs=1')
  assert ended.returncode == 4
  assert 'early_test.py called TensorFlow' in ended.stderr


def test_a_runtime_that_was_started_is_found(tmp_path):
  # In a process of its own: in this one, other tests may have started it.
  script = tmp_path / 'script.py'
  script.write_text(f'''
import sys
import tensorflow as tf

sys.path.append({str(scripts.ROOT / 'tests')!r})
import forking

assert not forking._has_runtime()
tf.constant(1)
assert forking._has_runtime()
''')
  ended = scripts.run(script)
  assert ended.returncode == 0, ended.stderr

"""What all tests share: limits for the workers, their order, and tidying up.

With pytest-xdist a worker takes the tests of one file after another, so that
fixtures and compiled trainers (`tiny.trainer`) are made once; heavy files come
first, so that no worker is left with one at the end.
"""

import ctypes
import fcntl
import gc
import json
import os
import pathlib
import sys

import pytest

# Before the workers start, and TensorFlow in them: a thread each is enough
# where there is a worker per core, and memory is returned where it was taken.
os.environ |= {
    'CUDA_VISIBLE_DEVICES': '-1', 'TF_CPP_MIN_LOG_LEVEL': '3',
    'TF_NUM_INTRAOP_THREADS': '1', 'OMP_NUM_THREADS': '1',
    'OPENBLAS_NUM_THREADS': '1', 'MALLOC_ARENA_MAX': '2'}

_HEAVY = ('experiment_test', 'commands_test', 'sweeping_test', 'strategy_test',
          'trainer_test', 'gradient_variance_test', 'colour_test',
          'saved_model_test', 'model_test', 'estimators_test')


def pytest_collection_modifyitems(items):
  """Groups tests by file, heavy files first."""
  order = {name: i for i, name in enumerate(_HEAVY)}
  items.sort(key=lambda item: order.get(item.path.stem, len(_HEAVY)))
  for item in items:
    if item.get_closest_marker('xdist_group') is None:
      item.add_marker(pytest.mark.xdist_group(item.path.stem))


@pytest.fixture(autouse=True, scope='module')
def _tidy():
  """Frees graphs and trainers after each file, down to the system's memory."""
  yield
  if 'tiny' in sys.modules:
    sys.modules['tiny'].forget_trainers()
  gc.collect()
  trim = getattr(ctypes.CDLL(None), 'malloc_trim', None)
  if trim is not None:
    trim(0)


@pytest.fixture(scope='session')
def finished(tmp_path_factory):
  """A run of 12 iterations, never disturbed: its folder, and how it ended.

  All workers share it: the first that asks makes it. Do not change it.
  """
  import scripts
  import tiny
  folder = tmp_path_factory.getbasetemp()
  if 'PYTEST_XDIST_WORKER' in os.environ:
    folder = folder.parent
  folder = folder / 'finished'
  folder.mkdir(exist_ok=True)
  with open(folder / 'lock', 'w') as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    if not (folder / 'ended.json').exists():
      # Measuring changes nothing: the runs compared with this one do without.
      ended = scripts.run('bin/train.py', *tiny.run_flags(
          folder, gradient_variance_every=4, jit_compile=True, **tiny.DAIR))
      (folder / 'ended.json').write_text(json.dumps(ended))
  ended = scripts.Ended(*json.loads((folder / 'ended.json').read_text()))
  assert ended.returncode == 0, ended.stderr
  return pathlib.Path(folder / 'run'), ended

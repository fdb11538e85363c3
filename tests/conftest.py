"""What all tests share: limits, their order, and a finished run."""

import fcntl
import json
import os
import pathlib
import sys

from forking import pytest_addoption  # noqa: F401
from forking import pytest_configure  # noqa: F401
from forking import pytest_make_collect_report  # noqa: F401
from forking import pytest_runtestloop  # noqa: F401
import pytest

# Before TensorFlow is imported: a thread each is enough where there is a
# process per core.
os.environ |= {
    'CUDA_VISIBLE_DEVICES': '-1', 'TF_CPP_MIN_LOG_LEVEL': '3',
    'TF_NUM_INTRAOP_THREADS': '1', 'OMP_NUM_THREADS': '1',
    'OPENBLAS_NUM_THREADS': '1', 'MALLOC_ARENA_MAX': '2',
    # XLA's own optimisations take half of the time until a first step.
    'XLA_FLAGS': '--xla_backend_optimization_level=0'}

_HEAVY = ('experiment_test', 'commands_test', 'sweeping_test', 'strategy_test',
          'trainer_test', 'gradient_variance_test', 'colour_test',
          'saved_model_test', 'model_test', 'estimators_test')


def pytest_collection_modifyitems(items):
  """Puts heavy files first, so that no process is left with one at the end."""
  order = {name: i for i, name in enumerate(_HEAVY)}
  items.sort(key=lambda item: order.get(item.path.stem, len(_HEAVY)))


def pytest_collection_finish(session):
  """Starts the server of scripts if a test needs it, for all processes."""
  if not session.config.option.collectonly and any(
      hasattr(item.module, 'scripts') or 'finished' in item.fixturenames
      for item in session.items):
    import scripts
    scripts.start_server()


@pytest.fixture(autouse=True, scope='session')
def _plain_graphs():
  """Without TensorFlow's graph optimiser, which takes longer than it saves.

  It stays on where a test starts an interpreter of its own.
  """
  if 'tensorflow' in sys.modules:
    sys.modules['tensorflow'].config.optimizer.set_experimental_options(
        {'disable_meta_optimizer': True})


@pytest.fixture(scope='session')
def finished(tmp_path_factory):
  """A run of 12 iterations, never disturbed: its folder, and how it ended.

  All processes share it: the first that asks makes it. Do not change it.
  """
  import scripts
  import tiny
  folder = tmp_path_factory.getbasetemp() / 'finished'
  folder.mkdir(exist_ok=True)
  with open(folder / 'lock', 'w') as lock:
    fcntl.flock(lock, fcntl.LOCK_EX)
    if not (folder / 'ended.json').exists():
      # Measuring changes nothing: the runs compared with this one do without.
      ended = scripts.run('bin/train.py', *tiny.run_flags(
          folder, **tiny.FINISHED))
      (folder / 'ended.json').write_text(json.dumps(ended))
  ended = scripts.Ended(*json.loads((folder / 'ended.json').read_text()))
  assert ended.returncode == 0, ended.stderr
  return pathlib.Path(folder / 'run'), ended


@pytest.fixture(scope='session')
def untrained(tmp_path_factory):
  """The SavedModel of a tiny model, never trained. Do not change it."""
  import tiny
  path = tmp_path_factory.mktemp('untrained') / 'saved_model'
  with tiny.eagerly():
    tiny.save_model(path)
  return path

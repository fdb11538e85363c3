"""Imports point one way, and `import air_tf` is cheap."""

import ast
import subprocess
import sys

import numpy as np
import pytest
import scripts
import tiny

PACKAGE = scripts.ROOT / 'air_tf'
# Each may import what stands in lines above its own, and its own line.
LAYERS = (
    ('errors',),
    ('boxes', 'console', 'digit_sources', 'files', 'folder_lock', 'options',
     'paths', 'progress'),
    ('chatter', 'consistency', 'scene_options'),
    ('config',),
    ('flagfiles', 'memory'),
    ('config_flags',),
    ('cli', 'ignored_flags', 'sweep_flags', 'sweep_recipes'),
    ('plotting',),
    ('data', 'prior', 'modules', 'glimpses', 'search', 'background', 'cell',
     'compositing', 'convolutions', 'depth', 'inference', 'level_ground',
     'painters', 'segment', 'elbo', 'encoders', 'ground', 'model', 'noise',
     'unroll'),
    ('estimators', 'explain', 'object_size'),
    ('training', 'serving'),
    ('evaluation',),
    ('loaded_model',),
    ('run', 'experiment'),
    ('demo', 'studies'),
)
RANK = {name: i for i, layer in enumerate(LAYERS) for name in layer}
# Narrower than the layers: all of ours that these may import.
ONLY = {
    'plotting': {'errors', 'files', 'plotting'},
    'cli': {'errors', 'config_flags', 'chatter', 'console', 'flagfiles',
            'progress'},
    'data': {'boxes', 'digit_sources', 'errors', 'files', 'paths',
             'progress', 'config', 'memory', 'scene_options', 'data'},
}
# The interface (`air_tf/__init__.py`) names modules of all layers, and imports
# them when they are used.
MODULES = sorted(path for path in PACKAGE.rglob('*.py')
                 if path != PACKAGE / '__init__.py')


def part_of(module):
  """`air_tf.data.npz` -> `data`."""
  return module.split('.')[1]


def imported(path):
  """Yields (line, part of air_tf) of every import in a file, lazy ones too."""
  modules = {'.'.join(x.relative_to(PACKAGE.parent).with_suffix('').parts)
             for x in PACKAGE.rglob('*.py')}
  packages = {x.removesuffix('.__init__') for x in modules}
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
      assert node.level == 0, f'{path}:{node.lineno}: a relative import'
      names = [f'{node.module}.{alias.name}' for alias in node.names]
    else:
      continue
    for name in names:
      if name.startswith('air_tf.') and part_of(name) in RANK:
        yield node.lineno, part_of(name)
      elif name.split('.')[0] == 'air_tf':
        assert name in packages, f'{path}:{node.lineno}: {name} has no layer'


def turning_back(path):
  """Returns the imports of a file that its layer does not allow."""
  own = path.relative_to(PACKAGE).parts[0].removesuffix('.py')
  allowed = ONLY.get(own, {name for name in RANK if RANK[name] <= RANK[own]})
  return [f'{path.name}:{line} imports {part}'
          for line, part in imported(path) if part not in allowed]


@pytest.mark.parametrize(
    'path', MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path):
  assert not turning_back(path)


def test_an_import_that_turns_back_is_seen(tmp_path, monkeypatch):
  monkeypatch.setattr(sys.modules[__name__], 'PACKAGE', tmp_path / 'air_tf')
  (tmp_path / 'air_tf' / 'data').mkdir(parents=True)
  path = tmp_path / 'air_tf' / 'data' / 'npz.py'
  path.write_text('from air_tf import errors\n\ndef f():\n'
                  '  from air_tf.training import trainer\n'
                  'import air_tf.model as model_lib\n')
  assert turning_back(path) == [
      'npz.py:5 imports model', 'npz.py:4 imports training']


def test_everything_has_a_layer():
  parts = {path.relative_to(PACKAGE).parts[0].removesuffix('.py')
           for path in MODULES}
  assert parts <= set(RANK), parts - set(RANK)


HEAVY = {'tensorflow', 'sonnet', 'tensorflow_probability', 'matplotlib',
         'sklearn', 'scipy', 'keras', 'numpy'}


def test_the_interface_is_imported_without_what_takes_seconds():
  # The tenth of a second that it may take is many times what it takes: the best
  # of three counts, for a machine may be busy.
  program = ('import sys, time; start = time.process_time(); import air_tf; '
             'print(time.process_time() - start, *sys.modules)')
  seconds = []
  for _ in range(3):
    printed = subprocess.run(
        [sys.executable, '-c', program], check=True, capture_output=True,
        text=True, env=scripts.ENVIRONMENT).stdout.split()
    seconds.append(float(printed[0]))
    assert not HEAVY & set(printed[1:])
  assert min(seconds) < .1


@pytest.mark.parametrize('module', ['cli', 'config', 'errors'])
def test_what_scripts_import_first_does_without_tensorflow(module):
  printed = subprocess.run(
      [sys.executable, '-c',
       f'import sys, air_tf.{module}; print(*sys.modules)'], check=True,
      capture_output=True, text=True, env=scripts.ENVIRONMENT).stdout.split()
  assert not HEAVY - {'numpy'} & set(printed)


# What training needs, or a figure, or Keras; each takes a tenth of a second or
# more.
UNUSED = {'air_tf.model', 'air_tf.experiment', 'air_tf.training.trainer',
          'keras', 'matplotlib.pyplot', 'sklearn', 'sonnet',
          'tensorflow_probability'}


@pytest.mark.slow
def test_infer_imports_only_what_it_needs_to_answer(tmp_path):
  with tiny.eagerly():
    tiny.save_model(tmp_path / 'saved_model')
  np.save(tmp_path / 'one.npy', tiny.scenes(1).images)
  program = (
      'import atexit, runpy, sys\n'
      'atexit.register(lambda: print(*sys.modules))\n'
      f'sys.argv = ["infer.py", "--saved_model={tmp_path}/saved_model", '
      f'"{tmp_path}/one.npy"]\n'
      f'runpy.run_path({str(scripts.ROOT / "bin" / "infer.py")!r}, '
      'run_name="__main__")')
  line, result, modules = subprocess.run(
      [sys.executable, '-c', program], check=True, capture_output=True,
      text=True, env=scripts.ENVIRONMENT).stdout.splitlines()
  assert '"count": ' in line and '"images": 1' in result
  assert 'tensorflow' in modules.split()
  assert not UNUSED & set(modules.split())

"""The scripts that train several runs, as processes."""

import json

import pytest
import scripts
import tiny

pytestmark = pytest.mark.slow
# Executed before a script: its runs are forked by the server too, instead of
# started as new interpreters. How those are started is tested in sweep_test.py.
FORK_RUNS = scripts.EAGER + f"""
import os, sys
sys.path.append({str(scripts.ROOT / 'tests')!r})
import scripts
from air_tf.studies.launchers import local

class Forked(scripts.Process):
  returncode = None

  def __init__(self, command, stdin, stdout, stderr, env, preexec_fn):
    self._log = os.dup(stdout.fileno())
    super().__init__(
        *command[1:], environment=env, before=scripts.EAGER)

  def poll(self):
    if self.returncode is None and super().poll() is not None:
      os.write(self._log, ''.join(self._read()).encode())
      self.returncode = super().poll()
    return self.returncode

local.subprocess.Popen = Forked
"""


@pytest.mark.long
def test_generalise_trains_and_asks(tmp_path):
  models = '--difference', '--image_encoder', '--max_steps', '--counts'
  flags = [
      x for x in tiny.run_flags(
          tmp_path, num_iterations=2, digits='embedded')[1:]
      if not x.startswith(models)]
  first = scripts.succeed(
      'generalise.py', f'--logdir={tmp_path / "runs"}', '--seeds=0:1', *flags,
      before=FORK_RUNS)
  result = json.loads(first.stdout.splitlines()[-1])
  for name in 'extrapolation', 'interpolation':
    assert set(result[name]) == {'AIR', 'DAIR'}
    assert all(0. <= x <= 1. for shares in result[name].values()
               for x in shares)
  assert '| 0, 1, 3 | 2 | DAIR |' in first.stdout
  saved = json.loads((tmp_path / 'runs' / 'generalisation.json').read_text())
  assert [sum(x['runs'][0]['counted']) for x in saved] == [12] * 4
  for model, difference in ('AIR', False), ('DAIR', True):
    config = json.loads((tmp_path / 'runs' / 'interpolation' / model / 'seed-0'
                         / 'config.json').read_text())
    assert config['difference'] == difference
    assert config['counts'] == [0, 1, 3] and config['max_steps'] == 4


@pytest.mark.parametrize('script', ['generalise', 'sensitivity'])
def test_scenes_from_files_are_refused(script, tmp_path):
  (tmp_path / 'a.flags').write_text('--scenes=some.npz\n')
  for flag in '--scenes=some.npz', f'--flagfile={tmp_path / "a.flags"}':
    process = scripts.run(f'bin/{script}.py', flag)
    assert process.returncode == 2
    assert '--scenes=some.npz: expected --digits=' in process.stderr


def test_sweep_compares_recipes_and_goes_on(tmp_path):
  flags = tiny.run_flags(tmp_path, num_iterations=2)[1:]
  (tmp_path / 'a.flags').write_text('\n'.join(flags))
  arguments = [f'--logdir={tmp_path / "sweep"}', '--seeds=0:1', '--threshold=0',
               f'--flagfile={tmp_path / "a.flags"}', '--num_iterations=1',
               '--vary=estimator=marginal,mvd']
  first = scripts.succeed('sweep.py', *arguments, before=FORK_RUNS)
  result = json.loads(first.stdout.splitlines()[-1])
  assert list(result['recipes']) == ['a,estimator=marginal', 'a,estimator=mvd']
  for summary in result['recipes'].values():
    assert summary['successes'] == summary['num_runs'] == 1
  assert (tmp_path / 'sweep' / 'report.md').exists()
  again = scripts.succeed('sweep.py', *arguments, before=FORK_RUNS)
  assert '2 runs, 2 of them finished before.' in again.stderr
  assert again.stdout == first.stdout

"""Sweeps whose runs an engine places: a local Ray cluster, SLURM's script."""

import json
import os
import pathlib
import re
import shlex
import subprocess
import sys
import threading
import time

import pytest
import scripts
import sweep_test
import tiny

from air_tf import errors
from air_tf import folder_lock
from air_tf import sweep_flags
from air_tf.studies import sweep
from air_tf.studies import sweep_report
from air_tf.studies.launchers import local
from air_tf.studies.launchers import ray_cluster
from air_tf.studies.launchers import slurm
from air_tf.studies.launchers import task

script = sweep_test.script
runs, starts, wait_for = sweep_test.runs, sweep_test.starts, sweep_test.wait_for


# --- One run, wherever it is --------------------------------------------------
def test_paths_are_those_of_the_sweep(script, tmp_path, monkeypatch):
  (tmp_path / 'here').mkdir()
  monkeypatch.chdir(tmp_path / 'here')
  run = sweep.Run(pathlib.Path('runs/seed-0'), ('--seed=0',))
  task.make(run, script, str(tmp_path))
  assert os.getcwd() == str(tmp_path / 'here')
  monkeypatch.chdir(tmp_path)
  assert sweep.outcome(run) == (0, '')


def test_threads_are_those_of_the_engine(tmp_path):
  program = tmp_path / 'train.py'
  program.write_text(
      'import os, pathlib, sys\n'
      'pathlib.Path(sys.argv[-1].partition("=")[2], "cores").write_text('
      'f"{os.environ[\'TF_NUM_INTRAOP_THREADS\']} '
      '{sorted(os.sched_getaffinity(0))}")\n')
  run, = runs(tmp_path, (0,))
  task.make(run, program, str(tmp_path), threads=7)
  assert (run.folder / 'cores').read_text() == (
      f'7 {sorted(os.sched_getaffinity(0))}')


def test_a_run_waits_for_one_that_still_saves(script, tmp_path):
  run, = runs(tmp_path, (0,))
  run.folder.mkdir()
  lock = folder_lock.FolderLock(run.folder)
  assert folder_lock.wait(run.folder, 0.)
  lock.acquire()
  assert not folder_lock.wait(run.folder, .2)
  started = time.monotonic()
  threading.Timer(1., lock.release).start()
  local.Local(script, 1).run_all([run])
  assert time.monotonic() - started > 1. and starts(run) == 1


# --- SLURM --------------------------------------------------------------------
def write_array(some, script, tmp_path, **options):
  folder = tmp_path / 'a folder'
  folder.mkdir(exist_ok=True)
  return slurm.write(some, script, str(folder), **{'cores': 1} | options)


def options_of(path):
  return dict(line.removeprefix('#SBATCH ').split('=', 1)
              for line in path.read_text().splitlines()
              if line.startswith('#SBATCH ') and '=' in line)


def run_array(path, task_ids):
  """Runs tasks of an array as SLURM would, one after the other, without it."""
  tools = path.parent / 'tools'
  tools.mkdir(exist_ok=True)
  (tools / 'srun').write_text('#!/bin/bash\nshift\nexec "$@"\n')
  (tools / 'srun').chmod(0o755)
  return [subprocess.run(
      ['bash', str(path)], capture_output=True, text=True, env=os.environ | {
          'SLURM_ARRAY_TASK_ID': str(number), 'PYTHONPATH': str(scripts.ROOT),
          'PATH': f'{tools}:{os.environ["PATH"]}'}) for number in task_ids]


def test_tasks_of_the_array_leave_what_local_runs_do(script, tmp_path):
  some = runs(tmp_path, (0, 1, 2, 3))  # See sweep_test.py on the seeds.
  path = write_array(some, script, tmp_path)
  ended = run_array(path, range(4))
  assert [x.returncode for x in ended] == [0, 0, 0, 2]
  assert [sweep.outcome(run) and sweep.outcome(run).exit_code
          for run in some] == [0, 3, 0, None]
  assert [starts(run) for run in some] == [1, 1, 2, 1]
  line = ended[3].stderr.splitlines()[-1]
  assert line.endswith('seed-3: --batch_size=0: expected at least 1.')


def test_a_task_that_is_stopped_saves(script, tmp_path):
  run, = runs(tmp_path, (5,))
  script.write_text(sweep_test.SCRIPT.replace(
      'signal.signal(signal.SIGTERM,', 'signal.signal(signal.SIGINT,'))
  path = write_array([run], script, tmp_path)
  process = subprocess.Popen(
      [sys.executable, '-m', 'air_tf.studies.launchers.task',
       str(next(path.parent.glob('sweep_runs.*.json'))), '0'],
      env=scripts.ENVIRONMENT, stderr=subprocess.PIPE, text=True)
  wait_for(run.folder / 'ready')
  process.terminate()
  assert 'all runs are saved' in process.communicate(timeout=60)[1]
  assert process.returncode == 130
  assert (run.folder / 'saved').exists()


def test_an_array_that_is_queued_keeps_its_runs(script, tmp_path):
  some = runs(tmp_path, range(3))
  runs_of = lambda path: re.search(r'sweep_runs\.\w+\.json',
                                   path.read_text())[0]
  queued = runs_of(write_array(some, script, tmp_path))
  assert runs_of(write_array(some[1:], script, tmp_path)) != queued
  saved = json.loads((tmp_path / 'a folder' / queued).read_text())
  assert [x['folder'] for x in saved['runs']] == [str(x.folder) for x in some]


def test_what_the_array_asks_for(script, tmp_path):
  some = runs(tmp_path, range(5))
  plain = write_array(some, script, tmp_path)
  assert options_of(plain)['--array'] == '0-4'
  assert '--gpus-per-task' not in options_of(plain)
  path = write_array(some, script, tmp_path, cores=4, gpus=1, at_a_time=2)
  found = options_of(path)
  assert (found['--array'], found['--cpus-per-task'], found['--gpus-per-task']
          ) == ('0-4%2', '4', '1')
  assert 'srun --cpus-per-task=4' in path.read_text()
  assert subprocess.run(['bash', '-n', str(path)]).returncode == 0


@pytest.mark.slow
def test_the_same_command_writes_the_array_and_then_the_report(tmp_path):
  arguments = ['sweep.py', f'--logdir={tmp_path / "sweep"}', '--seeds=0:2',
               '--launcher=slurm', '--threshold=0',
               *tiny.run_flags(tmp_path, num_iterations=1)[1:]]
  first = scripts.succeed(*arguments)
  result = json.loads(first.stdout.splitlines()[-1])
  assert f'2 runs to make: sbatch {shlex.quote(result["script"])}.' in (
      first.stderr)
  assert result['recipes']['default']['successes'] == 0
  sweep_flags.check_folder(str(tmp_path / 'sweep'))  # It may be asked again.
  path, = (tmp_path / 'sweep').glob('sweep_runs.*.json')
  saved = json.loads(path.read_text())
  for line in saved['runs']:  # As if the tasks had run.
    folder = pathlib.Path(line['folder'])
    folder.mkdir(parents=True)
    sweep.record(sweep.Run(folder, tuple(line['arguments'])), 0)
  result = json.loads(
      scripts.succeed(*arguments).stdout.splitlines()[-1])
  assert 'script' not in result
  assert result['recipes']['default']['failed'] == 0


# --- Ray ----------------------------------------------------------------------
def test_without_ray_one_line_says_what_to_install(monkeypatch):
  monkeypatch.setitem(sys.modules, 'ray', None)
  with pytest.raises(errors.UserError, match='requirements-ray.txt'):
    ray_cluster.require_ray()


@pytest.mark.slow
def test_scripts_refuse_flags_of_other_launchers(tmp_path):
  for launcher, flag in (('local', '--ray_address=auto'),
                         ('slurm', '--ray_address=auto'),
                         ('local', '--cores_per_run=2')):
    ended = scripts.run('bin/sweep.py', f'--logdir={tmp_path}',
                        f'--launcher={launcher}', flag)
    assert ended.returncode == 2 and f'{flag}: expected' in ended.stderr
  ended = scripts.run('bin/sweep.py', f'--logdir={tmp_path}', '--launcher=ray',
                      before='import sys; sys.modules["ray"] = None')
  assert ended.returncode == 2 and 'found no Ray' in ended.stderr


@pytest.mark.parametrize('address', ['127.0.0.1:1', 'ray://127.0.0.1:1',
                                     'nowhere', '127.0.0.1:many'])
def test_a_cluster_out_of_reach_is_reported_at_once(address, monkeypatch):
  ray = pytest.importorskip('ray')
  monkeypatch.setattr(  # Ray itself would try for minutes.
      ray, 'init', lambda **_: pytest.fail('Ray was asked'))
  with pytest.raises(errors.UserError, match=f'ray_address={address}: found'):
    ray_cluster.RayCluster(local.__file__, address, 1)


# With flags of a tiny model: bin/train.py itself, by the server of scripts.py.
REAL = f'''
import sys
if any(x.startswith('--canvas_size') for x in sys.argv):
  sys.path.append({str(scripts.ROOT / 'tests')!r})
  import scripts
  ended = scripts.Process(
      'bin/train.py', *sys.argv[1:], before=scripts.EAGER).wait()
  print(ended.stderr)
  sys.exit(ended.returncode)
'''
# In seed 2 a run is killed, as in sweep_test.py; in seed 7 the worker of Ray.
LOST = '''
if seed == '7' and len(starts.read_text()) == 1:
  os.kill(os.getppid(), signal.SIGKILL)
  time.sleep(60)
'''


def without_seconds(lines):
  """Returns what does not depend on how fast runs were."""
  return [{key: value for key, value in line.items() if key != 'seconds'}
          for line in lines]


@pytest.mark.slow
def test_ray_makes_the_same_report_whatever_is_lost(tmp_path, capsys):
  """One cluster for all of it: starting one takes ten seconds."""
  pytest.importorskip('ray')
  reports = {}
  flags = tiny.run_flags(tmp_path, num_iterations=2, digits='embedded')[1:]
  for name in 'local', 'ray':
    script = tmp_path / name / 'train.py'
    script.parent.mkdir()
    before, mark, after = sweep_test.SCRIPT.partition("if seed == '3'")
    script.write_text(
        REAL + before + (LOST if name == 'ray' else '') + mark + after)
    recipes = {'real': runs(tmp_path / name / 'real', (0,), *flags),
               'stand-in': runs(tmp_path / name, (0, 1, 2, 4, 7))}
    if name == 'local':
      launcher = local.Local(script, 2)
    else:
      launcher = ray_cluster.RayCluster(script, '', cores=1, at_a_time=2)
    told = []
    launcher.run_all([run for some in recipes.values() for run in some],
                     lambda: told.append(1))  # noqa: B023
    assert told
    if name == 'ray':
      assert [starts(run) for run in recipes['stand-in']] == [1, 1, 2, 1, 2]
    reports[name] = sweep_report.summarise(recipes, .98)['recipes']
  assert reports['ray']['stand-in'] == reports['local']['stand-in']
  for_ray, for_local = (
      without_seconds(reports[name]['real']['runs']) for name in reports)
  assert for_ray == for_local and for_ray[0]['exit_code'] == 0
  assert for_ray[0]['iterations'] == [2]
  assert capsys.readouterr().out == ''  # What Ray says of the lost worker.

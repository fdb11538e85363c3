"""Sweeps of a stand-in for bin/train.py that takes milliseconds."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import numpy as np
from PIL import Image
import pytest

from air_tf import errors
from air_tf.plotting import canvas
from air_tf.plotting import comparisons
from air_tf.studies import sensitivity
from air_tf.studies import sweep
from air_tf.studies import sweep_report
from air_tf.studies.launchers import local

ROOT = pathlib.Path(__file__).parent.parent

# Seed 1 diverges; seed 2 is killed the first time; seed 3 refuses its flags;
# seed 4 has a bug; seed 5 works until it is told to stop.
SCRIPT = '''
import json, os, pathlib, signal, sys, time
flags = dict(x.lstrip('-').split('=', 1) for x in sys.argv[1:])
folder, seed = pathlib.Path(flags['logdir']), flags['seed']
starts = folder / 'starts'
print('.', end='', file=open(starts, 'a'))
if seed == '1':
  print('elbo is nan', flush=True)
  os._exit(3)
if seed == '2' and len(starts.read_text()) == 1:
  os.kill(os.getpid(), signal.SIGKILL)
if seed == '3':
  print('--batch_size=0: expected at least 1.', flush=True)
  os._exit(2)
if seed == '4':
  raise RuntimeError('a bug')
if seed == '5':
  signal.signal(signal.SIGTERM, lambda *_: (
      (folder / 'saved').write_text(''), os._exit(143)))
  (folder / 'ready').write_text('')
  # In parts: a signal that comes just before a sleep is seen after it.
  for _ in range(600):
    time.sleep(.1)
with open(folder / 'metrics.jsonl', 'w') as file:
  for i, accuracy in enumerate([.5, .96, float(flags.get('final', .99))]):
    for split in 'train', 'test':
      print(json.dumps({'step': 100 * (i + 1), 'split': split,
                        'seconds': 10. + 3. * i + int(seed), 'elbo': 600. + i,
                        'count_accuracy': accuracy, 'miou': .5,
                        'fg_ari': .9 + int(seed) / 100.}), file=file)
(folder / 'cores').write_text(','.join(map(str, os.sched_getaffinity(0))))
'''


@pytest.fixture
def script(tmp_path):
  path = tmp_path / 'train.py'
  path.write_text(SCRIPT)
  return path


def runs(tmp_path, seeds, *flags):
  return [sweep.Run(tmp_path / f'seed-{seed}', (*flags, f'--seed={seed}'))
          for seed in seeds]


def starts(run):
  return len((run.folder / 'starts').read_text())


def test_survives_failures_and_makes_only_what_is_missing(script, tmp_path):
  some = runs(tmp_path, (0, 1, 2, 4))
  local.Local(script, jobs=2).run_all(some)
  ended = [sweep.outcome(run) for run in some]
  assert [x.exit_code for x in ended] == [0, 3, 0, 1]
  assert ended[1].error == 'elbo is nan' and 'a bug' in ended[3].error
  assert [starts(run) for run in some] == [1, 1, 2, 1]
  local.Local(script, jobs=2).run_all([*some, *runs(tmp_path, (6,))])
  # Not those that ended well or diverged; what failed has another chance.
  assert [starts(run) for run in some] == [1, 1, 2, 2]
  assert sweep.outcome(runs(tmp_path, (6,))[0]) == (0, '')
  # Other flags are another run.
  assert sweep.outcome(runs(tmp_path, (0,), '--final=.5')[0]) is None


def test_a_refused_flag_ends_the_sweep(script, tmp_path):
  with pytest.raises(errors.UserError, match='batch_size=0: expected'):
    local.Local(script, jobs=1).run_all(runs(tmp_path, (3, 0)))
  assert not (tmp_path / 'seed-0').exists()


@pytest.mark.skipif(not hasattr(os, 'sched_getaffinity'), reason='Linux only')
def test_cores_are_shared_out(script, tmp_path):
  mine = sorted(os.sched_getaffinity(0))
  slots = [local.share_of_cores(slot, len(mine)) for slot in range(len(mine))]
  assert sorted(sum(slots, [])) == mine
  assert local.share_of_cores(0, 1) == mine
  # More jobs than cores.
  assert local.share_of_cores(len(mine), len(mine) + 1) == mine
  local.Local(script, jobs=len(mine)).run_all(runs(tmp_path, (0,)))
  assert (tmp_path / 'seed-0' / 'cores').read_text() == str(mine[0])


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGKILL])
def test_a_stopped_sweep_takes_its_runs_along(script, tmp_path, number):
  process = subprocess.Popen(
      [sys.executable, '-c',
       'import pathlib, sys; from air_tf.studies import sweep\n'
       'from air_tf.studies.launchers import local\n'
       f'local.Local(pathlib.Path({str(script)!r}), 1).run_all([sweep.Run('
       f'pathlib.Path({str(tmp_path)!r}) / "seed-5", ("--seed=5",))])'],
      stderr=subprocess.PIPE, text=True, cwd=ROOT,
      # A shell lets what it starts in the background ignore SIGINT.
      preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
  wait_for(tmp_path / 'seed-5' / 'ready')
  process.send_signal(number)
  assert ('the same command resumes' in process.communicate(timeout=120)[1]
          ) == (number == signal.SIGINT)
  wait_for(tmp_path / 'seed-5' / 'saved')


def wait_for(path):
  deadline = time.time() + 120.
  while not path.exists():
    assert time.time() < deadline, path
    time.sleep(.02)


@pytest.fixture
def report(script, tmp_path):
  """Two recipes of three seeds; one seed of the second diverges."""
  recipes = {'good': runs(tmp_path / 'good', (0, 2, 6)),
             'poor': runs(tmp_path / 'poor', (0, 1, 6), '--final=.97')}
  for some in recipes.values():
    local.Local(script, jobs=3).run_all(some)
  return sweep_report.summarise(recipes, .98)


def test_report_by_hand(report):
  good, poor = report['recipes']['good'], report['recipes']['poor']
  assert (good['successes'], good['num_runs'], good['failed']) == (3, 3, 0)
  assert (poor['successes'], poor['num_runs'], poor['failed']) == (0, 3, 1)
  assert good['count_accuracy'] == pytest.approx(
      {'best': .99, 'worst': .99, 'mean': .99})
  assert good['reached']['0.95']['iterations'] == [200, 200, 200]
  assert good['reached']['0.98']['seconds'] == [16., 18., 22.]
  assert poor['reached']['0.98']['iterations'] == []
  assert good['milliseconds_per_iteration'] == 30.  # 6 s, 200 iterations.
  assert good['elbo'] == 602.
  assert good['over_seeds']['fg_ari'] == pytest.approx(  # .90, .92, .96.
      {'mean': (.9 + .92 + .96) / 3., 'stdev': np.std([0, 2, 6], ddof=1) / 100.,
       'runs': 3})
  assert set(good['over_seeds']) == {'count_accuracy', 'fg_ari', 'miou'}
  assert poor['over_seeds']['miou'] == {'mean': .5, 'stdev': 0., 'runs': 2}
  assert poor['runs'][1]['error'] == 'elbo is nan'


def test_report_is_written_as_json_table_and_picture(report, tmp_path):
  sweep_report.save(report, str(tmp_path))
  assert json.loads((tmp_path / 'report.json').read_text()) == report
  table = (tmp_path / 'report.md').read_text().splitlines()
  assert table[2].startswith('| good | 3 of 3 | 99.00 % |')
  assert '| 300 | 18 |' in table[2]
  assert '| 200 (2) |' in table[3] and '| – | – |' in table[3]
  assert {line.count('|') for line in table[:4]} == {13}
  assert table[4] == '' and table[5].startswith('| recipe | OCA | FG-ARI | ARI')
  assert table[7] == ('| good | 0.9900 ± 0.0000 | 0.9267 ± 0.0306 | – | '
                      '0.5000 ± 0.0000 | – | – |')
  assert_shows_something(tmp_path / 'curves.png')


def test_scenes_without_counts_have_an_elbo(tmp_path):
  (tmp_path / 'seed-0').mkdir()
  (tmp_path / 'seed-0' / 'metrics.jsonl').write_text(''.join(
      json.dumps({'step': step, 'split': 'test', 'elbo': 5. * step,
                  'expected_num_steps': 1., 'seconds': step / 10.}) + '\n'
      for step in (10, 20)))
  run, = runs(tmp_path, (0,))
  report = sweep_report.summarise({'pictures': [run]}, .98)
  recipe = report['recipes']['pictures']
  assert (recipe['elbo'], recipe['milliseconds_per_iteration']) == (100., 100.)
  assert recipe['count_accuracy']['mean'] is None
  sweep_report.save(report, str(tmp_path))


def test_without_masks_there_is_one_table(report):
  for summary in report['recipes'].values():
    summary['over_seeds'] = {'count_accuracy': {
        'mean': .9, 'stdev': None, 'runs': 1}}
  assert len(sweep_report.markdown(report).splitlines()) == 4


def assert_shows_something(path):
  pixels = np.asarray(Image.open(path))
  assert len(np.unique(pixels.reshape([-1, pixels.shape[-1]]), axis=0)) > 10


def test_seeds_in_words():
  from air_tf import sweep_flags
  assert sweep_flags.seeds('0:3') == [0, 1, 2]
  assert sweep_flags.seeds('3,1') == [3, 1]
  for wrong in '3:3', 'many', '1,1', '-1':
    with pytest.raises(errors.UserError, match='--seeds='):
      sweep_flags.seeds(wrong)


def test_each_cell_has_all_six_values_whatever_a_flagfile_says(tmp_path):
  cells = sensitivity.runs(str(tmp_path), ('--flagfile=a.flags',), (0,))
  names = {f'--{name}' for pair in sensitivity.OUTPUTS.values()
           for name, _ in pair}
  for run, in cells.values():
    given = [x.partition('=')[0] for x in run.arguments]
    assert all(given.count(name) == 1 for name in names)
  # The cell of the defaults is one run for the three outputs of a recipe.
  assert len({run.folder for run, in cells.values()}) == len(cells) - 6


def test_an_edited_flagfile_is_another_run(tmp_path):
  flagfile = tmp_path / 'a.flags'
  flagfile.write_text('--learning_rate=1e-3')
  run, = runs(tmp_path, (0,), f'--flagfile={flagfile}')
  run.folder.mkdir()
  sweep.record(run, 0)
  assert sweep.outcome(run).exit_code == 0
  flagfile.write_text('--learning_rate=1e-4')
  assert sweep.outcome(run) is None
  flagfile.unlink()
  assert sweep.outcome(run) is None


def test_grids_of_the_sensitivity(script, tmp_path):
  cells = sensitivity.runs(str(tmp_path), ('--final=.9',), (0, 6))
  assert len(cells) == 3 * (4 * 3 + 4 * 4 + 4 * 3)
  folders = {run.folder for of_cell in cells.values() for run in of_cell}
  # The cell of the defaults is the same run in the three grids of a recipe.
  assert len(folders) == 2 * (len(cells) - 3 * 2)
  key = ('nvil', 'presence', 1, 2)
  assert {'--steps_bias=-0.75', '--steps_init_scale=10', '--estimator=nvil',
          '--exploration_init=0', '--prefix_share=0'} <= set(
              cells[key][0].arguments)
  local.Local(script, jobs=2).run_all(cells[key])
  grids = sensitivity.accuracies(cells)
  assert grids['nvil', 'presence'][1, 2] == .9
  assert np.isnan(grids['nvil', 'presence']).sum() == 11
  sensitivity.save(grids, str(tmp_path))
  saved = json.loads((tmp_path / 'sensitivity.json').read_text())
  assert saved[-1]['count_accuracy'][1] == [None, None, .9]
  assert_shows_something(tmp_path / 'sensitivity.png')


def test_heat_map_shows_its_values():
  grid = np.array([[0., 1.], [np.nan, .5]])
  axes = {'where': (('bias', (0., 1.)), ('scale', (1., 10.)))}
  fig = comparisons.heat_maps(
      {('nvil', 'where'): grid}, axes, {'bias': 1., 'scale': 10.})
  texts = [text.get_text() for text in fig.axes[0].texts]
  assert texts == ['0', '100', 'failed', '50']
  assert fig.axes[0].texts[2].get_color() == 'black'  # On white.
  frame, = fig.axes[0].patches  # Around the chosen cell, at (1, 1).
  np.testing.assert_allclose(frame.get_center(), [1., 1.])
  assert canvas.rgb(fig).shape[-1] == 3

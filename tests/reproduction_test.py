"""Records of runs, and the page that is made of them."""

import json
import shutil

import numpy as np
import pytest
import record_util
import scripts
import tiny

from air_tf import config_flags
from air_tf import errors
from air_tf.data import scenes as scenes_lib
from air_tf.evaluation import predictions as predictions_lib
from air_tf.studies import reproduction
from air_tf.studies import reproduction_tables
from air_tf.studies import run_records
from air_tf.training import run_config

DOCS = scripts.ROOT / 'docs'
FLAGS = scripts.ROOT / 'bin' / 'flags'
PAGE = ''.join(f'Before {name}.\n\n<!-- {name} -->\nold\n<!-- /{name} -->\n'
               for name in ('runs', 'scan', 'ladder'))


def read(folder, name):
  return next(x for x in run_records.read_all(folder) if x.name == name)


def rows(table):
  """The cells of a Markdown table, a dictionary per row."""
  heads, _, *lines = ([cell.strip() for cell in line.strip('|').split('|')]
                      for line in table.splitlines())
  return [dict(zip(heads, line, strict=True)) for line in lines]


# --- What is kept -------------------------------------------------------------
def predictions(presence, centres):
  """Glimpses of 4 x 2 pixels with these centres, (y, x)."""
  presence = np.array(presence, float)
  boxes = np.concatenate([np.array(centres, float) - [2., 1.],
                          np.tile([4., 2.], [*presence.shape, 1])], axis=-1)
  return predictions_lib.Predictions(
      num_steps=presence.sum(1).astype(int), num_steps_probs=None, where=None,
      presence=presence, what=None, boxes=boxes, tight_boxes=None,
      squared_error=None)


def scenes(counts):
  return scenes_lib.Scenes(np.zeros([len(counts), 50, 50], np.uint8),
                           np.array(counts), None, None)


def test_a_scene_is_counted_and_the_centres_of_its_glimpses_too():
  found = run_records.explain(
      predictions([[1, 1], [1, 0], [0, 0]],
                  [[[5, 9], [5, 41]], [[49.9, 0], [5, 5]], [[5, 5]] * 2]),
      scenes([1, 1, 0]), 70)
  assert found.step == 70
  assert found.counted == [[1, 0, 0], [0, 1, 1]]  # By true count.
  first, second = np.array(found.centres)
  # Cells of two pixels; what is not taken has none.
  assert np.argwhere(first).tolist() == [[2, 4], [24, 0]]
  assert np.argwhere(second).tolist() == [[2, 20]]
  assert found.scan == [1., 0.]  # To the right.


def test_the_scan_is_the_mean_direction_from_first_to_second_glimpse():
  scan = lambda presence, centres: run_records.explain(
      predictions(presence, centres), scenes([2] * len(presence)), 1).scan
  both = [1, 1, 0]
  down, up = [[9, 9], [30, 9], [0, 0]], [[30, 9], [9, 9], [0, 0]]
  # However far: (right, down).
  assert scan([both, both], [down, [[9, 9], [10, 9], [0, 0]]]) == [0., 1.]
  assert scan([both, both], [down, up]) == [0., 0.]
  diagonal = scan([both], [[[9, 9], [12, 5], [0, 0]]])  # 3 down, 4 left.
  assert diagonal == [-.8, .6]
  assert scan([[1, 0, 0]], [down]) is None  # No second glimpse is taken.
  assert scan([both], [[[9, 9], [9, 9], [0, 0]]]) is None


@pytest.fixture
def run(finished, tmp_path):
  """A run folder with a name that a record can have."""
  return shutil.copytree(finished[0], tmp_path / 'tiny_0')


@pytest.mark.slow
def test_a_record_holds_what_the_run_did(run, tmp_path):
  page = tmp_path / 'page.md'
  page.write_text(PAGE)
  out = tmp_path / 'records'
  result = scripts.result(
      'reproduction.py', f'--keep={run}', f'--out={out}', f'--page={page}',
      before=scripts.EAGER)
  assert result['records'] == ['tiny_0']
  record, = run_records.read_all(out)
  whole = [json.loads(line) for line in
           (run / 'metrics.jsonl').read_text().splitlines()]
  held_out = [x for x in whole if x['split'] == 'test']
  assert [x['step'] for x in record.lines] == [x['step'] for x in held_out]
  for kept, line in zip(record.lines, held_out):
    for name in 'elbo', 'count_accuracy', 'count_accuracy/2', 'kl_what':
      np.testing.assert_allclose(kept[name], line[name], atol=.006)
    assert len(json.dumps(kept)) < 320
  counted = np.array(record.explained.counted)
  assert counted.sum() == tiny.config().num_test_scenes
  np.testing.assert_allclose(
      np.trace(counted) / counted.sum(), held_out[-1]['count_accuracy'])
  assert record.explained.step == held_out[-1]['step']
  # No path of a machine is kept.
  for path in out.rglob('*.json*'):
    assert str(tmp_path.parents[1]) not in path.read_text()
  changed = run_config.changed(run_config.read(run), record.config)
  assert changed == []
  assert f'[tiny, seed 0]({out.name}/tiny_0/metrics.jsonl)' in page.read_text()
  assert {'runs.png', 'scan.png'} < {x.name for x in out.iterdir()}


def test_a_path_becomes_a_name():
  config = tiny.config(digits='/some/where/mnist.npz', cache_dir='/some/where')
  kept = run_records._without_paths(config)
  assert (kept.digits, kept.cache_dir) == ('mnist.npz', 'data/generated')
  kept = run_records._without_paths(tiny.config(
      scenes='/some/where/a.npz', test_scenes='/some/where/b.npz'))
  assert (kept.scenes, kept.test_scenes) == ('a.npz', 'b.npz')
  config = tiny.config(digits='embedded')
  assert run_records._without_paths(config) == config


@pytest.mark.slow
def test_a_run_of_another_seed_than_its_name_says_is_refused(run, tmp_path):
  run.rename(tmp_path / 'tiny_1')
  with pytest.raises(errors.UserError, match='the run has --seed=0'):
    run_records.keep(tmp_path / 'tiny_1', tmp_path / 'records')
  assert not (tmp_path / 'records').exists()


@pytest.mark.parametrize('name, expected', [
    ('tiny', 'RECIPE_SEED'), ('tiny_x', 'RECIPE_SEED'), ('_0', 'RECIPE_SEED'),
    ('Tiny_0', 'RECIPE_SEED'), ('tiny_00', 'RECIPE_SEED'),
    ('tiny_0', 'no run here')])
def test_a_run_of_another_name_is_refused(tmp_path, name, expected):
  (tmp_path / name).mkdir()
  with pytest.raises(errors.UserError, match=f'{name}: .*{expected}'):
    run_records.keep(tmp_path / name, tmp_path / 'records')


def test_a_damaged_record_is_named(tmp_path):
  folder = record_util.write(tmp_path, 'blog_0', [.5])
  (folder / 'explained.json').write_text('{"step": 1}')
  with pytest.raises(errors.UserError, match='blog_0/explained.json: cannot'):
    run_records.read_all(tmp_path)
  (folder / 'explained.json').unlink()
  with pytest.raises(errors.UserError, match='No such file'):
    run_records.read_all(tmp_path)
  record_util.write(tmp_path, 'blog_1', [])
  shutil.rmtree(folder)
  with pytest.raises(errors.UserError, match='metrics.jsonl: found no eval'):
    run_records.read_all(tmp_path)


# --- Tables -------------------------------------------------------------------
def test_a_run_is_reported_by_its_end_and_not_by_its_best(tmp_path):
  record_util.write(
      tmp_path, 'blog_3', [.2, .97, .95, .6], every=1000, num_iterations=9000,
      counted=[[9, 1, 0, 0], [0, 6, 4, 0], [0, 7, 0, 3]])
  row, = rows(reproduction_tables.runs(
      run_records.read_all(tmp_path), .95, 'here'))
  assert list(row.values()) == [
      '[blog, seed 3](here/blog_3/metrics.jsonl)', '4,000 of 9,000', '60.00 %',
      '2,000', '2 of 4', '1.00', '0: 0 (90.0 %); 1: 1 (60.0 %); 2: 1 (70.0 %)',
      '10.0 %']


def test_how_runs_end_is_counted_by_recipe(tmp_path):
  zero = [[100, 0, 0, 0], [98, 2, 0, 0], [90, 10, 0, 0]]  # 96 %.
  most = [[0, 0, 0, 100], [0, 0, 2, 98], [0, 0, 10, 90]]
  some = [[100, 0, 0, 0], [98, 2, 0, 0], [80, 10, 0, 10]]  # Zero: 93 %.
  many = [[10, 0, 0, 90], [10, 0, 0, 90], [10, 0, 0, 90]]
  for name, accuracies, counted in (
      ('one_0', [.99, .3], zero), ('one_1', [.3, .3], zero),
      ('one_2', [.3, .3], most), ('one_3', [.3, .95], some),
      ('two_0', [.3, .3], some), ('two_1', [.3, .3], many)):
    record_util.write(tmp_path, name, accuracies, counted=counted)
  records = run_records.read_all(tmp_path)
  one, two = rows(reproduction_tables.outcomes(
      {'one': records[:4], 'two': records[4:]}, .95))
  assert list(one.values()) == ['one', '4', '1', '2', '2', '1', '96.0 %']
  assert list(two.values()) == ['two', '2', '0', '0', '0', '0', '90.0 %']


def test_a_run_that_never_gets_there(tmp_path):
  record_util.write(tmp_path, 'blog_0', [.5, .9499])
  row, = rows(reproduction_tables.runs(
      run_records.read_all(tmp_path), .95, 'here'))
  assert [row['iterations'], row['first at 95 %']] == ['1,000', 'never']


@pytest.mark.parametrize('scan, arrow', [
    ([.5, .1], '→'), ([.5, .5], '↘'), ([0., .5], '↓'), ([-.5, .4], '↙'),
    ([-.5, -.1], '←'), ([-.5, .1], '←'), ([-.3, -.3], '↖'), ([.1, -.5], '↑'),
    ([.5, -.4], '↗')])
def test_the_direction_of_a_scan_is_an_arrow(tmp_path, scan, arrow):
  record_util.write(tmp_path, 'blog_0', [.5], scan=scan,
                    counted=[[9, 0, 0, 0], [0, 8, 1, 0], [0, 6, 0, 4]])
  row, = rows(reproduction_tables.scan(run_records.read_all(tmp_path)))
  assert list(row.values()) == [
      'blog, seed 0', '5 of 28', arrow, f'{np.hypot(*scan):.2f}']


def test_a_few_scenes_with_two_glimpses_have_no_direction(tmp_path):
  for seed, pairs in enumerate([9, 10]):
    record_util.write(
        tmp_path, f'blog_{seed}', [.5], scan=[0., 1.],
        counted=[[400, 0, 0, 0], [0, 400, 0, 1],
                 [0, 200 - pairs, pairs - 1, 0]])
  few, enough = rows(reproduction_tables.scan(run_records.read_all(tmp_path)))
  assert list(few.values())[1:] == ['9 of 1,000', '–', '–']
  assert list(enough.values())[1:] == ['10 of 1,000', '↓', '1.00']


def test_a_rung_is_a_row_with_its_seeds(tmp_path):
  for seed, accuracies in enumerate([[.96, .5], [.5, .95], [.1, .2]]):
    record_util.write(tmp_path, f'ladder_4_{seed}', accuracies)
  row, = rows(reproduction_tables.ladder(
      [('a change', run_records.read_all(tmp_path))], .95, 'here'))
  assert row.pop('seeds').startswith('[0](here/ladder_4_0/metrics.jsonl), [1]')
  assert list(row.values()) == [
      'a change', '1 of 3', '50.00, 95.00, 20.00 %', '500; 1,000; never',
      '1 of 2; 1 of 2; 0 of 2', '1.00, 1.00, 1.00']


# --- The page -----------------------------------------------------------------
def test_only_the_blocks_of_a_page_change(tmp_path):
  page = tmp_path / 'page.md'
  page.write_text(PAGE)
  new = {name: f'new {name}\n' for name in ('ladder', 'runs', 'scan')}
  for _ in range(2):  # Made again, it is the same.
    reproduction.fill(page, new)
    assert page.read_text() == ''.join(
        f'Before {name}.\n\n<!-- {name} -->\nnew {name}\n<!-- /{name} -->\n'
        for name in ('runs', 'scan', 'ladder'))


@pytest.mark.parametrize('text', [
    PAGE.replace('<!-- scan -->\n', ''), PAGE.replace('<!-- /scan -->', '')])
def test_a_page_without_a_block_is_refused_and_left_alone(tmp_path, text):
  page = tmp_path / 'page.md'
  page.write_text(text)
  with pytest.raises(errors.UserError, match="no block 'scan'.*<!-- /scan"):
    reproduction.fill(page, {'runs': 'new\n', 'scan': 'new\n'})
  assert page.read_text() == text
  with pytest.raises(errors.UserError, match='--page=.*cannot be read'):
    reproduction.fill(tmp_path / 'none.md', {})


def test_blocks_without_runs_say_so(tmp_path):
  page = tmp_path / 'page.md'
  page.write_text(PAGE)
  reproduction.save([], tmp_path / 'records', page)
  assert page.read_text().count('\nNo run has ended yet.\n') == 3
  assert not (tmp_path / 'records').exists()


def test_long_runs_and_the_ladder_have_a_picture_and_a_table_each(tmp_path):
  folder, page = tmp_path / 'reports' / 'records', tmp_path / 'page.md'
  page.write_text(PAGE)
  for name in ('other_0', 'marginal_0', 'nvil_per_step_2', 'blog_10', 'blog_9',
               'ladder_0_0', 'ladder_8_1', 'ladder_8_0'):
    record_util.write(folder, name, [.5, .96])
  reproduction.save(run_records.read_all(folder), folder, page)
  text = page.read_text()
  assert 'old' not in text
  for name in 'runs', 'scan', 'ladder':
    assert f'](reports/records/{name}.png)' in text
    assert (folder / f'{name}.png').read_bytes()[:4] == b'\x89PNG'
  tables = [text.partition(f'<!-- {name} -->')[2].partition('<!--')[0]
            .rpartition('\n\n')[2] for name in ('runs', 'scan', 'ladder')]
  runs, scan, ladder = map(rows, tables)
  names = ['blog, seed 9', 'blog, seed 10', 'nvil_per_step, seed 2',
           'marginal, seed 0', 'other, seed 0']
  assert [x['run'][1:x['run'].index(']')] for x in runs] == names
  # The scan also of the last rung.
  assert [x['run'] for x in scan] == [
      *names, 'ladder_8, seed 0', 'ladder_8, seed 1']
  assert [x['change'] for x in ladder] == [
      '0: blog.flags', '8: fresh scenes']


def test_rungs_are_called_as_their_flagfiles():
  stems = sorted(path.stem for path in (FLAGS / 'ladder').iterdir())
  assert [f"{i}_{name.replace(' ', '_').replace('-', '_')}" for i, name in
          enumerate(reproduction.RUNGS)][1:] == stems


# --- What the repository holds ------------------------------------------------
# A run may differ in these, and in its length, from what it is said to follow.
FREE = {'seed', 'digits'}


def flags_of(record):
  """The flags that a committed record is said to follow."""
  rung = record.recipe.removeprefix('ladder_')
  if rung != record.recipe and rung != '0':
    path, = (FLAGS / 'ladder').glob(f'{rung}_*.flags')
    return [f'--flagfile={path}']
  own = {'nvil_per_step': ['--estimator=nvil_per_step'],
         'marginal': ['--estimator=marginal'], 'ladder_0': [], 'blog': [],
         'blog_code': []}[record.recipe]
  name = 'blog_code' if record.recipe == 'blog_code' else 'blog'
  return [f'--flagfile={FLAGS / name}.flags', *own]


def test_committed_runs_are_those_of_their_recipes():
  for record in run_records.read_all(DOCS / 'reports' / 'reproduction'):
    changed = run_config.changed(
        config_flags.config_of(flags_of(record)), record.config)
    assert set(changed) <= FREE, record.name
    assert record.config.seed == record.seed


def test_the_page_is_what_the_committed_records_say(tmp_path):
  page = tmp_path / 'docs' / 'reproduction.md'
  page.parent.mkdir()
  shutil.copy(DOCS / 'reproduction.md', page)
  reproduction.save(
      run_records.read_all(DOCS / 'reports' / 'reproduction'),
      page.parent / 'reports' / 'reproduction', page)
  assert page.read_text() == (DOCS / 'reproduction.md').read_text()

"""Run folders that are damaged, foreign, in use, full, read-only or gone."""

import dataclasses
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys

import disk_util
import numpy as np
import pytest
import scripts
import tensorflow as tf
import tiny

from air_tf import errors
from air_tf import experiment
from air_tf import files
from air_tf import folder_lock
from air_tf import run as run_lib
from air_tf.data import datasets
from air_tf.data import fingerprint
from air_tf.data import scene_files
from air_tf.data import streams
from air_tf.training import metrics_file
from air_tf.training import projector
from air_tf.training import run_folder
from air_tf.training import summaries

EVALUATION = {'step': 1, 'split': 'test', 'elbo': -1.5, 'seconds': 2.,
              'count_accuracy': .5}


def checkpoint_of(size=1000, **others):
  return tf.train.Checkpoint(
      variable=tf.Variable(np.arange(size, dtype=np.float32)), **others)


def begin(path, iterations=(), prints=None, **changes):
  with run_folder.Writer(path) as folder:
    folder.begin(tiny.config(**changes), prints)
    for iteration in iterations:
      folder.save(checkpoint_of(), iteration)


def contents(path):
  return {str(x.relative_to(path)): x.read_bytes() if x.is_file() else None
          for x in path.rglob('*')}


def damage_all(path, kind):
  for file in (path / 'checkpoints').iterdir():
    data = file.read_bytes()
    if kind == 'no index' and file.suffix == '.index':
      file.unlink()
    if kind == 'no data' and file.suffix != '.index':
      file.unlink()
    if kind == 'empty':
      file.write_bytes(b'')
    if kind == 'one bit' and file.suffix != '.index':
      file.write_bytes(data[:900] + bytes([data[900] ^ 4]) + data[901:])


# --- Checkpoints --------------------------------------------------------------


@pytest.mark.parametrize('kind', ['no index', 'no data', 'empty', 'one bit'])
def test_a_run_whose_checkpoints_are_all_damaged_stays_refused(tmp_path, kind):
  begin(tmp_path, [10, 20, 30])
  with open(tmp_path / 'metrics.jsonl', 'w') as file:
    file.write(json.dumps(EVALUATION) + '\n')
  damage_all(tmp_path, kind)
  before = contents(tmp_path)
  for _ in range(2):
    with pytest.raises(errors.UserError, match='none of the 3 checkpoints'):
      run_folder.RunFolder(tmp_path).restore(checkpoint_of())
    assert contents(tmp_path) == before
    with run_folder.Writer(tmp_path) as folder:
      with pytest.raises(errors.UserError, match='--seed was 0 and is 1'):
        folder.begin(tiny.config(seed=1))
      folder.begin(tiny.config())
      with pytest.raises(errors.UserError, match='none of the 3 checkpoints'):
        folder.restore(checkpoint_of())
    assert contents(tmp_path) == before


def test_a_reader_falls_back_and_changes_nothing(tmp_path, caplog):
  begin(tmp_path, [10, 20])
  (tmp_path / 'checkpoints' / 'ckpt-20.index').unlink()
  before = contents(tmp_path)
  folder = run_folder.RunFolder(tmp_path)
  assert folder.restore(checkpoint_of()) == 10
  assert 'ckpt-20 cannot be read (its index file is missing)' in caplog.text
  assert contents(tmp_path) == before


@pytest.mark.parametrize('name', ['index', 'data-00000-of-00001'])
@pytest.mark.parametrize('make, kind', [
    (os.mkfifo, 'FIFO'), (os.mkdir, 'folder')])
def test_what_is_no_regular_file_is_no_checkpoint(
    tmp_path, name, make, kind, caplog):
  begin(tmp_path, [10, 20])
  part = tmp_path / 'checkpoints' / f'ckpt-20.{name}'
  part.unlink()
  make(part)
  assert run_folder.RunFolder(tmp_path).restore(checkpoint_of()) == 10
  assert f'(ckpt-20.{name} is a {kind})' in caplog.text


def test_a_writer_keeps_the_bytes_of_what_it_puts_aside(tmp_path):
  begin(tmp_path, [10, 20])
  data = tmp_path / 'checkpoints' / 'ckpt-20.data-00000-of-00001'
  data.write_bytes(b'half')
  with run_folder.Writer(tmp_path) as folder:
    folder.begin(tiny.config())
    assert folder.restore(checkpoint_of()) == 10
    assert [i for i, _ in folder.saved()] == [10]
  aside = data.with_name('damaged-20.data-00000-of-00001')
  assert aside.read_bytes() == b'half'
  for path in data.parent.glob('ckpt-*'):  # What is aside still counts.
    path.unlink()
  with pytest.raises(errors.UserError, match='none of the 1 checkpoints'):
    run_folder.RunFolder(tmp_path).restore(checkpoint_of())


@pytest.mark.parametrize('other, text', [
    (lambda: checkpoint_of(5), 'shape'),
    (lambda: checkpoint_of(more=tf.Variable(1.)), 'not bound'),
    (lambda: tf.train.Checkpoint(), 'variable'),
    (lambda: tf.train.Checkpoint(variable=tf.Variable([1] * 1000)), 'int32')])
def test_another_configuration_is_not_damage(tmp_path, other, text):
  begin(tmp_path, [10, 20])
  before = contents(tmp_path)
  with pytest.raises(errors.UserError) as raised:
    run_folder.RunFolder(tmp_path).restore(other())
  assert 'does not fit the checkpoints' in str(raised.value)
  assert text in str(raised.value) and '\n' not in str(raised.value)
  with run_folder.Writer(tmp_path) as folder:
    with pytest.raises(errors.UserError, match='does not fit'):
      folder.restore(other())
  assert contents(tmp_path) == before


def test_an_edited_configuration_is_refused_before_anything_is_written(
    tmp_path):
  """Also if the flags are those of the edited one."""
  path = tmp_path / 'run'
  runs = pathlib.Path(__file__).with_name('old_runs')
  shutil.copytree(runs / 'air_rebar', path)
  file = path / 'config.json'
  file.write_text(file.read_text().replace(
      '"lstm_size": 8', '"lstm_size": 9'))
  before = contents(path)
  config = dataclasses.replace(
      run_folder.RunFolder(path).config(), cache_dir=str(tmp_path / 'cache'))
  with pytest.raises(errors.UserError, match=(
      r'does not fit the checkpoints \(flags.txt holds --lstm_size=8\)')):
    experiment.run(config, str(path))
  assert contents(path) == before


def test_a_changed_field_of_the_configuration_is_named(tmp_path):
  begin(tmp_path, [10])
  file = tmp_path / 'config.json'
  file.write_text(file.read_text().replace(
      '"lstm_size": 8', '"lstm_size": 16'))
  with pytest.raises(errors.UserError, match='flags.txt holds --lstm_size=8'):
    run_folder.RunFolder(tmp_path).restore(checkpoint_of(5))


# --- Whose folder it is -------------------------------------------------------


@pytest.mark.parametrize('name, text', [
    ('config.json', '{"name": "a web server", "port": 80}'),
    ('config.json', '[1, 2]'), ('metrics.jsonl', '{"loss": 1}\n'),
    ('thesis.tex', 'years of work'), ('checkpoints/model.pt', 'weights')])
def test_the_folder_of_another_program_is_left_as_it_was(tmp_path, name, text):
  (tmp_path / name).parent.mkdir(exist_ok=True)
  (tmp_path / name).write_text(text)
  before = contents(tmp_path)
  with pytest.raises(errors.UserError) as raised:
    begin(tmp_path)
  assert str(tmp_path) in str(raised.value)
  assert 'expected' in str(raised.value) and '\n' not in str(raised.value)
  assert contents(tmp_path) == before


def test_output_of_the_command_itself_may_stand_there(tmp_path):
  for name in 'sweep.log', 'nohup.out', '.gitignore':
    (tmp_path / name).write_text('')
  begin(tmp_path)
  assert run_folder.RunFolder(tmp_path).config() == tiny.config()


@pytest.mark.parametrize('name', ['', 'figures', 'train', 'test', 'checkpoints',
                                  '.lock'])
def test_a_file_where_a_folder_is_expected_is_named(tmp_path, name):
  path = tmp_path / 'run'
  if name:
    begin(path)
    shutil.rmtree(path / name, ignore_errors=True)
  if name == '.lock':
    (path / name).mkdir()
  else:
    (path / name).write_text('in the way')
  with pytest.raises(errors.UserError, match=str(path / name)):
    begin(path)


def test_what_is_no_saved_model_is_found_before_training(tmp_path):
  begin(tmp_path)
  (tmp_path / 'saved_model').write_text('in the way')
  with pytest.raises(errors.UserError, match='saved_model: found something'):
    experiment.run(tiny.config(), str(tmp_path))


def test_a_new_folder_goes_away_if_nothing_was_begun(tmp_path):
  with pytest.raises(errors.UserError, match='bad scenes'):
    with run_folder.Writer(tmp_path / 'runs' / 'a'):
      raise errors.UserError('bad scenes')
  assert tmp_path.exists() and not (tmp_path / 'runs').exists()


# --- Two runs at once ---------------------------------------------------------

HOLDER = '''
import pathlib, sys
from air_tf import folder_lock
lock = folder_lock.FolderLock(pathlib.Path(sys.argv[1]))
lock.acquire()
print('locked', flush=True)
sys.stdin.read()
'''
FORKING = '''
import os, pathlib, sys, time
from air_tf import folder_lock
lock = folder_lock.FolderLock(pathlib.Path(sys.argv[1]))
lock.acquire()
child = os.fork()
if not child:  # Which has let go of the lock by now.
  print(os.getpid(), flush=True)
time.sleep(300)
'''


def test_a_second_process_is_refused_until_the_first_is_gone(tmp_path):
  begin(tmp_path, [10])
  holder = subprocess.Popen(
      [sys.executable, '-c', HOLDER, tmp_path], stdin=subprocess.PIPE,
      stdout=subprocess.PIPE, text=True, env=scripts.ENVIRONMENT)
  assert holder.stdout.readline() == 'locked\n'
  with pytest.raises(errors.UserError, match=f'process {holder.pid} on .*here'):
    begin(tmp_path)
  run_folder.RunFolder(tmp_path).restore(checkpoint_of())  # May be read.
  holder.send_signal(signal.SIGKILL)
  holder.wait()
  begin(tmp_path)
  assert not (tmp_path / folder_lock.NAME).exists()


def test_one_process_cannot_write_a_folder_twice_either(tmp_path):
  with run_folder.Writer(tmp_path) as folder:
    folder.begin(tiny.config())
    with pytest.raises(errors.UserError, match=f'process {os.getpid()} on'):
      begin(tmp_path)
    folder.log_metrics(EVALUATION)
  begin(tmp_path)


def test_a_forked_process_does_not_keep_the_lock(tmp_path):
  holder = subprocess.Popen(
      [sys.executable, '-c', FORKING, tmp_path], stdout=subprocess.PIPE,
      text=True, env=scripts.ENVIRONMENT)
  child = int(holder.stdout.readline())
  try:
    with pytest.raises(errors.UserError, match='is training here'):
      begin(tmp_path)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    os.kill(child, 0)  # It is there still.
    begin(tmp_path)
  finally:
    os.kill(child, signal.SIGKILL)


# --- Full, gone, read-only ----------------------------------------------------


def test_a_full_disk_keeps_the_last_checkpoint_and_the_metrics(tmp_path):
  with disk_util.small_disk(tmp_path / 'disk') as disk:
    with run_folder.Writer(disk / 'run') as folder:
      folder.begin(tiny.config())
      folder.save(checkpoint_of(), 10)
      folder.log_metrics(EVALUATION)
      for call in (lambda: folder.save(checkpoint_of(50_000), 20),
                   lambda: files.write_bytes(disk / 'table.csv', b'1' * 2**18),
                   lambda: [folder.log_metrics(EVALUATION | {'step': i})
                            for i in range(2_000)]):
        with pytest.raises(errors.DiskFull) as raised:
          call()
        assert str(disk) in str(raised.value)
        assert '\n' not in str(raised.value)
        assert raised.value.exit_code == 75
      for row in (disk / 'run' / 'metrics.jsonl').read_text().splitlines():
        json.loads(row)  # None is cut short.
    assert not list(disk.glob('**/writing*')) and not list(disk.glob('**/*tmp'))
    assert not (disk / 'table.csv').exists()
    checkpoint = checkpoint_of()
    assert run_folder.RunFolder(disk / 'run').restore(checkpoint) == 10


def test_events_on_a_full_disk_are_not_lost_without_a_word(tmp_path):
  with disk_util.small_disk(tmp_path / 'disk') as disk:
    writer = summaries.Writer(disk)
    with pytest.raises(errors.DiskFull, match='no space left'):
      for i in range(20):
        writer.scalars('test', {f'x/{j}': 1. for j in range(99)}, i)
        writer.flush()


@pytest.mark.parametrize('split', ['train', 'test'])
def test_a_file_where_events_belong_is_named(tmp_path, split):
  (tmp_path / split).write_text('')
  with pytest.raises(errors.UserError, match=f'{split}: found a file'):
    summaries.Writer(tmp_path)


def test_a_cache_is_tidied_of_what_other_runs_left(tmp_path):
  name = '.test-1.npz.0123456789abcdef0123456789abcdef.tmp'
  for path, age in (tmp_path / name, 0), (tmp_path / f'.young{name}', None):
    path.write_text('half')
    if age is not None:
      os.utime(path, (age, age))
  datasets.load(tiny.config(cache_dir=str(tmp_path)))[0](0)
  assert [x.name for x in tmp_path.glob('.*')] == [f'.young{name}']


@pytest.mark.parametrize('error', [
    tf.errors.ResourceExhaustedError(None, None, 'a; No space left on device'),
    tf.errors.UnknownError(None, None, 'b: Disk quota exceeded'),
    OSError(28, 'No space left on device'), OSError(122, 'Quota')])
def test_no_room_is_known_however_it_is_raised(tmp_path, error, monkeypatch):
  def fail(*args, **kwargs):
    raise error

  writer = summaries.Writer(tmp_path)
  monkeypatch.setattr(tf.summary, 'scalar', fail)
  with pytest.raises(errors.DiskFull, match=str(tmp_path)):
    writer.scalars('train', {'x': 1.}, 1)
  monkeypatch.setattr(os, 'replace', fail)
  if isinstance(error, OSError):
    with pytest.raises(errors.DiskFull, match='a.txt'):
      files.write_text(tmp_path / 'a.txt', '')


def test_a_folder_that_is_removed_or_replaced_is_named(tmp_path):
  path = tmp_path / 'run'
  for replace in (lambda: None, path.mkdir, lambda: begin(path),
                  lambda: path.write_text('')):
    with run_folder.Writer(path) as folder:
      folder.begin(tiny.config())
      shutil.rmtree(path)
      replace()
      for call in (lambda: folder.log_metrics(EVALUATION),
                   lambda: folder.save(checkpoint_of(), 10)):
        with pytest.raises(errors.UserError, match='removed or replaced'):
          call()
    if path.is_dir():
      shutil.rmtree(path)
    path.unlink(missing_ok=True)


def test_a_read_only_folder_is_read_and_not_written(tmp_path, caplog):
  with disk_util.small_disk(tmp_path / 'disk', '1m') as disk:
    begin(disk / 'run', [10, 20])
    (disk / 'run' / 'checkpoints' / 'ckpt-20.index').write_bytes(b'')
    with run_folder.Writer(disk / 'run') as folder:
      run = disk / 'run'
      subprocess.run(['mount', '--bind', run, run], check=True)
      subprocess.run(['mount', '-o', 'remount,bind,ro', run], check=True)
      for call in (lambda: folder.log_metrics(EVALUATION),
                   lambda: folder.save(checkpoint_of(), 30),
                   lambda: folder.restore(checkpoint_of())):
        with pytest.raises(errors.UserError, match='Read-only|read-only'):
          call()
    with pytest.raises(errors.UserError, match='Read-only'):
      begin(disk / 'run')
    assert run_folder.RunFolder(disk / 'run').restore(checkpoint_of()) == 10
    assert run_folder.RunFolder(disk / 'run').metrics() == []


# --- JSON ---------------------------------------------------------------------


@pytest.mark.parametrize('row', [
    b'7', b'null', b'[1]', b'"text"', b'\xff\xfe{}', b'{', b'[' * 100_000,
    b'{"split": "test"}', b'{"step": 1}', *(
        json.dumps(EVALUATION | change).encode() for change in (
            {'step': 1.5}, {'step': None}, {'step': '1'}, {'step': True},
            {'step': -1}, {'step': 10**400}, {'split': 3}, {'seconds': 'long'},
            {'elbo': [1]}, {'count_accuracy': {}}))])
def test_a_line_that_is_no_evaluation_is_left_out(tmp_path, row, caplog):
  good = json.dumps(EVALUATION).encode()
  begin(tmp_path)
  (tmp_path / 'metrics.jsonl').write_bytes(
      good + b'\n' + row + b'\n' + good + b'\n')
  assert run_folder.RunFolder(tmp_path).metrics() == [EVALUATION] * 2
  warnings = [x for x in caplog.messages if 'metrics.jsonl' in x]
  assert len(warnings) == 1 and 'line 2' in warnings[0]
  with run_folder.Writer(tmp_path) as folder:
    folder.truncate_metrics(5)
  assert metrics_file.read(tmp_path / 'metrics.jsonl') == [EVALUATION] * 2
  assert len((tmp_path / 'metrics.jsonl').read_bytes().splitlines()) == 2


@pytest.mark.parametrize('field, value', [
    ('max_steps', 2.5), ('max_steps', '3'), ('max_steps', None),
    ('max_steps', True), ('max_steps', 10**30), ('counts', 2),
    ('counts', [0, 'two']), ('counts', [1.5]), ('learning_rate', 'small'),
    ('learning_rate', float('nan')), ('learning_rate', 10**400),
    ('digits', 7), ('overlap', 'false'), ('estimator', 'magic'),
    ('batch_size', -1), ('digit_scale', {})])
def test_a_damaged_configuration_names_its_field(tmp_path, field, value):
  begin(tmp_path, [10])
  values = dataclasses.asdict(tiny.config()) | {field: value}
  (tmp_path / 'config.json').write_text(json.dumps(values))
  for call in (lambda: run_folder.RunFolder(tmp_path).config(),
               lambda: begin(tmp_path), lambda: run_lib.load(tmp_path)):
    with pytest.raises(errors.UserError) as raised:
      call()
    assert 'config.json' in str(raised.value) and field in str(raised.value)
    assert 'expected' in str(raised.value) and '\n' not in str(raised.value)


@pytest.mark.parametrize('data', [
    b'', b'{"a": ', b'\xff\xfe\x00', b'[' * 100_000, b'9' * 10_000,
    b'{"a": 1}' + b' ' * 2**21])
def test_a_configuration_that_is_not_json_is_refused(tmp_path, data):
  begin(tmp_path, [10])
  (tmp_path / 'config.json').write_bytes(data)
  for call in run_folder.RunFolder(tmp_path).config, lambda: begin(tmp_path):
    with pytest.raises(errors.UserError, match='config.json') as raised:
      call()
    assert len(str(raised.value)) < 600 and '\n' not in str(raised.value)


def test_a_pipe_is_no_configuration(tmp_path):
  os.mkfifo(tmp_path / 'config.json')
  with pytest.raises(errors.UserError, match='Not a regular file'):
    run_folder.RunFolder(tmp_path).config()


@pytest.mark.parametrize('data', [b'{', b'null', b'\xff', b'{"python": 3}'])
def test_versions_are_never_read(tmp_path, data):
  begin(tmp_path, [10])
  (tmp_path / 'versions.json').write_bytes(data)
  begin(tmp_path)
  assert 'numpy' in json.loads((tmp_path / 'versions.json').read_bytes())


def evaluated(path, *steps):
  (path / 'metrics.jsonl').write_text(''.join(
      json.dumps(EVALUATION | {'step': step}) + '\n' for step in steps))


@pytest.mark.parametrize('folder, steps', [
    ('', (4, 8)), ('saved_model', (4,))])
def test_checkpoints_that_are_gone_are_missed(tmp_path, folder, steps):
  begin(tmp_path, [4, 8])  # With --checkpoint_every=4.
  evaluated(tmp_path, *steps)
  (tmp_path / folder).mkdir(exist_ok=True)
  shutil.rmtree(tmp_path / 'checkpoints')
  before = contents(tmp_path)
  with pytest.raises(errors.UserError, match='checkpoints: found no check'):
    begin(tmp_path, seed=1)
  assert contents(tmp_path) == before


def test_a_run_killed_before_its_first_checkpoint_starts_over(tmp_path):
  begin(tmp_path)
  evaluated(tmp_path, 4)  # Evaluated, and killed before it was saved.
  begin(tmp_path, checkpoint_every=1)
  begin(tmp_path, checkpoint_every=1)  # Nor was anything done in between.


def test_fewer_iterations_than_were_done_change_nothing(tmp_path):
  begin(tmp_path, [4, 8])
  before = contents(tmp_path)
  with pytest.raises(errors.UserError, match='--num_iterations=7: .* done 8'):
    begin(tmp_path, num_iterations=7)
  assert contents(tmp_path) == before
  begin(tmp_path, num_iterations=8)


def test_events_that_do_not_fit_are_missed(tmp_path):
  writer = summaries.Writer(tmp_path)
  writer.scalars('train', {'elbo': 1.}, 1)
  writer.flush()
  events, = (tmp_path / 'train').glob('*.tfevents.*')
  whole = events.read_bytes()
  writer.scalars('train', {'elbo': 2.}, 2)
  writer.flush()
  # A disk that is full cuts a record short, wherever.
  for size in len(whole) + 1, len(whole) + 11, events.stat().st_size - 1:
    os.truncate(events, size)
    with pytest.raises(errors.DiskFull, match='no space left'):
      writer.flush()
  os.truncate(events, len(whole))
  with pytest.raises(errors.DiskFull):  # Behind a record that had been whole.
    writer.flush()
  events.unlink()
  with pytest.raises(errors.UserError, match='No such file'):
    writer.flush()


# --- What a kill leaves -------------------------------------------------------


def test_the_next_writer_tidies_what_a_killed_one_left(tmp_path):
  begin(tmp_path, [10, 20])
  left = [
      '.config.json.0123456789abcdef0123456789abcdef.tmp', '.versions.json.77',
      'figures/.progress.png.0123456789abcdef0123456789abcdef.tmp',
      str(projector.FOLDER / '.codes.tsv.0123456789abcdef0123456789abcdef.tmp'),
      'checkpoints/writing.data-00000-of-00001', 'checkpoints/writing.index',
      'checkpoints/writing_temp/part-00000-of-00001.tempstate12',
      'checkpoints/ckpt-5.data-00000-of-00001',
      'checkpoints/ckpt-30.data-00000-of-00001']
  old = 'figures/.policy.png.0123456789abcdef0123456789abcdef.tmp'
  kept = {'sweep.log', 'figures/mine.png', 'checkpoints/note.txt',
          old.replace('policy', 'elbo')}  # Somebody may just write it.
  (tmp_path / projector.FOLDER).mkdir(parents=True)
  before = set(contents(tmp_path))
  for name in (*left, *kept, old):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text('')
  os.utime(tmp_path / old, (0, 0))
  with run_folder.Writer(tmp_path) as folder:
    folder.begin(tiny.config())
    assert folder.restore(checkpoint_of()) == 20
  assert set(contents(tmp_path)) == before | kept


# --- Scenes -------------------------------------------------------------------


def write_scenes(path, seed=0, size=16, channels=1):
  scenes = tiny.scenes(20, size, seed)
  if channels == 3:
    scenes = scenes._replace(images=np.repeat(
        scenes.images[..., np.newaxis], 3, axis=-1))
  scene_files.write(str(path), scenes)
  return scenes


@pytest.mark.parametrize('changes', [
    dict(seed=1), dict(size=18), dict(channels=3)])
def test_other_scenes_are_refused_by_a_resumed_run_and_a_reader(
    tmp_path, changes):
  path = tmp_path / 'own.npz'
  first = write_scenes(path)
  flags = dict(scenes=str(path))
  prints = fingerprint.of(train=first, test=first)
  begin(tmp_path / 'run', [10], prints, **flags)
  begin(tmp_path / 'run', [20], prints, **flags)  # The same: nothing to say.
  other = write_scenes(path, **changes)
  shape = dict(canvas_size=other.images.shape[1],
               channels=changes.get('channels', 1))
  with pytest.raises(errors.UserError) as raised:
    begin(tmp_path / 'run', (), fingerprint.of(train=other, test=other),
          **flags, **shape)
  text = str(raised.value)
  assert 'were 20 images of 16 x 16' in text and 'own.npz' in text
  assert f"are 20 images of {shape['canvas_size']} x" in text
  found = run_folder.RunFolder(tmp_path / 'run').scene_differences(
      fingerprint.of(test=other))
  assert len(found) == 1 and 'held-out' in found[0]


@pytest.mark.parametrize('text', ['', '{', 'null', '[]', '{"train": 3}', '[' *
                                  100_000])
def test_a_damaged_fingerprint_is_named(tmp_path, text):
  scenes = tiny.scenes()
  prints = fingerprint.of(train=scenes, test=scenes)
  begin(tmp_path, [10], prints)
  (tmp_path / 'scenes.json').write_text(text)
  with pytest.raises(errors.UserError, match='scenes.json.*Remove it'):
    begin(tmp_path, (), prints)
  (tmp_path / 'scenes.json').unlink()
  (tmp_path / 'scenes.json').symlink_to('nowhere')
  with pytest.raises(errors.UserError, match='scenes.json.*Remove it'):
    begin(tmp_path, (), prints)


def test_scenes_on_disk_are_told_apart_as_those_in_memory(tmp_path):
  images = tiny.scenes(30).images
  np.save(tmp_path / 'images.npy', images)
  mapped = np.load(tmp_path / 'images.npy', mmap_mode='r')
  scenes = tiny.scenes(30)
  on_disk = scenes._replace(
      images=streams.MappedImages(mapped, np.arange(30)))
  assert fingerprint.of(test=on_disk) == fingerprint.of(test=scenes)
  images[17, 3, 4] ^= 1
  assert fingerprint.of(test=scenes._replace(images=images)) != (
      fingerprint.of(test=on_disk))


def test_test_scenes_must_be_another_file(tmp_path):
  first, copy = tmp_path / 'a.npz', tmp_path / 'b.npz'
  write_scenes(first)
  shutil.copy(first, copy)
  check = lambda path: fingerprint.check_held_out(
      tiny.config(scenes=str(first), test_scenes=str(path)))
  check(copy)
  fingerprint.check_held_out(tiny.config(scenes=str(first)))
  (tmp_path / 'link.npz').symlink_to(first)
  os.link(first, tmp_path / 'hard.npz')
  for same in first, tmp_path / 'link.npz', tmp_path / 'hard.npz':
    with pytest.raises(errors.UserError, match='found the file of --scenes'):
      check(same)

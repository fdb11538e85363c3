"""Flagfiles that include others, and flags by their old names."""

import dataclasses
import json
import pathlib
import shutil

import pytest

from air_tf import config as config_lib
from air_tf import errors
from air_tf import flagfiles
from air_tf.training import run_folder

RUNS = pathlib.Path(__file__).with_name('old_runs')


@pytest.fixture(autouse=True)
def nothing_said_yet():
  flagfiles.current_name.cache_clear()


def test_lines_stand_where_the_flagfile_stood(tmp_path):
  (tmp_path / 'a.flags').write_text(
      '# A comment.\n\n  --seed=1\n// Another.\n--nodifference\n')
  assert flagfiles.expand(
      ['train.py', '--x=1', f'--flagfile={tmp_path}/a.flags', '--y', '2']) == [
          'train.py', '--x=1', '--seed=1', '--nodifference', '--y', '2']
  assert flagfiles.expand(['--flagfile', f'{tmp_path}/a.flags']) == [
      '--seed=1', '--nodifference']


def test_an_included_flagfile_is_found_beside_the_one_that_names_it(
    tmp_path, monkeypatch):
  (tmp_path / 'flags').mkdir()
  (tmp_path / 'flags' / 'a.flags').write_text(
      '--flagfile=b.flags\n--seed=2\n')
  (tmp_path / 'flags' / 'b.flags').write_text('--seed=1\n')
  monkeypatch.chdir(tmp_path)
  found = flagfiles.expand(['--flagfile=flags/a.flags'])
  assert found == ['--seed=1', '--seed=2']  # What stands further down wins.
  (tmp_path / 'b.flags').write_text('--seed=3\n')  # The current folder first.
  assert flagfiles.expand(['--flagfile=flags/a.flags'])[0] == '--seed=3'


def test_flags_of_others_leave_those_of_the_command_line_alone(tmp_path):
  (tmp_path / 'ours.flags').write_text('\n--seed=1\n')
  (tmp_path / 'theirs.flags').write_text('--logdir=there\n--seed=2\n')
  flagfiles.expand([f'--flagfile={tmp_path}/ours.flags', '--logdir=here'])
  with pytest.raises(errors.UserError) as raised, flagfiles.on_its_own():
    flagfiles.expand([f'--flagfile={tmp_path}/theirs.flags'])
    raise errors.UserError('--seed=2: expected another.')
  assert str(raised.value).startswith(f'{tmp_path}/theirs.flags:2: --seed=2')
  assert flagfiles.with_origin(raised.value) is raised.value
  said = lambda text: str(flagfiles.with_origin(errors.UserError(text)))
  assert said('--seed=1: no') == f'{tmp_path}/ours.flags:2: --seed=1: no'
  assert said('--logdir=here: no') == '--logdir=here: no'


def test_what_follows_two_dashes_is_left_alone():
  arguments = ['--', '--flagfile=none', '--average_decay=1']
  assert flagfiles.expand(arguments) == arguments


def test_a_flagfile_that_cannot_be_used_is_named(tmp_path):
  with pytest.raises(errors.UserError, match='--flagfile=none: cannot be read'):
    flagfiles.expand(['--flagfile=none'])
  (tmp_path / 'a.flags').write_text('--flagfile=a.flags\n')
  with pytest.raises(errors.UserError, match='includes itself'):
    flagfiles.expand([f'--flagfile={tmp_path}/a.flags'])
  with pytest.raises(errors.UserError, match='expected --flagfile=PATH'):
    flagfiles.expand(['--flagfile'])


@pytest.mark.parametrize('old', flagfiles.RENAMED)
def test_an_old_name_is_understood_everywhere_and_said_once(
    old, tmp_path, caplog):
  new = flagfiles.RENAMED[old]
  (tmp_path / 'a.flags').write_text(f'--{old}=1\n')
  assert flagfiles.expand(
      [f'--{old}=2', f'--{old}', '3', f'--flagfile={tmp_path}/a.flags']) == [
          f'--{new}=2', f'--{new}', '3', f'--{new}=1']
  assert [record.getMessage() for record in caplog.records] == [
      f'--{old} is now called --{new}.']
  fields = {field.name for field in dataclasses.fields(config_lib.Config)}
  assert new in fields and old not in fields


@pytest.mark.parametrize('name', ['air_rebar', 'dair'])
def test_a_run_folder_of_old_names_is_rewritten_with_new_ones(
    name, tmp_path, caplog):
  shutil.copytree(RUNS / name, tmp_path / 'run')
  folder = run_folder.Writer(tmp_path / 'run')
  config = folder.config()
  for old, new in flagfiles.RENAMED.items():
    assert f'--{old} is now called --{new}.' in caplog.messages
  with folder:
    folder.begin(config)  # As a resumed run does: it is the same run.
  written = json.loads((tmp_path / 'run' / 'config.json').read_text())
  assert set(written) == {
      field.name for field in dataclasses.fields(config_lib.Config)}
  lines = (tmp_path / 'run' / 'flags.txt').read_text().splitlines()
  names = {line.lstrip('-').partition('=')[0] for line in lines}
  assert names == set(written)
  assert folder.config() == config


def test_old_metrics_are_read_under_their_new_names():
  raw = [json.loads(line) for line in
         (RUNS / 'dair' / 'metrics.jsonl').read_text().splitlines()]
  lines = run_folder.RunFolder(RUNS / 'dair').metrics()
  assert 'reconstruction' in raw[0] and 'num_steps' in raw[0]
  for old, line in zip(raw, lines, strict=True):
    assert line['log_likelihood'] == old['reconstruction']
    assert line['expected_num_steps'] == old['num_steps']
    assert not {'reconstruction', 'num_steps'} & set(line)

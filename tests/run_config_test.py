"""Which options make another run of a run."""

import dataclasses
import json

import pytest
import tiny

from air_tf import errors
from air_tf.training import run_config

PICTURES = dict(range='0,9', invert=True, contrast='local', crop=16,
                augment=True, max_objects=6)


def changed(old, **changes):
  return run_config.changed(old, dataclasses.replace(old, **changes))


@pytest.mark.parametrize('name', PICTURES)
def test_how_pictures_are_read_counts_where_there_are_pictures(name):
  composed, given = tiny.config(), tiny.config(scenes='folder', crop=16)
  value = {'crop': 20}.get(name, PICTURES[name])
  assert changed(given, **{name: value}) == [name]
  # These are refused without --scenes.
  if name not in ('crop', 'augment', 'max_objects'):
    assert changed(composed, **{name: value}) == []


@pytest.mark.parametrize('before', ['auto', 'dtype'])
def test_a_run_from_before_the_range_was_measured_goes_on(before):
  old = tiny.config(scenes='folder', range=before)
  assert changed(old, range='0,255') == changed(old, range='dtype') == []
  assert changed(old, range='0,120') == ['range']  # Other pixels than then.
  measured = tiny.config(scenes='folder', range='0,255')
  assert changed(measured, range='0,120') == ['range']


def test_lists_are_as_good_as_tuples():
  config = tiny.config(counts=[0, 1], digit_scale=[.5, 1.])
  assert (config.counts, config.digit_scale) == ((0, 1), (.5, 1.))
  with pytest.raises(errors.UserError, match='--counts'):
    tiny.config(counts=[0, -1])


def test_a_run_is_resumed_longer_but_not_otherwise():
  old = tiny.config()
  assert changed(old) == []
  assert changed(old, num_iterations=old.num_iterations + 1) == []
  assert changed(old, seed=1, what_size=5) == ['what_size', 'seed']


@pytest.mark.parametrize('name, value', [
    ('digits', 'a\udcff'), ('cache_dir', 'a\0b'), ('estimator', '\ud800')])
def test_text_that_no_flag_can_hold_is_refused(tmp_path, name, value):
  values = dataclasses.asdict(tiny.config()) | {name: value}
  (tmp_path / 'config.json').write_text(json.dumps(values))
  with pytest.raises(errors.UserError, match=f'config.json: {name}: found'):
    run_config.read(tmp_path)

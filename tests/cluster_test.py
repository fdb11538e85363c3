"""`TF_CONFIG`: what is taken, and what is refused on one line."""

import json

import cluster_util
import pytest

from air_tf import errors
from air_tf.training import cluster as cluster_lib

TASK = {'type': 'worker', 'index': 0}


def with_workers(*addresses):
  return json.dumps({'cluster': {'worker': list(addresses)}, 'task': TASK})


def with_task(**changes):
  return json.dumps({'cluster': {'worker': ['a:1', 'b:2']},
                     'task': TASK | changes})


def with_cluster(value):
  return json.dumps({'cluster': value, 'task': TASK})


@pytest.mark.parametrize('text, message', [
    ('', "TF_CONFIG='' .not JSON"), ('{', 'not JSON'), ('[' * 100_000, 'JSON'),
    ('[]', "no object 'cluster'"), ('null', "no object 'cluster'"),
    ('{"cluster": {"worker": ["a:1"]}}', "no object 'task'"),
    ('{"cluster": {"worker": ["a:1"]}, "task": 0}', "no object 'task'"),
    (with_cluster({}), 'no task type'), (with_cluster([]), "no object 'clu"),
    (with_cluster({'worker': ['a:1'], 'ps': ['b:1']}), "task types .'ps'"),
    (with_cluster({'worker': []}), "'worker' is no list of addresses"),
    (with_cluster({'worker': 'a:1'}), "'worker' is no list of addresses"),
    (with_cluster({'worker': {'0': 'a:1'}}), "'worker' is no list"),
    (with_cluster({'worker': ['a:1'], 'chief': ['b:1', 'c:1']}), 'one chief'),
    (with_workers('a:1', 2222), 'address 1 .* is 2222, which is no text'),
    (with_workers(None), 'address 0 .* is null'),
    (with_workers(['a', 1]), 'address 0'), (with_workers('a'), 'not host:port'),
    (with_workers('a:'), 'not host'), (with_workers(':1'), 'not host:port'),
    (with_workers('a:0'), 'not host'), (with_workers('a:65536'), 'not host'),
    (with_workers('a:x'), 'not host'), (with_workers('a:-1'), 'not host:port'),
    (with_workers('a:\u0661'), 'not host'), (with_workers('a b:1'), 'not host'),
    (with_workers('http://a:1'), 'not host'), (with_workers('a:1 '), 'not'),
    (with_workers('a:1', 'b:1', 'A:1'), 'the address a:1 is there twice'),
    (with_task(index=2), 'task index 2; .worker. has the indices 0 to 1'),
    (with_task(index=-1), 'task index -1'), (with_task(index=True), 'whole'),
    (with_task(index='0'), 'which is no whole number'),
    (with_task(index=0.), 'whole number'), (with_task(index=None), 'null'),
    (with_task(type='evaluator'), "task type 'evaluator'"),
    (with_task(type='chief'), "task type 'chief', which is not in 'cluster'"),
    (with_task(type=None), 'task type None'), (with_task(type=[]), 'type')])
def test_a_cluster_that_cannot_be_is_refused(monkeypatch, text, message):
  monkeypatch.setenv('TF_CONFIG', text)
  with pytest.raises(errors.UserError, match=message) as raised:
    cluster_lib.read()
  assert 'found TF_CONFIG=' in str(raised.value)
  assert 'expected {"cluster"' in str(raised.value)
  assert '\n' not in str(raised.value) and len(str(raised.value)) < 1_000


def test_addresses_of_all_kinds_are_taken(monkeypatch):
  addresses = ['10.0.0.1:2222', 'gpu-1.example.org:65535', '[::1]:1', 'a_b:80']
  monkeypatch.setenv('TF_CONFIG', cluster_util.tf_config(addresses, 2))
  cluster = cluster_lib.read()
  assert cluster.addresses == addresses and cluster.rank == 2
  assert [cluster_lib.split(x) for x in addresses] == [
      ('10.0.0.1', 2222), ('gpu-1.example.org', 65535), ('::1', 1),
      ('a_b', 80)]


def test_ranks_are_positions_among_all_addresses():
  processes = {'worker': ['a:1', 'b:1'], 'chief': ['c:1']}
  ranks = [cluster_lib.Cluster(processes, *task).rank
           for task in (('chief', 0), ('worker', 0), ('worker', 1))]
  assert ranks == [0, 1, 2]
  assert cluster_lib.Cluster(processes, 'chief', 0).addresses == [
      'c:1', 'a:1', 'b:1']


def test_the_first_process_is_the_chief_unless_one_is_called_so():
  workers = {'worker': ['a', 'b']}
  named = workers | {'chief': ['c']}
  assert cluster_lib.is_chief(workers, 'worker', 0)
  assert not cluster_lib.is_chief(workers, 'worker', 1)
  assert cluster_lib.is_chief(named, 'chief', 0)
  assert not cluster_lib.is_chief(named, 'worker', 0)

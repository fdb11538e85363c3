"""Batches side by side, in their order."""

import itertools
import subprocess
import sys
import threading
import time

import pytest
import scripts

from air_tf.serving import parallel


@pytest.fixture(autouse=True)
def three_threads(monkeypatch):
  monkeypatch.setattr(parallel, '_num_threads', lambda: 3)


def test_results_keep_the_order_of_the_items():
  def wait(x):
    time.sleep(.02 * (5 - x))  # Later items are ready first.
    return x
  assert list(parallel.in_order(wait, range(6))) == list(range(6))


def test_items_are_computed_side_by_side():
  together = threading.Barrier(3, timeout=20.)  # Three at a time, or an error.
  def meet(x):
    together.wait()
    return x
  assert list(parallel.in_order(meet, range(9))) == list(range(9))


def test_as_many_are_in_memory_as_was_said():
  drawn = []
  found = parallel.in_order(
      lambda x: x, (drawn.append(x) or x for x in itertools.count()))
  for x in range(5):
    assert next(found) == x
    deadline = time.monotonic() + 20.
    while len(drawn) < x + 4 and (
        time.monotonic() < deadline):
      time.sleep(.01)
    time.sleep(.02)  # In which it would draw another, if it did.
    # Three, and that of the caller; one more as soon as it asks for the next.
    assert len(drawn) - x == 4 == parallel.num_batches() - 1
  found.close()


def test_the_first_result_does_not_wait_for_the_second_item():
  answered = threading.Event()
  def items():
    yield 0
    assert answered.wait(20.)
    yield 1
  found = parallel.in_order(lambda x: x, items())
  assert next(found) == 0
  answered.set()
  assert list(found) == [1]


def test_inside_of_its_threads_there_are_no_further_ones():
  def inner(_):
    before = threading.active_count()
    assert list(parallel.in_order(lambda x: x, range(3))) == [0, 1, 2]
    return threading.active_count() - before
  # The outer ones may end meanwhile.
  assert max(parallel.in_order(inner, range(6))) <= 0


def test_an_error_of_the_items_comes_after_what_was_found_before_it():
  def items():
    yield from range(5)
    raise ValueError('damaged')
  found = []
  with pytest.raises(ValueError, match='damaged'):
    for x in parallel.in_order(lambda x: x, items()):
      found.append(x)
  assert found == list(range(5))


def test_an_error_of_the_function_comes_in_its_place_and_ends_all():
  called = []
  def fail(x):
    called.append(x)
    if x == 2:
      raise ValueError('2')
    return x
  found = []
  with pytest.raises(ValueError, match='2'):
    for x in parallel.in_order(fail, range(100)):
      found.append(x)
  assert found == [0, 1] and len(called) <= 2 + parallel.num_batches()


def test_a_caller_that_stops_leaves_no_thread():
  before = threading.active_count()
  found = parallel.in_order(lambda x: x, itertools.count())
  next(found)
  assert threading.active_count() > before
  found.close()
  assert threading.active_count() == before


@pytest.mark.slow
@pytest.mark.parametrize('cores, threads, each', [(2, 2, 1), (12, 8, 2)])
def test_tensorflow_shares_the_cores_out_among_batches(cores, threads, each):
  # In a process of its own: TensorFlow's threads are set once.
  code = (f'from air_tf.serving import parallel; import tensorflow as tf; '
          f'parallel.use_cores({cores}); '
          'print(tf.config.threading.get_intra_op_parallelism_threads(), '
          'parallel.num_batches() - 2)')
  ended = subprocess.run([sys.executable, '-c', code], capture_output=True,
                         text=True, cwd=scripts.ROOT, check=True)
  assert ended.stdout.split() == [str(each), str(threads)]


def test_no_items_give_no_results():
  assert not list(parallel.in_order(lambda x: x, []))

"""Explains batches side by side, a core each, and returns them in their order.

The products of a batch are too small to be shared out: with two threads each,
a batch takes as long as with one, and a single image twice as long.
"""

import collections
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from concurrent import futures
import contextlib
import itertools
import os
from typing import TypeVar

import tensorflow as tf

__all__ = ['in_order', 'num_batches', 'use_one_core_each']

# Each batch has memory of its own; with more cores, a batch gets several.
_MOST_THREADS = 8

Item = TypeVar('Item')
Result = TypeVar('Result')


def use_one_core_each() -> None:
  """Makes TensorFlow compute each operation on one core, or on a few of many.

  For a process that does nothing but inference. Without effect once TensorFlow
  has computed something: its threads cannot be changed then.
  """
  with contextlib.suppress(RuntimeError):
    tf.config.threading.set_intra_op_parallelism_threads(
        max(1, _num_cores() // _num_threads()))


def num_batches() -> int:
  """How many items of `in_order` are in memory at most."""
  return _num_threads() + 1


def in_order(function: Callable[[Item], Result],
             items: Iterable[Item]) -> Iterator[Result]:
  """Applies a function to items in several threads.

  Items are drawn in the thread of the caller, a few ahead. While it is busy
  with a result, the next ones are computed.

  Args:
    function: called in threads.
    items: may be a generator; `num_batches` are in memory at a time.

  Yields:
    Results in the order of the items. An error of `items` is raised after the
    results of all items before it.
  """
  items, pending, failure = iter(items), collections.deque(), None
  with futures.ThreadPoolExecutor(_num_threads()) as pool:
    try:
      while True:
        try:
          for item in itertools.islice(items, num_batches() - len(pending)):
            pending.append(pool.submit(function, item))
        except Exception as error:
          failure, items = error, iter(())
        if not pending:
          break
        yield pending.popleft().result()
    finally:
      pool.shutdown(cancel_futures=True)
  if failure is not None:
    raise failure


def _num_threads() -> int:
  return min(_num_cores(), _MOST_THREADS)


def _num_cores() -> int:
  """Cores that this process may use."""
  if hasattr(os, 'sched_getaffinity'):  # Not on macOS.
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1

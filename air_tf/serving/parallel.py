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
import os
import threading
from typing import TypeVar

import tensorflow as tf

__all__ = ['in_order', 'num_batches', 'use_cores']

# Each batch has memory of its own; with more cores, a batch gets several.
_MOST_THREADS = 8
_END = object()  # After the last item.

Item = TypeVar('Item')
Result = TypeVar('Result')

_cores = None  # As `use_cores` was told.
_nested = threading.local()


def use_cores(number: int | None = None) -> None:
  """Says how many cores this process takes, for batches side by side.

  For a process that does nothing but inference: TensorFlow then computes each
  operation on one core, or on a few of more than eight. That part is without
  effect once TensorFlow has computed something.

  Args:
    number: all that the process may use, if None.
  """
  global _cores
  _cores = number
  with contextlib.suppress(RuntimeError):  # Its threads cannot change any more.
    tf.config.threading.set_intra_op_parallelism_threads(
        -(-_num_cores() // _num_threads()))


def num_batches() -> int:
  """How many batches are in memory at most, with that of the caller."""
  return _num_threads() + 2


def in_order(function: Callable[[Item], Result],
             items: Iterable[Item]) -> Iterator[Result]:
  """Applies a function to items in several threads.

  A further thread draws the items, a few ahead: the first result is there as
  soon as the first item is, and while the caller is busy with one, the next
  ones are computed. Inside of such a thread, and where TensorFlow's functions
  run eagerly, which several threads may not do, it is as `map`.

  Args:
    function: called in threads.
    items: may be a generator; `num_batches` are in memory at a time.

  Yields:
    Results in the order of the items. An error of the function or of the items
    is raised in its place, after the results before it.
  """
  if tf.config.functions_run_eagerly() or getattr(_nested, 'inside', False):
    yield from map(function, items)
    return
  items, pending = iter(items), collections.deque()
  with (futures.ThreadPoolExecutor(1) as reader,
        futures.ThreadPoolExecutor(_num_threads(), initializer=_enter)
        as workers):

    def apply(drawn: futures.Future) -> Result:
      item = drawn.result()
      return item if item is _END else function(item)

    def begin_next() -> None:
      pending.append(workers.submit(apply, reader.submit(next, items, _END)))

    try:
      for _ in range(_num_threads()):
        begin_next()
      while pending:
        begin_next()
        result = pending.popleft().result()
        if result is _END:
          break
        yield result
    finally:
      for pool in (reader, workers):
        pool.shutdown(wait=False, cancel_futures=True)


def _enter() -> None:
  _nested.inside = True


def _num_threads() -> int:
  return min(_num_cores(), _MOST_THREADS)


def _num_cores() -> int:
  """Cores that this process takes."""
  if _cores is not None:
    return _cores
  if hasattr(os, 'sched_getaffinity'):  # Not on macOS.
    return len(os.sched_getaffinity(0))
  return os.cpu_count() or 1

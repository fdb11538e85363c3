"""One model on several devices, by `tf.distribute`.

Each replica holds all variables and processes its share of every batch. All
replicas then apply the same update, with the mean of their gradients. The
scenes of a batch and the noise added to each do not depend on the number of
replicas (see `noise`), so the number of replicas changes the result of training
by rounding errors only.
"""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
import contextlib
import dataclasses
import functools
import os
import signal
import time
from typing import Any

import sonnet as snt
import tensorflow as tf

from air_tf import config as config_lib
from air_tf import errors
from air_tf import noise
from air_tf.training import all_reduce
from air_tf.training import cluster
from air_tf.training import connections
from air_tf.training import joining
from air_tf.training import rendezvous
from air_tf.training import signals

__all__ = ['Mirrored', 'MultiWorker', 'OneDevice', 'make']

# From images `[B, H, W]` to gradients and metrics; from those to metrics.
Gradient = Callable[[tf.Tensor], tuple]
Update = Callable[..., dict[str, tf.Tensor]]

_JOIN_SECONDS = 300.  # For TensorFlow to join processes that are all there.


class OneDevice:
  """No distribution: a whole iteration is one compiled function.

  Attributes:
    is_chief: whether this process writes the run folder.
    num_replicas: in all processes together.
  """
  is_chief = True
  num_replicas = 1

  def __init__(self, jit_compile: bool) -> None:
    """Makes the strategy; with `jit_compile`, XLA compiles its functions."""
    self._jit_compile = jit_compile

  def scope(self) -> contextlib.AbstractContextManager[None]:
    """Returns the context in which variables must be created."""
    return contextlib.nullcontext()

  def step(self, gradient: Gradient, update: Update) -> Callable:
    """Returns the function of one iteration.

    Args:
      gradient: from images to (gradients, metrics), each a mean over images.
      update: from what `gradient` returns to metrics; changes variables.

    Returns:
      A function from the images of the whole batch to the metrics. It is always
      a `tf.function`: those are tracked as nodes of a checkpoint.
    """
    return self._compiled(lambda images: update(*gradient(images)))

  def replicate(self, function: Callable[[], None]) -> Callable:
    """Returns a function that runs `function` in every replica."""
    return self._compiled(function)

  def broadcast(self, variables: Sequence[tf.Variable]) -> None:
    """Assigns the chief's values to the variables of every process."""

  def max_over_workers(self, number: int) -> int:
    """Waits for all processes and returns the largest of their numbers.

    Args:
      number: of a signal that this process received, or 0.
    """
    return number

  def detect_lost_workers(self) -> contextlib.AbstractContextManager[None]:
    """Returns a context in which a lost process raises `errors.WorkerLost`."""
    return contextlib.nullcontext()

  def _compiled(self, function: Callable) -> Callable:
    return tf.function(
        function, jit_compile=self._jit_compile, autograph=False)


class Mirrored(OneDevice):
  """Several devices of this process, each with a copy of all variables.

  Not compiled by XLA by default: inside the loop it cannot reach the copies on
  a second device (TensorFlow 2.21), and on a TPU everything is compiled anyway.
  """

  def __init__(self, strategy: tf.distribute.Strategy,
               jit_compile: bool = False) -> None:
    """Makes the strategy.

    Args:
      strategy: one of Sonnet's; Sonnet's optimizers refuse others.
      jit_compile: whether XLA compiles the gradient and the update.
    """
    super().__init__(jit_compile)
    self.strategy = strategy
    self.num_replicas = strategy.num_replicas_in_sync

  def scope(self) -> contextlib.AbstractContextManager[None]:
    """As in the base class."""
    return self.strategy.scope()

  def step(self, gradient: Gradient, update: Update) -> Callable:
    """As in the base class."""
    mean, update = self._mean(gradient), self._compiled(update)

    def replica_step(images: tf.Tensor) -> dict[str, tf.Tensor]:
      return update(*mean(images))

    return tf.function(
        lambda images: self._run(replica_step, images), autograph=False)

  def replicate(self, function: Callable[[], None]) -> Callable:
    """As in the base class."""
    compiled = self._compiled(function)
    return tf.function(lambda: self._run(compiled), autograph=False)

  def _mean(self, gradient: Gradient) -> Gradient:
    """Returns `gradient` with results averaged over all replicas."""
    gradient = self._compiled(gradient)

    def mean(images: tf.Tensor) -> tuple:
      gradients, metrics = gradient(noise.rows(images))
      gradients, metrics = all_reduce.all_reduce(
          'MEAN', (gradients, all_reduce.to_moments(metrics)), tf.float32)
      return gradients, all_reduce.from_moments(metrics)

    return mean

  def _run(self, function: Callable, *args: tf.Tensor) -> Any:
    """Runs a function in every replica; returns the first one's result."""
    results = self.strategy.run(function, args)
    return tf.nest.map_structure(
        lambda x: self.strategy.experimental_local_results(x)[0], results)


class MultiWorker(Mirrored):
  """Several processes, on one host or many, with one device each.

  `MultiWorkerMirroredStrategy` only sums over the processes, because
  Sonnet's optimizers refuse it: the variables are ordinary ones of each
  process, and every process applies the same update outside the strategy. XLA
  compiles the gradient and the update, before and after the sum.
  """

  def __init__(self, jit_compile: bool, partners: connections.Partners) -> None:
    """Joins the others, which have to be there: see `rendezvous`."""
    self._partners = partners  # Their connections stay open.
    check = functools.partial(
        partners.require_all, deadline=time.monotonic() + _JOIN_SECONDS)
    with self.detect_lost_workers(), joining.watched(check):
      super().__init__(tf.distribute.MultiWorkerMirroredStrategy(), jit_compile)
    resolver = self.strategy.cluster_resolver
    processes = resolver.cluster_spec().as_dict()
    self.is_chief = cluster.is_chief(
        processes, resolver.task_type, resolver.task_id)
    _require_one_device_each(
        self.num_replicas, cluster.num_processes(processes))
    self._sum = tf.function(lambda *tensors: self._run(
        lambda: all_reduce.all_reduce('SUM', tensors, tf.float64)),
                            autograph=False)

  def scope(self) -> contextlib.AbstractContextManager[None]:
    """As in the base class."""
    return contextlib.nullcontext()

  def step(self, gradient: Gradient, update: Update) -> Callable:
    """As in the base class."""
    mean, update = self._mean(gradient), self._compiled(update)
    return tf.function(
        lambda images: update(*self._run(mean, images)), autograph=False)

  def replicate(self, function: Callable[[], None]) -> Callable:
    """As in the base class."""
    return self._compiled(function)

  def broadcast(self, variables: Sequence[tf.Variable]) -> None:
    """As in the base class."""
    values = self._sum(*(
        tf.identity(v) if self.is_chief else tf.zeros_like(v)
        for v in variables))
    for variable, value in zip(variables, values, strict=True):
      variable.assign(value)

  def max_over_workers(self, number: int) -> int:
    """As in the base class."""
    votes, = self._sum(tf.one_hot(number, signal.NSIG))
    return int(tf.reduce_max(tf.where(votes > 0.)))

  @contextlib.contextmanager
  def detect_lost_workers(self) -> Iterator[None]:
    """As in the base class."""
    try:
      yield
    except (tf.errors.UnavailableError, tf.errors.AbortedError,
            tf.errors.CancelledError, tf.errors.DeadlineExceededError,
            tf.errors.InternalError) as error:
      raise errors.WorkerLost(
          'another process of --distribution_strategy=multi_worker is lost '
          f'({errors.one_line(error)[-200:]}); restart this one too: all '
          'resume from the newest checkpoint.') from error


def make(config: config_lib.Config) -> OneDevice:
  """Returns the strategy that `config.distribution_strategy` names.

  Must be called before TensorFlow does anything else: afterwards it cannot
  join other processes.

  Raises:
    errors.UserError: if the strategy is not available here, or its number of
      replicas does not divide the batch.
    errors.WorkerLost: if another process is lost while they start, or does not
      start within `config.wait_seconds`.
    errors.Interrupted: on SIGINT or SIGTERM while waiting for the others.
  """
  kind = config.distribution_strategy
  if kind == 'none':
    return OneDevice(config.jit_compile)
  if kind == 'multi_worker':
    processes = cluster.read()
    _require_divisible(config, cluster.num_processes(processes.processes))
    with signals.raised('stopped while waiting for the other processes; '
                        'nothing was begun.'):
      partners = rendezvous.meet(
          processes, _common(config), config.wait_seconds)
      return MultiWorker(config.jit_compile, partners)
  devices = Mirrored(_replicator() if kind == 'mirrored' else _tpu_replicator())
  _require_divisible(config, devices.num_replicas)
  return devices


def _common(config: config_lib.Config) -> dict[str, Any]:
  """Returns what all processes have to agree on: all but paths and waiting."""
  return {field.name: getattr(config, field.name)
          for field in dataclasses.fields(config)
          if not field.metadata['path'] and field.name != 'wait_seconds'}


def _require_divisible(config: config_lib.Config, num_replicas: int) -> None:
  if config.batch_size % num_replicas:
    raise errors.UserError(
        f'--batch_size={config.batch_size}: expected a multiple of '
        f'{num_replicas}, the number of replicas of '
        f'--distribution_strategy={config.distribution_strategy}, which share '
        'each batch.')


def _require_one_device_each(num_replicas: int, num_processes: int) -> None:
  if num_replicas != num_processes:
    raise errors.UserError(
        f'--distribution_strategy=multi_worker: found {num_replicas} devices '
        'in '
        f'{num_processes} processes; expected one each: start one process per '
        'GPU and restrict it to that GPU with CUDA_VISIBLE_DEVICES.')


def _replicator() -> snt.distribute.Replicator:
  devices = (tf.config.list_logical_devices('GPU')
             or tf.config.list_logical_devices('CPU'))
  # A step sums only a few megabytes, so one device can do it at little cost;
  # unlike collectives, this allows several strategies in one process.
  return snt.distribute.Replicator(
      [device.name for device in devices],
      tf.distribute.ReductionToOneDevice())


def _tpu_replicator() -> snt.distribute.TpuReplicator:
  try:
    resolver = tf.distribute.cluster_resolver.TPUClusterResolver(
        tpu=os.environ.get('TPU_NAME', ''))
    tf.config.experimental_connect_to_cluster(resolver)
    tf.tpu.experimental.initialize_tpu_system(resolver)
    return snt.distribute.TpuReplicator(resolver)
  except (ValueError, RuntimeError, OSError, tf.errors.OpError) as error:
    raise errors.UserError(
        '--distribution_strategy=tpu: found no TPU '
        f'({errors.one_line(error)[:200]}); '
        "expected TPU_NAME to name one ('local' on its own host)."
    ) from error

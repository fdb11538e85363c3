"""One model on many devices, by `tf.distribute`.

Each replica holds all variables and takes its rows of every batch. The mean of
the replicas' gradients goes through one update, which all of them make alike.
What a batch is, which scenes it has and which noise they meet does not depend
on the number of replicas (see `noise`), so neither does training, to within
rounding.
"""

from collections.abc import Callable
from collections.abc import Sequence
import contextlib
import json
import os
import signal

import sonnet as snt
import tensorflow as tf

from air_tf import config as config_lib
from air_tf import errors
from air_tf import noise

__all__ = ['Mirrored', 'MultiWorker', 'OneDevice', 'make']

# From images `[B, H, W]` to gradients and metrics; from those to metrics.
Gradient = Callable[[tf.Tensor], tuple]
Update = Callable[..., dict[str, tf.Tensor]]


class OneDevice:
  """No distribution: a whole iteration is one compiled function.

  Attributes:
    is_chief: whether this process writes the run folder.
    num_replicas: in all processes together.
  """
  is_chief = True
  num_replicas = 1

  def __init__(self, jit_compile: bool):
    """Compiles by XLA what there is to compile, if `jit_compile`."""
    self._jit_compile = jit_compile

  def scope(self) -> contextlib.AbstractContextManager:
    """In which variables are to be made."""
    return contextlib.nullcontext()

  def step(self, gradient: Gradient, update: Update) -> Callable:
    """Returns the function of one iteration.

    Args:
      gradient: from images to (gradients, metrics), each a mean over images.
      update: from what `gradient` returns to metrics; changes variables.

    Returns:
      A function from the images of the whole batch to the metrics. It is a
      `tf.function` in every case: a checkpoint counts those among the parts.
    """
    return self._compiled(lambda images: update(*gradient(images)))

  def replicate(self, function: Callable[[], None]) -> Callable:
    """Returns `function`, which changes variables, for all replicas."""
    return self._compiled(function)

  def broadcast(self, variables: Sequence[tf.Variable]) -> None:
    """Gives the variables of all processes the chief's values."""

  def max_over_workers(self, number: int) -> int:
    """Waits for all processes; returns the largest of their numbers.

    Args:
      number: that of a signal, or 0.
    """
    return number

  def detect_lost_workers(self) -> contextlib.AbstractContextManager:
    """In which the loss of another process raises `errors.WorkerLost`."""
    return contextlib.nullcontext()

  def _compiled(self, function):
    return tf.function(
        function, jit_compile=self._jit_compile, autograph=False)


class Mirrored(OneDevice):
  """Several devices of this process, each with its copy of all variables.

  Not compiled by XLA: it cannot reach the copies of a second device from inside
  the loop (TensorFlow 2.21), and on a TPU everything is compiled anyway.
  """

  def __init__(self, strategy: tf.distribute.Strategy,
               jit_compile: bool = False):
    """Takes a strategy; one of Sonnet's, for its optimizers refuse others."""
    super().__init__(jit_compile)
    self.strategy = strategy
    self.num_replicas = strategy.num_replicas_in_sync

  def scope(self) -> contextlib.AbstractContextManager:
    """As in the base class."""
    return self.strategy.scope()

  def step(self, gradient: Gradient, update: Update) -> Callable:
    """As in the base class."""
    mean, update = self._mean(gradient), self._compiled(update)

    def replica_step(images):
      return update(*mean(images))

    return tf.function(lambda images: self._run(replica_step, images))

  def replicate(self, function: Callable[[], None]) -> Callable:
    """As in the base class."""
    compiled = self._compiled(function)
    return tf.function(lambda: self._run(compiled))

  def _mean(self, gradient: Gradient) -> Gradient:
    """From the whole batch to means over all replicas, inside a replica."""
    gradient = self._compiled(gradient)

    def mean(images):
      gradients, metrics = gradient(noise.rows(images))
      gradients, metrics = _all_reduce(
          'MEAN', (gradients, _to_moments(metrics)), tf.float32)
      return gradients, _from_moments(metrics)

    return mean

  def _run(self, function, *args):
    """Runs a function in all replicas; returns the result of the first."""
    results = self.strategy.run(function, args)
    return tf.nest.map_structure(
        lambda x: self.strategy.experimental_local_results(x)[0], results)


class MultiWorker(Mirrored):
  """Several processes, on one host or many, with one device each.

  The sum is `MultiWorkerMirroredStrategy`'s. Sonnet's optimizers refuse that
  strategy, and need none: variables are ordinary ones of each process, and
  every process makes the same update, outside the strategy. XLA compiles the
  gradient and the update; the sum is between them.
  """

  def __init__(self, jit_compile: bool):
    """Waits until all processes that `TF_CONFIG` names are there."""
    with self.detect_lost_workers():
      super().__init__(tf.distribute.MultiWorkerMirroredStrategy(), jit_compile)
    resolver = self.strategy.cluster_resolver
    self.is_chief = _is_chief(
        resolver.cluster_spec().as_dict(), resolver.task_type, resolver.task_id)
    num_workers = sum(map(len, resolver.cluster_spec().as_dict().values()))
    if self.num_replicas != num_workers:
      raise errors.UserError(
          f'--distribution=multi_worker: found {self.num_replicas} devices in '
          f'{num_workers} processes; wanted one each: start a process for '
          'every GPU and show it that one by CUDA_VISIBLE_DEVICES.')
    self._sum = tf.function(lambda *tensors: self._run(
        lambda: _all_reduce('SUM', tensors, tf.float64)), autograph=False)

  def scope(self) -> contextlib.AbstractContextManager:
    """As in the base class."""
    return contextlib.nullcontext()

  def step(self, gradient: Gradient, update: Update) -> Callable:
    """As in the base class."""
    mean, update = self._mean(gradient), self._compiled(update)
    return tf.function(lambda images: update(*self._run(mean, images)))

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
  def detect_lost_workers(self):
    """As in the base class."""
    try:
      yield
    except (tf.errors.UnavailableError, tf.errors.AbortedError,
            tf.errors.CancelledError, tf.errors.DeadlineExceededError,
            tf.errors.InternalError) as error:
      raise errors.WorkerLost(
          'another process of --distribution=multi_worker is gone '
          f'({errors.one_line(error)[-200:]}); start this one again too: all '
          'go on from the newest checkpoint.') from error


def make(config: config_lib.Config) -> OneDevice:
  """Returns the distribution that `config.distribution` names.

  To be called before TensorFlow has done anything else, for it cannot join
  other processes later.

  Raises:
    errors.UserError: if it cannot be had here, or its number of replicas does
      not divide the batch.
    errors.WorkerLost: if another process has gone meanwhile.
  """
  kind = config.distribution
  if kind == 'none':
    return OneDevice(config.jit_compile)
  if kind == 'multi_worker':  # Divided before the others are waited for.
    _require_divisible(config, sum(map(len, _cluster().values())))
    return MultiWorker(config.jit_compile)
  found = Mirrored(_replicator() if kind == 'mirrored' else _tpu_replicator())
  _require_divisible(config, found.num_replicas)
  return found


def _require_divisible(config: config_lib.Config, num_replicas: int) -> None:
  if config.batch_size % num_replicas:
    raise errors.UserError(
        f'--batch_size={config.batch_size}: wanted a multiple of '
        f'{num_replicas}, the number of replicas of '
        f'--distribution={config.distribution}, which share each batch.')


def _replicator() -> snt.distribute.Replicator:
  devices = (tf.config.list_logical_devices('GPU')
             or tf.config.list_logical_devices('CPU'))
  # A few megabytes a step: summing on one device costs little and, unlike
  # collective operations, allows several strategies in one process.
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
        f'--distribution=tpu: found no TPU ({errors.one_line(error)[:200]}); '
        "wanted one that TPU_NAME names ('local' on its own host)."
    ) from error


def _cluster() -> dict[str, list[str]]:
  """The processes that `TF_CONFIG` names, by their task type.

  Raises:
    errors.UserError: if it is not there or wrong.
  """
  text = os.environ.get('TF_CONFIG', '')
  try:
    value = json.loads(text)
    cluster, task = value['cluster'], value['task']
    _ = cluster[task['type']][task['index']]
    if not set(cluster) <= {'chief', 'worker'} or task['index'] < 0:
      raise KeyError(f'{list(cluster)}')
    return cluster
  except (ValueError, LookupError, TypeError) as error:
    raise errors.UserError(
        f'--distribution=multi_worker: found TF_CONFIG={text!r} '
        f'({type(error).__name__}: {errors.one_line(error)}); wanted '
        '{"cluster": {"worker": ["host:port", ...]}, "task": {"type": '
        '"worker", "index": 0}}, the same in all processes but for the index.'
    ) from error


def _is_chief(cluster: dict, task_type: str, task_id: int) -> bool:
  return task_type == 'chief' or ('chief' not in cluster and task_id == 0)


def _all_reduce(operation: str, tensors, dtype: tf.DType):
  """Means or sums over replicas, inside one of them, of a structure of tensors.

  Packed into one vector of `dtype`, which has to hold all values exactly: a
  transfer costs more to start than to carry these few megabytes, and the order
  of several need not be the same everywhere.
  """
  leaves = tf.nest.flatten(tensors)
  packed = tf.concat(
      [tf.reshape(tf.cast(x, dtype), [-1]) for x in leaves], axis=0)
  parts = tf.split(
      tf.distribute.get_replica_context().all_reduce(operation, packed),
      [x.shape.num_elements() for x in leaves])
  return tf.nest.pack_sequence_as(tensors, [
      tf.cast(tf.reshape(part, x.shape), x.dtype)
      for part, x in zip(parts, leaves, strict=True)])


def _to_moments(metrics: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
  """Turns variances into second moments, whose mean over replicas is right."""
  return {name: value + tf.square(metrics[_mean_of(name)])
          if _is_variance(name) else value for name, value in metrics.items()}


def _from_moments(metrics: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
  """The inverse of `_to_moments`."""
  return {name: value - tf.square(metrics[_mean_of(name)])
          if _is_variance(name) else value for name, value in metrics.items()}


def _is_variance(name: str) -> bool:
  return name.endswith('/variance')


def _mean_of(name: str) -> str:
  return name.removesuffix('variance') + 'mean'

"""A whole run: scenes, training, evaluation, pictures, checkpoints, export."""

from concurrent import futures
import tempfile
import time

import tensorflow as tf

from air_tf import config as config_lib
from air_tf import errors
from air_tf import memory
from air_tf import object_size
from air_tf import progress
from air_tf.data import datasets
from air_tf.data import fingerprint
from air_tf.data import images as images_lib
from air_tf.data import look
from air_tf.data import scenes as scenes_lib
from air_tf.evaluation import codes
from air_tf.evaluation import counting
from air_tf.serving import saved_model
from air_tf.training import display
from air_tf.training import gradient_monitor
from air_tf.training import inputs
from air_tf.training import pictures
from air_tf.training import projector
from air_tf.training import run_config
from air_tf.training import run_folder
from air_tf.training import signals
from air_tf.training import strategy
from air_tf.training import summaries
from air_tf.training import trainer as trainer_lib

__all__ = ['Experiment', 'run']

_TRAIN_SCENES = 1_000  # Of the training scenes, evaluated beside the held-out.
_FIRST_EVALUATION = 100  # Iteration: early, to give a first impression.


def run(config: config_lib.Config, logdir: str,
        started: float | None = None) -> dict | None:
  """Trains a model, or resumes its training, and leaves all of it in a folder.

  Where several processes share the work, the first of them (the chief) writes
  the folder; what the others write goes to a temporary one.

  Args:
    config: the run.
    logdir: its folder; see `run_folder`.
    started: `time.time()` at which the command began; now, if None.

  Returns:
    The last evaluation on held-out scenes, as in `metrics.jsonl`; None in a
    process that is not the chief.

  Raises:
    errors.UserError: if the configuration, a file or the folder cannot be used.
    errors.Interrupted: on SIGINT or SIGTERM, with everything saved.
    errors.Diverged: if a number stops being finite.
    errors.WorkerLost: if another process of the training is gone.
    errors.DiskFull: if there is no room; the last checkpoint is kept.
  """
  started = time.time() if started is None else started
  progress.status(
      f'Training {config.num_iterations:,} iterations with '
      f'--estimator={config.estimator} on '
      + (f'--scenes={config.scenes}' if config.scenes
         else f'--digits={config.digits}') + f', in {logdir}.')
  if not config.scenes:  # Else the size of the images is not known yet.
    memory.require(config)
  devices = strategy.make(config)
  with (tempfile.TemporaryDirectory() as nowhere, devices.detect_lost_workers(),
        run_folder.Writer(logdir if devices.is_chief else nowhere) as folder):
    saved_model.check_target(folder.path / 'saved_model')
    progress.status('Preparing scenes.')
    skipped = images_lib.Skipped(config.on_error == 'stop')
    config, pools, test_scenes = datasets.prepare(config, skipped)
    memory.require(config)
    train_scenes = pools(0)
    if config.scenes:
      for line in look.text(look.look(train_scenes.images, config)):
        progress.status(line)
    config = object_size.with_measured_size(config, train_scenes.images)
    fingerprint.check_held_out(config)
    scene_digests = fingerprint.of(train=train_scenes, test=test_scenes)
    del train_scenes  # Else this pool would be kept beside the two next ones.
    folder.check(config, scene_digests)
    experiment = Experiment(
        config, devices, folder, pools, test_scenes, started, scene_digests)
    saved_model.tidy(folder.path / 'saved_model')
    result = experiment.train()
    if devices.is_chief:
      progress.status('Writing the SavedModel.')
      model, num_steps_prior = experiment.trainer.averaged_model()
      saved_model.save(model, folder.path / 'saved_model', num_steps_prior)
      projector.write(folder.path, 'what', *codes.collect(
          model, test_scenes, projector.MAX_CODES))
    devices.max_over_workers(0)  # The processes end together.
  if not devices.is_chief:
    return None
  progress.status(f'Done in {progress.duration(time.time() - started)}: '
                  f'{display.scores(result)}.')
  skipped.log()
  return result | {'logdir': str(logdir)} | skipped.as_result()


class Experiment:
  """One run at work: a trainer, its scenes and its folder."""

  def __init__(self, config: config_lib.Config,
               devices: strategy.OneDevice, folder: run_folder.Writer,
               pools: datasets.SceneSource, test_scenes: scenes_lib.Scenes,
               started: float, scene_digests: dict):
    """Builds the trainer and brings it to where the folder's run got."""
    self._config = config
    self._devices = devices
    self._folder = folder
    self._test_scenes = test_scenes
    self.trainer = trainer_lib.Trainer(config, devices)
    self._checkpoint = tf.train.Checkpoint(trainer=self.trainer)
    folder.restore(self._checkpoint)
    devices.broadcast(self.trainer.variables)
    self._iteration = int(self.trainer.iteration.read_value())
    if self._iteration > config.num_iterations:
      raise errors.UserError(
          f'--num_iterations={config.num_iterations}: the run in {folder.path} '
          f'has done {self._iteration:,}; expected at least as many. Give '
          'another --logdir to train for fewer.')
    folder.begin(config, scene_digests)  # Nothing is written before it is sure.
    folder.truncate_metrics(self._iteration)
    history = folder.metrics()
    # Seconds of earlier sessions count; those since their last line are lost.
    self._started = started - (history[-1]['seconds'] if history else 0.)
    self._result = next(
        (x for x in reversed(history) if x['split'] == 'test'), None)
    if self._iteration:
      progress.status(f'Resumed at iteration {self._iteration}.')

    self._pools = pools
    self._images = None  # Of the pool that is being trained on;
    self._input = None   # the same as the compiled loop reads them.
    few = scenes_lib.Scenes(*(x if x is None else x[:_TRAIN_SCENES].copy()
                              for x in pools(0)))
    self._splits = {'train': few, 'test': test_scenes}
    self._evaluator = counting.Evaluator(self.trainer.ema_model, masks=any(
        scenes.masks is not None for scenes in self._splits.values()))
    self._writer = summaries.Writer(folder.path)
    self._writer.texts(run_config.texts(folder.path), self._iteration)
    self._pictures = pictures.Pictures(
        self._writer, folder.path, test_scenes, self._iteration)
    self._monitor = gradient_monitor.Monitor(self.trainer)
    self._tracing: futures.Future | None = None

  def train(self) -> dict:
    """Trains to the last iteration; returns the last held-out evaluation.

    Raises:
      errors.Interrupted: on SIGINT or SIGTERM, once everything is saved.
      errors.Diverged: if a term or a weight stops being finite.
    """
    last = self._config.num_iterations
    with (display.Display(self._config, self._iteration) as self._display,
          signals.received() as received,
          futures.ThreadPoolExecutor(1) as beside):
      if self._evaluation_is_due():
        self._evaluate_once()  # A signal may have come between save and score.
      if self._iteration < last:
        self._trace(beside)
      while self._iteration < last:
        self._advance(self._next_stop())
        self._stop_if(received)
        self._measure_variance()
        if self._evaluation_is_due():
          self._evaluate()
        if self._due(self._config.checkpoint_every) or self._iteration == last:
          self._save()
      self._evaluate_once()
    return self._result

  def _next_stop(self) -> int:
    """Returns the next iteration at which there is something else to do."""
    config, last = self._config, self._config.num_iterations
    stops = [(self._iteration // every + 1) * every for every in (
        config.log_every, config.eval_every, config.checkpoint_every,
        config.refresh_every, config.gradient_variance_every) if every]
    if self._iteration < _FIRST_EVALUATION:
      stops.append(_FIRST_EVALUATION)
    return min(*stops, last)

  def _stop_if(self, received: list[int]) -> None:
    """Saves and raises, on a signal to any of the processes."""
    number = self._devices.max_over_workers(received[0] if received else 0)
    if number:
      self._save()
      raise errors.Interrupted(
          number, f'stopped and saved at iteration {self._iteration}; the same '
          'command resumes from there.')

  def _measure_variance(self) -> None:
    every = self._config.gradient_variance_every
    if every and self._due(every):
      images = self._next_images()
      # A stream would lose a batch.
      kept = images is self._images and tf.is_tensor(self._input)
      self._write('train', self._monitor(
          self._input if kept else self.trainer.make_input(images)))

  def _evaluation_is_due(self) -> bool:
    return self._iteration > 0 and (
        self._due(self._config.eval_every)
        or self._iteration in (_FIRST_EVALUATION, self._config.num_iterations))

  def _due(self, every: int) -> bool:
    return self._iteration % every == 0

  def _advance(self, stop: int) -> None:
    """Trains up to iteration `stop` and writes the training scalars."""
    self._make_input()
    means, last = self.trainer.run_iterations(
        self._input, tf.constant(stop - self._iteration))
    self._iteration = int(self.trainer.iteration.read_value())
    for name, value in last.items():
      if not tf.math.is_finite(value):
        raise self._diverged(
            f'{name} is {float(value)}, the first term that is not finite')
    self._write('train', {
        f'training/{name}': value for name, value in means.items()})
    self._display.advanced(self._iteration, float(means['elbo']))

  def _trace(self, beside: futures.Executor) -> None:
    """Traces the loop; and in a thread, while XLA compiles it, the evaluation.

    XLA keeps little more than one core busy, for seconds.
    """
    if (not self._config.jit_compile or tf.config.functions_run_eagerly()
        or self._devices.num_replicas > 1):  # Which XLA does not compile.
      return
    self._make_input()
    self.trainer.run_iterations.get_concrete_function(
        self._input, tf.constant(1))  # Python traces one at a time.
    self._tracing = beside.submit(
        self._evaluator.trace, self._splits['test'],
        self.trainer.num_steps_prior())

  def _make_input(self) -> None:
    """Brings the images of the next iteration to where compiled code is."""
    images = self._next_images()
    if images is not self._images:  # Those of a file are the same in all pools.
      self._images = self._input = None  # Free their copy before the next.
      self._images, self._input = images, self.trainer.make_input(images)

  def _next_images(self) -> inputs.Images:
    """Returns the training images of the iteration that comes next."""
    refresh = self._config.refresh_every
    return self._pools(self._iteration // refresh if refresh else 0).images

  def _evaluate_once(self) -> None:
    if self._result is None or self._result['step'] != self._iteration:
      self._evaluate()

  def _evaluate(self) -> None:
    """Scores the model on both splits and leaves the numbers everywhere."""
    self._display.evaluating()
    if self._tracing is not None:
      self._tracing.result()  # Or its error.
    num_steps_prior, lines = self.trainer.num_steps_prior(), {}
    for split, scenes in self._splits.items():
      values = self._evaluator(scenes, num_steps_prior)
      lines[split] = {'step': self._iteration, 'split': split, **values,
                      'seconds': round(time.time() - self._started, 2)}
      self._folder.log_metrics(lines[split])
      self._write(split, {
          f'evaluation/{name}': value for name, value in values.items()})
    self._result = lines['test']
    self._pictures.draw(self.trainer.ema_model, self._iteration)
    self._display.evaluated(self._result)

  def _write(self, split: str, scalars: dict[str, float]) -> None:
    """Writes scalars to TensorBoard."""
    if not self._config.background:  # Else a flat line.
      scalars = {tag: value for tag, value in scalars.items()
                 if not tag.endswith('/kl_background')}
    self._writer.scalars(split, scalars, self._iteration)
    self._pictures.measured(scalars, self._iteration)

  def _save(self) -> None:
    # The terms are those before the update; a checkpoint must be good after it.
    for variable in self.trainer.model.trainable_variables:
      if not tf.reduce_all(tf.math.is_finite(variable)):
        raise self._diverged(
            f'the weights {variable.name} are the first that are not finite')
    self._writer.flush()
    self._folder.save(self._checkpoint, self._iteration)

  def _diverged(self, what: str) -> errors.Diverged:
    return errors.Diverged(
        f'iteration {self._iteration}: {what}. The last good checkpoint is '
        f'kept in {self._folder.path}/checkpoints; try a smaller '
        '--learning_rate or --clip_norm, in another --logdir.')

"""The compiled training loop.

Letters: `B` batch, `N` scenes, `[H, W]` image (`[H, W, 3]` in colour).
"""

import numpy as np
import sonnet as snt
import tensorflow as tf

from air_tf import config as config_lib
from air_tf import estimators
from air_tf import initialisation
from air_tf import model as model_lib
from air_tf import prior
from air_tf.data import streams
from air_tf.training import optimizers
from air_tf.training import schedules
from air_tf.training import strategy

__all__ = ['Trainer']

# What a seed is for: the third of (seed, iteration, purpose).
_SCENES, _LATENTS, _COUNTS = range(3)
_AVERAGE_EVERY = 10  # Iterations.

Scenes = tf.Tensor | tf.data.Iterator  # All of them, or a batch after another.


class Trainer(snt.Module):
  """A model, its estimator and optimizers, and one compiled loop over them.

  All that a run has to remember is in this module's variables, and its
  random numbers are functions of (seed, iteration), so a checkpoint of it
  resumes to the last bit.
  """

  def __init__(self, config: config_lib.Config,
               devices: strategy.OneDevice | None = None,
               name: str = 'trainer'):
    """Makes all variables; two trainers of one config are equal.

    Args:
      config: the run; its `distribution_strategy` is not looked at.
      devices: what iterations run on; one device, if None.
      name: of the module.
    """
    super().__init__(name=name)
    tf.random.set_seed(config.seed)
    self.config = config
    devices = devices or strategy.OneDevice(config.jit_compile)
    with devices.scope():
      self._make_variables()
    self._step = devices.step(self._differentiate, self._update)
    self._average_step = devices.replicate(self._update_average)

  def _make_variables(self) -> None:
    config = self.config
    self.iteration = tf.Variable(0, trainable=False, name='iteration',
                                 dtype=tf.int64)
    self.model = model_lib.AIRModel(config)
    self.average = model_lib.AIRModel(config, name='average')
    self.estimator = estimators.make(config.estimator, config)
    self._optimizer = optimizers.Optimizer(
        config, config.learning_rate, name='optimizer')
    self._auxiliary_optimizer = optimizers.Optimizer(
        config, config.baseline_learning_rate, name='auxiliary_optimizer')
    # Sonnet makes variables on first use, and a compiled loop may make none.
    images = tf.zeros([1, *config.image_shape])
    self.estimate(images)
    self.average.infer(images)
    initialisation.scale_outputs(self.model.trainable_variables, config)
    for average, variable in self._averages():
      average.assign(variable)
    self._optimizer.initialize(self.model.trainable_variables)
    self._auxiliary_optimizer.initialize(self._auxiliary_variables())

  def num_steps_prior(self) -> prior.NumStepsDistribution:
    """Returns p(n) at the present iteration, batch shape `[]`."""
    return prior.truncated_geometric(
        self._log_success(), self.config.max_steps)

  def averaged_model(self, max_steps: int | None = None) -> tuple[
      model_lib.AIRModel, prior.NumStepsDistribution]:
    """Returns what is of use after training: averaged model, and p(n).

    Args:
      max_steps: T; that of training, if None. A step does not know how many may
        follow, so T may be larger than in training.
    """
    if max_steps is None:
      return self.average, self.num_steps_prior()
    return (self.average.with_max_steps(max_steps),
            prior.truncated_geometric(self._log_success(), max_steps))

  def estimate(self, images: tf.Tensor,
               repeat: tf.Tensor | None = None) -> estimators.Estimate:
    """Estimates the ELBO and its gradient at the present iteration.

    Args:
      images: float `[B, H, W]`, pixels in 0 ... 1.
      repeat: int `[]`, which of many independent estimates; None is the one
        that training uses.
    """
    seeds = [self._seed(_LATENTS), self._seed(_COUNTS)]
    if repeat is not None:
      seeds = [tf.random.fold_in(seed, repeat) for seed in seeds]
    return self.estimator(estimators.make_inputs(
        self.model, images, self.num_steps_prior(), self._exploration(), *seeds,
        num_particles=self.config.particles,
        reparameterise=getattr(self.estimator, 'reparameterise', True)))

  @tf.function
  def train_auxiliary(self, scenes: tf.Tensor, iterations: tf.Tensor) -> None:
    """Trains the estimator alone, if it learns, with the model held still.

    The learning rate stays at that of iteration 0.

    Args:
      scenes: uint8 `[N, H, W]`, on the device.
      iterations: int `[]`.
    """
    variables = self._auxiliary_variables()
    if not variables:
      return
    for i in tf.range(iterations):
      indices = tf.random.stateless_uniform(
          [self.config.batch_size], tf.random.fold_in(self._seed(_SCENES), i),
          maxval=tf.shape(scenes)[0], dtype=tf.int32)
      images = streams.to_pixels(tf.gather(scenes, indices))
      with tf.GradientTape() as tape:
        estimate = self.estimate(images, repeat=-1 - i)
      self._auxiliary_optimizer.apply(
          tape.gradient(estimate.auxiliary_loss, variables), variables,
          tf.constant(0))
      if hasattr(self.estimator, 'update_statistics'):
        self.estimator.update_statistics(estimate.metrics)

  def make_input(self, scenes: np.ndarray | streams.MappedImages) -> Scenes:
    """Returns scenes as `train` takes them, for the iterations from now on.

    Args:
      scenes: uint8 `[N, H, W]`; those on disk are streamed, with the same
        results.
    """
    if not isinstance(scenes, streams.MappedImages):
      return tf.constant(scenes)
    sample_indices = lambda iteration: self._sample_indices(len(scenes), iteration)
    return iter(streams.batches(scenes, sample_indices, int(self.iteration.read_value())))

  def next_images(self, scenes: Scenes) -> tf.Tensor:
    """Returns what the next iteration is going to train on.

    Args:
      scenes: uint8 `[N, H, W]`, or a stream, of which it takes one batch.

    Returns:
      float `[B, H, W]`, pixels in 0 ... 1.
    """
    if isinstance(scenes, tf.data.Iterator):
      return streams.to_pixels(next(scenes))
    indices = self._sample_indices(tf.shape(scenes)[0])
    return streams.to_pixels(tf.gather(scenes, indices))

  @tf.function
  def train(self, scenes: Scenes, iterations: tf.Tensor):
    """Trains for some iterations without returning to Python.

    Args:
      scenes: uint8 `[N, H, W]`, on the device, or a stream; see `make_input`.
      iterations: int `[]`, at least 1, a Tensor, so that all values share one
        trace.

    Returns:
      Two dictionaries of float scalars, means over the iterations done and
      values of the last one: the fields of `estimators.Elbo` (nats), the
      estimator's own metrics, `exploration`, `prior_log_success` (nats),
      `gradient_norm` before clipping and `learning_rate`. If a value stops
      being finite, the loop ends at that iteration.
    """
    total = last = self._draw_and_step(scenes)
    done = tf.ones([])
    while (done < tf.cast(iterations, tf.float32)) and _all_finite(last):
      last = self._draw_and_step(scenes)
      total = tf.nest.map_structure(tf.add, total, last)
      done += 1.
    return tf.nest.map_structure(lambda x: x / done, total), last

  def _draw_and_step(self, scenes):
    metrics = self._step(self.next_images(scenes))
    if self.iteration % _AVERAGE_EVERY == 0:
      self._average_step()
    return metrics

  def _sample_indices(self, num_scenes, iteration=None) -> tf.Tensor:
    """Indices `[B]` of the scenes of an iteration, with replacement."""
    return tf.random.stateless_uniform(
        [self.config.batch_size], self._seed(_SCENES, iteration),
        maxval=num_scenes, dtype=tf.int32)

  def _differentiate(self, images: tf.Tensor) -> tuple:
    """First half of an iteration: estimate and differentiate.

    Args:
      images: float `[B, H, W]`, or the share of one replica.

    Returns:
      Gradients of the model's and of the estimator's variables, and float
      scalars by name; all of them means over the images (or variances of what
      has a mean beside it).
    """
    exploration, log_success = self._exploration(), self._log_success()
    variables = self.model.trainable_variables
    auxiliary = self._auxiliary_variables()
    with tf.GradientTape() as tape:
      estimate = self.estimate(images)
      loss = estimate.loss + estimate.auxiliary_loss
    gradients = tape.gradient(loss, (variables, auxiliary))
    return gradients, {
        **{name: tf.reduce_mean(value)
           for name, value in estimate.elbo._asdict().items()},
        **estimate.metrics,
        'exploration': exploration,
        'prior_log_success': log_success,
    }

  def _update(self, gradients, metrics) -> dict[str, tf.Tensor]:
    """Second half: updates all that learns; returns metrics and its own."""
    norm, rate = self._optimizer.apply(
        gradients[0], self.model.trainable_variables, self.iteration)
    auxiliary = self._auxiliary_variables()
    if auxiliary:
      self._auxiliary_optimizer.apply(gradients[1], auxiliary, self.iteration)
    if hasattr(self.estimator, 'update_statistics'):
      self.estimator.update_statistics(metrics)
    self.iteration.assign_add(1)
    return {**metrics, 'gradient_norm': norm, 'learning_rate': rate}

  def _update_average(self) -> None:
    """Moves the average towards the weights: every tenth iteration is enough.

    Young runs forget faster, so that the first weights do not linger.
    """
    passed = tf.cast(self.iteration, tf.float32)
    keep = tf.minimum(self.config.ema_decay**_AVERAGE_EVERY,
                      passed / (passed + 9. * _AVERAGE_EVERY))
    for average, variable in self._averages():
      average.assign_add((1. - keep) * (variable - average))

  def _exploration(self):
    config = self.config
    return schedules.linear_decay(
        self.iteration, config.exploration_init, config.exploration_final,
        config.exploration_iterations)

  def _log_success(self):
    config = self.config
    return schedules.annealed_log_success(
        self.iteration, config.success_init, config.success_final,
        config.success_hold, config.success_iterations)

  def _averages(self):
    return zip(self.average.trainable_variables,
               self.model.trainable_variables, strict=True)

  def _auxiliary_variables(self):
    return getattr(self.estimator, 'trainable_variables', ())

  def _seed(self, purpose: int, iteration=None) -> tf.Tensor:
    iteration = self.iteration if iteration is None else iteration
    return tf.stack([
        tf.cast(iteration, tf.int32), 3 * self.config.seed + purpose])


def _all_finite(metrics) -> tf.Tensor:
  return tf.reduce_all(tf.math.is_finite(tf.stack(tf.nest.flatten(metrics))))

"""The compiled training loop.

Letters: `B` batch, `N` scenes, `[H, W]` image (`[H, W, 3]` in colour).
"""

import sonnet as snt
import tensorflow as tf

from air_tf import config as config_lib
from air_tf import estimators
from air_tf import model as model_lib
from air_tf import prior
from air_tf.training import inputs
from air_tf.training import optimizers
from air_tf.training import schedules
from air_tf.training import strategy

__all__ = ['Trainer']

# Purposes of random numbers; each has a stream of its own.
_SCENES, _LATENTS, _COUNTS = range(3)
_EMA_EVERY = 10  # Iterations between updates of the averaged weights.


class Trainer(snt.Module):
  """A model, its estimator and optimizers, and the compiled loop over them.

      trainer = Trainer(config)
      for _ in range(40):
        print(trainer.train(images, iterations=50)['elbo'])

  All state of a run is in this module's variables, and random numbers are
  functions of (seed, iteration): training resumed from a checkpoint gives the
  same bits as training that was never interrupted.

  Attributes:
    config: the run.
    iteration: int64 variable, iterations done.
    model: the model that gradients update.
    ema_model: the model with the moving average of the weights, for use.
    estimator: of the ELBO and its gradient.
  """

  def __init__(self, config: config_lib.Config,
               devices: strategy.OneDevice | None = None,
               name: str = 'trainer') -> None:
    """Creates all variables; trainers with equal configurations are equal.

    Args:
      config: the run; its `distribution_strategy` is ignored.
      devices: where iterations run; one device, if None.
      name: of the module.
    """
    super().__init__(name=name)
    tf.random.set_seed(config.seed)
    self.config = config
    devices = devices or strategy.OneDevice(config.jit_compile)
    with devices.scope():
      self._make_variables()
    self._step = devices.step(self.differentiate, self._update)
    self._average_step = devices.replicate(self._update_average)

  def __repr__(self) -> str:
    """Says which estimator, how large a model and how far."""
    with tf.init_scope():  # Reads the value inside a `tf.function` too.
      iteration = int(self.iteration.read_value())
    parameters = sum(
        v.shape.num_elements() for v in self.model.trainable_variables)
    return (f'Trainer(estimator={self.config.estimator!r}, '
            f'parameters={parameters:,}, iteration={iteration:,})')

  @property
  def ema_model(self) -> model_lib.AIRModel:
    """The model with an exponential moving average of the weights."""
    return self.average  # The attribute's name is a key of checkpoints.

  def _make_variables(self) -> None:
    config = self.config
    self.iteration = tf.Variable(0, trainable=False, name='iteration',
                                 dtype=tf.int64)
    self.model = model_lib.AIRModel(config)
    self.estimator = estimators.make(config.estimator, config)
    self._optimizer = optimizers.Optimizer(
        config, config.learning_rate, name='optimizer')
    self._auxiliary_optimizer = optimizers.Optimizer(
        config, config.baseline_learning_rate, name='auxiliary_optimizer')
    # Estimators make their variables on first use; a compiled loop cannot.
    self.estimate(tf.zeros([1, *config.image_shape]))
    self.average = model_lib.AIRModel(config, name='average')
    for average, variable in zip(self.average.trainable_variables,
                                 self.model.trainable_variables, strict=True):
      average.assign(variable)
    self._optimizer.initialize(self.model.trainable_variables)
    self._auxiliary_optimizer.initialize(self.estimator.trainable_variables)

  def num_steps_prior(
      self, max_steps: int | None = None) -> prior.NumStepsDistribution:
    """Returns p(n) at this iteration, `[]`; T as in training, if None."""
    max_steps = max_steps or self.config.max_steps
    return prior.truncated_geometric(self._log_success(), max_steps)

  def averaged_model(self, max_steps: int | None = None) -> tuple[
      model_lib.AIRModel, prior.NumStepsDistribution]:
    """Returns the model to use after training, and its prior p(n).

    Args:
      max_steps: T; as in training, if None. It may be larger: no step depends
        on how many may follow.
    """
    if max_steps is None:
      return self.ema_model, self.num_steps_prior()
    return (self.ema_model.with_max_steps(max_steps),
            self.num_steps_prior(max_steps))

  def estimate(self, images: tf.Tensor,
               repeat: tf.Tensor | None = None) -> estimators.Estimate:
    """Estimates the ELBO and its gradient at the current iteration.

    Args:
      images: float `[B, H, W]`, pixels in 0 ... 1.
      repeat: int `[]`, number of an independent estimate; None gives the one
        that training uses.
    """
    seeds = [self._seed(_LATENTS), self._seed(_COUNTS)]
    if repeat is not None:
      seeds = [tf.random.fold_in(seed, repeat) for seed in seeds]
    return self.estimator(estimators.make_inputs(
        self.model, images, self.num_steps_prior(), self._exploration(), *seeds,
        num_particles=self.config.particles,
        reparameterise=self.estimator.reparameterise))

  @tf.function(autograph=False)
  def train_auxiliary(self, scenes: tf.Tensor, iterations: tf.Tensor) -> None:
    """Trains the estimator's own variables, if any, with a fixed model.

    The learning rate stays at that of iteration 0.

    Args:
      scenes: uint8 `[N, H, W]`.
      iterations: int `[]`.
    """
    variables = self.estimator.trainable_variables
    if not variables:
      return

    def iterate(i: tf.Tensor) -> tuple[tf.Tensor]:
      seed = tf.random.fold_in(self._seed(_SCENES), i)
      images = inputs.next_images(scenes, self.config.batch_size, seed)
      with tf.GradientTape() as tape:
        estimate = self.estimate(images, repeat=-1 - i)
      gradients = tape.gradient(estimate.auxiliary_loss, variables)
      self._auxiliary_optimizer.apply(gradients, variables, tf.constant(0))
      self.estimator.update_statistics(estimate.metrics)
      return i + 1,

    tf.while_loop(lambda i: i < iterations, iterate, [tf.constant(0)])

  def make_input(self, scenes: inputs.SceneInput) -> inputs.Input:
    """Returns scenes as compiled code reads them, from this iteration on.

    `train` does so at every call. It is worth doing once for a large array,
    which is copied, and for scenes on disk, which are prefetched.

    Args:
      scenes: as in `train`. Those on disk are streamed, with the same results.

    Raises:
      ValueError: if the images are not uint8, or not of the model's size.
    """
    indices = lambda num_scenes, iteration: inputs.sample_indices(
        num_scenes, self.config.batch_size, self._seed(_SCENES, iteration))
    return inputs.make(scenes, self.config, self.iteration, indices)

  def next_images(self, scenes: inputs.Input) -> tf.Tensor:
    """Returns the batch of the next iteration, float `[B, H, W]`, 0 ... 1.

    Args:
      scenes: what `make_input` returned; of a stream, one batch is consumed.
    """
    return inputs.next_images(
        scenes, self.config.batch_size, self._seed(_SCENES))

  def train(self, scenes: inputs.SceneInput | inputs.Input,
            iterations: int | tf.Tensor = 1) -> dict[str, tf.Tensor]:
    """Trains for some iterations, compiled at the first call.

    Another number of iterations is not compiled again. May be called inside a
    `tf.function`, with scenes in memory or a stream from `make_input`.

    Args:
      scenes: uint8 `[N, H, W]`, pixels in 0 ... 255, as an array, a tensor,
        `Scenes`, or images on disk; a function from the number of a pool to
        any of these; or what `make_input` returned.
      iterations: int `[]`, at least 1.

    Returns:
      Float scalars by name, means over the iterations; see `run_iterations`.

    Raises:
      ValueError: if the images are not uint8, or not of the model's size; or
        if `iterations` is below 1.
    """
    if isinstance(iterations, int) and iterations < 1:
      raise ValueError(f'`iterations` is {iterations}; expected at least 1.')
    iterations = tf.cast(iterations, tf.int32)
    return self.run_iterations(self.make_input(scenes), iterations)[0]

  @tf.function(autograph=False)  # To convert the code would take .5 s.
  def run_iterations(
      self, scenes: inputs.Input, iterations: tf.Tensor
  ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
    """Trains for some iterations without returning to Python.

    Args:
      scenes: what `make_input` returned.
      iterations: int `[]`, at least 1; a tensor, or each value is traced.

    Returns:
      Means over the iterations done, and the values of the last one: float
      scalars by name. They are the fields of `Elbo` (nats), the estimator's own
      metrics, `exploration`, `prior_log_success` (nats), `gradient_norm` before
      clipping and `learning_rate`. The loop ends early after an iteration with
      a value that is not finite.
    """
    iterations = tf.cast(iterations, tf.float32)
    first = self._draw_and_step(scenes)

    def iterate(done: tf.Tensor, total: dict, _: dict) -> tuple:
      last = self._draw_and_step(scenes)
      return done + 1., tf.nest.map_structure(tf.add, total, last), last

    done, total, last = tf.while_loop(
        lambda done, _, last: (done < iterations) & tf.reduce_all(
            tf.math.is_finite(tf.stack(tf.nest.flatten(last)))),
        iterate, (tf.ones([]), first, first))
    return tf.nest.map_structure(lambda x: x / done, total), last

  def _draw_and_step(self, scenes: inputs.Input) -> dict[str, tf.Tensor]:
    metrics = self._step(self.next_images(scenes))
    tf.cond(self.iteration % _EMA_EVERY == 0, self._average_step, lambda: None)
    return metrics

  def differentiate(self, images: tf.Tensor) -> tuple:
    """First half of an iteration: estimate and differentiate.

    Args:
      images: float `[B, H, W]`, or the share of one replica.

    Returns:
      Gradients of the model's and of the estimator's variables, and float
      scalars by name. All are means over the images, but for an `x/variance`,
      which comes with its `x/mean`.
    """
    with tf.GradientTape() as tape:
      estimate = self.estimate(images)
      loss = estimate.loss + estimate.auxiliary_loss
    gradients = tape.gradient(loss, (self.model.trainable_variables,
                                     self.estimator.trainable_variables))
    return gradients, {
        **{name: tf.reduce_mean(value)
           for name, value in estimate.elbo._asdict().items()},
        **estimate.metrics,
        'exploration': self._exploration(),
        'prior_log_success': self._log_success(),
    }

  def _update(self, gradients: tuple,
              metrics: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Second half: updates all variables; adds metrics of the update."""
    norm, rate = self._optimizer.apply(
        gradients[0], self.model.trainable_variables, self.iteration)
    auxiliary = self.estimator.trainable_variables
    if auxiliary:
      self._auxiliary_optimizer.apply(gradients[1], auxiliary, self.iteration)
    self.estimator.update_statistics(metrics)
    self.iteration.assign_add(1)
    return {**metrics, 'gradient_norm': norm, 'learning_rate': rate}

  def _update_average(self) -> None:
    optimizers.update_average(
        self.ema_model.trainable_variables, self.model.trainable_variables,
        self.iteration, self.config.ema_decay, _EMA_EVERY)

  def _exploration(self) -> tf.Tensor:
    config = self.config
    return schedules.linear_decay(
        self.iteration, config.exploration_init, config.exploration_final,
        config.exploration_iterations)

  def _log_success(self) -> tf.Tensor:
    config = self.config
    return schedules.annealed_log_success(
        self.iteration, config.success_init, config.success_final,
        config.success_hold, config.success_iterations)

  def _seed(self, purpose: int,
            iteration: tf.Tensor | None = None) -> tf.Tensor:
    iteration = self.iteration if iteration is None else iteration
    purpose += 3 * self.config.seed
    return tf.stack([tf.cast(iteration, tf.int32), purpose])

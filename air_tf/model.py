"""Attend, Infer, Repeat: infer the objects of an image, score, decode.

Letters: `B` batch, `T` most steps, `Z` size of `what`, `[H, W]` image, `[h, w]`
glimpse, `n` the number of objects. Images and glimpses in colour have a last
axis of 3 channels.
"""

import copy

import sonnet as snt
import tensorflow as tf
import tensorflow_probability as tfp

from air_tf import background as background_lib
from air_tf import cell as cell_lib
from air_tf import compositing
from air_tf import config as config_lib
from air_tf import depth
from air_tf import elbo as elbo_lib
from air_tf import ground as ground_lib
from air_tf import inference as inference_lib
from air_tf import modules
from air_tf import noise as noise_lib
from air_tf import prior
from air_tf import unroll as unroll_lib

__all__ = ['AIRModel', 'Inference']

tfd = tfp.distributions


Inference = inference_lib.Inference  # What `infer` returns.


class AIRModel(snt.Module):
  """The generative model and its inference network.

  It has all its variables from the start; their initial values follow
  `tf.random.set_seed`.

  Attributes:
    config: sizes and initial values.
  """

  def __init__(self, config: config_lib.Config, name: str = 'air'):
    """Makes the modules and their variables."""
    super().__init__(name=name)
    self.config = config
    self._cell = cell_lib.AIRCell(config)
    self._background = (background_lib.BackgroundModel(config)
                        if config.background else None)
    self._learnt_stddev = (None if config.pixel_stddev else
                           modules.PositiveScalar(.3, name='pixel_stddev'))
    # Sonnet's modules make their variables when they are first called.
    self.infer(tf.zeros([1, *config.image_shape]))

  def with_max_steps(self, max_steps: int) -> 'AIRModel':
    """Returns a model with another T that shares this model's weights."""
    other = copy.copy(self)
    other.config = copy.copy(self.config)
    # What training with as many steps would need does not matter here.
    object.__setattr__(other.config, 'max_steps', max_steps)
    return other

  def infer(self, images: tf.Tensor,
            seed: tf.Tensor | None = None,
            reparameterise: bool = True,
            num_particles: int = 1, candidates: int = 1) -> Inference:
    """Explains images object by object.

    Args:
      images: float `[B, H, W]`, pixels in 0 ... 1; H and W must be known.
      seed: int32 `[2]`, seed of the posterior samples; None takes posterior
        means, so that equal images give equal results.
      reparameterise: whether gradients flow through the samples; without it
        they are constants, as a score function needs them.
      num_particles: how many times the batch is repeated in `images`, one copy
        after the other, so that the noise is the same on any number of devices.
      candidates: the same of explanations that differ in the places that steps
        attend to: the most likely ones in the first copy, samples in others.

    Returns:
      The explanation by n objects for every n in 0 ... T.

    Raises:
      ValueError: if the axes or channels of `images` are not those of the
        configuration, or H and W are not known.
    """
    images = self._check(tf.convert_to_tensor(images, tf.float32))
    step_noise, background_noise = self._noise(
        tf.shape(images)[0], seed, num_particles, candidates)
    background, canvas = None, tf.zeros_like(images)
    if self._background is not None:
      background = self._background(images, background_noise, reparameterise)
      canvas = background.image
    elif self.config.ground:
      canvas = ground_lib.KINDS[self.config.ground_kind](images)
      background = background_lib.Background(canvas)
    steps, glimpses, written = unroll_lib.explain(
        self._cell, images, canvas, step_noise, reparameterise,
        self.config.difference)
    canvases, layers = unroll_lib.compose(self._cell, images, canvas, written)
    alphas = None
    if self._cell.occludes:
      glimpses, alphas = compositing.split(glimpses, images.shape[3:])
    step_logits = tf.reshape(
        self._cell.step_logits(snt.merge_leading_dims(steps.hidden, 2)),
        [-1, self.config.max_steps])
    return Inference(
        num_steps_posterior=prior.NumStepsDistribution(step_logits),
        where_posterior=steps.where_posterior,
        where_logits=steps.where_logits, where=steps.where,
        what_posterior=steps.what_posterior, what=steps.what,
        glimpses=glimpses, background=background, alphas=alphas,
        canvases=canvases, layers=layers)

  @property
  def pixel_stddev(self) -> float | tf.Tensor:
    """Standard deviation of a pixel, as given or as learnt."""
    return (self._learnt_stddev() if self._learnt_stddev
            else self.config.pixel_stddev)

  def _check(self, images: tf.Tensor) -> tf.Tensor:
    """Returns the images; raises ValueError if `infer` cannot take them."""
    channels = self.config.image_shape[2:]
    expected = tf.TensorShape([None, None, None, *channels])
    if not (expected.is_compatible_with(images.shape)
            and images.shape[1:].is_fully_defined()):
      raise ValueError(
          f"`images` must be [{', '.join(['B, H, W', *map(str, channels)])}] "
          f'with known H and W, but its shape is {images.shape}.')
    return images

  def elbo_terms(
      self, images: tf.Tensor, inference: Inference,
      num_steps_prior: prior.NumStepsDistribution) -> elbo_lib.ElboTerms:
    """Scores an explanation.

        log p(x | n) = sum over pixels of log N(x; b + y_1 + ... + y_n, s^2)

    where b is the background, black without a model of it, s is
    `--pixel_stddev`, and each channel of a pixel counts as one. The mean is the
    canvas of `compositing`, where objects cover each other.

    Args:
      images: float `[B, H, W]`, from which `inference` was made.
      inference: `infer` of the images.
      num_steps_prior: p(n), batch shape `[]`.

    Returns:
      The terms of the ELBO, separately for each example and each n.
    """
    likelihood = tfd.Normal(inference.canvases, self.pixel_stddev)
    what_q = inference.what_posterior.distribution()
    where_q = inference.where_posterior.distribution()
    what_p, where_p = self.what_prior(), self.where_prior()
    kl_depth = depth.kl_of_steps(inference.layers)
    return elbo_lib.ElboTerms(
        log_likelihood=tf.reduce_sum(
            likelihood.log_prob(images[:, tf.newaxis]),
            axis=list(range(2, inference.canvases.shape.rank))),
        kl_what=tfd.kl_divergence(what_q, what_p),
        kl_where=tfd.kl_divergence(where_q, where_p) + kl_depth,
        log_ratio=elbo_lib.log_ratio(inference.what, what_q, what_p)
        + elbo_lib.log_ratio(inference.where_logits, where_q, where_p)
        - kl_depth,
        log_posterior=inference.num_steps_posterior.log_pmf(),
        log_prior=num_steps_prior.log_pmf(),
        **background_lib.elbo_terms(inference.background))

  def score(self, images: tf.Tensor,
            num_steps_prior: prior.NumStepsDistribution,
            seed: tf.Tensor) -> dict[str, tf.Tensor]:
    """Scores images by one posterior sample.

    Args:
      images: float `[B, H, W]`, pixels in 0 ... 1.
      num_steps_prior: p(n), batch shape `[]`.
      seed: int32 `[2]`, of the sample.

    Returns:
      The fields of `elbo.Elbo`, n summed out exactly, and `log_weight`, see
      `elbo.marginal_log_weight`; each `[B]`.
    """
    terms = self.elbo_terms(
        images, self.infer(images, seed=seed), num_steps_prior)
    elbo = elbo_lib.expected_elbo(terms, terms.log_posterior)
    return {**elbo._asdict(),
            'log_weight': elbo_lib.marginal_log_weight(terms)}

  def quadratic_likelihood(
      self, images: tf.Tensor,
      inference: Inference) -> elbo_lib.QuadraticLikelihood:
    """Returns log p(x | presences of the objects), presences in 0 ... 1.

    Arguments as in `elbo_terms`.
    """
    return elbo_lib.quadratic_likelihood(
        images, inference.canvases, self.pixel_stddev)

  def what_prior(self) -> tfd.Distribution:
    """p(what), event shape `[Z]`: N(0, 1) (blog)."""
    return _gaussian(tf.zeros([self.config.what_size]), 1.)

  def where_prior(self) -> tfd.Distribution:
    """p(where) before squashing, event shape `[3]`."""
    config = self.config
    return _gaussian(
        [config.scale_prior_mean, 0., 0.],
        [config.scale_prior_stddev] + [config.shift_prior_stddev] * 2)

  def decode(self, what: tf.Tensor, where: tf.Tensor, presence: tf.Tensor,
             height: int, width: int) -> tf.Tensor:
    """Decodes objects to an image, without a background.

    Args:
      what: `[B, T, Z]`.
      where: `[B, T, 3]`, (scale, shift_x, shift_y).
      presence: `[B, T]`, 1. for an object that is present, else 0.
      height: `H`.
      width: `W`.

    Returns:
      `[B, H, W]`, 0 ... T: where objects overlap their pixels add up; or the
      first is in front.
    """
    black = tf.zeros([tf.shape(what)[0], height, width,
                      *self.config.image_shape[2:]])
    return self._decode_onto(black, what, where, presence)

  def _decode_onto(self, canvas, what, where, presence) -> tf.Tensor:
    # Absent objects may have any `where`, even a scale of 0: use a valid one.
    where = tf.where(presence[..., tf.newaxis] > 0., where, .5)
    _, written = unroll_lib.write(
        self._cell, what, where, *canvas.shape[1:3])
    written = prior.mask_absent(presence, written)
    if self._cell.occludes:
      return compositing.compose(canvas, written, True)[:, -1]
    return tf.reduce_sum(written, axis=1) + canvas

  def sample_prior(self, counts: tf.Tensor, seed: tf.Tensor, height: int,
                   width: int) -> tf.Tensor:
    """Samples images with given numbers of objects from the generative model.

    Args:
      counts: int `[B]`, each in 0 ... T.
      seed: int32 `[2]`.
      height: `H`.
      width: `W`.

    Returns:
      `[B, H, W]`, means of the pixels, with a background where it is modelled.
      A count above T is taken as T, below 0 as 0.
    """
    max_steps = self.config.max_steps
    shape = [tf.shape(counts)[0], max_steps]
    seeds = tf.random.split(seed, 3)
    what = self.what_prior().sample(shape, seed=seeds[0])
    where = cell_lib.to_where(self.where_prior().sample(shape, seed=seeds[1]))
    presence = prior.presence_mask(counts, max_steps)
    if self._background is None:
      return self.decode(what, where, presence, height, width)
    return self._decode_onto(
        self._background.decode(
            background_lib.prior().sample(shape[:1], seed=seeds[2])),
        what, where, presence)

  def variable_groups(self) -> dict[str, list[tf.Variable]]:
    """Returns the trainable variables, grouped by function.

    Each is in one group: encoder, search, lstm, steps_predictor, where,
    glimpse_encoder, decoder, background, pixel_stddev; parts that this model
    lacks are left out.
    """
    groups = self._cell.variable_groups()
    if self._background is not None:
      groups['background'] = list(self._background.trainable_variables)
    if self._learnt_stddev:
      groups['pixel_stddev'] = list(self._learnt_stddev.trainable_variables)
    return groups

  def _noise(self, batch_size, seed, num_particles: int,
             candidates: int = 1) -> tuple[list[tf.Tensor], tf.Tensor]:
    """Noise of T steps, and of the background; see `infer`."""
    size = cell_lib.WHERE_SIZE + self.config.what_size
    return noise_lib.of_pass(
        [self.config.max_steps, batch_size, size],
        [batch_size, background_lib.CODE_SIZE], seed, num_particles,
        candidates, self._cell.num_places if candidates > 1 else 0)


def _gaussian(mean, stddev) -> tfd.Distribution:
  """A Gaussian with independent entries, event shape `[Z]`."""
  return tfd.Independent(tfd.Normal(mean, stddev), 1)

"""Attend, Infer, Repeat: unroll the cell, explain the image, score it.

Letters: `B` batch, `T` most steps, `Z` size of `what`, `[H, W]` image, `[h, w]`
glimpse, `n` the number of objects. Images and glimpses in colour have a last
axis of 3 channels.
"""

import copy
import dataclasses
from typing import NamedTuple

import sonnet as snt
import tensorflow as tf
import tensorflow_probability as tfp

from air_tf import background as background_lib
from air_tf import cell as cell_lib
from air_tf import config as config_lib
from air_tf import elbo as elbo_lib
from air_tf import modules
from air_tf import noise as noise_lib
from air_tf import prior

__all__ = ['AIRModel', 'Inference']

tfd = tfp.distributions


class Inference(NamedTuple):
  """One pass of T steps over a batch, every step as if it were present.

  Nothing before a step depends on whether the walk stops there, so this one
  pass holds an explanation by n objects for every n at once.
  """
  num_steps_posterior: prior.NumStepsDistribution  # q(n | x), batch shape [B].
  where_posterior: modules.DiagonalGaussian  # Over [B, T, 3], unsquashed.
  where_logits: tf.Tensor  # [B, T, 3], sampled, before squashing.
  where: tf.Tensor      # [B, T, 3], (scale, shift_x, shift_y).
  what_posterior: modules.DiagonalGaussian   # Over [B, T, Z].
  what: tf.Tensor       # [B, T, Z]
  glimpses: tf.Tensor   # [B, T, h, w], decoded.
  # [B, T + 1, H, W]: the background (black without a model of it) and the
  # first 0 ... T objects, added up.
  canvases: tf.Tensor
  background: background_lib.Background | None = None  # If it is modelled.


class AIRModel(snt.Module):
  """The generative model and its inference network."""

  def __init__(self, config: config_lib.Config, name: str = 'air'):
    super().__init__(name=name)
    self.config = config
    self._cell = cell_lib.AIRCell(config)
    self._background = (background_lib.BackgroundModel(config)
                        if config.background else None)

  def with_max_steps(self, max_steps: int) -> 'AIRModel':
    """Returns this model, the weights shared, that takes up to another T."""
    other = copy.copy(self)
    other.config = dataclasses.replace(self.config, max_steps=max_steps)
    return other

  def infer(self, images: tf.Tensor,
            seed: tf.Tensor | None = None,
            reparameterise: bool = True,
            num_particles: int = 1) -> Inference:
    """Explains images object by object.

    Args:
      images: float `[B, H, W]`, pixels in 0 ... 1; H and W must be known.
      seed: int32 `[2]`, seed of the posterior samples; None takes posterior
        means, so that equal images give equal answers.
      reparameterise: whether gradients flow through the samples; without it
        they are constants, as a score function wants them.
      num_particles: how many times the batch stands in `images`, one after
        the other, so that the noise is the same on any number of devices.

    Returns:
      The explanation by n objects for every n in 0 ... T.

    Raises:
      ValueError: if `images` has not as many axes and channels as the
        configuration says, or H and W are not known.
    """
    images = tf.convert_to_tensor(images, tf.float32)
    colours = self.config.image_shape[2:]
    wanted = tf.TensorShape([None, None, None, *colours])
    if not (wanted.is_compatible_with(images.shape)
            and images.shape[1:].is_fully_defined()):
      raise ValueError(
          f"`images` must be [{', '.join(['B, H, W', *map(str, colours)])}] "
          f'with known H and W, but its shape is {images.shape}.')
    num_steps = self.config.max_steps
    step_noise, background_noise = self._noise(
        tf.shape(images)[0], num_steps, seed, num_particles)
    if self._background is None:
      background, behind = None, tf.zeros_like(images)
    else:
      background = self._background(images, background_noise, reparameterise)
      behind = background.image
    explain = (self._explain_differences if self.config.difference
               else self._explain_image)
    steps, glimpses, written = explain(
        images - behind, step_noise, reparameterise)
    step_logits = tf.reshape(
        self._cell.step_logits(snt.merge_leading_dims(steps.hidden, 2)),
        [-1, num_steps])
    # A running sum by hand: XLA's cumsum is a product with a triangle.
    canvases = [behind]
    for y in tf.unstack(written, num=num_steps, axis=1):
      canvases.append(canvases[-1] + y)
    return Inference(
        num_steps_posterior=prior.NumStepsDistribution(step_logits),
        where_posterior=steps.where_posterior,
        where_logits=steps.where_logits, where=steps.where,
        what_posterior=steps.what_posterior, what=steps.what,
        glimpses=glimpses, canvases=tf.stack(canvases, axis=1),
        background=background)

  def _explain_image(self, images, noise, reparameterise):
    """AIR: every step sees the whole image, encoded once, drawn at the end."""
    state, encoded = self._cell.initial_state(), self._cell.encode(images)
    steps = []
    for step_noise in noise:
      step, state = self._cell(
          images, encoded, state, step_noise, reparameterise)
      steps.append(step)
    steps = _stack(steps)
    return steps, *self._write(steps.what, steps.where, *images.shape[1:3])

  def _explain_differences(self, images, noise, reparameterise):
    """DAIR: every step sees what those before it explained, and what is left.

    The paper's steps see what is left alone. From that a step cannot tell an
    object from the edges of one that was explained not quite right.
    """
    state, explained = self._cell.initial_state(), tf.zeros_like(images)
    steps, drawn = [], []
    for step_noise in noise:
      encoded = self._cell.encode(
          tf.stack([images - explained, explained], axis=-1))
      step, state = self._cell(
          images, encoded, state, step_noise, reparameterise)
      glimpse, y = self._cell.write(
          step.what, step.where, *images.shape[1:3])
      explained += y
      steps.append(step)
      drawn.append((glimpse, y))
    return _stack(steps), *_stack(drawn)

  def elbo_terms(
      self, images: tf.Tensor, inference: Inference,
      num_steps_prior: prior.NumStepsDistribution) -> elbo_lib.ElboTerms:
    """Scores an explanation.

        log p(x | n) = sum over pixels of log N(x; b + y_1 + ... + y_n, s^2)

    where b is the background, black without a model of it, s is
    `--pixel_stddev`, and each channel of a pixel counts as one.

    Args:
      images: float `[B, H, W]`, those that were explained.
      inference: what `infer` said of them.
      num_steps_prior: p(n), batch shape `[]`.

    Returns:
      The terms of the ELBO, apart for each example and each n.
    """
    pixels = tfd.Normal(inference.canvases, self.config.pixel_stddev)
    behind, p = inference.background, self.background_prior()
    of_background = {} if behind is None else {
        'kl_background': elbo_lib.kl(behind.posterior, p),
        'log_ratio_background': elbo_lib.log_ratio(
            behind.code, behind.posterior, p)}
    return elbo_lib.ElboTerms(
        log_likelihood=tf.reduce_sum(
            pixels.log_prob(images[:, tf.newaxis]),
            axis=list(range(2, inference.canvases.shape.rank))),
        kl_what=elbo_lib.kl(inference.what_posterior, self.what_prior()),
        kl_where=elbo_lib.kl(inference.where_posterior, self.where_prior()),
        log_ratio=elbo_lib.log_ratio(
            inference.what, inference.what_posterior, self.what_prior())
        + elbo_lib.log_ratio(
            inference.where_logits, inference.where_posterior,
            self.where_prior()),
        log_posterior=inference.num_steps_posterior.log_pmf(),
        log_prior=num_steps_prior.log_pmf(), **of_background)

  def background_prior(self) -> tfd.Normal:
    """p(code of the background), batch shape `[D]`: N(0, 1)."""
    return tfd.Normal(tf.zeros([background_lib.CODE_SIZE]), 1.)

  def what_prior(self) -> tfd.Normal:
    """p(what), batch shape `[Z]`: N(0, 1) (blog)."""
    return tfd.Normal(tf.zeros([self.config.what_size]), 1.)

  def where_prior(self) -> tfd.Normal:
    """p(where) before squashing, batch shape `[3]`."""
    config = self.config
    return tfd.Normal(
        [config.scale_prior_mean, 0., 0.],
        [config.scale_prior_stddev] + [config.shift_prior_stddev] * 2)

  def decode(self, what: tf.Tensor, where: tf.Tensor, presence: tf.Tensor,
           height: int, width: int) -> tf.Tensor:
    """Renders objects, without a background: the generative model's mean.

    Args:
      what: `[B, T, Z]`.
      where: `[B, T, 3]`, (scale, shift_x, shift_y).
      presence: `[B, T]`, 1. for an object that is there, else 0.
      height: `H`.
      width: `W`.

    Returns:
      `[B, H, W]`, 0 ... T: where objects overlap their pixels add up.
    """
    # An absent object may carry any place, also scale 0: put it at a legal one.
    place = tf.where(presence[..., tf.newaxis] > 0., where, .5)
    _, written = self._write(what, place, height, width)
    return tf.reduce_sum(prior.mask_absent(presence, written), axis=1)

  def sample_prior(self, counts: tf.Tensor, seed: tf.Tensor, height: int,
                   width: int) -> tf.Tensor:
    """Dreams up images with given numbers of objects, and their background.

    Args:
      counts: int `[B]`, each in 0 ... T.
      seed: int32 `[2]`.
      height: `H`.
      width: `W`.

    Returns:
      `[B, H, W]`, as `decode`. A count above T is taken as T, below 0 as 0.
    """
    config = self.config
    shape = [tf.shape(counts)[0], config.max_steps]
    seeds = tf.random.split(seed, 3)
    what = self.what_prior().sample(shape, seed=seeds[0])
    where = cell_lib.to_where(self.where_prior().sample(shape, seed=seeds[1]))
    presence = prior.presence_mask(counts, config.max_steps)
    drawn = self.decode(what, where, presence, height, width)
    if self._background is None:
      return drawn
    return drawn + self._background.decode(
        self.background_prior().sample(shape[:1], seed=seeds[2]))

  def _write(self, what, where, height, width):
    """`AIRCell.write` of all steps at once, in larger products."""
    merge = lambda x: tf.reshape(x, [-1, x.shape[-1]])
    drawn = self._cell.write(merge(what), merge(where), height, width)
    split = lambda x: tf.reshape(
        x, tf.concat([tf.shape(what)[:2], x.shape[1:]], axis=0))
    glimpses, written = map(split, drawn)
    return glimpses, written

  def _noise(self, batch_size, num_steps: int, seed,
             num_particles: int) -> tuple[list[tf.Tensor], tf.Tensor]:
    """Standard normal numbers, or zeros for means.

    Returns:
      T tensors `[B, 3 + Z]`, of the steps; `[B, D]`, of the background.
    """
    steps = [num_steps, batch_size,
             cell_lib.WHERE_SIZE + self.config.what_size]
    background = [batch_size, background_lib.CODE_SIZE]
    if seed is None:
      return tf.unstack(tf.zeros(steps), num=num_steps), tf.zeros(background)
    drawn = noise_lib.normal(steps, seed, 1, num_particles)
    return tf.unstack(drawn, num=num_steps), noise_lib.normal(
        background, tf.random.fold_in(seed, 1), 0, num_particles)


def _stack(steps: list):
  """Joins T structures of `[B, ...]` to one of `[B, T, ...]`."""
  return tf.nest.map_structure(lambda *xs: tf.stack(xs, axis=1), *steps)

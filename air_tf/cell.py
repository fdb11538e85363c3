"""One step of AIR: attend, infer, write.

Letters: `B` batch, `Z` size of `what`, `[H, W]` image, `[h, w]` glimpse, `U`
units of the LSTM, `[m, k]` a map of places in the image, `F` its features.
Images and glimpses in colour have a last axis of 3 channels.
"""

from collections.abc import Callable
from typing import NamedTuple

import sonnet as snt
import tensorflow as tf

from air_tf import config as config_lib
from air_tf import convolutions
from air_tf import encoders
from air_tf import glimpses as glimpses_lib
from air_tf import modules
from air_tf import painters
from air_tf import search

__all__ = ['AIRCell', 'EncodedImage', 'State', 'Step', 'WHERE_SIZE', 'to_where']

WHERE_SIZE = 3  # Scale, shift_x, shift_y.
# Slows Adam down on the output layer for place where there is a search. A place
# has to be right to a hundredth of the image, and one step of Adam changes all
# 256 weights of an output at once.
_OUTPUT_LR_SCALE = .1


class EncodedImage(NamedTuple):
  """Images, and what the encoder computed from them."""
  images: tf.Tensor | encoders.Pair  # [B, H, W, ...], what was encoded.
  gate_inputs: tf.Tensor  # [B, 4 U], its share of the gates of the LSTM.
  features: tf.Tensor | None  # [B, m, k, F], of each place, if there are any.


class State(NamedTuple):
  """What one step passes on to the next."""
  lstm: modules.LSTMState  # Two of [B, U].
  where: tf.Tensor  # [B, 3], of the step before; zeros at first.
  what: tf.Tensor   # [B, Z], of the step before; zeros at first.


class Step(NamedTuple):
  """What one step inferred, given that it is present."""
  hidden: tf.Tensor      # [B, U], of the LSTM.
  where_posterior: modules.DiagonalGaussian  # Over [B, 3], before squashing.
  where_logits: tf.Tensor  # [B, 3], sampled, before squashing.
  where: tf.Tensor       # [B, 3], (scale, shift_x, shift_y), squashed.
  what_posterior: modules.DiagonalGaussian   # Over [B, Z].
  what: tf.Tensor        # [B, Z]


class AIRCell(snt.Module):
  """Attend (where), infer (what), write: the body of AIR's loop.

  The cell is a deterministic function of its noise, which is drawn outside:
  zero noise gives posterior means, and one call draws the noise of all steps.

  Attributes:
    occludes: whether objects cover each other, so that what is decoded and
      written has a last axis of colour and opacity (see `compositing`).
    sorts: whether who is in front is read from the image (see `depth`).
  """

  def __init__(self, config: config_lib.Config, name: str = 'air_cell'):
    super().__init__(name=name)
    hidden = config.hidden_size
    self._what_size = config.what_size
    self._glimpse_size = config.glimpse_size
    self._image_encoder = encoders.make(
        config.image_encoder, hidden, name='image_encoder')
    self._lstm = modules.LSTM(config.lstm_size, name='lstm')
    # The initial cell and hidden states are learnt (blog).
    self._initial_hidden = tf.Variable(
        tf.zeros([config.lstm_size]), name='initial_hidden')
    self._initial_cell = tf.Variable(
        tf.zeros([config.lstm_size]), name='initial_cell')
    self._steps_predictor = modules.StepsPredictor(
        config.steps_bias, config.steps_init_scale, name='steps_predictor')
    self._make_locator(config)
    self._glimpse_features = (
        convolutions.GlimpseConvolutions(name='glimpse_features')
        if config.glimpse_encoder == 'conv' else None)
    self._glimpse_encoder = modules.GaussianEstimator(
        config.what_size, hidden, name='glimpse_encoder')
    self.occludes = config.compositing != 'add'
    self.sorts = config.compositing == 'sorted'
    self._painter = painters.make(config)
    self._decoder = self._painter.decoder  # So that its weights are tracked.

  def _make_locator(self, config: config_lib.Config) -> None:
    searches = config.image_encoder == 'search'
    self._where_estimator = modules.GaussianEstimator(
        WHERE_SIZE, config.hidden_size, stddev_init=config.where_stddev_init,
        mean_init=[config.scale_prior_mean, 0., 0.],
        output_scale=config.where_init_scale,
        output_lr_scale=_OUTPUT_LR_SCALE if searches else 1.,
        name='where_estimator')
    self._search = search.Search(name='search') if searches else None
    self._locate = (
        search.SearchLocator(self._search, self._where_estimator,
                             config.object_scale, config.glimpse_size)
        if searches else search.StateLocator(self._where_estimator))

  def initial_state(self) -> State:
    """Returns the state before the first step, one for all examples.

    Its batch of one broadcasts, so that the first step's share of the LSTM is
    computed once, not for each example.
    """
    return State(
        lstm=modules.LSTMState(hidden=self._initial_hidden[tf.newaxis],
                               cell=self._initial_cell[tf.newaxis]),
        where=tf.zeros([1, WHERE_SIZE]), what=tf.zeros([1, self._what_size]))

  def encode(self, images: tf.Tensor) -> EncodedImage:
    """Encodes images `[B, H, W, ...]`, further axes being channels (AIR)."""
    return self._encoded(images, self._image_encoder(images))

  def encode_pairs(self, images: tf.Tensor) -> Callable[
      [tf.Tensor | None], EncodedImage]:
    """Returns the encoder of what is left of images `[B, H, W]` (DAIR).

    Called with `[B, H, W]`, what is explained of them, or with None if that is
    nothing, it encodes the residual beside it. What it computes from the images
    alone is computed once.
    """
    encode = self._image_encoder.pairs(images)
    return lambda explained: self._encoded(
        encoders.Pair(images, explained), encode(explained))

  def _encoded(self, images: tf.Tensor | encoders.Pair,
               encoding: encoders.Encoding) -> EncodedImage:
    return EncodedImage(images=images, features=encoding.features,
                        gate_inputs=self._lstm.gate_inputs(encoding.summary))

  def variable_groups(self) -> dict[str, list[tf.Variable]]:
    """Returns the trainable variables, grouped by function."""
    modules_by_group = {
        'encoder': self._image_encoder, 'search': self._search,
        'lstm': self._lstm, 'steps_predictor': self._steps_predictor,
        'where': self._where_estimator,
        'glimpse_encoder': self._glimpse_encoder, 'decoder': self._decoder}
    groups = {group: list(module.trainable_variables)
              for group, module in modules_by_group.items() if module}
    if self._glimpse_features:
      groups['glimpse_encoder'] += self._glimpse_features.trainable_variables
    groups['lstm'] += [self._initial_hidden, self._initial_cell]
    return groups

  @property
  def num_places(self) -> int:
    """How many places the search can choose; 0 without a search."""
    return self._search.num_places if self._search else 0

  def step_logits(self, hidden: tf.Tensor) -> tf.Tensor:
    """Maps hidden states `[B, U]` to log-odds `[B]` of taking their step."""
    return self._steps_predictor(hidden)

  def write(self, what: tf.Tensor, where: tf.Tensor, height: int,
            width: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Decodes and writes objects, see `painters.Painter`."""
    return self._painter(what, where, height, width)

  def __call__(self, images: tf.Tensor, encoded: EncodedImage, state: State,
               noise: tf.Tensor,
               reparameterise: bool = True) -> tuple[Step, State]:
    """Attends and infers.

    `step_logits` and `write` are separate, to be called for all steps at once.

    Args:
      images: `[B, H, W]`, minus the background; glimpses are read from them.
        Further axes are channels.
      encoded: the images encoded (AIR), or what is left of them beside what is
        explained (DAIR). Separate, because AIR encodes an image only once.
      state: of the step before; its batch may be 1, for all examples.
      noise: `[B, 3 + Z]`, standard normal for a sample, zeros for the means;
        further columns, one for each place, are noise of the search.
      reparameterise: whether gradients flow through the samples; without it
        they are constants.

    Returns:
      The step, and the state after it.
    """
    where_noise, what_noise, search_noise = tf.split(
        noise, [WHERE_SIZE, self._what_size, -1], axis=-1)
    if not search_noise.shape[-1]:
      search_noise = None
    lstm_state = self._lstm(
        encoded.gate_inputs, tf.concat([state.where, state.what], axis=-1),
        state.lstm)
    hidden = lstm_state.hidden

    where_posterior = self._locate(
        hidden, encoded.images, encoded.features, search_noise)
    where_logits = modules.sample(where_posterior, where_noise, reparameterise)
    where = to_where(where_logits)
    glimpse = glimpses_lib.read(images, where, self._glimpse_size)
    features = (self._glimpse_features or snt.flatten)(glimpse)
    what_posterior = self._glimpse_encoder(features)
    what = modules.sample(what_posterior, what_noise, reparameterise)
    step = Step(
        hidden=hidden, where_posterior=where_posterior,
        where_logits=where_logits, where=where, what_posterior=what_posterior,
        what=what)
    return step, State(lstm=lstm_state, where=where, what=what)


def to_where(logits: tf.Tensor) -> tf.Tensor:
  """Squashes Gaussian values `[..., 3]` to a place in the image.

  Returns:
    `[..., 3]`, (scale, shift_x, shift_y): sigmoid for the scale, in (0, 1);
    tanh for the shifts, in (-1, 1).
  """
  scale, shift = tf.split(logits, [1, 2], axis=-1)
  return tf.concat([tf.sigmoid(scale), tf.tanh(shift)], axis=-1)

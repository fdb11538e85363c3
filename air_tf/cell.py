"""One step of AIR: attend, infer, write.

Letters: `B` batch, `Z` size of `what`, `[H, W]` image, `[h, w]` glimpse, `U`
units of the LSTM. Images and glimpses in colour have a last axis of 3 channels.
"""

from typing import NamedTuple

import sonnet as snt
import tensorflow as tf

from air_tf import config as config_lib
from air_tf import glimpses as glimpses_lib
from air_tf import modules

__all__ = ['AIRCell', 'EncodedImage', 'State', 'Step', 'WHERE_SIZE', 'to_where']

WHERE_SIZE = 3  # Scale, shift_x, shift_y.
_MAX_SHIFT = .99  # Of the way to the edge: as far as a search can point.
_WINDOW_SCALE = 2.  # Side of what is looked at around a place, in sides of an object.
# A tenth of the usual steps for what a search makes of a place: it knows places
# to a hundredth of an image, and a step of Adam moves all 256 weights at once.
_OUTPUT_LR_SCALE = .1


class EncodedImage(NamedTuple):
  """An image, and what the encoder made of it."""
  images: tf.Tensor  # [B, H, W, ...], what was encoded.
  gate_inputs: tf.Tensor  # [B, 4 U], its share of the gates of the LSTM.
  features: tf.Tensor | None  # [B, m, k, F], of places, if they are searched.


class State(NamedTuple):
  """What one step hands to the next."""
  lstm: modules.LSTMState  # Two of [B, U].
  where: tf.Tensor  # [B, 3], of the step before; zeros at first.
  what: tf.Tensor   # [B, Z], likewise.


class Step(NamedTuple):
  """What one step decided, as if it were present."""
  hidden: tf.Tensor      # [B, U], of the LSTM.
  where_posterior: modules.DiagonalGaussian  # Over [B, 3], before squashing.
  where_logits: tf.Tensor  # [B, 3], sampled, before squashing.
  where: tf.Tensor       # [B, 3], (scale, shift_x, shift_y), squashed.
  what_posterior: modules.DiagonalGaussian   # Over [B, Z].
  what: tf.Tensor        # [B, Z]


class AIRCell(snt.Module):
  """Attend (where), infer (what), write: the body of AIR's loop.

  The cell is a deterministic function of its noise: all its randomness is
  drawn outside, which makes the reparameterised gradient plain to see, gives
  posterior means at zero noise, and lets one call draw for all steps.
  """

  def __init__(self, config: config_lib.Config, name: str = 'air_cell'):
    super().__init__(name=name)
    hidden = config.hidden_size
    self._what_size = config.what_size
    self._glimpse_size = config.glimpse_size
    self._object_scale = config.object_scale
    self._image_encoder = (
        modules.encoder(hidden, name='image_encoder')
        if config.image_encoder == 'mlp'
        else modules.ConvEncoder(hidden, name='image_encoder'))
    self._search = (modules.Search(name='search')
                    if config.image_encoder == 'search' else None)
    self._lstm = modules.LSTM(config.lstm_size, name='lstm')
    # Cell state and hidden state start at learnt values (blog).
    self._initial_hidden = tf.Variable(
        tf.zeros([config.lstm_size]), name='initial_hidden')
    self._initial_cell = tf.Variable(
        tf.zeros([config.lstm_size]), name='initial_cell')
    self._steps_predictor = modules.StepsPredictor(
        config.steps_bias, name='steps_predictor')
    self._where_estimator = modules.GaussianEstimator(
        WHERE_SIZE, hidden, mean_init=[config.scale_prior_mean, 0., 0.],
        stddev_init=config.where_stddev_init,
        pace=_OUTPUT_LR_SCALE if self._search else 1., name='where_estimator')
    self._glimpse_encoder = modules.GaussianEstimator(
        config.what_size, hidden, name='glimpse_encoder')
    self._decoder = modules.Decoder(
        config.glimpse_shape, hidden, config.decoder_bias,
        name='glimpse_decoder')

  def initial_state(self) -> State:
    """Returns the state before the first step, one for all examples.

    Its batch of one broadcasts against the gate_inputs, so that the first step's
    share of the LSTM is computed once, not for each example.
    """
    return State(
        lstm=modules.LSTMState(hidden=self._initial_hidden[tf.newaxis],
                               cell=self._initial_cell[tf.newaxis]),
        where=tf.zeros([1, WHERE_SIZE]), what=tf.zeros([1, self._what_size]))

  def encode(self, images: tf.Tensor) -> EncodedImage:
    """Encodes images `[B, H, W, ...]`, further axes being channels."""
    if isinstance(self._image_encoder, modules.ConvEncoder):
      features = self._image_encoder.features(images)
      summary = self._image_encoder.summarise(features)
    else:
      summary = self._image_encoder(snt.flatten(images))
    return EncodedImage(images=images, gate_inputs=self._lstm.gate_inputs(summary),
                 features=features if self._search else None)

  def step_logits(self, hidden: tf.Tensor) -> tf.Tensor:
    """Maps hidden states `[B, U]` to log-odds `[B]` of taking their step."""
    return self._steps_predictor(hidden)

  def write(self, what: tf.Tensor, where: tf.Tensor, height: int,
            width: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Draws objects.

    Args:
      what: `[B, Z]`.
      where: `[B, 3]`, (scale, shift_x, shift_y).
      height: `H`.
      width: `W`.

    Returns:
      The glimpses `[B, h, w]`, and each in its place, y `[B, H, W]`.
    """
    glimpses = self._decoder(what)
    return glimpses, glimpses_lib.write(glimpses, where, height, width)

  def __call__(self, images: tf.Tensor, encoded: EncodedImage, state: State,
               noise: tf.Tensor,
               reparameterise: bool = True) -> tuple[Step, State]:
    """Attends and infers.

    `step_logits` and `write` are apart, for all steps at once.

    Args:
      images: `[B, H, W]`, what the glimpse is read from, less a background.
      encoded: what `encode` made of the images, or of what the steps before
        left of them. Apart, because an image that stays the same need be
        encoded only once.
      state: what the step before left, for each example or one for all.
      noise: `[B, 3 + Z]`, standard normal for a sample, zeros for the means.
      reparameterise: whether gradients flow through the samples; without it
        they are constants.

    Returns:
      What the step decided, and the state after it.
    """
    where_noise, what_noise = tf.split(
        noise, [WHERE_SIZE, self._what_size], axis=-1)
    lstm_state = self._lstm(
        encoded.gate_inputs, tf.concat([state.where, state.what], axis=-1), state.lstm)
    hidden = lstm_state.hidden

    where_posterior = self._locate(hidden, encoded)
    where_logits = modules.sample(
        where_posterior, where_noise, reparameterise)
    where = to_where(where_logits)
    glimpse = glimpses_lib.read(images, where, self._glimpse_size)
    what_posterior = self._glimpse_encoder(snt.flatten(glimpse))
    what = modules.sample(what_posterior, what_noise, reparameterise)
    step = Step(
        hidden=hidden,
        where_posterior=where_posterior, where_logits=where_logits,
        where=where,
        what_posterior=what_posterior, what=what)
    return step, State(lstm=lstm_state, where=where, what=what)

  def _locate(self, hidden: tf.Tensor,
              encoded: EncodedImage) -> modules.DiagonalGaussian:
    """Posterior over a place `[B, 3]`, before squashing."""
    if encoded.features is None:
      return self._where_estimator(hidden)
    found = self._search(encoded.features, hidden)
    # Then a look around there, at pixels: how large it is, and where its middle
    # lies, in halves of an object's side; how uncertain that is, in sides. Once
    # learnt, it holds at all places.
    around = tf.pad(found.place, [[0, 0], [1, 0]],
                    constant_values=_WINDOW_SCALE * self._object_scale)
    seen = glimpses_lib.read(encoded.images, around, self._glimpse_size)
    posterior = self._where_estimator(tf.concat(
        [snt.flatten(seen), hidden, found.features, found.place], axis=-1))
    side = 2. * self._object_scale  # Of an object, in halves of the image.
    scale, beside = tf.split(posterior.mean, [1, 2], axis=-1)
    place = tf.clip_by_value(
        found.place + .5 * side * beside, -1., 1.)
    return modules.DiagonalGaussian(
        mean=tf.concat([scale, tf.atanh(_MAX_SHIFT * place)], axis=-1),
        stddev=posterior.stddev * [1., side, side])


def to_where(logits: tf.Tensor) -> tf.Tensor:
  """Squashes `[..., 3]` Gaussian values to a place in the image.

  Returns:
    `[..., 3]`, (scale, shift_x, shift_y): sigmoid for the scale, in (0, 1);
    tanh for the shifts, in (-1, 1).
  """
  scale, shift = tf.split(logits, [1, 2], axis=-1)
  return tf.concat([tf.sigmoid(scale), tf.tanh(shift)], axis=-1)

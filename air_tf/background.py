"""The background: a small variational autoencoder of whole images.

Letters: `B` batch, `[H, W]` image, `D` size of the background's code. Images in
colour have a last axis of 3 channels.
"""

from typing import NamedTuple

import sonnet as snt
import tensorflow as tf
import tensorflow_probability as tfp

from air_tf import config as config_lib
from air_tf import elbo
from air_tf import encoders
from air_tf import modules

__all__ = ['CODE_SIZE', 'Background', 'BackgroundModel', 'elbo_terms',
           'prior']

tfd = tfp.distributions

# D. Enough for the positions and brightness of the lines of a grid, too few to
# draw objects, which are left to the steps.
CODE_SIZE = 16


class Background(NamedTuple):
  """The background of each image of a batch."""
  image: tf.Tensor  # [B, H, W], its mean.
  # None of a ground, which is estimated without a code.
  posterior: modules.DiagonalGaussian | None = None  # Over [B, D].
  code: tf.Tensor | None = None  # [B, D], sampled.


class BackgroundModel(snt.Module):
  """Encodes an image into a code of size D, and decodes a whole image from it.

  Prior N(0, 1). Where one mean image explains all backgrounds (noise, an even
  grey), the posterior collapses to the prior, and the decoder is that mean.
  """

  def __init__(self, config: config_lib.Config, name: str = 'background'):
    """Makes encoder and decoder for the configuration's images."""
    super().__init__(name=name)
    hidden = config.hidden_size
    self._features = encoders.ConvEncoder(hidden, name='image_encoder')
    self._posterior = modules.GaussianEstimator(
        CODE_SIZE, hidden, name='posterior')
    self._decoder = modules.Decoder(
        config.image_shape, hidden, config.decoder_bias, name='decoder')

  def __call__(self, images: tf.Tensor, noise: tf.Tensor,
               reparameterise: bool = True) -> Background:
    """Infers the background.

    Args:
      images: `[B, H, W]`.
      noise: `[B, D]`, standard normal for a sample, zeros for the mean.
      reparameterise: whether gradients flow through the sample.
    """
    posterior = self._posterior(self._features(images).summary)
    code = modules.sample(posterior, noise, reparameterise)
    return Background(posterior=posterior, code=code, image=self.decode(code))

  def decode(self, code: tf.Tensor) -> tf.Tensor:
    """Maps codes `[B, D]` to images `[B, H, W]`."""
    return self._decoder(code)


def prior() -> tfd.Distribution:
  """p(code), event shape `[D]`: N(0, 1)."""
  return tfd.Independent(tfd.Normal(tf.zeros([CODE_SIZE]), 1.), 1)


def elbo_terms(background: Background | None) -> dict[str, tf.Tensor]:
  """Returns the fields of `elbo.ElboTerms` about the background, if any."""
  if background is None or background.posterior is None:
    return {}
  q, p = background.posterior.distribution(), prior()
  return {'kl_background': tfd.kl_divergence(q, p),
          'log_ratio_background': elbo.log_ratio(background.code, q, p)}

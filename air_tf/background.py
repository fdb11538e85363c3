"""The background: a small variational autoencoder of whole images.

Letters: `B` batch, `[H, W]` image, `D` size of the background's code. Images in
colour have a last axis of 3 channels.
"""

from typing import NamedTuple

import sonnet as snt
import tensorflow as tf

from air_tf import config as config_lib
from air_tf import encoders
from air_tf import modules

__all__ = ['CODE_SIZE', 'Background', 'BackgroundModel']

# D. Enough for the positions and brightness of the lines of a grid, too few to
# draw objects, which are left to the steps.
CODE_SIZE = 16


class Background(NamedTuple):
  """The background of each image of a batch."""
  posterior: modules.DiagonalGaussian  # Over [B, D].
  code: tf.Tensor   # [B, D], sampled.
  image: tf.Tensor  # [B, H, W], its mean, 0 ... 1.


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

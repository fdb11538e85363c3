"""What no object explains: a small variational autoencoder of whole images.

Letters: `B` batch, `[H, W]` image, `D` size of the background's code. Images in
colour have a last axis of 3 channels.
"""

from typing import NamedTuple

import sonnet as snt
import tensorflow as tf

from air_tf import config as config_lib
from air_tf import modules

__all__ = ['CODE_SIZE', 'Background', 'BackgroundModel']

# D. Meant to hold where the lines of a grid are and how bright, and to be too
# few to draw objects, which are what glimpses are for.
CODE_SIZE = 16


class Background(NamedTuple):
  """What stands behind the objects of a batch of images."""
  posterior: modules.DiagonalGaussian  # Over [B, D].
  code: tf.Tensor   # [B, D], sampled.
  image: tf.Tensor  # [B, H, W], its mean, 0 ... 1.


class BackgroundModel(snt.Module):
  """Encodes an image into D numbers, and draws a whole image from them.

  Prior N(0, 1). An image that the prior's mean already explains (noise, an even
  grey) costs nothing: the code then is not used, and what is left of this is a
  learnt mean image.
  """

  def __init__(self, config: config_lib.Config, name: str = 'background'):
    """Makes encoder and decoder for the configuration's images."""
    super().__init__(name=name)
    hidden = config.hidden_size
    self._features = modules.ConvEncoder(hidden, name='image_encoder')
    self._posterior = modules.GaussianEstimator(
        CODE_SIZE, hidden, name='posterior')
    self._decoder = modules.Decoder(
        config.image_shape, hidden, config.decoder_bias, name='decoder')

  def __call__(self, images: tf.Tensor, noise: tf.Tensor,
               reparameterise: bool = True) -> Background:
    """Explains what is behind the objects.

    Args:
      images: `[B, H, W]`.
      noise: `[B, D]`, standard normal for a sample, zeros for the mean.
      reparameterise: whether gradients flow through the sample.
    """
    posterior = self._posterior(self._features(images))
    code = modules.sample(posterior, noise, reparameterise)
    return Background(posterior=posterior, code=code, image=self.decode(code))

  def decode(self, code: tf.Tensor) -> tf.Tensor:
    """Maps codes `[B, D]` to images `[B, H, W]`."""
    return self._decoder(code)

"""Painters draw objects: they decode an appearance code and write its glimpse.

    Light     pixels whose light adds up (AIR)
    Paint     a colour and an opacity for each pixel
    Stencils  one colour, and an opacity for each pixel

Letters: `B` batch, `Z` size of `what`, `[H, W]` image, `[h, w]` glimpse. Images
and glimpses in colour have a last axis of 3 channels. Paint has a further axis
of colour, premultiplied by opacity, and opacity (see `compositing`).
"""

import abc

import tensorflow as tf

from air_tf import compositing
from air_tf import config as config_lib
from air_tf import glimpses as glimpses_lib
from air_tf import modules

__all__ = ['Light', 'Paint', 'Painter', 'Stencils', 'make']

Drawn = tuple[tf.Tensor, tf.Tensor]  # Glimpses, and a canvas for each.


class Painter(abc.ABC):
  """Draws objects by what its decoder has learnt.

  Attributes:
    decoder: of appearance codes.
  """

  def __init__(self, decoder: modules.Decoder):
    self.decoder = decoder

  @abc.abstractmethod
  def __call__(self, what: tf.Tensor, where: tf.Tensor, height: int,
               width: int) -> Drawn:
    """Decodes objects and writes each to a canvas of its own.

    Args:
      what: `[B, Z]`.
      where: `[B, 3]`, (scale, shift_x, shift_y).
      height: `H`.
      width: `W`.

    Returns:
      The glimpses `[B, h, w]`, and the canvases y `[B, H, W]`.
    """


def make(config: config_lib.Config) -> Painter:
  """Returns the painter of a configuration, its decoder without weights yet."""
  shape, bias = config.glimpse_shape, config.decoder_bias
  options = dict(hidden_size=config.hidden_size, name='glimpse_decoder',
                 output_scale=config.decoder_init_scale)
  if config.one_colour:
    return Stencils(modules.StencilDecoder(shape, bias=bias, **options))
  options |= dict(convolutional=config.glimpse_decoder == 'conv')
  if config.compositing == 'add':
    return Light(modules.Decoder(shape, bias=bias, **options))
  shape = compositing.painted_shape(shape)
  return Paint(modules.Decoder(
      shape, bias=compositing.start_logits(shape, bias), **options))


class Light(Painter):
  """Pixels whose light adds up."""

  def __call__(self, what: tf.Tensor, where: tf.Tensor, height: int,
               width: int) -> Drawn:
    """Decodes and writes, see `Painter`."""
    glimpses = self.decoder(what)
    return glimpses, glimpses_lib.write(glimpses, where, height, width)


class Paint(Painter):
  """Pixels that have a colour, half bright at first, and an opacity."""

  def __call__(self, what: tf.Tensor, where: tf.Tensor, height: int,
               width: int) -> Drawn:
    """Decodes and writes, see `Painter`."""
    glimpses = compositing.premultiply(self.decoder(what))
    return glimpses, glimpses_lib.write(glimpses, where, height, width)


class Stencils(Painter):
  """One colour, painted through stencils with sharp outlines.

  What is interpolated are logits of opacities. An outline is then as sharp in
  the image as its logits are large, however small the glimpse is.
  """

  _OUTSIDE = -8.  # Logit of opacities outside a stencil: .0003.

  def __call__(self, what: tf.Tensor, where: tf.Tensor, height: int,
               width: int) -> Drawn:
    """Decodes and writes, see `Painter`."""
    colours, logits = self.decoder(what)
    written = self._OUTSIDE + glimpses_lib.write(
        logits - self._OUTSIDE, where, height, width)
    return tuple(compositing.fill(colours, tf.sigmoid(x))
                 for x in (logits, written))

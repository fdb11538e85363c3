"""How objects become an image: they add up, or cover each other.

    add    c_n = c_{n-1} + y_n                                  (AIR)
    over   c_n = c_{n-1} + (1 - A_{n-1}) a_n (y_n - b)
           A_n = A_{n-1} + (1 - A_{n-1}) a_n

with y_n the n-th object, a_n its opacity, b = c_0 the background and A_n how
much of it the first n objects hide. Of `over`, the first object is in front and
what the objects do not hide of the background shines through, so that one pass
still gives the canvas of the first n objects for every n. `sorted` is `over`
in an order that is read from the image, see `depth`.

Letters: `B` batch, `T` most steps, `[H, W]` image. Images in colour have a last
axis of 3 channels. What is *painted* has a further axis under `over`: colour,
premultiplied by opacity, and opacity.
"""

import numpy as np
import tensorflow as tf

__all__ = ['add_up', 'changes', 'channelled', 'compose', 'fill',
           'painted_shape', 'premultiply', 'split', 'start_logits',
           'uncovered']


def compose(canvas: tf.Tensor, painted: tf.Tensor, over: bool) -> tf.Tensor:
  """Returns the canvases `[B, T + 1, H, W]` of the first 0 ... T objects.

  Args:
    canvas: `[B, H, W]`, the background.
    painted: `[B, T, H, W]`, each object on a canvas of its own; under `over`
      with a last axis of colour and opacity.
    over: whether they cover each other; else they add up.
  """
  if not over:
    return add_up(canvas, painted)
  canvases, left = [canvas], tf.ones_like(painted[:, 0, ..., -1])  # 1 - A
  for change, alpha in zip(*changes(canvas, painted), strict=True):
    canvases.append(canvases[-1] + channelled(left, canvas) * change)
    left *= 1. - alpha
  return tf.stack(canvases, axis=1)


def changes(canvas: tf.Tensor, painted: tf.Tensor
            ) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
  """Returns a_n (y_n - b) `[B, H, W]` and a_n `[B, H, W]` of each object.

  Args:
    canvas: `[B, H, W]`, b, the background.
    painted: `[B, T, H, W, C + 1]`, the objects, premultiplied.
  """
  colours, alphas = (tf.unstack(x, axis=1)
                     for x in split(painted, canvas.shape[3:]))
  return [colour - channelled(alpha, canvas) * canvas
          for colour, alpha in zip(colours, alphas, strict=True)], alphas


def add_up(canvas: tf.Tensor, written: tf.Tensor) -> tf.Tensor:
  """Canvases `[B, T + 1, H, W]`: `[B, H, W]` and the first n of `[B, T, ...]`.

  Unrolled: XLA lowers cumsum to a product with a triangular matrix.
  """
  canvases = [canvas]
  for y in tf.unstack(written, axis=1):
    canvases.append(canvases[-1] + y)
  return tf.stack(canvases, axis=1)


def uncovered(left: tf.Tensor, painted: tf.Tensor) -> tf.Tensor:
  """Returns the part of `left` that an object does not cover.

  Args:
    left: `[B, H, W]` or `[B, H, W, C]`.
    painted: `[B, H, W, C + 1]`, the object, of colour and opacity.
  """
  return left * (1. - channelled(painted[..., -1], left))


def fill(colours: tf.Tensor, alphas: tf.Tensor) -> tf.Tensor:
  """Paints through stencils: `[B, h, w, C + 1]`, premultiplied.

  Args:
    colours: `[B, C]`.
    alphas: `[B, h, w]`, how opaque the colour is.
  """
  paint = tf.concat([colours, tf.ones_like(colours[:, :1])], axis=-1)
  return alphas[..., tf.newaxis] * paint[:, tf.newaxis, tf.newaxis]


def painted_shape(glimpse_shape: tuple[int, ...]) -> tuple[int, ...]:
  """Returns `[h, w, C + 1]`, of colour and opacity of a glimpse."""
  return *glimpse_shape[:2], (glimpse_shape[2:] or (1,))[0] + 1


def start_logits(painted: tuple[int, ...], bias: float) -> np.ndarray:
  """Returns initial logits, flat: colours half bright, opacities of `bias`."""
  height, width, channels = painted
  return np.tile(np.float32([0.] * (channels - 1) + [bias]), height * width)


def premultiply(painted: tf.Tensor) -> tf.Tensor:
  """Multiplies colours `[..., C + 1]` by their opacity, the last channel.

  Only so are they interpolated rightly, where an opaque pixel meets one that is
  not and whose colour means nothing.
  """
  alpha = painted[..., -1:]
  return tf.concat([painted[..., :-1] * alpha, alpha], axis=-1)


def split(painted: tf.Tensor, channels: tuple[int, ...]
          ) -> tuple[tf.Tensor, tf.Tensor]:
  """Splits `[..., C + 1]` into colour and opacity.

  Args:
    painted: colours, then opacity.
    channels: `[C]` in colour; `[]` for grey colours without a last axis.
  """
  colour = painted[..., :-1] if len(channels) else painted[..., 0]
  return colour, painted[..., -1]


def channelled(x: tf.Tensor, like: tf.Tensor) -> tf.Tensor:
  """Gives `[B, H, W]` a last axis of size 1, where `like` has channels."""
  return x if like.shape.rank == x.shape.rank else x[..., tf.newaxis]

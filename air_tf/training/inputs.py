"""What a trainer accepts as scenes, and the batches it draws from them.

Letters: `B` batch, `N` scenes, `[H, W]` image (`[H, W, 3]` in colour).
"""

from collections.abc import Callable
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from air_tf import config as config_lib
from air_tf.data import datasets
from air_tf.data import scenes as scenes_lib
from air_tf.data import streams

__all__ = ['Images', 'Input', 'SceneInput', 'make', 'next_images',
           'sample_indices']

Images = np.ndarray | tf.Tensor | streams.MappedImages  # uint8 [N, H, W].
# The same in other forms: with annotations, or made from the number of a pool.
SceneInput = Images | scenes_lib.Scenes | datasets.SceneSource
# What compiled code reads: all images in memory, or a stream of batches.
Input = tf.Tensor | tf.data.Iterator


def make(scenes: SceneInput | Input, config: config_lib.Config,
         iteration: tf.Variable,
         indices: Callable[[int, tf.Tensor], tf.Tensor]) -> Input:
  """Returns scenes as compiled code reads them: those on disk as a stream.

  Args:
    scenes: uint8 images `[N, H, W]`; what holds or makes them; or an input,
      which is returned as it is.
    config: gives the shape of images, and how often a source is asked.
    iteration: int64 `[]`, the iteration that comes next.
    indices: from N and an iteration to the indices `[B]` of its batch.

  Raises:
    ValueError: if the images are not of type uint8, or have another shape; or
      in a `tf.function`, if `scenes` would have to be read.
  """
  if isinstance(scenes, tf.data.Iterator):
    return scenes
  if callable(scenes):
    every = config.refresh_every
    scenes = scenes(_eagerly(iteration) // every if every else 0)
  images = getattr(scenes, 'images', scenes)
  _check(images, config.image_shape)
  if isinstance(images, streams.MappedImages):
    return iter(streams.batches(
        images, lambda i: indices(len(images), i), _eagerly(iteration)))
  return tf.convert_to_tensor(images)


def _eagerly(iteration: tf.Variable) -> int:
  if not tf.executing_eagerly():
    raise ValueError(
        'Inside a `tf.function`, `scenes` must be an array, a tensor, or what '
        '`make_input` returned, called outside of it.')
  return int(iteration.read_value())


def _check(images: Images, image_shape: Sequence[int]) -> None:
  dtype = tf.as_dtype(images.dtype)
  if dtype != tf.uint8 or list(images.shape[1:]) != list(image_shape):
    expected = ', '.join(['N', *map(str, image_shape)])
    raise ValueError(
        f'`scenes` holds images of type {dtype.name} and shape '
        f'{list(images.shape)}; expected uint8 (0 ... 255) and [{expected}].')


def sample_indices(num_scenes: int | tf.Tensor, batch_size: int,
                   seed: tf.Tensor) -> tf.Tensor:
  """Draws the indices `[B]` of a batch, with replacement.

  Args:
    num_scenes: N, int `[]`.
    batch_size: B.
    seed: int32 `[2]`.
  """
  return tf.random.stateless_uniform(
      [batch_size], seed, maxval=num_scenes, dtype=tf.int32)


def next_images(scenes: Input, batch_size: int, seed: tf.Tensor) -> tf.Tensor:
  """Returns a batch as float `[B, H, W]`, pixels in 0 ... 1.

  Args:
    scenes: uint8 `[N, H, W]`, or a stream, of which one batch is consumed.
    batch_size: B.
    seed: int32 `[2]`, of the indices; a stream has its own.
  """
  if isinstance(scenes, tf.data.Iterator):
    return streams.to_pixels(next(scenes))
  return streams.to_pixels(tf.gather(scenes, sample_indices(
      tf.shape(scenes)[0], batch_size, seed)))

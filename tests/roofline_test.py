import itertools
import math
import types

import numpy as np
import pytest
import tensorflow as tf
import tiny

from air_tf.studies import roofline
from air_tf.training import trainer as trainer_lib


def multiply_adds(products):
  total = 0
  for product in products:
    batch = np.broadcast_shapes(product.left[:-2], product.right[:-2])
    columns = product.right[-2 if product.transpose_right else -1]
    total += math.prod(batch) * math.prod(product.left[-2:]) * columns
  return total


def test_products_of_a_function_by_hand():
  w, v, filters = (
      tf.Variable(tf.ones(shape))
      for shape in ([5, 7], [3, 4, 6], [2, 2, 3, 8]))

  def step(x, batch, images):
    unused = tf.transpose(x) @ x  # Nothing depends on it.
    del unused
    with tf.GradientTape() as tape:
      loss = (tf.reduce_sum(tf.square(x @ w))  # [2, 5] @ [5, 7]
              + tf.reduce_sum(tf.square(batch @ v))  # 3 times [9, 4] @ [4, 6]
              + tf.reduce_sum(tf.square(tf.nn.conv2d(  # 4 x 4 places.
                  images, filters, strides=1, padding='VALID'))))
    return tape.gradient(loss, [w, v, filters])

  found = roofline.products_of(step, *(
      tf.TensorSpec(shape, tf.float32)
      for shape in ([2, 5], [3, 9, 4], [1, 5, 5, 3])))
  # Forward, and backward to the second factor; the first ones are constants.
  assert multiply_adds(found) == 2 * (
      2 * 5 * 7 + 3 * 9 * 4 * 6 + 4 * 4 * (2 * 2 * 3) * 8)
  assert {product.transpose_left for product in found} == {False, True}


def test_products_of_a_function_of_images_by_hand():
  # Two layers: the backward pass goes through the second to the first.
  first, second = (tf.Variable(tf.ones([3, 3, *sizes]))
                   for sizes in ([1, 4], [4, 2]))

  def step(images):
    with tf.GradientTape() as tape:
      x = tf.square(tf.nn.conv2d(images, first, strides=2, padding='SAME'))
      loss = tf.reduce_sum(tf.square(
          tf.nn.conv2d(x, second, strides=1, padding='SAME')))
    return tape.gradient(loss, [first, second])

  found = roofline.products_of(step, tf.TensorSpec([5, 8, 8, 1], tf.float32))
  assert multiply_adds(found) == (
      2 * 5 * 4 * 4 * 9 * 1 * 4 + 3 * 5 * 4 * 4 * 9 * 4 * 2)


def trainer(**changes):
  return trainer_lib.Trainer(tiny.config(batch_size=5, **changes))


def test_products_of_air_by_hand():
  # Batch 5, 3 steps, image 16 x 16, glimpse 6 x 6, `what` 4, `where` 3, all
  # else 8 units. Each product is done forward and twice backward, but for those
  # whose left factor is data.
  mlp = lambda rows, sizes, passes=3: rows * sum(
      a * b * (passes if i == 0 else 3)
      for i, (a, b) in enumerate(zip(sizes, sizes[1:])))
  lstm, where, what, pixels = 8, 3, 4, 6 * 6
  expected = (
      mlp(5, [16 * 16, 8, 8, 4 * lstm], passes=2)
      # The first step's state is the same for the whole batch.
      + mlp(1, [lstm + where + what, 4 * lstm])
      + 2 * mlp(5, [lstm + where + what, 4 * lstm])
      + 3 * mlp(5, [lstm, 8, 8, 2 * where])
      + 3 * mlp(5, [pixels, 8, 8, 2 * what])
      + mlp(15, [what, 8, 8, pixels])
      + mlp(15, [lstm, 128, 64, 1])
      # Reading: rows of the image, which is data, then columns. Writing both.
      + 15 * (2 * 6 * 16 * 16 + 3 * 6 * 16 * 6)
      + 15 * 3 * (6 * 6 * 16 + 16 * 6 * 16))
  found = roofline.products(trainer(image_encoder='mlp'))
  assert multiply_adds(found) == expected


@pytest.mark.slow
def test_what_an_estimator_computes_counts():
  # The baseline of NVIL: an MLP 256-128-1, of constants.
  marginal, nvil = (
      multiply_adds(roofline.products(trainer(estimator=name)))
      for name in ('marginal', 'nvil'))
  baseline = nvil - marginal
  inputs, rest = divmod(
      baseline - 3 * 5 * (256 * 128 + 128), 2 * 5 * 256)
  assert rest == 0 and inputs >= 16 * 16  # The image is one of them.


@pytest.fixture
def clock(monkeypatch):
  """Whose every reading is a second after the last one."""
  monkeypatch.setattr(roofline, 'time', types.SimpleNamespace(
      perf_counter=itertools.count().__next__))


@pytest.mark.parametrize('dtype', [tf.float32, tf.bfloat16])
@pytest.mark.slow
def test_roofline_is_measured(dtype, clock):
  # A second for a round, of ten calls.
  assert roofline.milliseconds(trainer(), dtype) == pytest.approx(100.)


def test_neither_the_first_call_nor_slow_rounds_count(monkeypatch):
  # Of a call: 1,000 seconds while it compiles, then as many as in its round.
  rounds = [3., 90., 5., 1., 80., 4., 2., 70., 60.]
  calls = itertools.chain([1_000.], np.repeat(rounds, 10))
  now = [0.]

  def iteration():
    now[0] += next(calls)
    return [0.]

  monkeypatch.setattr(roofline, 'time', types.SimpleNamespace(
      perf_counter=lambda: now[0]))
  assert roofline._seconds(iteration) == pytest.approx(5.)  # The median.
  assert next(calls, None) is None


def test_libraries_compute_the_same_products():
  todo = roofline.products(trainer(image_encoder='conv', max_steps=2))
  factors = roofline._factors(todo, tf.float32)
  expected = roofline._by_tensorflow(todo, factors)
  found = roofline._by_numpy(
      todo, [tuple(x.numpy() for x in pair) for pair in factors])
  assert any(p.transpose_left for p in todo)
  assert any(p.transpose_right for p in todo)
  for one, other in zip(found, expected, strict=True):
    np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_each_library_is_timed(clock):
  found = roofline.milliseconds_by_library(trainer())
  assert set(found) == {'xla', 'tensorflow', 'numpy'}
  assert list(found.values()) == pytest.approx([100.] * 3)

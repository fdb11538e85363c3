import math

import pytest
import tensorflow as tf
import tiny

from air_tf.studies import roofline
from air_tf.training import trainer as trainer_lib


def multiply_adds(operation):
  """Of a matrix product or convolution in a graph, from its shapes."""
  shapes = [tuple(x.shape) for x in operation.inputs]
  if operation.type == 'MatMul':
    inner = shapes[0][0 if operation.get_attr('transpose_a') else 1]
    return math.prod(operation.outputs[0].shape) * inner
  if operation.type == 'BatchMatMulV2':
    inner = shapes[0][-2 if operation.get_attr('adj_x') else -1]
    return math.prod(operation.outputs[0].shape) * inner
  if operation.type == 'Conv2D':
    return math.prod(operation.outputs[0].shape) * math.prod(shapes[1][:3])
  if operation.type == 'Conv2DBackpropInput':
    return math.prod(shapes[2]) * math.prod(shapes[1][:3])
  if operation.type == 'Conv2DBackpropFilter':
    filters = operation.outputs[0].shape
    return math.prod(shapes[2]) * math.prod(filters[:3])
  return 0


def needed(graph):
  """The operations that its outputs depend on."""
  found, left = set(), [output.op for output in graph.outputs]
  while left:
    operation = left.pop()
    if operation not in found:
      found.add(operation)
      left += [value.op for value in operation.inputs]
  return found


@pytest.mark.parametrize('image_encoder, difference, background, channels', [
    ('mlp', False, False, 1), ('conv', False, False, 3),
    ('search', True, False, 1), ('mlp', True, False, 3),
    ('search', True, True, 3), ('conv', False, True, 1)])
def test_products_are_those_of_the_training_step(
    image_encoder, difference, background, channels):
  config = tiny.config(
      image_encoder=image_encoder, difference=difference,
      background=background, batch_size=5, channels=channels)
  trainer = trainer_lib.Trainer(config)

  @tf.function(autograph=False)
  def step():
    with tf.GradientTape() as tape:
      loss = trainer.estimate(tf.ones([5, *config.image_shape])).loss
    return tape.gradient(loss, trainer.model.trainable_variables)

  graph = step.get_concrete_function().graph
  expected = sum(map(multiply_adds, needed(graph)))
  found = sum(product.multiply_adds for product in roofline.products(config))
  assert found == expected


def test_floor_is_measured():
  config = tiny.config()
  assert 0. < roofline.milliseconds(config, 100) < 1_000.
  assert 0. < roofline.milliseconds(config, 100, tf.bfloat16) < 1_000.

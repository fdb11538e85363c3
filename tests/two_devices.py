"""Trains on two devices of this processor, and on one, beside each other.

A script of its own, because devices are divided before anything else is done.
Prints, for each case, the largest difference of any parameter, and how far the
parameters moved.
"""

import json
import sys

import numpy as np
import tensorflow as tf
import tiny

from air_tf import config as config_lib
from air_tf import distribution
from air_tf import experiment
from air_tf import noise
from air_tf import training

# Several particles and sampled counts; a second optimizer and a variance.
CASES = {'vimco': dict(estimator='vimco'),
         'moving_nvil': dict(estimator='nvil', moving_signal=True)}
ITERATIONS = 12  # The average moves at the tenth.


def trained(config, devices):
  trainer = training.Trainer(config, devices)
  start = [v.numpy() for v in trainer.variables]
  metrics = trainer.train(
      tf.constant(tiny.scenes(40).images), tf.constant(ITERATIONS))
  return (start, [v.numpy() for v in trainer.variables],
          {name: float(value) for name, value in metrics[0].items()})


def compared(name):
  # Adam's first steps have the gradient's sign, also where that is rounding.
  config = tiny.config(
      distribution='mirrored', optimizer='rmsprop', learning_rate=1e-3,
      **CASES[name])
  start, one, metrics = trained(config, None)
  again, two, mirrored = trained(config, distribution.make(config))
  assert set(metrics) == set(mirrored)
  return {
      'different_start': sum(np.any(a != b) for a, b in zip(start, again)),
      'moved': max(np.abs(a - b).max() for a, b in zip(start[1:], one[1:])),
      'difference': max(np.abs(a - b).max() for a, b in zip(one, two)),
      'metrics': max(abs(mirrored[x] / metrics[x] - 1.)
                     for x in metrics if metrics[x])}


def estimate(name, devices):
  """Relative difference of the mean of the halves' losses from the whole's."""
  trainer = training.Trainer(tiny.config(estimator=name))
  images = tiny.images(4)
  halves = devices.strategy.run(
      lambda: trainer.estimate(noise.rows(images)).loss)
  mean = tf.reduce_mean(devices.strategy.experimental_local_results(halves))
  return abs(mean / trainer.estimate(images).loss - 1.)


def main(logdir):
  cpu = tf.config.list_physical_devices('CPU')[0]
  tf.config.set_logical_device_configuration(
      cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
  results = {name: compared(name) for name in CASES}
  config = tiny.config(
      distribution='mirrored', optimizer='rmsprop', learning_rate=1e-3,
      num_iterations=4, cache_dir=logdir + '/cache', gradient_variance_every=4)
  devices = distribution.make(config)
  results['estimates'] = {
      name: estimate(name, devices) for name in config_lib.ESTIMATORS}
  results['run'] = experiment.run(config, logdir + '/run')
  print(json.dumps(results, default=float))


if __name__ == '__main__':
  main(sys.argv[1])

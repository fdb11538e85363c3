"""Trains on two devices of this processor: a script of its own, because
devices are divided before anything else is done.

Prints, as JSON, by how much the loss of each estimator differs between a batch
and the mean of its halves, and the result of a run that it leaves in a folder.
"""

import json
import sys

import tensorflow as tf
import tiny

from air_tf import config as config_lib
from air_tf import experiment
from air_tf import noise
from air_tf.training import strategy as strategy_lib
from air_tf.training import trainer as trainer_lib


def estimate(name, devices):
  """Relative difference of the mean of the halves' losses from the whole's."""
  trainer = trainer_lib.Trainer(tiny.config(estimator=name, max_steps=2))
  images = tiny.images(4)
  halves = devices.strategy.run(
      lambda: trainer.estimate(noise.rows(images)).loss)
  mean = tf.reduce_mean(devices.strategy.experimental_local_results(halves))
  return abs(mean / trainer.estimate(images).loss - 1.)


def config(**changes):
  """Of a run with all there is to share: a variance and a second optimizer.

  Not by Adam: its first steps have the gradient's sign, also where that is
  rounding. The average moves at the tenth iteration.
  """
  return tiny.config(
      distribution_strategy='mirrored', max_steps=2, estimator='nvil',
      moving_signal=True,
      optimizer='rmsprop', learning_rate=1e-3, num_iterations=12,
      gradient_variance_every=12, **changes)


def main(logdir):
  cpu = tf.config.list_physical_devices('CPU')[0]
  tf.config.set_logical_device_configuration(
      cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
  run = config(cache_dir=logdir + '/cache')
  devices = strategy_lib.make(run)
  print(json.dumps({
      'estimates': {name: float(estimate(name, devices))
                    for name in config_lib.ESTIMATORS},
      'run': experiment.run(run, logdir + '/run')}))


if __name__ == '__main__':
  main(sys.argv[1])

"""Kills a small run at random moments and checks that nothing is lost by it.

    python tests/kill_campaign.py --kills=100

Each time a run is started in a new folder, ended by SIGKILL, and resumed by the
same command to its end. That end must equal the end of a run that was never
disturbed, bit for bit: all variables of all checkpoints, the SavedModel and its
answer, the metrics (but for the seconds), and the names of the files. The last
line on standard output is the result, as JSON; the exit code is 1 if one end
differs.
"""

import contextlib
import hashlib
import json
import pathlib
import random
import re
import signal
import sys
import tempfile
import time

from absl import app
from absl import flags
import conftest  # noqa: F401  Limits the threads of what is started.
import run_util
import scripts
import tiny

_KILLS = flags.DEFINE_integer(
    'kills', 100, 'Runs that are killed once each.', lower_bound=1)
_SEED = flags.DEFINE_integer('seed', 0, 'Seed of the moments.')
_MINUTES = flags.DEFINE_float(
    'minutes', 1e6, 'No run is started after this time.', lower_bound=0.)

# As little to compile as there can be, and a file to write at every iteration.
_FLAGS = dict(
    max_steps=1, counts=(0, 1), image_encoder='mlp', num_test_scenes=4,
    num_iterations=12, refresh_every=5, log_every=1, checkpoint_every=1,
    eval_every=6)
_PATIENCE = 3_600.  # Seconds for a run, where machines are busy.
# TensorFlow's graph optimiser takes a third of the time of so short a run.
_BEFORE = '''
import tensorflow as tf
tf.config.optimizer.set_experimental_options({'disable_meta_optimizer': True})
'''


def start(folder, name):
  return scripts.Process('bin/train.py', *tiny.run_flags(
      folder, name, **_FLAGS), before=_BEFORE)


def digest(value):
  """Returns a hash of an array; of strings, numpy holds pointers only."""
  return hashlib.sha256(repr(value).encode() if value.dtype == object
                        else value.tobytes()).hexdigest()


def variables(prefix):
  """Returns name -> digest of every variable of a checkpoint."""
  return {name: digest(value)
          for name, value in run_util.variables(prefix).items()}


def answer(folder):
  """Returns what the SavedModel says of fixed images, as digests."""
  import tensorflow as tf
  serve = tf.saved_model.load(str(folder)).signatures['serving_default']
  return {name: digest(value.numpy())
          for name, value in serve(images=tiny.images(3)).items()}


def metrics(path):
  return [{name: value for name, value in json.loads(line).items()
           if name != 'seconds'} for line in path.read_text().splitlines()]


def file_names(run):
  """Returns all files but events, whose names hold times and processes."""
  return sorted(str(path.relative_to(run)) for path in run.rglob('*')
                if path.is_file() and 'tfevents' not in path.name)


def state(run):
  """Returns all that must be equal, by what it is."""
  checkpoints = sorted((run / 'checkpoints').glob('*.index'))
  return {
      'checkpoints': {path.name: variables(path.with_suffix(''))
                      for path in checkpoints},
      'saved model': variables(run / 'saved_model' / 'variables' / 'variables'),
      'answer': answer(run / 'saved_model'),
      'metrics': metrics(run / 'metrics.jsonl'),
      'files': file_names(run)}


def reached(run):
  """Returns the newest iteration that is saved; 0 for none."""
  found = [re.fullmatch(r'ckpt-(\d+)\.index', path.name)
           for path in (run / 'checkpoints').glob('ckpt-*.index')]
  return max((int(match[1]) for match in found if match), default=0)


def trial(folder, name, seconds, expected):
  """Kills a run after some seconds, resumes it; returns what is different."""
  run = folder / name
  process = start(folder, name)
  time.sleep(seconds)
  with contextlib.suppress(ProcessLookupError):  # It may have ended.
    process.kill()
  killed = process.wait().returncode == -signal.SIGKILL
  iteration = reached(run)
  ended = start(folder, name).wait(_PATIENCE)
  if ended.returncode:
    return killed, iteration, [f'exit code {ended.returncode}: {ended.stderr}']
  found = state(run)
  return killed, iteration, [
      what for what in expected if found[what] != expected[what]]


def main(_):
  rng, started = random.Random(_SEED.value), time.monotonic()
  with tempfile.TemporaryDirectory() as folder:
    folder = pathlib.Path(folder)
    for name in 'warm_up', 'expected':  # The first one also makes the digits.
      begun = time.monotonic()
      ended = start(folder, name).wait(_PATIENCE)
      assert ended.returncode == 0, ended.stderr
      duration = time.monotonic() - begun
    expected = state(folder / 'expected')
    kills, number, different, iterations = 0, 0, [], []
    while kills < _KILLS.value and (
        time.monotonic() - started < 60. * _MINUTES.value):
      number += 1
      seconds = rng.uniform(0., duration)
      killed, iteration, wrong = trial(
          folder, str(number), seconds, expected)
      kills += killed
      if not killed:  # It has become faster: other programs have ended.
        duration *= .9
      iterations.append(iteration)
      if wrong:
        different.append({'seconds': seconds, 'iteration': iteration,
                          'different': wrong})
      print(f'{kills} kills: after {seconds:.2f} of {duration:.2f} s, at '
            f'iteration {iteration}: {", ".join(wrong) or "identical"}',
            file=sys.stderr, flush=True)
  print(json.dumps({
      'kills': kills, 'identical': number - len(different),
      'runs': number, 'different': different,
      'killed_before_a_checkpoint': iterations.count(0),
      'minutes': round((time.monotonic() - started) / 60., 1)}))
  sys.exit(1 if different else 0)


if __name__ == '__main__':
  app.run(main)

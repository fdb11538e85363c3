"""What a person sees on the terminal, and what not."""

import logging as python_logging
import os
import pathlib
import pty
import re
import subprocess
import sys
import termios
import types

from absl import logging
import pytest
import tiny

from air_tf import chatter
from air_tf import progress

ROOT = pathlib.Path(__file__).parent.parent
# As a user's: nothing is set that keeps TensorFlow quiet.
ENVIRONMENT = {name: value for name, value in os.environ.items()
               if not name.startswith(('TF_CPP', 'ABSL_'))}
SCORES = r'held-out ELBO -?\d+\.\d, count accuracy \d+\.\d\d %'
# With one more line than this, a library has written something.
LINES = [
    r'--average_decay is now called --ema_decay\.',
    r'Loading TensorFlow \(about 5 s\)\.',
    r'Training 102 iterations with --estimator=marginal on --digits=embedded, '
    r'in .*run\.',
    r'Preparing scenes\.',
    r'Compiling \(about 10 s\)\.',
    rf'Iteration 100: {SCORES}; (\d+ min )?\d+ s(, \d+ s left)?\.',
    rf'Iteration 102: {SCORES}; (\d+ min )?\d+ s\.',
    r'Writing the SavedModel\.',
    rf'Done in (\d+ min )?\d+ s: {SCORES}\.',
    r'Everything is in .*run\. What comes next:',
    r'  tensorboard --logdir=.*run',
    r'  python .*figures\.py --logdir=.*run',
    r'  python .*infer\.py --saved_model=.*run/saved_model .*example\.png',
]


def train(tmp_path, *flags, **options):
  """Starts a run of the tiny model."""
  return subprocess.Popen(
      [sys.executable, str(ROOT / 'bin' / 'train.py'),
       f'--logdir={tmp_path / "run"}', *tiny.flags(
           cache_dir=tmp_path / 'cache', max_steps=2, log_every=50,
           eval_every=1000, checkpoint_every=1000, num_iterations=102),
       *flags],
      env=ENVIRONMENT, stdout=subprocess.DEVNULL, text=True, **options)


@pytest.mark.slow
def test_every_line_of_a_run_is_ours(tmp_path):
  process = train(tmp_path, '--average_decay=.9', stderr=subprocess.PIPE)
  lines = process.communicate(timeout=300)[1].splitlines()
  assert process.returncode == 0, lines
  for line, expected in zip(lines, LINES, strict=True):
    assert re.fullmatch(expected, line), (line, expected)


@pytest.mark.slow
def test_a_terminal_shows_a_bar(tmp_path):
  ours, theirs = pty.openpty()
  termios.tcsetwinsize(theirs, (40, 80))
  process = train(tmp_path, '--num_iterations=4', '--log_every=2',
                  '--eval_every=2', stderr=theirs)
  os.close(theirs)
  shown = b''
  with open(ours, 'rb', buffering=0) as terminal:
    try:
      while part := terminal.read(65536):
        shown += part
    except OSError:  # Linux, once the other side is closed.
      pass
  assert process.wait(timeout=300) == 0, shown
  text = shown.decode()
  assert re.search(r'compiling \(about 10 s\) +0% \|.*\| 0/4', text)
  assert re.search(r'training +\d+% \|.*\| 4/4, ELBO -?\d+\.\d, accuracy', text)
  # A line starts where the bar was, which is drawn anew below it.
  assert re.search(r'[\r\n]Iteration 2: held-out ELBO [^\r\n]*\.\r\n', text)


@pytest.mark.slow
def test_verbosity_brings_everything_back():
  shown = [subprocess.run(
      [sys.executable, str(ROOT / 'bin' / 'infer.py'), *flags, '--resize',
       '--saved_model=embedded', str(ROOT / 'docs' / 'images' / 'example.png')],
      env=ENVIRONMENT, capture_output=True, text=True, check=True).stderr
           for flags in ([], ['--verbosity=1'])]
  # TensorFlow writes this on any processor.
  assert ['cpu_feature_guard' in text for text in shown] == [False, True]


@pytest.mark.parametrize('script', ['bin/train.py', 'bin/sweep.py',
                                    'data/make_scenes.py'])
@pytest.mark.parametrize('flag', ['--help', '--helpfull'])
def test_help_is_no_failure(script, flag):
  process = subprocess.run([sys.executable, str(ROOT / script), flag],
                           capture_output=True, text=True, timeout=60)
  assert process.returncode == 0, process.stderr
  assert '--seed' in process.stdout


def record(path, level, text):
  return python_logging.LogRecord('absl', level, path, 1, text, (), None)


@pytest.mark.parametrize('path, level, text, shown', [
    (progress.__file__, python_logging.INFO, 'ours', True),
    ('tensorflow/x.py', python_logging.INFO, 'Assets written', False),
    ('tensorflow/x.py', python_logging.WARNING,
     '5 out of the last 5 calls to f triggered tf.function retracing.', False),
    ('tensorflow/x.py', python_logging.WARNING, 'Value in checkpoint could not '
     'be found in the restored object: (root).x', False),
    ('tensorflow/x.py', python_logging.WARNING, 'The disk is full', True),
    ('tensorflow/x.py', python_logging.ERROR,
     'triggered tf.function retracing', True)])
def test_errors_and_other_warnings_get_through(path, level, text, shown):
  assert chatter._is_for_users(record(path, level, text)) == shown


def test_native_errors_get_through_an_import(capfd):
  with chatter._filtered_stderr():
    os.write(2, b'I0000 00:00:17.4 1 cudart_stub.cc:31] Could not find cuda\n'
             b'E0000 00:00:17.4 1 file.cc:1] no space left\nfree text\n')
  assert capfd.readouterr().err == (
      'E0000 00:00:17.4 1 file.cc:1] no space left\nfree text\n')


@pytest.mark.parametrize('seconds, text', [
    (0, '0 s'), (59.4, '59 s'), (59.6, '1 min 0 s'), (3_725, '1 h 2 min')])
def test_durations(seconds, text):
  assert progress.duration(seconds) == text


def test_lines_stand_for_a_bar_where_there_is_no_terminal(
    monkeypatch, caplog):
  now = [0.]
  monkeypatch.setattr(progress, 'time', types.SimpleNamespace(
      monotonic=lambda: now[0]))
  verbosity = logging.get_verbosity()
  logging.set_verbosity(logging.INFO)
  try:
    with progress.bar(5, 'gradients') as shown:
      shown.compiling('nvil')
      for seconds, text in (
          (300., 'ELBO 1'), (9., ''), (3., 'ELBO 3'), (12., ''), (10., '')):
        now[0] += seconds
        shown.update(text=text)
    letters = []
    for letter in progress.track('ab', 'letters'):
      letters.append(letter)
      now[0] += 75.
  finally:
    logging.set_verbosity(verbosity)
  assert letters == ['a', 'b']
  assert caplog.messages == [
      'nvil: 1 of 5, ELBO 1',  # Compiling says nothing of what is left.
      'nvil: 3 of 5, ELBO 3, 12 s left',  # The second came too soon for a line.
      'nvil: 4 of 5, 8 s left', 'nvil: 5 of 5',
      'letters: 1 of 2, 1 min 15 s left', 'letters: 2 of 2']


def test_nothing_is_shown_to_who_imports_the_package(caplog, capsys):
  with progress.bar(2, 'quiet') as shown:
    shown.update()
  progress.status('quiet')
  assert caplog.messages == [] and capsys.readouterr().err == ''

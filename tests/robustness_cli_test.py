"""What the border of the scripts makes of people's flags, files and streams."""

import errno
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import zipfile
import zlib

from absl import flags
import data_util
import numpy as np
import pytest
import scripts
import tensorflow as tf
import tiny

from air_tf import config as config_lib
from air_tf import config_flags
from air_tf import errors
from air_tf import flagfiles
from air_tf import memory
from air_tf import paths
from air_tf import sweep_flags
from air_tf.studies import sweep

pytestmark = pytest.mark.slow


refusal = data_util.refusal


# --- Text files ---------------------------------------------------------------

@pytest.mark.parametrize('data, line, expected', [
    ('--seed=1\n'.encode('utf-16'), 1, 'UTF-16'),
    ('--seed=1\n'.encode('utf-16-be'), 1, 'NUL'),
    ('# Größe\n--seed=1\n'.encode('cp1252'), 1, '0xf6, which is not UTF-8'),
    ('--seed=1\n\n--digits=é\n'.encode('latin-1'), 3, 'not UTF-8'),
    (b"--seed='1'\n", 1, 'without quotes'),
    ('--digits=“mnist”\n'.encode(), 1, 'without quotes'),
    (b'\n--digits="a b"\n', 2, 'without quotes'),
    (b'--seed=1  # One.\n', 1, 'a line of its own'),
    (b'--seed=1 // One.\n', 1, 'a line of its own'),
    (b'--seed 1\n', 1, 'one flag per line'),
    (b'--a=1\nseed=1\n', 2, 'one flag per line'),
    (b'--a=1\n--b=\0\n', 2, 'NUL'),
    (b'\x89PNG\r\n\x1a\n', 1, 'not UTF-8'),
    (b'--a=1\n--flagfile=none\n', 2, 'No such file'),
    (b'--a=1\n--flagfile=.\n', 2, 'but a folder'),
    (b'--flagfile=\n', 1, 'a path'),
    (b'--flagfile=f.flags\n', 1, 'includes itself')])
def test_a_flagfile_that_cannot_be_read_is_named_with_its_line(
    data, line, expected, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  pathlib.Path('f.flags').write_bytes(data)
  text = refusal(flagfiles.expand, ['--flagfile=f.flags'])
  assert text.startswith(f'f.flags:{line}: ') and expected in text


@pytest.mark.parametrize('data', [
    b'\xef\xbb\xbf--digits=\xc3\xa9\n', b'--digits=\xc3\xa9\r\n',
    b'\r\n  --digits=\xc3\xa9  \r# --seed="1" # x', b'// x\n--digits=\xc3\xa9'])
def test_a_flagfile_is_read_whatever_editor_wrote_it(data, tmp_path):
  (tmp_path / 'f.flags').write_bytes(data)
  assert flagfiles.expand([f'--flagfile={tmp_path}/f.flags']) == ['--digits=é']


def test_flagfiles_that_multiply_end(tmp_path):
  for i in range(18):
    (tmp_path / f'{i}').write_text(f'--a=1\n--flagfile={i + 1}\n' * 2)
  (tmp_path / '18').write_text('--a=1')
  text = refusal(flagfiles.expand, [f'--flagfile={tmp_path}/0'])
  assert 'at most 10,000 flags' in text
  text = refusal(flagfiles.expand, ['--flagfile=/dev/zero'])
  assert 'a megabyte' in text


@pytest.mark.parametrize('line, expected', [
    ('--batch_size=none', '--batch_size=none'), ('--batch_size=0', 'at least'),
    ('--magic=1', "'magic'"), ('--counts=a,b', 'int numbers'),
    ('--optimizer=sgd', 'one of adam'), ('--logdir=', 'expected a path')])
def test_a_refused_flag_is_named_with_its_line(line, expected, tmp_path):
  path = tmp_path / 'f.flags'
  path.write_text(f'\n# x\n{line}\n')
  process = scripts.run('bin/train.py', f'--flagfile={path}')
  assert process.returncode == 2
  last = process.stderr.splitlines()[-1]
  assert last.startswith(f'train.py: {path}:3: ') and expected in last


# --- Paths --------------------------------------------------------------------

def test_home_is_expanded_wherever_a_path_is_a_flag(tmp_path, monkeypatch):
  monkeypatch.setenv('HOME', str(tmp_path))
  config = config_flags.config_of([
      '--scenes=~/a.npz', '--test_scenes=~/b.npz', '--cache_dir=~/c',
      '--digits=~/d'])
  assert config.scenes == f'{tmp_path}/a.npz'
  assert config.test_scenes == f'{tmp_path}/b.npz'
  assert config.cache_dir == f'{tmp_path}/c' and config.digits.endswith('/d')
  assert paths.given('--csv', '~') == str(tmp_path)
  assert paths.given('--csv', './~') == './~'
  import pwd
  user = pwd.getpwuid(os.getuid())
  assert paths.given('--csv', f'~{user.pw_name}/x') == f'{user.pw_dir}/x'


@pytest.mark.parametrize('path, expected', [
    ('', 'expected a path'), ('  ', 'expected a path'),
    ('~no_such_user/x', 'no user of this name'), ('a\0b', 'NUL'),
    ('x' * 256, '255 bytes'), ('é' * 128 + '/y', 'one of 256'),
    ('x/' * 2_100, '4095'), ('caf\udce9', 'UTF-8')])
def test_paths_that_no_file_can_have(path, expected):
  text = refusal(paths.given, '--logdir', path)
  assert text.startswith('--logdir=') and expected in text
  for name in 'logdir', 'cache_dir', 'digits':
    assert expected in refusal(config_flags.config_of, [f'--{name}={path}'])


def test_an_empty_path_is_taken_where_it_is_the_default():
  config = config_flags.config_of(['--scenes=', '--test_scenes='])
  assert config == config_lib.Config()


def test_targets_that_would_overwrite_something(tmp_path):
  picture, text = tmp_path / 'a.png', tmp_path / 'a.txt'
  picture.write_bytes(b'\x89PNG')
  text.write_text('Dear diary')
  (tmp_path / 'link').symlink_to(picture)
  check = lambda path, *inputs: refusal(
      paths.check_target, '--csv', str(path), inputs, begins=b'image,')
  assert 'one of the inputs' in check(picture, str(picture))
  assert 'one of the inputs' in check(tmp_path / 'link', str(picture))
  assert 'ends in .png' in check(tmp_path / 'new.PNG')
  assert 'ends in .npz' in check(tmp_path / 'new.npz')
  assert 'of another kind' in check(text) and 'a folder' in check(tmp_path)
  assert text.read_text() == 'Dear diary'
  assert 'no suffix' in refusal(
      paths.check_target, '--out', str(tmp_path / 'x'), (), '.npz')
  assert 'a file' in refusal(paths.check_folder, '--out', str(text))
  assert 'inputs' in refusal(
      paths.check_folder, '--out', str(tmp_path), (str(tmp_path),))
  text.write_text('image,count')
  for path in text, tmp_path / 'new', tmp_path / 'new.csv', '/dev/null':
    paths.check_target('--csv', str(path), (str(picture),), begins=b'image,')


@pytest.mark.parametrize('script, arguments, expected', [
    ('bin/infer.py', ['--saved_model=x', '--csv=b.jpg', 'a.png'], 'b.jpg'),
    ('bin/infer.py', ['--saved_model=x', '--csv=a.png', 'a.png'], 'a.png'),
    ('bin/infer.py', ['--saved_model=', 'a.png'], '--saved_model='),
    ('bin/infer.py', ['--saved_model=x', '--overlay=', 'a.png'], '--overlay='),
    ('bin/infer.py', ['--saved_model=x', ''], "argument ''"),
    ('bin/infer.py', ['--saved_model=x', '--masks=a', '--overlay=./a',
                      'a.png'], 'the folder of --masks'),
    ('bin/inspect_images.py', [f'--scenes={pathlib.Path(__file__).parent}',
                               f'--out={pathlib.Path(__file__).parent}/a.png'],
     'found one of the inputs'),
    ('bin/figures.py', ['--logdir=x', f'--out={__file__}'], 'found a file'),
    ('bin/export.py', ['--logdir=~no_such_user'], 'no user'),
    ('bin/evaluate.py', ['--saved_model=x', '--scenes='], '--scenes='),
    ('data/make_scenes.py', ['--out=x.png'], '.npz'),
    ('data/make_scenes.py', ['--out=x.npz', '--num_scenes=1000000000000'],
     'GiB'),
    ('bin/benchmark.py', ['--scenes=x.npz'], '--scenes=x.npz'),
    ('bin/benchmark.py', ['--rows=estimator', '--num_particles=5'],
     '--rows=estimator: responsibilities does not go with'),
    ('bin/benchmark.py', ['--rows=batch_size,batch_size'], 'each once'),
    ('bin/benchmark.py', ['--distribution_strategy=tpu'], 'one device'),
    ('bin/benchmark.py', ['--batch_size=1000000000'], '--batch_size'),
    ('bin/gradient_variance.py', ['--logdir=x', '--estimators='], 'each once'),
    ('bin/gradient_variance.py', ['--logdir=x', '--estimators=mvd,mvd'],
     'each once'),
    ('bin/train.py', ['--hidden_size=1000000'], 'GiB')])
def test_scripts_refuse_in_one_line(script, arguments, expected):
  process = scripts.run(script, *arguments)
  assert process.returncode == 2, process.stderr
  assert 'Traceback' not in process.stderr and process.stdout == ''
  assert expected in process.stderr.splitlines()[-1]


# --- Numbers ------------------------------------------------------------------

FLOATS = [name for name, field in config_lib.Config.__dataclass_fields__.items()
          if isinstance(field.default, float)]


@pytest.mark.parametrize('name', FLOATS)
@pytest.mark.parametrize('value', ['nan', 'inf', '-inf', '1e300', '-1e300'])
def test_numbers_that_are_none(name, value):
  text = refusal(config_flags.config_of, [f'--{name}={value}'])
  assert text.startswith(f'--{name}=')


@pytest.mark.parametrize('flag', [
    'num_iterations', 'log_every', 'decay_iterations', 'success_hold'])
def test_iterations_fit_into_32_bits(flag):
  assert 'at most' in refusal(config_flags.config_of, [f'--{flag}=2147483648'])


@pytest.mark.parametrize('flag', ['batch_size', 'num_test_scenes'])
def test_whole_numbers_beyond_all_bounds(flag):
  assert 'at most 1e+15' in refusal(
      config_flags.config_of, [f'--{flag}=1{"0" * 400}'])


# --- What is no regular file --------------------------------------------------

@pytest.mark.parametrize('kind', ['a FIFO', 'a socket', 'a folder', 'a device'])
def test_a_flagfile_is_a_regular_file(tmp_path, monkeypatch, kind):
  monkeypatch.chdir(tmp_path)  # Names of sockets are short.
  with socket.socket(socket.AF_UNIX) as server:
    {'a FIFO': os.mkfifo, 'a folder': os.mkdir, 'a socket': server.bind,
     'a device': lambda path: os.symlink('/dev/zero', path)}[kind]('f')
    pathlib.Path('a.flags').write_text('\n--flagfile=f\n')
    for name, where in (('f', ''), ('a.flags', 'a.flags:2: ')):
      assert refusal(flagfiles.expand, [f'--flagfile={name}']).startswith(
          f'{where}--flagfile=f: cannot be read (Not a regular file but {kind}')


def test_targets_that_block_or_are_archives_of_others(tmp_path):
  os.mkfifo(tmp_path / 't.csv')
  check = lambda name, *rest: refusal(
      paths.check_target, '--out', str(tmp_path / name), (), *rest)
  assert 'found a FIFO' in check('t.csv')
  npz = ('.npz', b'PK', 'images.npy')
  np.savez(tmp_path / 'mnist.npz', x_train=np.zeros(3))
  assert 'of another kind' in check('mnist.npz', *npz)
  (tmp_path / 'half.npz').write_bytes(b'PK\3\4 and no more')
  assert 'of another kind' in check('half.npz', *npz)
  np.savez(tmp_path / 'scenes.npz', images=np.zeros(3))
  paths.check_target('--out', str(tmp_path / 'scenes.npz'), (), *npz)
  paths.check_target('--csv', '/dev/stdout')


# --- Flags that are handed on -------------------------------------------------

@pytest.mark.parametrize('text', [
    '0:1000000000', f'0:1{"0" * 30}', ':100000', '1,-1', '-5:3', '5:', '::',
    '1,,2', '', 'a:b'])
def test_seeds_are_bounded(text):
  assert f'--seeds={text}: expected' in refusal(sweep_flags.seeds, text)


def test_seeds_at_the_bounds():
  assert sweep_flags.seeds('5:8') == [5, 6, 7]
  assert sweep_flags.seeds('30000,2') == [30_000, 2]
  assert len(sweep_flags.seeds(':10000')) == 10_000


@pytest.mark.parametrize('arguments, expected', [
    (['--seed=3'], '--seeds=first:last'), (['--logdir=x'], '--logdir'),
    (['-seed=3'], '--seeds'), (['--counts=1'], 'Leave it out'),
    (['batch_size=3'], 'flags only')])
def test_flags_that_a_script_gives_itself(arguments, expected):
  assert expected in refusal(
      sweep_flags.train_flags, arguments, refused=('counts',))


def check_runs(arguments, num_runs=2, jobs=None):
  values = flags.FlagValues()
  holder = flags.DEFINE_integer('jobs', 2, '', flag_values=values)
  values(['x', *([] if jobs is None else [f'--jobs={jobs}'])])
  return sweep_flags.check_runs(arguments, num_runs, holder)


def test_runs_at_a_time_have_to_fit_into_memory_together(monkeypatch):
  monkeypatch.setattr(memory, 'available', lambda: 4. * 2**30)
  assert check_runs([[]]) == 2  # Each needs 1.4 GiB.
  assert check_runs([['--batch_size=2000']]) == 1  # The default is lowered.
  assert check_runs([[]], num_runs=1, jobs=50) == 1
  text = refusal(check_runs, [[]], 50, 50)
  assert '--jobs=50: found' in text and 'Give --jobs=2 or less' in text
  assert '--batch_size' in refusal(check_runs, [['--batch_size=50000']])


@pytest.mark.parametrize('names, expected', [
    (['main.tex', 'report.md'], 'main.tex'), (['config.json'], 'found a run'),
    (['a/b/sweep.json'], "'a'")])
def test_a_folder_of_others_is_no_folder_for_runs(tmp_path, names, expected):
  for name in names:
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_text('mine')
  assert expected in refusal(sweep_flags.check_folder, str(tmp_path))


def test_a_folder_of_runs_or_none_is_taken(tmp_path):
  sweep_flags.check_folder(str(tmp_path))
  sweep_flags.check_folder(str(tmp_path / 'new'))
  (tmp_path / 'report.md').write_text('')
  (tmp_path / '[a]' / 'seed-0').mkdir(parents=True)
  (tmp_path / '[a]' / 'seed-0' / 'sweep.log').write_text('')
  sweep_flags.check_folder(str(tmp_path))


@pytest.mark.parametrize('arguments, expected', [
    (['--no_such_flag=1'], "'no_such_flag'"), (['--batch_size=x'], "'x'"),
    (['--batch_size=1000000000'], 'GiB'), (['--optimizer=sgd'], 'one of adam'),
    (['--seed=700000001'], 'at most 700000000'), (['stray'], "'stray'"),
    (['--flagfile=none'], '--flagfile=none'),
    (['--digits=none'], '--digits=none: found no such'),
    (['--distribution_strategy=multi_worker'], 'for each run is one'),
    (['--distribution_strategy=tpu'], 'TPU_NAME'),
    (['--scenes=none.npz'], '--scenes=none.npz: found no such')])
def test_flags_of_runs_are_checked_before_the_first_starts(
    arguments, expected):
  assert expected in refusal(
      check_runs, [['--seed=1'], arguments])


@pytest.mark.parametrize('argument, expected', [
    ('--nojit_compile=true', 'does not take an argument'),
    ('--log_dir=x', 'logdir')])
def test_flags_that_absl_would_raise_about_or_take(argument, expected):
  assert expected in refusal(config_flags.config_of, [argument])


def test_flags_of_the_process_stay_as_they_are():
  check_runs([['--batch_size=7', '--verbosity=1'], ['--seed=2']])
  assert 'batch_size' not in flags.FLAGS and flags.FLAGS['verbosity'].value < 1


@pytest.mark.parametrize('arguments, expected', [
    (['--vary=seed=1,2'], '--seeds=first:last'), (['--seed=1'], '--seeds'),
    (['--vary=logdir=a,b'], '--logdir'), (['--vary=estimator=mvd,mvd'], 'once'),
    (['--vary=a=1,2', '--vary=a=3'], 'once'), (['--vary=a=1,,2'], 'FLAG=V1'),
    (['--threshold=nan'], 'from 0 to 1'), (['--threshold=inf'], 'threshold'),
    (['--jobs=100000'], 'jobs'), (['--nope=1'], "sweep.py: Unknown command"),
    (['--vary=optimizer=adam,sgd'], 'one of adam'),
    (['--vary=learning_rate=.001,1e-3'], 'are the same training'),
    (['--vary=average_decay=.9', '--vary=ema_decay=.8'], 'each flag once'),
    (['--vary=batch_size=8', '--batch_size=4'], 'also outside of --vary'),
    (['--logdir='], 'expected a path')])
def test_a_sweep_refuses_before_the_first_run(arguments, expected, tmp_path):
  process = scripts.run(
      'bin/sweep.py', f'--logdir={tmp_path / "s"}', *arguments)
  assert process.returncode == 2 and 'Traceback' not in process.stderr
  assert expected in process.stderr.splitlines()[-1]
  assert not (tmp_path / 's').exists() and 'Starting' not in process.stderr


@pytest.mark.parametrize('script, arguments, expected', [
    ('demo', ['--host='], 'expected an address'),
    ('demo', ['--host=no-such-host.invalid'], '--port'),
    ('demo', ['--models=a,b,a'], 'each model once'),
    ('release_models', ['--models='], 'each once'),
    ('release_models', ['--models=embedded,embedded'], 'each once'),
    ('compare_detectors', ['--object_size=nan'], 'from 2 to 10000'),
    ('compare_detectors', ['--window_overlap=3'], '--tile'),
    ('compare_detectors', ['--truth=a.csv', '--tile'], '--scenes'),
    ('compare_detectors', [f'--out={__file__}'], 'found a file'),
    ('reproduction', ['--keep=a_0,'], '--keep=: expected a path'),
    ('reproduction', ['--keep=nowhere_0'], '--keep=nowhere_0: no run here'),
    ('reproduction', [f'--out={__file__}'], 'found a file'),
    ('reproduction', ['--out={0}.d'], 'found no record of a run'),
    ('inspect_images', ['--scenes={0}', '--crop=8', '--object_size=4',
                        f'--num_train_scenes={10**12}'], 'GiB')])
def test_newer_scripts_refuse_before_they_begin(
    script, arguments, expected, tmp_path):
  pictures = tmp_path / 'a.npy'
  np.save(pictures, np.arange(400, dtype=np.uint8).reshape(1, 20, 20))
  arguments = [x.format(pictures) for x in arguments]
  if script == 'compare_detectors':
    arguments.append('--logdir=nowhere')
  process = scripts.run(f'bin/{script}.py', *arguments)
  assert process.returncode == 2 and 'Traceback' not in process.stderr
  assert expected in process.stderr.splitlines()[-1]


def test_a_port_in_use_is_named():
  with socket.create_server(('127.0.0.1', 0)) as server:
    port = server.getsockname()[1]
    process = scripts.run('bin/demo.py', f'--port={port}')
  assert process.returncode == 2
  assert f'--port={port}: cannot be listened on (Address already in use)' in (
      process.stderr.splitlines()[-1])


def test_a_damaged_outcome_is_none(tmp_path):
  run, file = sweep.Run(tmp_path, ()), tmp_path / 'sweep.json'
  for content in b'[' * 100_000, b'\xff', b'5', b'{}':
    file.write_bytes(content)
    assert sweep.outcome(run) is None
  file.unlink()
  os.mkfifo(file)
  assert sweep.outcome(run) is None


@pytest.mark.parametrize('codes, kind', [
    ([0, 3], None), ([3, 3], errors.Diverged), ([3, 75], errors.UserError),
    ([-9], errors.UserError), ([None, 1], errors.UserError)])
def test_a_sweep_without_success_fails_with_the_reason(codes, kind, tmp_path):
  runs = []
  for i, code in enumerate(codes):
    folder = tmp_path / f'seed-{i}'
    folder.mkdir()
    runs.append(sweep.Run(folder, ('--a=1',)))
    if code is not None:
      (folder / 'sweep.json').write_text(json.dumps(
          {'arguments': ['--a=1'], 'exit_code': code, 'error': f'bad {code}'}))
  if kind is None:
    sweep.require_a_success(runs)
  else:
    # What did not diverge is the reason, if there is such a run.
    reason = next(('it did not' if x is None else f'bad {x}'
                   for x in codes if x != 3), 'bad 3')
    with pytest.raises(kind, match=rf'seed-\d: ({reason})'):
      sweep.require_a_success(runs)


def test_a_flag_given_twice_is_said():
  process = scripts.run('bin/train.py', '--batch_size=3', '--batch_size=0',
                        fresh=True)
  assert '--batch_size was given as 3 and as 0: the last counts.' in (
      process.stderr)
  process = scripts.run('bin/train.py', '--seed=3', '--seed=3',
                        '--batch_size=0', fresh=True)
  assert 'the last counts' not in process.stderr


# --- What libraries raise -----------------------------------------------------

def nested():
  return json.loads('[' * 100_000)


def raised_by(function):
  try:
    function()
  except Exception as error:
    return error


def tensorflow(kind, text):
  return getattr(tf.errors, kind)(None, None, text)


@pytest.mark.parametrize('error, code, expected', [
    (OSError(errno.ENOSPC, 'No space left on device', 'a.txt'), 75, 'a.txt'),
    (OSError(errno.EDQUOT, 'Disk quota exceeded'), 75, 'no space'),
    (tensorflow('ResourceExhaustedError', '/x; No space left on device'), 75,
     '/x'),
    (tensorflow('ResourceExhaustedError', 'OOM when allocating'), 2, 'memory'),
    (tensorflow('InternalError', 'Out of memory while trying'), 2, 'memory'),
    (tensorflow('NotFoundError', '/x/y; No such file or directory'), 2, '/x/y'),
    (tensorflow('PermissionDeniedError', '/x; Permission denied'), 2, '/x'),
    (tensorflow('DataLossError', 'truncated block read of /x'), 2, 'truncated'),
    (MemoryError('std::bad_alloc'), 2, '--batch_size'),
    (MemoryError(), 2, '--batch_size'),
    (FileNotFoundError(errno.ENOENT, 'No such file', 'b'), 2, 'b: No such'),
    (PermissionError(errno.EACCES, 'Permission denied', 'c'), 2, 'c: Perm'),
    (OSError(errno.ENAMETOOLONG, 'File name too long', 'd'), 2, 'too long'),
    (zipfile.BadZipFile('bad CRC'), 2, 'damaged'), (zlib.error('x'), 2, 'x'),
    (raised_by(nested), 2, 'damaged'),
    (raised_by(lambda: open('a\0b')), 2, 'null byte'),
    (raised_by('\udce9'.encode), 2, 'not UTF-8'),
    (errors.WorkerLost('gone'), 75, 'gone')])
def test_exceptions_of_libraries_are_one_line(error, code, expected):
  found = errors.from_exception(error)
  assert found.exit_code == code and expected in str(found)
  assert isinstance(found, errors.EXPECTED)


@pytest.mark.parametrize('error', [
    ValueError('x'), KeyError('x'), AttributeError('x'), RecursionError('x'),
    tensorflow('InvalidArgumentError', 'Incompatible shapes'),
    tensorflow('InternalError', 'x'), UnicodeError('x'), AssertionError()])
def test_bugs_keep_their_traceback(error):
  assert errors.from_exception(error) is None


# --- Streams ------------------------------------------------------------------

def shell(command, **environment):
  """Runs `TRAIN ...` in a shell of its own."""
  train = f'{sys.executable} {scripts.ROOT}/bin/train.py'
  return subprocess.run(
      command.replace('TRAIN', train), shell=True, capture_output=True,
      env=scripts.ENVIRONMENT | environment, timeout=120)


@pytest.mark.parametrize('command, code, expected', [
    ('TRAIN --help > /dev/full', 75, b'standard output: no space'),
    ('TRAIN --help >&-', 2, b'standard output is closed'),
    ('TRAIN --help <&- >&-', 2, b'standard output is closed'),
    ('TRAIN --help >&- 2>&-', 2, b''),
    ('TRAIN --batch_size=0 2> /dev/full', 2, b''),
    ('TRAIN --batch_size=0 2>&-', 2, b''),
    ('TRAIN --batch_size=0 <&-', 2, b'at least 1')])
def test_streams_that_are_closed_or_full(command, code, expected):
  if 'full' in command and not os.path.exists('/dev/full'):
    pytest.skip('This system has no /dev/full.')
  process = shell(command)
  assert process.returncode == code, process.stderr
  assert process.stdout == b'' and len(process.stderr.splitlines()) <= 1
  assert expected in process.stderr and bool(expected) == bool(process.stderr)


@pytest.mark.parametrize('environment', [
    dict(PYTHONIOENCODING='ascii'),
    dict(LC_ALL='C', PYTHONUTF8='0', PYTHONCOERCECLOCALE='0'),
    dict(PYTHONIOENCODING='latin-1')])
def test_a_terminal_that_lacks_characters(environment):
  program = ('from air_tf import console; console.prepare(); '
             'print("\\u2265 98 \\u2013 \\u4e2d \\udce9")')
  process = subprocess.run(
      [sys.executable, '-c', program], capture_output=True,
      env=scripts.ENVIRONMENT | environment)
  assert process.stdout.rstrip() == rb'>= 98 - \u4e2d \udce9', process.stderr


@pytest.mark.parametrize('argument', [b'caf\xe9', b'--digits=\xff',
                                      b'--logdir=\x80/x', b'--no\xe9=1'])
def test_arguments_that_are_not_utf8(argument):
  process = subprocess.run(
      [sys.executable.encode(), f'{scripts.ROOT}/bin/train.py'.encode(),
       argument], capture_output=True, env=scripts.ENVIRONMENT, timeout=120)
  assert process.returncode == 2
  assert len(process.stderr.splitlines()) == 1, process.stderr


def test_a_run_whose_name_has_colons_and_commas(tmp_path):
  folder = tmp_path / 'a:b,c d=é'
  train = scripts.result('train.py', *tiny.run_flags(
      tmp_path, folder.name, num_iterations=1), before=scripts.EAGER)
  assert train['logdir'] == str(folder)
  assert (folder / 'saved_model' / 'saved_model.pb').exists()
  again = scripts.result(
      'evaluate.py', f'--logdir={folder}', before=scripts.EAGER)
  assert again['step'] == 1


def test_fewer_iterations_than_a_run_has_done(finished, tmp_path):
  shutil.copytree(finished[0], tmp_path / 'run')
  before = (tmp_path / 'run' / 'metrics.jsonl').read_text()
  process = scripts.run('bin/train.py', *tiny.run_flags(
      finished[0].parent, num_iterations=5, **tiny.FINISHED),
      f'--logdir={tmp_path / "run"}')
  assert process.returncode == 2, process.stderr
  assert 'has done 12; expected at least' in process.stderr.splitlines()[-1]
  assert (tmp_path / 'run' / 'metrics.jsonl').read_text() == before


def test_results_that_find_no_room(finished, tmp_path):
  if not os.path.exists('/dev/full'):
    pytest.skip('This system has no /dev/full.')
  full = "import os; os.dup2(os.open('/dev/full', os.O_WRONLY), 1); import io; "
  full += "sys.stdout = open(1, 'w', closefd=False)"
  picture = finished[0] / 'figures' / 'progress.png'
  for script, arguments in (
      ('bin/infer.py', [f'--saved_model={finished[0]}/saved_model', '--resize',
                        picture]),
      ('bin/evaluate.py', [f'--logdir={finished[0]}'])):
    process = scripts.run(script, *arguments, before=full)
    assert process.returncode == 75 and 'Traceback' not in process.stderr
    assert 'standard output: no space' in process.stderr.splitlines()[-1]


@pytest.mark.parametrize('digits, expected', [
    ('sprites', '--digits=sprites'), ('embedded', 'GiB')])
def test_downstream_needs_digits_that_have_an_order(
    digits, expected, finished, tmp_path):
  config = json.loads((finished[0] / 'config.json').read_text())
  (tmp_path / 'config.json').write_text(json.dumps(config | {'digits': digits}))
  process = scripts.run('bin/downstream.py', f'--logdir={tmp_path}',
                        '--num_test_scenes=1000000000000')
  assert process.returncode == 2, process.stderr
  assert expected in process.stderr.splitlines()[-1]


_INTERRUPTED = '''
import atexit, os, signal
from air_tf import cli

signal.signal(signal.SIGINT, signal.default_int_handler)
atexit.register(os.kill, os.getpid(), signal.SIGINT)
cli.run(lambda arguments: {'done': 1})
'''


def test_ctrl_c_when_all_is_done_leaves_no_traceback():
  ended = subprocess.run(
      [sys.executable, '-c', _INTERRUPTED], capture_output=True, text=True,
      env=scripts.ENVIRONMENT)
  assert ended.returncode == -signal.SIGINT
  assert ended.stdout == '{"done": 1}\n' and ended.stderr == ''

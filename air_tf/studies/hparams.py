"""A sweep in TensorBoard's HParams: what was varied, and what came of it.

An event file in the folder of each run names its hyperparameters, one in the
sweep's folder all of them and the metrics; these TensorBoard takes from the
events of the runs themselves.
"""

from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
import io
import pathlib

from google.protobuf import message
from tensorboard.compat.proto import event_pb2
from tensorboard.plugins.hparams import api
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams import summary
from tensorboard.summary.writer import record_writer

from air_tf import files
from air_tf import paths
from air_tf.studies import sweep
from air_tf.training import run_config

__all__ = ['NAME', 'varied', 'write']

NAME = 'events.out.tfevents.0.hparams'
# Tag, the split as a run below the run's, title, explanation.
_METRICS = (
    ('evaluation/count_accuracy', 'test', 'held-out count accuracy',
     'Fraction of held-out scenes whose count is right; higher is better.'),
    ('evaluation/elbo', 'test', 'held-out ELBO',
     'Nats per held-out image; higher is better.'),
    ('evaluation/log_likelihood', 'test', 'held-out log p(x | z)',
     'Nats per held-out image; higher is better.'),
    ('evaluation/count_accuracy', 'train', 'training count accuracy',
     'Fraction of up to 1,000 training scenes; higher is better.'))
_LARGEST = 1 << 20  # Bytes of such a file.

Value = str | float


def write(logdir: str, runs: Mapping[str, Sequence[sweep.Run]]) -> None:
  """Writes the files of the sweep and of its runs that have ended.

  Files that would stay the same are not touched, so that it may be called
  after each run.

  Args:
    logdir: of the sweep.
    runs: by recipe.

  Raises:
    errors.UserError: if a file cannot be written.
    errors.DiskFull: if there is no room.
  """
  values = varied(runs)
  ended = []
  for run in values:
    outcome = sweep.outcome(run)
    # A folder without a configuration is no run: it must stay empty.
    if outcome and (run.folder / run_config.NAME).is_file():
      ended.append(_ended_at(run))
      good = outcome.exit_code == 0
      _write(run.folder, ended[-1], [
          api.hparams_pb(
              values[run], start_time_secs=ended[-1],
              trial_id=f'{run.folder.parent.name} {run.folder.name}'),
          summary.session_end_pb(
              api_pb2.STATUS_SUCCESS if good else api_pb2.STATUS_FAILURE,
              ended[-1])])
  if ended:
    _write(pathlib.Path(logdir), min(ended), [api.hparams_config_pb(
        [_hparam(name, [x[name] for x in values.values() if name in x])
         for name in _names(values.values())],
        [api.Metric(tag, group=split, display_name=title, description=text)
         for tag, split, title, text in _METRICS],
        time_created_secs=min(ended))])


def varied(runs: Mapping[str, Sequence[sweep.Run]]
           ) -> dict[sweep.Run, dict[str, Value]]:
  """Returns, for each run, its seed and the flags that differ.

  A flag is a number if all of its values are; a flagfile is its name.

  Args:
    runs: by recipe.
  """
  flags = {run: _flags(run) for of_recipe in runs.values() for run in of_recipe}
  kept = {}
  for name in _names(flags.values()):
    values = {x.get(name) for x in flags.values()}
    if len(values) > 1 or name == 'seed':
      kept[name] = float if all(map(_is_number, values)) else str
  return {run: {name: kind(x[name]) for name, kind in kept.items() if name in x}
          for run, x in flags.items()}


def _flags(run: sweep.Run) -> dict[str, str]:
  flags = dict(argument.removeprefix('--').split('=', 1)
               for argument in run.arguments if '=' in argument)
  if 'flagfile' in flags:
    flags['flagfile'] = pathlib.Path(flags['flagfile']).stem
  return flags


def _names(values: Iterable[Mapping[str, Value]]) -> list[str]:
  return list(dict.fromkeys(name for x in values for name in x))


def _is_number(text: str | None) -> bool:
  try:
    return text is None or float(text) is not None
  except ValueError:
    return False


def _hparam(name: str, values: Sequence[Value]) -> api.HParam:
  return api.HParam(name, api.Discrete(sorted(set(values))))


def _ended_at(run: sweep.Run) -> float:
  """The time at which a run ended, in seconds since 1970."""
  return (run.folder / sweep.OUTCOME).stat().st_mtime


def _write(folder: pathlib.Path, seconds: float,
           summaries: Sequence[message.Message]) -> None:
  """Writes an event file, unless it is there."""
  buffer = io.BytesIO()
  records = record_writer.RecordWriter(buffer)
  version = event_pb2.Event(wall_time=seconds, file_version='brain.Event:2')
  records.write(version.SerializeToString())
  for text in summaries:  # TensorFlow's class or TensorBoard's: by the bytes.
    event = event_pb2.Event(wall_time=seconds)
    event.summary.MergeFromString(text.SerializeToString(deterministic=True))
    records.write(event.SerializeToString(deterministic=True))
  path = folder / NAME
  try:
    before = paths.read_regular(path, _LARGEST)
  except (OSError, ValueError):
    before = None
  if before != buffer.getvalue():
    files.write_bytes(path, buffer.getvalue())

"""What the repository keeps of a run that is too large to be kept.

In a folder with the name of the run's, which is RECIPE_SEED:

    config.json      its configuration, without paths
    metrics.jsonl    one line per evaluation on held-out scenes, rounded
    explained.json   what its newest checkpoint makes of the held-out scenes

Letters: `N` scenes, `M` largest true count, `T` most steps, `B` cells along a
side of a map.
"""

import dataclasses
import json
import os
import pathlib
import re
from typing import NamedTuple

import numpy as np

from air_tf import config as config_lib
from air_tf import digit_sources
from air_tf import errors
from air_tf import files
from air_tf import paths
from air_tf import progress
from air_tf import run as run_lib
from air_tf.data import scenes as scenes_lib
from air_tf.evaluation import counting
from air_tf.evaluation import predictions as predictions_lib
from air_tf.training import metrics_file
from air_tf.training import run_config

__all__ = ['Explained', 'Record', 'explain', 'keep', 'read_all']

_NAME = re.compile(r'([a-z0-9_]+)_(0|[1-9][0-9]*)')
# Numbers of a line that are kept, with the decimals; accuracies besides.
_DECIMALS = {
    'step': 0, 'elbo': 2, 'log_likelihood': 2, 'kl_what': 2, 'kl_where': 2,
    'kl_num_steps': 2, 'expected_num_steps': 4, 'seconds': 0}
_ACCURACY_DECIMALS = 4
_FEWEST_PAIRS = .01  # Of the scenes, for a direction of the scan.
_CELLS = 25  # B: two pixels of an image of 50 x 50 per cell.
_LARGEST = 2**20  # Bytes of explained.json; it has a few thousand.


class Explained(NamedTuple):
  """What a model makes of N scenes, at posterior means."""
  step: int                    # The iteration.
  counted: list[list[int]]     # [M + 1, T + 1], scenes by true count and count.
  centres: list                # int [T, B, B], centres of each step's glimpses.
  # (right, down): mean unit vector from the first glimpse to the second, over
  # scenes with at least two; None without any. Its length is 0 if there is no
  # order, 1 if the direction is always the same.
  scan: list[float] | None

  @property
  def num_pairs(self) -> int:
    """The number of scenes with at least two glimpses."""
    return int(np.sum(self.counted, axis=0)[2:].sum())

  @property
  def direction(self) -> list[float] | None:
    """`scan`; None if too few scenes have two glimpses to speak of one."""
    enough = self.num_pairs >= _FEWEST_PAIRS * np.sum(self.counted)
    return self.scan if enough else None


class Record(NamedTuple):
  """What is kept of a run."""
  recipe: str
  seed: int
  config: config_lib.Config
  lines: list[dict]            # Evaluations on held-out scenes, oldest first.
  explained: Explained

  @property
  def name(self) -> str:
    """The name of its folder."""
    return f'{self.recipe}_{self.seed}'


def keep(logdir: str | os.PathLike, folder: str | os.PathLike) -> pathlib.Path:
  """Writes the record of a run; replaces an older one of that name.

  Args:
    logdir: the run, finished or not; its name is that of the record.
    folder: of all records.

  Returns:
    The folder of the record.

  Raises:
    errors.UserError: if there is no such run, or it has no checkpoint, no
      counts, or another name than RECIPE_SEED.
  """
  name = pathlib.Path(os.path.abspath(logdir)).name
  _, seed = _parts(name, f'--keep={logdir}')
  if not os.path.exists(os.path.join(logdir, run_config.NAME)):
    raise errors.UserError(
        f'--keep={logdir}: no run here; expected a folder that bin/train.py '
        'wrote.')
  run = run_lib.Run(logdir)
  if seed != run.config.seed:
    raise errors.UserError(
        f'--keep={logdir}: the run has --seed={run.config.seed}; expected a '
        f'folder whose name ends in _{run.config.seed}.')
  lines = [_rounded(line) for line in run.history()
           if line['split'] == 'test' and 'count_accuracy' in line]
  if not lines:
    raise errors.UserError(
        f'--keep={logdir}: found no count accuracy on held-out scenes; '
        'expected a run on scenes whose counts are known.')
  progress.status(f'Explaining {len(run.test.images):,} held-out scenes.')
  explained = explain(predictions_lib.collect(
      run.signatures, run.test.images), run.test, run.step)
  target = pathlib.Path(folder) / name
  files.write_text(target / run_config.NAME, json.dumps(
      dataclasses.asdict(_without_paths(run.config)), indent=1))
  metrics_file.rewrite(target / 'metrics.jsonl', lines)
  files.write_text(target / 'explained.json', json.dumps(explained._asdict()))
  return target


def explain(predictions: predictions_lib.Predictions,
            scenes: scenes_lib.Scenes, step: int) -> Explained:
  """Summarises the predictions for scenes with counts, at iteration `step`."""
  size = scenes.images.shape[1:3]
  centres = predictions.boxes[..., :2] + predictions.boxes[..., 2:] / 2.
  taken = predictions.presence > 0.
  max_steps = taken.shape[1]
  maps = [np.histogram2d(
      *centres[taken[:, t], t].T, bins=_CELLS,
      range=[(0., size[0]), (0., size[1])])[0].astype(int).tolist()
          for t in range(max_steps)]
  return Explained(
      step, counting.confusion(
          predictions.num_steps, scenes.counts, max_steps).tolist(),
      maps, _scan(centres, taken))


def read_all(folder: str | os.PathLike) -> list[Record]:
  """Returns the records of a folder, by name.

  Raises:
    errors.UserError: if one of them cannot be read.
  """
  found = sorted(pathlib.Path(folder).glob(f'*/{run_config.NAME}'))
  return [_read(path.parent) for path in found]


def _read(folder: pathlib.Path) -> Record:
  recipe, seed = _parts(folder.name, str(folder))
  path = folder / 'explained.json'
  try:
    explained = Explained(**json.loads(paths.read_regular(path, _LARGEST)))
  except (OSError, ValueError, TypeError, RecursionError) as error:
    raise errors.UserError(
        f'{path}: cannot be read ({errors.one_line(error)[:200]}); expected '
        'what bin/reproduction.py --keep wrote.') from error
  lines = metrics_file.read(folder / 'metrics.jsonl')
  if not lines:
    raise errors.UserError(
        f'{folder}/metrics.jsonl: found no evaluation; expected what '
        'bin/reproduction.py --keep wrote.')
  return Record(recipe, seed, run_config.read(folder), lines, explained)


def _parts(name: str, shown: str) -> tuple[str, int]:
  """Returns the recipe and the seed that a name holds."""
  match = _NAME.fullmatch(name)
  if not match:
    raise errors.UserError(
        f'{shown}: expected a folder whose name is RECIPE_SEED, as blog_0, in '
        'small letters, digits and _.')
  return match[1], int(match[2])


def _rounded(line: dict) -> dict:
  kept = {'step': line['step'], 'split': line['split']}
  for name, value in line.items():
    decimals = (_ACCURACY_DECIMALS if name.startswith('count_accuracy')
                else _DECIMALS.get(name))
    if decimals is not None:
      kept[name] = round(value, decimals or None)
  return kept


def _without_paths(config: config_lib.Config) -> config_lib.Config:
  """Returns a configuration with names of files in place of paths."""
  digits = config.digits
  return dataclasses.replace(
      config, cache_dir=config_lib.Config().cache_dir,
      scenes=pathlib.Path(config.scenes).name,
      test_scenes=pathlib.Path(config.test_scenes).name,
      digits=digits if digits in digit_sources.BY_NAME
      else pathlib.Path(digits).name)


def _scan(centres: np.ndarray, taken: np.ndarray) -> list[float] | None:
  """Returns the mean direction from first to second glimpse, (right, down)."""
  if taken.shape[1] < 2:
    return None
  moves = (centres[:, 1] - centres[:, 0])[taken[:, 1]]  # (down, right).
  lengths = np.linalg.norm(moves, axis=1, keepdims=True)
  moves = (moves / np.maximum(lengths, 1e-9))[lengths[:, 0] > 0.]
  if not len(moves):
    return None
  down, right = moves.mean(axis=0)
  return [round(float(right), 3), round(float(down), 3)]

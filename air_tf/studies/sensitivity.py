"""Sensitivity of count accuracy to the initial values that the blog names.

For each of three outputs, a grid over its initial bias and the initial scale of
its weights, with everything else at the default. The ranges cover this
project's value, that of the blog's code, and an order of magnitude beyond both.
"""

from collections.abc import Sequence
import dataclasses
import json
import pathlib

import numpy as np

from air_tf import config as config_lib
from air_tf import files
from air_tf.plotting import canvas
from air_tf.plotting import comparisons
from air_tf.studies import sweep
from air_tf.training import run_folder

__all__ = ['OUTPUTS', 'RECIPES', 'accuracies', 'runs', 'save']

# By output: (flag of its bias, values), (flag of its scale, values). Defaults
# are -2, .2, .75 and 1; those of the blog's code are 0, softplus(.5) = .97, .75
# and scales of .5, 6 (of weights that start at .01 here) and 1.
OUTPUTS = {
    'reconstruction': (('decoder_bias', (-20., -6., -2., 0.)),
                       ('decoder_init_scale', (.1, 1., 10.))),
    'where': (('where_stddev_init', (.02, .2, 1., 10.)),
              ('where_init_scale', (.1, 1., 6., 60.))),
    'presence': (('steps_bias', (-7.5, -.75, .75, 7.5)),
                 ('steps_init_scale', (.1, 1., 10.))),
}

# Recipes by name: flags of bin/train.py. Without the exploration floor,
# training uses q(n) unchanged.
_NO_FLOOR = ('--exploration_init=0', '--exploration_final=0',
             '--prefix_share=0')
RECIPES = {
    'marginal': ('--estimator=marginal',),
    'marginal, no floor': ('--estimator=marginal', *_NO_FLOOR),
    'nvil': ('--estimator=nvil', *_NO_FLOOR),
}


def runs(logdir: str, flags: Sequence[str],
         seeds: Sequence[int]) -> dict[tuple, list[sweep.Run]]:
  """Returns the runs of all grids.

  Args:
    logdir: folder of all runs.
    flags: of bin/train.py, common to all runs.
    seeds: of the runs of each cell.

  Returns:
    By (recipe, output, row, column), one run per seed. The cell of the defaults
    is the same run for all outputs of a recipe.
  """
  default, cells = config_lib.Config(), {}
  # Given to each run, for a flagfile may have others.
  start = {name: getattr(default, name) for pair in OUTPUTS.values()
           for name, _ in pair}
  for recipe, chosen in RECIPES.items():
    for output, ((bias, biases), (scale, scales)) in OUTPUTS.items():
      for i, bias_value in enumerate(biases):
        for j, scale_value in enumerate(scales):
          changed = [f'{name}={value:g}' for name, value in (
              (bias, bias_value), (scale, scale_value))
                     if value != getattr(default, name)]
          folder = pathlib.Path(logdir) / recipe.replace(', ', '_').replace(
              ' ', '_') / (','.join(changed) or 'default')
          values = start | {bias: bias_value, scale: scale_value}
          arguments = (*flags, *chosen, *(
              f'--{name}={value:g}' for name, value in values.items()))
          cells[recipe, output, i, j] = [
              sweep.Run(folder / f'seed-{seed}', (*arguments, f'--seed={seed}'))
              for seed in seeds]
  return cells


def accuracies(
    cells: dict[tuple, list[sweep.Run]]) -> dict[tuple[str, str], np.ndarray]:
  """Returns the final held-out count accuracy, 0 ... 1, averaged over seeds.

  Returns:
    By (recipe, output), `[biases, scales]`; NaN where no run of the cell
    finished.
  """
  grids = {}
  for (recipe, output, i, j), of_cell in cells.items():
    (_, biases), (_, scales) = OUTPUTS[output]
    grid = grids.setdefault(
        (recipe, output), np.full([len(biases), len(scales)], np.nan))
    final = [accuracy for run in of_cell
             if (accuracy := _final_accuracy(run)) is not None]
    if final:
      grid[i, j] = np.mean(final)
  return grids


def save(grids: dict[tuple[str, str], np.ndarray], logdir: str) -> None:
  """Writes `sensitivity.json` and `sensitivity.png` into a folder.

  In the figure, the cell of the defaults has a frame.
  """
  folder = pathlib.Path(logdir)
  canvas.save(comparisons.heat_maps(
      grids, OUTPUTS, dataclasses.asdict(config_lib.Config())),
               folder / 'sensitivity.png')
  files.write_text(folder / 'sensitivity.json', json.dumps([
      {'recipe': recipe, 'output': output,
       'rows': dict([OUTPUTS[output][0]]),
       'columns': dict([OUTPUTS[output][1]]),
       'count_accuracy': [[None if np.isnan(x) else x for x in row]
                          for row in grid.tolist()]}
      for (recipe, output), grid in grids.items()], indent=1))


def _final_accuracy(run: sweep.Run) -> float | None:
  ended = sweep.outcome(run)
  if ended is None or ended.exit_code != 0:
    return None
  lines = [x for x in run_folder.RunFolder(run.folder).metrics()
           if x['split'] == 'test']
  return lines[-1]['count_accuracy'] if lines else None

"""Made-up records of runs, as `run_records.keep` writes them."""

import dataclasses
import json

from air_tf import config as config_lib


def lines(accuracies, every=500, num_steps=1.):
  """Lines of metrics.jsonl, one per accuracy."""
  return [{'step': (i + 1) * every, 'split': 'test', 'elbo': 500., 'seconds': i,
           'expected_num_steps': num_steps, 'count_accuracy': accuracy}
          for i, accuracy in enumerate(accuracies)]


def write(folder, name, accuracies, every=500, counted=None, centres=None,
          scan=None, **changes):
  """Writes a record that says so."""
  target = folder / name
  target.mkdir(parents=True)
  changes = {'num_iterations': max(1, every * len(accuracies)),
             'seed': int(name.rpartition('_')[2])} | changes
  (target / 'config.json').write_text(json.dumps(
      dataclasses.asdict(config_lib.Config(**changes))))
  (target / 'metrics.jsonl').write_text(''.join(
      json.dumps(line) + '\n' for line in lines(accuracies, every)))
  (target / 'explained.json').write_text(json.dumps({
      'step': every * len(accuracies),
      'counted': counted or [[9, 0, 0, 0], [0, 8, 1, 0], [0, 6, 4, 0]],
      'centres': centres or [[[1, 2], [3, 4]]] * 3, 'scan': scan}))
  return target

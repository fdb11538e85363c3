"""Trains, measures and writes a model that the repository ships.

A model is a folder in `models/` with a flagfile `train.flags`, whose comment
describes it. `release` adds `saved_model` and the model card `README.md`, in
the layout of Hugging Face.
"""

import itertools
import os
import pathlib
import re
import subprocess

import numpy as np

from air_tf import config as config_lib
from air_tf import errors
from air_tf import experiment
from air_tf import files
from air_tf import run as run_lib
from air_tf.data import scenes as scenes_lib
from air_tf.evaluation import predictions
from air_tf.evaluation import report
from air_tf.serving import released
from air_tf.serving import saved_model
from air_tf.studies import markdown

__all__ = ['card_value', 'check_accuracy', 'check_scenes', 'release']

_CHECK_SCENES, _CHECK_SEED = 1_000, 1
# The first that changes no count is taken.
_PRECISIONS = {
    'float16': dict(half_precision=True),
    'float16 (matrices of 50,000 numbers and more) and float32': dict(
        half_precision=True, min_half_size=50_000),
    'float32': {}}
_CARD = '''---
license: apache-2.0
library_name: air-tf
pipeline_tag: object-detection
tags: [unsupervised, object-counting, object-discovery, attend-infer-repeat]
model-index:
- name: {name}
  results:
  - task: {{type: object-counting, name: Object counting}}
    dataset: {{type: {digits}, name: "held-out scenes of {digits}"}}
    metrics:
    - {{type: accuracy, name: count accuracy, value: {accuracy:.4f}}}
  - task: {{type: object-counting, name: Object counting}}
    dataset: {{type: {check_digits}, name: "check scenes of {check_digits}"}}
    metrics:
    - {{type: accuracy, name: check accuracy, value: {check_accuracy:.4f}}}
---

# {name}

{about}

## Use

```python
import air_tf

model = air_tf.load('{name}')
seen = model.explain(images)  # {shape}, uint8 or floats in 0 ... 1
print(seen.num_steps, seen.tight_boxes)
```

    python bin/infer.py --saved_model={name} --resize picture.png

The folder `saved_model` loads with TensorFlow alone. Weights are {precision}.

## Trained

By `python bin/release_models.py --models={name}{source}`:
{iterations:,} iterations with [train.flags](train.flags), without labels.
SavedModel and card were written at commit {commit}.

## Measured

{table}

Held-out scenes are composed from digits that no training scene holds.
The check scenes need no download and are what
`tests/release_test.py` counts again{foreign}.

Counts on the held-out scenes (rows: true, columns: counted):

{confusion}

## Licence

Apache 2.0, as the code.
'''


def check_scenes(name: str) -> scenes_lib.Scenes:
  """Composes the scenes that a model is checked on, without a download.

  They are as those of training; digits of MNIST are replaced by those of
  scikit-learn.
  """
  return released.scenes(name, _CHECK_SCENES, _CHECK_SEED)


def check_accuracy(model: run_lib.LoadedModel, name: str) -> float:
  """Returns the count accuracy of a model on its check scenes."""
  scenes = check_scenes(name)
  return float(np.mean(_counts(model, scenes) == scenes.counts))


def card_value(name: str, metric: str) -> float:
  """Returns a number of a model card, by the name of its metric."""
  text = (_folder(name) / 'README.md').read_text(encoding='utf-8')
  return float(re.search(rf'name: {metric}, value: ([\d.]+)', text)[1])


def release(name: str, logdir: str | os.PathLike, digits: str = '') -> dict:
  """Trains a model, unless it is trained, and writes SavedModel and card.

  Weights are stored in float16, but for small ones, if that changes no count
  of the held-out scenes.

  Args:
    name: of its folder in `models/`.
    logdir: of the run; a finished run is taken as it is.
    digits: as for `config_of`.

  Returns:
    What the card says: `accuracy`, `check_accuracy`, `precision`.
  """
  config = released.config_of(name, digits)
  experiment.run(config, logdir)
  run = run_lib.Run(logdir)
  model, precision = _save(run, _folder(name) / 'saved_model')
  result = report.evaluate(model.signatures, run.test, None)
  measured = {
      'accuracy': result['count_accuracy'],
      'check_accuracy': check_accuracy(model, name),
      'precision': precision}
  files.write_text(_folder(name) / 'README.md', _card(
      name, config, result, measured))
  return measured


def _save(run: run_lib.Run, path: pathlib.Path
          ) -> tuple[run_lib.LoadedModel, str]:
  """Writes the SavedModel, the smallest that counts alike; says which it is."""
  model, num_steps_prior = run.trainer.averaged_model()
  expected = predictions.collect(run.signatures, run.test.images).num_steps
  for precision, options in _PRECISIONS.items():
    try:
      saved_model.save(model, path, num_steps_prior, **options)
    except errors.UserError:
      if options:  # A weight is too large for float16.
        continue
      raise
    loaded = run_lib.LoadedModel(path)
    if not options or (_counts(loaded, run.test) == expected).all():
      return loaded, precision


def _counts(model: run_lib.LoadedModel, scenes: scenes_lib.Scenes
            ) -> np.ndarray:
  return predictions.collect(model.signatures, scenes.images).num_steps


def _card(name: str, config: config_lib.Config, result: dict,
          measured: dict) -> str:
  source = released.config_of(name)
  own, check = source.digits, released.free_digits(source)
  low, high = result['count_accuracy_interval']
  size = ', '.join(map(str, ('N', *config.image_shape)))
  places = result['localisation']['ink']
  return _CARD.format(
      name=name, about=_about(name), digits=own, check_digits=check,
      source=' --digits=PATH' if own == 'mnist' else '', shape=f'[{size}]',
      commit=_commit(), iterations=config.num_iterations,
      foreign='' if own == check else (
          f': digits of another kind ({check}) than it was trained on'),
      confusion=_confusion(result['confusion']),
      table=markdown.table(['', 'scenes', 'value'], [
          ['count accuracy, held-out', f"{result['scenes']:,}",
           f"{measured['accuracy']:.2%} (95 %: {low:.2%} to {high:.2%})"],
          ['tight boxes found (IoU of .5), average precision',
           f"{result['scenes']:,}", f"{places['average_precision']:.3f}"],
          [f'count accuracy, check scenes ({check})', f'{_CHECK_SCENES:,}',
           f"{measured['check_accuracy']:.2%}"]]),
      **measured)


def _confusion(matrix: list[list[int]]) -> str:
  return markdown.table(
      ['', *map(str, range(len(matrix[0])))],
      [[f'**{n}**', *(f'{x:,}' for x in row)]
       for n, row in enumerate(matrix) if sum(row)])


def _about(name: str) -> str:
  """Returns the comment at the head of its flagfile."""
  lines = (_folder(name) / 'train.flags').read_text(encoding='utf-8')
  head = itertools.takewhile(
      lambda line: line.startswith('#'), lines.splitlines())
  return '\n'.join(line[1:].strip() for line in head)


def _folder(name: str) -> pathlib.Path:
  return released.FOLDER / name


def _commit() -> str:
  """Returns the short hash of the commit, `unknown` outside of a clone."""
  ended = subprocess.run(
      ['git', '-C', str(released.FOLDER), 'rev-parse', '--short', 'HEAD'],
      capture_output=True, text=True, check=False)
  return ended.stdout.strip() or 'unknown'

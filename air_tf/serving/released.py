"""The trained models that the repository ships, by name.

They lie in `models/` beside the package, one folder each: `saved_model`, the
flagfile `train.flags` and the model card `README.md`.
"""

import dataclasses
import os
import pathlib

import air_tf
from air_tf import config as config_lib
from air_tf import config_flags
from air_tf import flagfiles
from air_tf.data import scenes as scenes_lib

__all__ = ['FOLDER', 'config_of', 'free_digits', 'names', 'saved_model_path',
           'scenes']

FOLDER = pathlib.Path(air_tf.__file__).parent.parent / 'models'


def names() -> list[str]:
  """Returns the names of the models that are there, in order."""
  return sorted(path.parent.parent.name
                for path in FOLDER.glob('*/saved_model/saved_model.pb'))


def saved_model_path(path: str | os.PathLike) -> pathlib.Path:
  """Returns the SavedModel folder of a name; any other path as it is.

  Args:
    path: a name as `multi_mnist`, or a path. What exists under the path comes
      first.
  """
  if not os.path.exists(path) and os.fspath(path) in names():
    return FOLDER / path / 'saved_model'
  return pathlib.Path(path)


def config_of(name: str, digits: str = '') -> config_lib.Config:
  """Returns the configuration that a model was trained with.

  Args:
    name: of its folder in `models/`.
    digits: where MNIST is, for the models that are trained on it; downloaded,
      if empty.
  """
  with flagfiles.on_its_own():
    config = config_flags.config_of([f'--flagfile={FOLDER / name}/train.flags'])
  if digits and config.digits == 'mnist':
    config = dataclasses.replace(config, digits=digits)
  return config


def free_digits(config: config_lib.Config) -> str:
  """Returns the source of a model's digits, or one without a download."""
  return 'embedded' if config.digits == 'mnist' else config.digits


def scenes(name: str, num_scenes: int, seed: int) -> scenes_lib.Scenes:
  """Composes scenes for a model, without a download; equal seeds, equal scenes.

  They are as those of its training, of held-out digits; digits of MNIST are
  replaced by those of scikit-learn.
  """
  from air_tf.data import datasets  # It imports h5py: not to find a model.
  from air_tf.data import digits as digits_lib
  config = config_of(name)
  source = free_digits(config)
  digits = digits_lib.load(source)
  return digits_lib.composer(source)(
      digits.test_images, digits.test_labels,
      **datasets.composition_options(config, num_scenes, seed))

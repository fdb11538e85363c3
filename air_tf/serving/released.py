"""The trained models that the repository ships, by name.

They lie in `models/` beside the package, one folder each: `saved_model`, the
flagfile `train.flags` and the model card `README.md`.
"""

import os
import pathlib

import air_tf

__all__ = ['FOLDER', 'names', 'saved_model_path']

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

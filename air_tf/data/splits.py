"""The scenes of a configuration, made when they are first asked for."""

import functools

from air_tf import config as config_lib
from air_tf.data import datasets
from air_tf.data import scenes as scenes_lib

__all__ = ['Splits', 'load']


class Splits:
  """Training and held-out scenes; nothing is read or composed before use.

  Attributes:
    config: the configuration, with size, channels and range of values of the
      scenes (which differ from what was given only if they come from a file).
  """

  def __init__(self, config: config_lib.Config):
    """Notes the configuration; nothing else happens yet."""
    self._given = config

  @functools.cached_property
  def _prepared(self) -> tuple[
      config_lib.Config, datasets.SceneSource, scenes_lib.Scenes]:
    return datasets.prepare(self._given)

  @functools.cached_property
  def train(self) -> scenes_lib.Scenes:
    """The first `config.num_train_scenes` training scenes, or the file's.

    A whole run composes new ones every `config.refresh_every` iterations.
    """
    _, pools, _ = self._prepared
    return pools(0)

  @property
  def test(self) -> scenes_lib.Scenes:
    """The held-out scenes; composed ones are kept in `config.cache_dir`."""
    return self._prepared[2]

  @property
  def config(self) -> config_lib.Config:
    """See the class."""
    return self._prepared[0]

  def __repr__(self) -> str:
    """Names the source; loads nothing."""
    config = self._given
    source = config.scenes or config.digits
    return f'Splits({source!r}: .train, .test)'


def load(config: config_lib.Config) -> Splits:
  """Returns `.train` and `.test` scenes of a configuration.

  Errors in the configuration's paths show on the first use of either, as
  `errors.UserError`.
  """
  return Splits(config)

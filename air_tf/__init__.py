'''Attend, Infer, Repeat (AIR) in TensorFlow 2, Sonnet 2 and TFP.

Use a trained model:

    run = air_tf.load('runs/multi_mnist')  # Or its `saved_model` folder.
    images, counts = run.test.images[:10], run.test.counts[:10]
    seen = run.explain(images)             # uint8, or floats in 0 ... 1.
    print(seen.num_steps, seen.boxes)      # A NamedTuple of arrays.
    air_tf.plotting.progress(images, seen, counts).savefig('progress.png')

Train one, as a whole or by hand:

    config = air_tf.Config(digits='embedded')
    air_tf.train(config, 'runs/mine')      # As bin/train.py.
    trainer, scenes = air_tf.Trainer(config), air_tf.load_scenes(config)
    for _ in range(40):
      print(trainer.train(scenes.train, iterations=50)['elbo'])

Or take the parts; `x` is float32 `[B, H, W]` in 0 ... 1:

    model = air_tf.AIRModel(config)
    prior = air_tf.truncated_geometric(math.log(.1), config.max_steps)
    posterior = model.infer(x, seed=[0, 1])
    terms = model.elbo_terms(x, posterior, prior)

    q = air_tf.NumStepsDistribution([[0., 0., 0.]])
    tfd.kl_divergence(q, prior), q.sample(5), q.prob(2), q.cdf(1)

The names of `__all__` are the interface. They are imported on first use, so
that `import air_tf` itself does not import TensorFlow.
'''

import importlib
import typing

if typing.TYPE_CHECKING:
  from air_tf import estimators
  from air_tf import plotting
  from air_tf.config import Config
  from air_tf.data.splits import load as load_scenes
  from air_tf.experiment import run as train
  from air_tf.model import AIRModel
  from air_tf.prior import NumStepsDistribution
  from air_tf.prior import truncated_geometric
  from air_tf.run import load
  from air_tf.training.trainer import Trainer

__all__ = ['AIRModel', 'Config', 'NumStepsDistribution', 'Trainer',
           '__version__', 'estimators', 'load', 'load_scenes', 'plotting',
           'train', 'truncated_geometric']

__version__ = '0.2.0'

# By name: the module it comes from, and its name there (None: the module).
_HOMES: dict[str, tuple[str, str | None]] = {
    'AIRModel': ('model', 'AIRModel'),
    'Config': ('config', 'Config'),
    'NumStepsDistribution': ('prior', 'NumStepsDistribution'),
    'Trainer': ('training.trainer', 'Trainer'),
    'estimators': ('estimators', None),
    'load': ('run', 'load'),
    'load_scenes': ('data.splits', 'load'),
    'plotting': ('plotting', None),
    'train': ('experiment', 'run'),
    'truncated_geometric': ('prior', 'truncated_geometric'),
}


def __getattr__(name: str) -> typing.Any:
  """Imports a name of the interface on first use (PEP 562)."""
  if name not in _HOMES:
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
  module, attribute = _HOMES[name]
  value = importlib.import_module(f'{__name__}.{module}')
  if attribute is not None:
    value = getattr(value, attribute)
  globals()[name] = value
  return value


def __dir__() -> list[str]:
  """The interface, and the submodules imported so far."""
  return sorted({*globals(), *__all__})

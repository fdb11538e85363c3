"""Every default of the project, once, with its reason.

`Config` and its base, `scene_options.SceneOptions`, are the only places where a
default is written. `bin/` offers each field as a flag of the same name, so that
`--help`, the run folder's `config.json` and the code cannot disagree.

"Blog" is Adam Kosiorek, "Implementing Attend, Infer, Repeat" (2017); "paper" is
Eslami et al. 2016, arXiv 1603.08575; "BUILD_NOTES" holds our measurements.
"""

import dataclasses
import functools
import math
from typing import NamedTuple

from air_tf import consistency
from air_tf import options
from air_tf import scene_options

__all__ = ['COMPOSITINGS', 'Config', 'DISTRIBUTION_STRATEGIES', 'ESTIMATORS',
           'EstimatorSpec', 'GLIMPSE_NETWORKS', 'GROUND_KINDS',
           'IMAGE_ENCODERS', 'OPTIMIZERS']

COMPOSITINGS = ('add', 'over', 'sorted')
GROUND_KINDS = ('sloping', 'level')
GLIMPSE_NETWORKS = ('mlp', 'conv')
IMAGE_ENCODERS = ('search', 'conv', 'mlp')


class EstimatorSpec(NamedTuple):
  """What is known of an estimator without importing TensorFlow."""
  path: str  # 'module.Class' in `air_tf.estimators`.
  has_bound: bool = False  # Whether it takes several particles.
  fewest_particles: int = 1
  usual_particles: int = 1
  # Whether it takes the likelihood for a quadratic function of presences.
  is_quadratic: bool = False


ESTIMATORS = {
    'marginal': EstimatorSpec('exact.Marginal', has_bound=True),
    'responsibilities': EstimatorSpec('exact.Responsibilities'),
    'reinforce': EstimatorSpec('score_function.Reinforce', has_bound=True),
    'nvil': EstimatorSpec('score_function.NVIL', has_bound=True),
    'nvil_per_step': EstimatorSpec(
        'score_function.NVILPerStep', has_bound=True),
    'vimco': EstimatorSpec('score_function.VIMCO', True, 2, 5),
    'concrete': EstimatorSpec('relaxed.Concrete', is_quadratic=True),
    'mvd': EstimatorSpec('measure_valued.MVD'),
    'rebar': EstimatorSpec('relaxed.Rebar', is_quadratic=True),
    'rws': EstimatorSpec(
        'reweighted_wake_sleep.ReweightedWakeSleep', True, 2, 5),
}
OPTIMIZERS = ('adam', 'rmsprop')
DISTRIBUTION_STRATEGIES = ('none', 'mirrored', 'multi_worker', 'tpu')

_option, _TINY = options.option, options.TINY
_iterations = functools.partial(_option, lower=0, upper=2**31 - 1)


@dataclasses.dataclass(frozen=True)
class Config(scene_options.SceneOptions):
  """A whole run: scenes, model, estimator, optimisation, bookkeeping.

  The fields about scenes and pictures stand in `scene_options`.

  Raises:
    errors.UserError: if a value is outside its bounds or two values do not fit
      together; the text names the flag.
  """
  # --- Model ------------------------------------------------------------------
  max_steps: int = _option(
      3, 'T, the largest number of objects that the model can write: one more '
      'than the scenes hold, so that overcounting is possible (blog: 3).',
      lower=1, upper=64)
  image_encoder: str = _option(
      'search', "Encoder of the whole image: 'mlp' (blog), which takes two "
      "digits that touch for one; 'conv', two strided convolutions before "
      "the MLP; 'search', as 'conv', but each step also attends to the "
      'features to find the next object, which small objects and many objects '
      'need.', choices=IMAGE_ENCODERS)
  glimpse_encoder: str = _option(
      'mlp', "Encoder of a glimpse: 'mlp' (blog); 'conv', two strided "
      'convolutions before the MLP.', choices=GLIMPSE_NETWORKS, before='mlp')
  glimpse_decoder: str = _option(
      'mlp', "Decoder of a glimpse: 'mlp' (blog); 'conv', two transposed "
      'convolutions after the MLP; with a convolutional encoder, codes and '
      'counts are better.', choices=GLIMPSE_NETWORKS, before='mlp')
  difference: bool = _option(
      True, 'DAIR (paper: Difference-AIR): each step encodes the partial '
      'reconstruction and the residual instead of the image. Small objects and '
      'many objects need it; without it an iteration takes half the time.')
  background: bool = _option(
      False, 'Model the background with a small variational autoencoder of the '
      'whole image, so that steps need not explain it.')
  ground: bool = _option(
      False, 'Estimate in each image the ground that objects lie on, level or '
      'gently sloping, and leave the rest to the steps: for photographs, whose '
      'black is not exactly 0.', before=False)
  ground_kind: str = _option(
      'sloping', "With --ground: 'sloping', darker than the objects and "
      "perhaps lit unevenly; 'level', one colour, the most frequent one of the "
      'image, than which objects may be darker.', choices=GROUND_KINDS,
      before='sloping')
  compositing: str = _option(
      'add', "How objects become an image: 'add', their light adds up (AIR); "
      "'over', they have an opacity too and cover each other and the "
      'background, which scenes in colour need, the first in front; '
      "'sorted', as 'over', but who is in front is read from the image: for "
      'objects of many colours, much of which is hidden.',
      choices=COMPOSITINGS, before='add')
  one_colour: bool = _option(
      False, 'An object has one colour, and its glimpse only says where it is '
      'opaque, with sharp outlines. For flat colours: one step then cannot '
      'draw two objects of different ones.', before=False)
  candidates: int = _option(
      1, 'How many explanations of a held-out scene, or by a SavedModel, to '
      'choose the one with the highest ELBO from; their steps attend to '
      'different places. As many times the time. More than 1 needs '
      '--image_encoder=search.', lower=1, upper=64, before=1)
  what_size: int = _option(
      50, 'Z, size of an appearance code (blog and paper: 50).', lower=1)
  glimpse_size: int = _option(
      20, 'Side of the square glimpse in pixels (blog: 20).', lower=2)
  hidden_size: int = _option(
      256, 'Units in each of the two hidden layers of the encoders, the '
      'decoder and the estimator of place (blog: 256).', lower=1)
  lstm_size: int = _option(256, 'Units of the LSTM (blog: 256).', lower=1)
  pixel_stddev: float = _option(
      .3, 'Standard deviation of a pixel (blog: .3); 0 learns it, from .3 on.',
      lower=0., upper=1e3)
  object_size: float = _option(
      22., 'Prior median of the side of a glimpse, in pixels of the image, and '
      'its initial value: the size of the largest objects. 0 measures it '
      'on compact bright objects, as nuclei, and --scale_prior_stddev with it.',
      lower=0.)
  scale_prior_stddev: float = _option(
      .5, 'Prior standard deviation of the logit of the glimpse scale. With '
      '--object_size=22 on 50 pixels, a glimpse of 12 pixels is just under two '
      'standard deviations below the median.', lower=1e-3, upper=100.)
  shift_prior_stddev: float = _option(
      1., 'Prior standard deviation of the shifts before tanh: 1 spreads them '
      'almost evenly over the image (blog: 1).', lower=1e-3, upper=100.)
  where_stddev_init: float = _option(
      .2, 'Initial standard deviation of the posterior over place, before '
      'squashing: wide enough to explore, narrow enough to hold one object.',
      lower=1e-6, upper=80.)
  decoder_bias: float = _option(
      -2., 'Initial logit of every glimpse pixel. At -2, pixels start at .12: '
      'so dark that the first glimpses neither raise the likelihood by '
      'themselves nor hide the image.', lower=-100., upper=100.)
  steps_bias: float = _option(
      .75, 'Initial log-odds of taking a step: above 0, so that the model '
      'writes objects from the first iteration.', lower=-100., upper=100.)
  decoder_init_scale: float = _option(
      1., "Factor on the initial weights of the decoder's output layer (blog: "
      'about .5). bin/sensitivity.py varies this and the other initial values.',
      lower=_TINY, upper=1e4)
  where_init_scale: float = _option(
      1., 'Factor on the initial weights of the output layer for place, whose '
      'standard deviation is .01 without it (blog: about 6, that is 1 / '
      'sqrt(256)).', lower=_TINY, upper=1e4)
  steps_init_scale: float = _option(
      1., "Factor on the initial weights of the steps predictor's output layer "
      '(blog: 1).', lower=_TINY, upper=1e4)

  # --- Prior over the number of steps -----------------------------------------
  success_init: float = _option(
      1e-5, 'Initial success probability s of the prior over counts, p(n) ~ '
      's^n on 0...T: an object costs -log s nats. At .1, q(n) can collapse to '
      'T while objects are still drawn poorly.', lower=1e-300, upper=1.)
  success_final: float = _option(
      .1, 'Final success probability s (blog: 1e-5). The smaller it is, the '
      'more small and faint objects are left out.', lower=1e-300, upper=1.)
  success_hold: int = _iterations(
      500, 'Last iteration at the initial success probability.')
  success_iterations: int = _iterations(
      0, 'Iterations after the hold over which log s changes linearly to its '
      'final value (blog: 100,000).')

  # --- Estimator of the gradient ----------------------------------------------
  estimator: str = _option(
      'marginal', 'Estimator of the gradient with respect to the discrete '
      'count; see air_tf/estimators/.', choices=ESTIMATORS)
  num_particles: int = _option(
      0, 'K, samples per image of the importance-weighted bound, at K times '
      'the cost; 1 is the ELBO. 0 means 1, or 5 for vimco and rws, which need '
      'several.', lower=0, upper=1_000)
  moving_signal: bool = _option(
      False, 'With --estimator=nvil: centre the learning signal by its moving '
      'mean and divide it by its moving standard deviation where that is above '
      '1 (Mnih and Gregor 2014; not in the blog).')
  concrete_temperature: float = _option(
      1., 'With --estimator=concrete: temperature of the relaxed presences (1 '
      'in the public Concrete AIR).', lower=1e-6, upper=1e3)
  exploration_init: float = _option(
      .9, 'Initial exploration floor: the weight of a uniform count mixed into '
      'q(n). Without it q(n) collapses to one count.', lower=0., upper=1.)
  exploration_final: float = _option(
      .1, 'Final exploration floor. Above 0 it keeps every prefix of the '
      'explanation good, so that one step keeps explaining one object, and '
      'small objects are decoded before they count.', lower=0., upper=1.)
  exploration_iterations: int = _iterations(
      1_500, 'Iterations over which the exploration floor falls linearly.')
  prefix_share: float = _option(
      .7, 'Share of q(n) that training spreads evenly over 1 ... n, so that '
      'each step explains a whole object and leaves no part to the next step, '
      'which would be counted as well.', lower=0., upper=.99)

  # --- Optimisation -----------------------------------------------------------
  optimizer: str = _option(
      'adam', "Optimizer: 'adam', or 'rmsprop' (blog: momentum .9, centred, "
      'initialised as in TensorFlow 1).', choices=OPTIMIZERS)
  learning_rate: float = _option(
      7e-4, 'Initial learning rate. At 1e-3, accuracy fluctuates by percentage '
      'points once the exploration floor has fallen; at 5e-4, scenes of many '
      'objects take longer to learn.', lower=_TINY)
  baseline_learning_rate: float = _option(
      5e-3, 'Learning rate of the neural baselines and of the variables of '
      "rebar: ten times that of air.flags (blog: ten times the model's).",
      lower=_TINY)
  decay_iterations: int = _iterations(
      4_000, 'Iterations over which the learning rate falls by half a cosine '
      'to a fiftieth, where it stays; 0 keeps it constant.')
  clip_norm: float = _option(
      100., 'Largest global norm of the gradient, which is clipped above it; '
      '0: no clipping.', lower=0.)
  ema_decay: float = _option(
      .995, 'Decay of the exponential moving average of the weights, which is '
      'what is evaluated and exported.', lower=0., upper=.999999)
  batch_size: int = _option(
      64, 'Images per iteration (blog: 64), of all replicas together.', lower=1)
  num_iterations: int = _iterations(
      4_000, 'Iterations in all; raise it to resume a finished run.', lower=1)

  # --- Bookkeeping ------------------------------------------------------------
  seed: int = _option(
      0, 'Seed of everything random. Two runs with equal seeds on one CPU are '
      'bit-identical.', lower=0, upper=700_000_000)
  log_every: int = _iterations(
      50, 'Iterations between training scalars; they run as one compiled '
      'call.', lower=1)
  eval_every: int = _iterations(
      500, 'Iterations between evaluations on all held-out scenes.', lower=1)
  checkpoint_every: int = _iterations(
      500, 'Iterations between checkpoints.', lower=1)
  gradient_variance_every: int = _iterations(
      0, 'Iterations between measurements of the variance of the gradient, for '
      'TensorBoard; 0 measures none. Each takes as long as about four '
      'iterations: at 100 it costs 4 %.')
  jit_compile: bool = _option(True, 'Compile the training step with XLA.')
  distribution_strategy: str = _option(
      'none', "Devices that share each batch: 'none' (one device), 'mirrored' "
      "(all GPUs of this process), 'multi_worker' (the processes that "
      "TF_CONFIG names, one device each), 'tpu' (the one that TPU_NAME names). "
      'The result is the same to within rounding.',
      choices=DISTRIBUTION_STRATEGIES, before='none')
  wait_seconds: float = _option(
      600., 'With --distribution_strategy=multi_worker: how long to wait until '
      'all processes have been started.', lower=0., before=600.)

  def __post_init__(self) -> None:
    """Checks every value; see the class for what it raises."""
    for field in dataclasses.fields(self):
      if isinstance(field.default, tuple):  # Lists are given from Python.
        object.__setattr__(self, field.name, tuple(getattr(self, field.name)))
      options.check_bounds(field, getattr(self, field.name))
    consistency.check(self, ESTIMATORS)

  @property
  def image_shape(self) -> tuple[int, ...]:
    """`[H, W]` of an image; `[H, W, 3]` in colour."""
    return self._shape(self.canvas_size)

  @property
  def glimpse_shape(self) -> tuple[int, ...]:
    """`[h, w]` of a glimpse; `[h, w, 3]` in colour."""
    return self._shape(self.glimpse_size)

  @property
  def object_scale(self) -> float:
    """Prior median of the side of a glimpse, over that of the image."""
    return self.object_size / self.canvas_size

  @property
  def scale_prior_mean(self) -> float:
    """Prior mean of the logit of the glimpse scale."""
    options.require(0. < self.object_scale < 1., '--object_size',
                    self.object_size,
                    'more than 0, which has to be measured first, and '
                    f'fewer pixels than images of {self.canvas_size} a side')
    return math.log(self.object_scale / (1. - self.object_scale))

  @property
  def particles(self) -> int:
    """K: `num_particles`, with 0 resolved for the estimator."""
    return self.num_particles or ESTIMATORS[self.estimator].usual_particles

  def _shape(self, side: int) -> tuple[int, ...]:
    return (side, side) if self.channels == 1 else (side, side, self.channels)

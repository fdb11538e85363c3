"""Every default of the project, once, with its reason.

`Config` is the only place where a default is written. `bin/` offers each field
as a flag of the same name, so that `--help`, the run folder's `config.json` and
the code can never disagree.

"Blog" is Adam Kosiorek, "Implementing Attend, Infer, Repeat" (2017); "paper" is
Eslami et al. 2016, arXiv 1603.08575; "BUILD_NOTES" holds our measurements.
"""

import dataclasses
import functools
import math
from typing import NamedTuple

from absl import logging

from air_tf import options

__all__ = ['BACKDROPS', 'Config', 'DISTRIBUTION_STRATEGIES', 'ESTIMATORS',
           'EstimatorSpec', 'IMAGE_ENCODERS', 'OPTIMIZERS', 'RENAMED',
           'current_name']

BACKDROPS = ('black', 'noise', 'grid', 'texture', 'clutter')
IMAGE_ENCODERS = ('search', 'conv', 'mlp')


class EstimatorSpec(NamedTuple):
  """What is known of an estimator without importing TensorFlow."""
  path: str  # Its module in `air_tf.estimators`, and its class there.
  has_bound: bool = False  # Whether it takes several particles.
  fewest_particles: int = 1
  usual_particles: int = 1


ESTIMATORS = {
    'marginal': EstimatorSpec('exact.Marginal', has_bound=True),
    'responsibilities': EstimatorSpec('exact.Responsibilities'),
    'reinforce': EstimatorSpec('score_function.Reinforce', has_bound=True),
    'nvil': EstimatorSpec('score_function.NVIL', has_bound=True),
    'nvil_per_step': EstimatorSpec(
        'score_function.NVILPerStep', has_bound=True),
    'vimco': EstimatorSpec('score_function.VIMCO', True, 2, 5),
    'concrete': EstimatorSpec('relaxed.Concrete'),
    'mvd': EstimatorSpec('measure_valued.MVD'),
    'rebar': EstimatorSpec('relaxed.Rebar'),
    'rws': EstimatorSpec(
        'reweighted_wake_sleep.ReweightedWakeSleep', True, 2, 5),
}
_MAX_WAYS = 4_096  # Largest (T + 1)^K that `marginal` enumerates.
OPTIMIZERS = ('adam', 'rmsprop')
DISTRIBUTION_STRATEGIES = ('none', 'mirrored', 'multi_worker', 'tpu')
# Old names of fields, still understood on the command line, in flagfiles and
# in run folders.
RENAMED = {'average_decay': 'ema_decay',
           'decoder_scale': 'decoder_init_scale',
           'distribution': 'distribution_strategy',
           'object_size_stddev': 'scale_prior_stddev',
           'steps_scale': 'steps_init_scale',
           'where_scale': 'where_init_scale'}

_option = options.option


@dataclasses.dataclass(frozen=True)
class Config:
  """A whole run: scenes, model, estimator, optimisation, bookkeeping.

  Raises:
    errors.UserError: if a value is outside its bounds or two values do not fit
      together; the text names the flag.
  """
  # --- Scenes -----------------------------------------------------------------
  digits: str = _option(
      'embedded', "Where digits come from: 'embedded' (handwriting that ships "
      "with scikit-learn, no download), 'mnist' (by keras.datasets, downloaded "
      "once), 'sprites' (no digits, but shapes in colour), or a path: an "
      '`mnist.npz` in the Keras layout, a folder with the four IDX files, '
      "gzipped or not, or one with Omniglot's two zip files.")
  scenes: str = _option(
      '', 'A scene file (.npz; see data/README.md) or a folder of pictures to '
      'train on, instead of composing scenes from digits. Pictures are fitted '
      'into --canvas_size.')
  test_scenes: str = _option(
      '', 'A scene file (.npz) or a folder to evaluate on. With --scenes and '
      'without this, a tenth of the scenes is held out.')
  canvas_size: int = _option(
      50, 'Side of the square images, pixels (blog: 50). Of a scene file it is '
      'taken from the file.', lower=8, upper=1024)
  channels: int = _option(
      1, 'Channels of a pixel: 1 (grey) or 3 (red, green, blue). Training '
      'takes it from the scenes, whatever is given here.', lower=1, upper=3)
  counts: tuple[int, ...] = _option(
      (0, 1, 2), 'Numbers of digits that a scene may hold, equally likely '
      '(blog and paper: 0,1,2).', lower=0)
  digit_scale: tuple[float, ...] = _option(
      (1., 1.), 'Smallest and largest size of a digit, as a fraction of the '
      '28-pixel MNIST frame.', lower=.1, upper=4.)
  overlap: bool = _option(
      False, 'Whether digits may overlap. Without it their bounding boxes are '
      'disjoint.')
  backdrop: str = _option(
      'black', 'What stands behind the digits: nothing, noise in each pixel, a '
      'grid of lines, a cloudy texture, or a clutter of pieces of digits.',
      choices=BACKDROPS)
  backdrop_level: float = _option(
      .4, 'Brightest value that a pixel of the backdrop can have, 1 is white: '
      'well below the digits\' own, so that a person sees every digit at once.',
      lower=0., upper=1.)
  num_train_scenes: int = _option(
      20_000, 'How many training scenes are composed at a time: about as many '
      'as --refresh_every iterations draw (blog: 60,000, once).', lower=1)
  refresh_every: int = _option(
      250, 'Iterations after which all training scenes are composed anew, so '
      'that the model cannot learn them by heart; 0 trains on one fixed set '
      '(blog). Costs 3 % of the time.', lower=0)
  num_test_scenes: int = _option(
      5_000, 'How many scenes to compose for evaluation: at 99 % right, the '
      'standard error is .14 points.', lower=1)
  cache_dir: str = _option(
      'data/generated', 'Where composed scenes are kept between runs.')

  # --- Model ------------------------------------------------------------------
  max_steps: int = _option(
      3, 'T, the most objects the model may write: one more than the scenes '
      'hold, so that counting too many is possible (blog: 3).',
      lower=1, upper=64)
  image_encoder: str = _option(
      'search', "What the whole image goes through: the blog's 'mlp', which "
      "goes on taking two digits that touch as one; 'conv', two strided "
      "convolutions before it; 'search', whose steps also search what the "
      'convolutions made of each place for the next object, which small and '
      'many objects need.', choices=IMAGE_ENCODERS)
  difference: bool = _option(
      True, 'DAIR: each step encodes what the steps before explained, and what '
      'they left, instead of the image, so that it looks for one object more '
      '(paper: Difference-AIR). Small objects and more objects need it; '
      'without it an iteration takes half the time.')
  background: bool = _option(
      False, 'Model what stands behind the objects, by a small variational '
      'autoencoder of the whole image, so that steps need not explain it.')
  what_size: int = _option(
      50, 'Z, size of the appearance code of one object (blog and paper: 50).',
      lower=1)
  glimpse_size: int = _option(
      20, 'Side of the square glimpse, pixels (blog: 20).', lower=2)
  hidden_size: int = _option(
      256, 'Units in each of the two hidden layers of the encoders, the '
      'decoder and the estimator of place (blog: 256).', lower=1)
  lstm_size: int = _option(256, 'Units of the LSTM (blog: 256).', lower=1)
  pixel_stddev: float = _option(
      .3, 'Standard deviation of a pixel given its reconstruction (blog: .3).',
      lower=options.TINY)
  object_size: float = _option(
      22., 'Prior median of the side of a glimpse, in pixels of the image, and '
      'where training starts: that of the largest objects. A search starts on '
      'one object, so that it need not be small to leave out the next one.',
      lower=options.TINY)
  scale_prior_stddev: float = _option(
      .5, 'Prior standard deviation of the logit of the glimpse scale: from '
      '--object_size=22 to 12 pixels, on 50, it is not quite two.',
      lower=options.TINY)
  shift_prior_stddev: float = _option(
      1., 'Prior standard deviation of the shifts before tanh: 1 spreads them '
      'almost evenly over the image (blog: 1).', lower=options.TINY)
  where_stddev_init: float = _option(
      .2, 'Initial standard deviation of the posterior over place, before '
      'squashing: wide enough to try places, narrow enough to see one.',
      lower=options.TINY)
  decoder_bias: float = _option(
      -2., 'Initial logit of every glimpse pixel: a first glimpse that is dark '
      '(.12) neither pays for existing nor drowns the image.')
  steps_bias: float = _option(
      .75, 'Initial log-odds of taking a further step: above 0, so that the '
      'first iterations write objects at all.')
  decoder_init_scale: float = _option(
      1., 'Factor on the initial weights of the decoder\'s output layer; see '
      'bin/sensitivity.py for this and the next two (blog: about .5).',
      lower=options.TINY)
  where_init_scale: float = _option(
      1., 'Factor on the initial weights of the output layers for place, whose '
      'standard deviation is .01 (blog: about 6, the usual 1 / sqrt(256)).',
      lower=options.TINY)
  steps_init_scale: float = _option(
      1., 'Factor on the initial weights of the steps predictor\'s output '
      'layer (blog: 1).', lower=options.TINY)

  # --- Prior over the number of steps -----------------------------------------
  success_init: float = _option(
      1e-5, 'Success probability s of the prior over counts, p(n) ~ s^n on '
      '0...T, at the start: what an object must pay for. At .1 q(n) can lock '
      'to T while objects are still drawn poorly.', lower=1e-30, upper=1.)
  success_final: float = _option(
      .1, 'Success probability s in the end (blog: 1e-5). The less it is, the '
      'more objects are left out that are small and faint.',
      lower=1e-30, upper=1.)
  success_hold: int = _option(
      500, 'Iterations at the initial success probability.', lower=0)
  success_iterations: int = _option(
      0, 'Iterations over which log s goes from one to the other, linearly, '
      'after the hold (blog: 100,000).', lower=0)

  # --- Estimator of the gradient ----------------------------------------------
  estimator: str = _option(
      'marginal', 'How the gradient of the discrete count is estimated; see '
      'air_tf/estimators/.', choices=tuple(ESTIMATORS))
  num_particles: int = _option(
      0, 'K, passes over each image for the importance-weighted bound, at K '
      'times the cost; 1 is the ELBO. 0 takes 1, or 5 for vimco and rws, which '
      'need several.', lower=0, upper=1_000)
  moving_signal: bool = _option(
      False, 'With --estimator=nvil: centre the learning signal by its moving '
      'mean and divide it by its moving standard deviation where that is above '
      '1 (Mnih and Gregor 2014; not in the blog).')
  concrete_temperature: float = _option(
      1., 'With --estimator=concrete: temperature of the relaxed presences (1 '
      'in the public Concrete AIR).', lower=options.TINY)
  exploration_init: float = _option(
      .9, 'Exploration floor at the start: the weight of a uniform count mixed '
      'into q(n). Without it q(n) locks to one count.', lower=0., upper=1.)
  exploration_final: float = _option(
      .1, 'Exploration floor at the end. Above 0 it keeps every prefix of the '
      'explanation good, so that one step goes on explaining one object, and '
      'small objects go on being drawn where they are not counted yet.',
      lower=0., upper=1.)
  exploration_iterations: int = _option(
      1_500, 'Iterations over which the exploration floor falls linearly.',
      lower=0)
  prefix_share: float = _option(
      .7, 'Share of q(n) that training spreads evenly over 1 ... n, so that '
      'each of the first steps explains an object by itself, where else the '
      'next step mends what it left out and is counted.', lower=0., upper=.99)

  # --- Optimisation -----------------------------------------------------------
  optimizer: str = _option(
      'adam', "Optimizer: 'adam', or 'rmsprop' (the blog's: momentum .9, "
      'centred, started as TensorFlow 1 did).', choices=OPTIMIZERS)
  learning_rate: float = _option(
      7e-4, 'Learning rate at the start. At 1e-3 counts swing by points after '
      'the exploration floor has fallen; at 5e-4 many objects take longer.',
      lower=options.TINY)
  baseline_learning_rate: float = _option(
      5e-3, 'Learning rate of the neural baseline, where there is one: ten '
      'times that of air.flags (blog: ten times the model\'s).',
      lower=options.TINY)
  decay_iterations: int = _option(
      4_000, 'The learning rate follows half a cosine down to a fiftieth over '
      'this many iterations and stays there; 0 keeps it constant.', lower=0)
  clip_norm: float = _option(
      100., 'Largest global norm of the gradient; 0 switches clipping off.',
      lower=0.)
  ema_decay: float = _option(
      .995, 'Decay of the running average of the weights, which is what is '
      'evaluated and exported.', lower=0., upper=1.)
  batch_size: int = _option(
      64, 'Images an iteration (blog: 64), of all replicas together.', lower=1)
  num_iterations: int = _option(
      4_000, 'Iterations in all. A finished run goes on where it was when this '
      'is raised.', lower=1)

  # --- Bookkeeping ------------------------------------------------------------
  seed: int = _option(
      0, 'Seed of everything random. Two runs with one seed on one machine are '
      'equal to the last bit (on a processor).', lower=0, upper=700_000_000)
  log_every: int = _option(
      50, 'Iterations between training scalars; one compiled call.', lower=1)
  eval_every: int = _option(
      500, 'Iterations between evaluations on all held-out scenes.', lower=1)
  checkpoint_every: int = _option(
      500, 'Iterations between checkpoints.', lower=1)
  gradient_variance_every: int = _option(
      0, 'Iterations between measurements of the variance of the gradient, for '
      'TensorBoard; 0 measures none. Each takes as long as about four '
      'iterations: at 100 it costs 4 %.', lower=0)
  jit_compile: bool = _option(
      True, 'Compile the training step with XLA.')
  distribution_strategy: str = _option(
      'none', "What shares each batch: 'none' (one device), 'mirrored' (all "
      "GPUs of this process), 'multi_worker' (the processes that TF_CONFIG "
      "names, one device each; see the README), 'tpu' (the one that TPU_NAME "
      'names). What is trained is the same to within rounding.',
      choices=DISTRIBUTION_STRATEGIES)

  def __post_init__(self):
    """Checks every value; see the class for what it raises."""
    for field in dataclasses.fields(self):
      options.check_bounds(field, getattr(self, field.name))
    options.require(bool(self.counts), '--counts', self.counts,
             'at least one number, for example --counts=0,1,2')
    options.require(len(self.digit_scale) == 2
             and self.digit_scale[0] <= self.digit_scale[1],
             '--digit_scale', self.digit_scale,
             'two numbers, the smaller first, for example --digit_scale=.6,1')
    options.require(self.scenes or max(self.counts) <= self.max_steps,
             '--counts', self.counts,
             f'no more than --max_steps={self.max_steps}, the most objects '
             'the model may write; raise that or leave the larger counts out')
    options.require(self.scenes or not self.test_scenes, '--test_scenes',
             self.test_scenes, 'to stand beside --scenes; without that, test '
             'scenes are composed from test digits')
    options.require(self.channels != 2, '--channels', self.channels, '1 or 3')
    options.require(self.object_size < self.canvas_size, '--object_size',
             self.object_size, 'fewer pixels than --canvas_size='
             f'{self.canvas_size}, the side of the images')
    self._check_particles()

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
    return math.log(self.object_scale / (1. - self.object_scale))

  @property
  def particles(self) -> int:
    """K: `num_particles`, with 0 resolved for the estimator."""
    return self.num_particles or ESTIMATORS[self.estimator].usual_particles

  def _shape(self, side: int) -> tuple[int, ...]:
    return (side, side) if self.channels == 1 else (side, side, self.channels)

  def _check_particles(self) -> None:
    flag, estimator = '--num_particles', f'--estimator={self.estimator}'
    require = lambda condition, expected: options.require(
        condition, flag, self.num_particles, expected)
    spec = ESTIMATORS[self.estimator]
    with_bound = [name for name, x in ESTIMATORS.items() if x.has_bound]
    require(spec.has_bound or self.num_particles <= 1,
            f'1, because {estimator} has no importance-weighted bound; those '
            f"that have one are {', '.join(with_bound)}")
    require(self.particles >= spec.fewest_particles,
            f'at least {spec.fewest_particles} for {estimator}')
    if self.estimator == 'marginal':
      ways = (self.max_steps + 1)**self.particles
      require(self.particles == 1 or ways <= _MAX_WAYS,
              f'fewer: {estimator} sums over all (T + 1)^K counts of K '
              f'particles, at most {_MAX_WAYS:,}; vimco samples them')


@functools.cache  # One line for each name.
def current_name(name: str) -> str:
  """Returns what a field is called now; says so if `name` is an old name."""
  if name in RENAMED:
    logging.warning('--%s is now called --%s.', name, RENAMED[name])
  return RENAMED.get(name, name)

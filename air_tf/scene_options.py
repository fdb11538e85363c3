"""Options about scenes: composed, or from the pictures that people have.

They are the first fields of `config.Config`, which see for "blog" and "paper".
"""

import dataclasses
import functools

from air_tf import digit_sources
from air_tf import options

__all__ = ['BACKDROPS', 'CONTRASTS', 'ON_ERROR', 'MEASURED_RANGES',
           'RANGES',
           'SceneOptions']

BACKDROPS = ('black', 'noise', 'grid', 'texture', 'clutter', 'grey',
             'colour')
CONTRASTS = ('none', 'stretch', 'local')
ON_ERROR = ('stop', 'skip')
MEASURED_RANGES = ('auto', 'objects')
RANGES = (*MEASURED_RANGES, 'dtype')
_LARGEST = 1e30  # As of all numbers in options.

_option = options.option
_iterations = functools.partial(_option, lower=0, upper=2**31 - 1)


@dataclasses.dataclass(frozen=True)
class SceneOptions:
  """What a run is trained and tested on."""
  digits: str = _option(
      'embedded', f'Where digits come from: {digit_sources.help_text()}.',
      path=True)
  scenes: str = _option(
      '', 'A scene file (.npz; see data/README.md), a published set '
      '(.tfrecords, .h5) or a folder of pictures to train on instead of scenes '
      'composed from digits. Pictures are fitted into '
      '--canvas_size.', path=True)
  test_scenes: str = _option(
      '', 'A scene file or a folder to evaluate on. Without it, a tenth '
      'of --scenes is held out.', path=True)
  crop: int = _option(
      0, 'Side in pixels of random crops of the pictures in --scenes, which '
      'may have any size and shape; 0 takes pictures whole.', lower=0,
      upper=1024, before=0)
  augment: bool = _option(
      False, 'With --crop: mirror crops and turn them by quarters at random, '
      'for pictures without an upright.', before=False)
  max_objects: int = _option(
      0, 'Of a published set in --scenes (TFRecords or HDF5), scenes of more '
      'objects are left out (CLEVR6: 6); 0 keeps all.', lower=0, upper=255,
      before=0)
  canvas_size: int = _option(
      50, 'Side of the square images in pixels (blog: 50). A scene file has '
      'its own size.', lower=8, upper=1024)
  channels: int = _option(
      1, 'Channels per pixel, 1 (grey) or 3 (RGB). Training ignores this and '
      'takes the number from the scenes.', lower=1, upper=3, before=1)
  counts: tuple[int, ...] = _option(
      (0, 1, 2), 'Numbers of digits that a scene may hold, equally likely '
      '(blog and paper: 0,1,2).', lower=0, upper=10_000)
  digit_scale: tuple[float, ...] = _option(
      (1., 1.), 'Smallest and largest size of a digit, as a fraction of the '
      '28-pixel MNIST frame.', lower=.1, upper=4.)
  overlap: bool = _option(
      False, 'Whether digits may overlap; if not, their boxes are disjoint.')
  backdrop: str = _option(
      'black', 'What is behind the digits: nothing, noise in each pixel, a '
      'grid of lines, a cloudy texture, a clutter of pieces of digits; one '
      'grey, or one colour, for each scene.',
      choices=BACKDROPS, before='black')
  backdrop_level: float = _option(
      .4, 'Largest value of a backdrop pixel, where 1 is white. The default is '
      'well below the digits, so that they stand out to the eye.',
      lower=0., upper=1., before=.4)
  num_train_scenes: int = _option(
      20_000, 'Training scenes composed at a time: about as many as '
      '--refresh_every iterations sample (blog: 60,000, once).', lower=1)
  refresh_every: int = _iterations(
      250, 'Iterations after which all training scenes are composed anew, so '
      'that the model cannot overfit to them, which costs 3 % of the time; '
      '0 trains on one fixed set (blog).')
  num_test_scenes: int = _option(
      5_000, 'Scenes to evaluate on: at an accuracy of 99 %, the standard '
      'error is .14 points.', lower=1)
  cache_dir: str = _option(
      'data/generated', 'Where composed scenes are kept.', path=True)

  # --- Pictures and arrays that people have -----------------------------------
  range: str = _option(
      'auto', "Values in --scenes that become black and white: 'LOW,HIGH'; "
      "'dtype', all that the type of the files can hold; 'auto', measured over "
      "all images, for 16-bit files and floats use little of their range; "
      "'objects', so that typical objects are a fifth as bright as white, for "
      'a few may be far brighter than the others. A run keeps what was '
      'measured, and reads other pictures alike.',
      before='dtype')
  invert: bool = _option(
      False, 'Whether objects are darker than the ground: black and white '
      'change places. Transparent parts of pictures are ground either way.',
      before=False)
  contrast: str = _option(
      'none', "Further change of each picture: 'stretch', from its own darkest "
      "to its brightest values; 'local', differences from the surroundings in "
      'units of their standard deviation, for uneven light.',
      choices=CONTRASTS, before='none')
  on_error: str = _option(
      'stop', 'What to do at a picture that cannot be read: stop with its '
      'name, or skip it and list it at the end.', choices=ON_ERROR,
      before='stop')

  @property
  def range_limits(self) -> tuple[float, float] | None:
    """`(low, high)` of --range=LOW,HIGH; None if it names a rule.

    Raises:
      errors.UserError: if it is neither.
    """
    if self.range in RANGES:
      return None
    try:
      low, high = map(float, self.range.split(','))
    except ValueError:
      low = high = 0.
    options.require(-_LARGEST <= low < high <= _LARGEST, '--range', self.range,
                    f"{' or '.join(RANGES)}, or two numbers, the smaller "
                    'first, for example --range=0,4095')
    return low, high

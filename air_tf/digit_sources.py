"""The sources of digits, by name and by path, without importing them.

A further one is a function in a module of `air_tf/data/` that returns
`digits.Digits`, and an entry here. Help and error texts are made from these.
"""

from typing import NamedTuple

__all__ = ['BY_NAME', 'BY_PATH', 'DigitSource', 'expected', 'help_text']


class DigitSource(NamedTuple):
  """What is known of a source of digits."""
  path: str  # 'module.function' in `air_tf.data`.
  text: str  # What it is, for help and errors.
  files: tuple[str, ...] = ()  # Patterns of its name, or of names in a folder.
  composer: str = 'scenes.compose'  # 'module.function', makes scenes of it.
  are_digits: bool = True  # Or may be, as far as the source itself says.


# Called without arguments.
BY_NAME = {
    'embedded': DigitSource(
        'embedded.load', 'handwriting that ships with scikit-learn'),
    'mnist': DigitSource('mnist.download', 'downloaded once by keras.datasets'),
    'sprites': DigitSource(
        'sprites.load', 'coloured shapes', are_digits=False),
    'blobs': DigitSource(
        'blobs.load', 'spots of light as under a microscope',
        composer='micrographs.compose', are_digits=False),
    'dsprites_like': DigitSource(
        'dsprites_like.load', 'squares, ellipses and hearts in colour, one in '
        'front of the other with --overlap; like Multi-dSprites',
        composer='dsprites_like.compose', are_digits=False),
    'tetrominoes_like': DigitSource(
        'tetrominoes_like.load', 'four squares side by side, in six colours; '
        'like Tetrominoes', composer='tetrominoes_like.compose',
        are_digits=False),
}
# Called with the path; the first whose patterns match is taken.
BY_PATH = (
    DigitSource('mnist.load_npz', 'an `mnist.npz` in the Keras layout',
                ('*.npz',)),
    DigitSource('mnist.load_idx', "a folder with MNIST's four IDX files",
                ('*-ubyte', '*-ubyte.gz', 'raw', '*/raw')),
    DigitSource('omniglot.load', "a folder with Omniglot's two zip files",
                ('*.zip',)),
)


def expected() -> str:
  """Returns all names and kinds of paths, for the text of an error."""
  *names, last = [*map(repr, BY_NAME), *(x.text for x in BY_PATH)]
  return f"{', '.join(names)}, or {last}"


def help_text() -> str:
  """Returns the same with explanations, for `--help`."""
  names = ', '.join(f'{name!r} ({x.text})' for name, x in BY_NAME.items())
  return f"{names}, or a path: {', or '.join(x.text for x in BY_PATH)}"

"""Files of TensorBoard's embedding projector: codes with their pictures.

They stand where TensorBoard keeps files of its plugins, beside the events of
the held-out scenes:

    codes.tsv               a code per line
    metadata.tsv            what is known of each
    sprites.png             their pictures, in a square grid
    projector_config.pbtxt  which files belong together
"""

from collections.abc import Mapping
import math
import pathlib

from google.protobuf import text_format
import numpy as np
from tensorboard.plugins import projector
from tensorboard.plugins.projector import metadata

from air_tf import files

__all__ = ['FOLDER', 'MAX_CODES', 'write']

# In the folder of a run.
FOLDER = pathlib.Path('test', metadata.PLUGINS_DIR, metadata.PLUGIN_ASSETS_NAME)
MAX_CODES = 1_000  # As many as a browser projects by t-SNE while one looks.
_MAX_SIDE = 8_192  # Pixels of a sprite sheet: as far as WebGL goes everywhere.


def write(logdir: pathlib.Path, name: str, codes: np.ndarray,
          pictures: np.ndarray, columns: Mapping[str, np.ndarray]) -> None:
  """Writes the files of one set of codes, or replaces them.

  Args:
    logdir: folder of the run.
    name: of the codes.
    codes: `[K, Z]`, at most 1,000 of them; with none, nothing is written.
    pictures: `[K, h, w]`, 0 ... 1, or with a last axis of 3 channels.
    columns: by heading, `[K]` each.

  Raises:
    errors.UserError: if they cannot be written.
    errors.DiskFull: if there is no room.
  """
  if not len(codes):
    return
  folder = logdir / FOLDER
  sheet, height, width = _sheet(pictures)
  files.write_text(folder / 'codes.tsv', ''.join(
      '\t'.join(f'{x:.6g}' for x in code) + '\n' for code in codes))
  files.write_text(folder / 'metadata.tsv', _table(columns))
  files.write_png(folder / 'sprites.png', sheet)
  # Last: it names the others.
  files.write_text(folder / metadata.PROJECTOR_FILENAME,
                   text_format.MessageToString(projector.ProjectorConfig(
                       embeddings=[projector.EmbeddingInfo(
                           tensor_name=name, tensor_path='codes.tsv',
                           tensor_shape=codes.shape,
                           metadata_path='metadata.tsv',
                           sprite=projector.SpriteMetadata(
                               image_path='sprites.png',
                               single_image_dim=[width, height]))])))


def _sheet(pictures: np.ndarray) -> tuple[np.ndarray, int, int]:
  """Returns pictures in rows, uint8, and height and width of each."""
  side = math.ceil(math.sqrt(len(pictures)))
  stride = -(-max(pictures.shape[1:3]) * side // _MAX_SIDE)
  pictures = pictures[:, ::stride, ::stride]
  pictures = np.round(255. * np.clip(pictures, 0., 1.)).astype(np.uint8)
  count, height, width, *channels = pictures.shape
  cells = np.zeros([side * side, height, width, *channels], np.uint8)
  cells[:count] = pictures
  rows = cells.reshape([side, side, height, width, *channels]).swapaxes(1, 2)
  return rows.reshape([side * height, side * width, *channels]), height, width


def _table(columns: Mapping[str, np.ndarray]) -> str:
  """Returns tab-separated lines; a single column has no heading there."""
  lines = [*zip(*columns.values(), strict=True)]
  if len(columns) > 1:
    lines.insert(0, tuple(columns))
  return ''.join('\t'.join(map(str, line)) + '\n' for line in lines)

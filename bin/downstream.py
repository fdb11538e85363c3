"""Compares AIR's objects with other inputs of a classifier of scenes.

    python bin/downstream.py --logdir=runs/multi_mnist
    python bin/downstream.py --logdir=runs/a,runs/b,runs/c --inputs=pixels

On new scenes of two digits, classifiers learn the digits' sum, and whether they
ascend from left to right, from few labels and from many: one of AIR's objects
(`objects`; `refined`: each explained again, alone), and one of whole scenes,
from AIR's latents (`latents`), `pixels`, the codes of a variational autoencoder
(`vae`), or of a convolutional one (`autoencoder`). A figure is left in
`figures` in the run folder and in TensorBoard, or in --out. A table for
reading, then, as the last line on standard output, the result as JSON.
"""

from absl import flags

from air_tf import cli
from air_tf import errors
from air_tf import paths

_LOGDIR = flags.DEFINE_list(
    'logdir', None, 'Folders of runs on digits, with commas between them; of '
    'several, the table has the median and the range.', required=True)
_INPUTS = flags.DEFINE_list(
    'inputs', ['refined', 'objects', 'latents', 'pixels', 'vae', 'autoencoder'],
    'What the classifiers learn from; the last two take minutes to train.')
_LABELS = flags.DEFINE_list(
    'labels', ['100', '300', '1000', '3000', '10000'],
    'Numbers of labelled scenes to learn from.')
_NUM_TEST_SCENES = flags.DEFINE_integer(
    'num_test_scenes', 5_000, 'Scenes to score on.', lower_bound=1)
_OUT = cli.define_path(
    'out', None, 'Folder for the figure; `figures` in the first run folder if '
    'left out.')


def main(arguments: list[str]) -> dict:
  """Runs both tasks."""
  cli.no_arguments(arguments)
  logdirs = [paths.given('--logdir', path) for path in _LOGDIR.value]
  if not logdirs:
    raise errors.UserError(
        '--logdir=: expected folders of runs, with commas between them.')
  if _OUT.value:
    paths.check_folder('--out', _OUT.value)
  labels = _LABELS.value
  if (not labels or not all(text.isdecimal() and int(text) >= 50
                            for text in labels)
      or len(set(map(int, labels))) < len(labels)):
    raise errors.UserError(
        f"--labels={','.join(labels)}: expected different whole numbers of at "
        'least 50, with commas between them.')
  cli.import_tensorflow()
  from air_tf.studies import downstream
  result = downstream.run(logdirs, sorted(map(int, labels)),
                          _NUM_TEST_SCENES.value, _INPUTS.value, _OUT.value)
  print(downstream.table(result))
  return result


if __name__ == '__main__':
  cli.run(main)

"""Compares AIR's latents with pixels as inputs of a classifier.

    python bin/downstream.py --logdir=runs/multi_mnist

On new scenes of two digits, classifiers learn the digits' sum, and whether they
ascend from left to right, from few labels and from many: one of AIR's objects,
and one of whole scenes, from AIR's latents or from pixels. A figure is left in
`figures` in the run folder and in TensorBoard, or in --out. The last line on
standard output is the result, as JSON.
"""

from absl import flags

from air_tf import cli
from air_tf import errors
from air_tf import paths

_LOGDIR = cli.define_path(
    'logdir', None, 'Folder of a run on digits.', required=True)
_LABELS = flags.DEFINE_list(
    'labels', ['100', '300', '1000', '3000', '10000'],
    'Numbers of labelled scenes to learn from.')
_NUM_TEST_SCENES = flags.DEFINE_integer(
    'num_test_scenes', 5_000, 'Scenes to score on.', lower_bound=1)
_OUT = cli.define_path(
    'out', None, 'Folder for the figure; `figures` in the run folder if left '
    'out.')


def main(arguments: list[str]) -> dict:
  """Runs both tasks."""
  cli.no_arguments(arguments)
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
  return downstream.run(_LOGDIR.value, sorted(map(int, labels)),
                        _NUM_TEST_SCENES.value, _OUT.value)


if __name__ == '__main__':
  cli.run(main)

"""Makes the pictures of a run from its newest checkpoint.

    python bin/figures.py --logdir=runs/quickstart [--out=FOLDER]

Progress, localisation policy, a film strip of one image, samples from the
prior, traversals of appearance codes, the worst errors, counting accuracy and
the ELBO's terms over training: as PNG files in `figures` in the run folder, and
in TensorBoard under `figures/`; or in --out alone, and nothing is written into
the run. The last line on standard output is the result, as JSON.
"""


from air_tf import cli
from air_tf import paths

_LOGDIR = cli.define_path(
    'logdir', None, 'Folder of the run.', required=True)
_OUT = cli.define_path(
    'out', None, 'Folder for the files; `figures` in the run folder if left '
    'out.')


def main(arguments: list[str]) -> dict:
  """Restores the run and draws."""
  cli.no_arguments(arguments)
  if _OUT.value:
    paths.check_folder('--out', _OUT.value)
  cli.import_tensorflow()
  from air_tf.studies import run_figures
  return run_figures.make(_LOGDIR.value, _OUT.value)


if __name__ == '__main__':
  cli.run(main)

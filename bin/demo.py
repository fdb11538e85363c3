"""Opens a page to play with: draw, drop a picture, see it explained.

    python bin/demo.py
    python bin/demo.py --models=runs/mine/saved_model

Needs `pip install -r requirements-demo.txt`. The page is on this machine only,
unless --host says otherwise; Ctrl-C ends it.
"""

from absl import flags

from air_tf import cli
from air_tf import errors
from air_tf import progress

_MODELS = flags.DEFINE_list(
    'models', [], 'Names in models/, or folders of SavedModels, with commas '
    'between them; all of models/ if left out.')
_HOST = flags.DEFINE_string(
    'host', '127.0.0.1', 'Address to listen on. 0.0.0.0 lets other machines '
    'in; there is no password.')
_PORT = flags.DEFINE_integer(
    'port', 7860, 'Port to listen on.', lower_bound=1, upper_bound=65_535)


def main(arguments: list[str]) -> None:
  """Loads the models and serves the page until it is stopped."""
  cli.no_arguments(arguments)
  try:
    import starlette  # noqa: F401
    import uvicorn
  except ImportError as error:
    raise errors.UserError(
        f'{error.name} is not installed; expected the packages of the page. '
        'Run `pip install -r requirements-demo.txt`.') from error
  cli.import_tensorflow()
  from air_tf import run as run_lib
  from air_tf.demo import answers
  from air_tf.demo import app
  from air_tf.serving import released
  names = _MODELS.value or released.names()
  if not names:
    raise errors.UserError('found no model in models/; expected --models=PATH.')
  models = []
  for name in progress.track(names, 'loading'):
    models.append(answers.Answers(
        name, run_lib.LoadedModel(name)))
  progress.status(f'Open http://{_HOST.value}:{_PORT.value} in a browser; '
                  'Ctrl-C ends this.')
  uvicorn.run(app.make(models), host=_HOST.value, port=_PORT.value,
              log_level='warning', limit_concurrency=32,
              timeout_graceful_shutdown=2)


if __name__ == '__main__':
  cli.run(main)

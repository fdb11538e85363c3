"""Opens a page to play with: draw, drop a picture, see it explained.

    python bin/demo.py
    python bin/demo.py --models=runs/mine/saved_model

Needs `pip install -r requirements-demo.txt`. The page is on this machine only,
unless --host says otherwise; Ctrl-C ends it.
"""

import contextlib
import socket

from absl import flags

from air_tf import cli
from air_tf import errors
from air_tf import paths
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
  chosen = _chosen()
  with _listener() as listener:  # Before the models, which take seconds.
    app = _app(chosen)
    host = f'[{_HOST.value}]' if ':' in _HOST.value else _HOST.value
    progress.status(
        f'Open http://{host}:{_PORT.value} in a browser; Ctrl-C ends this.')
    with contextlib.suppress(KeyboardInterrupt):  # The usual end.
      uvicorn.Server(uvicorn.Config(
          app, log_level='warning', limit_concurrency=32,
          timeout_graceful_shutdown=2)).run([listener])


def _chosen() -> list[str]:
  """Returns what --models names; empty for all that are there."""
  names = [paths.given('--models', name) for name in _MODELS.value]
  if len(set(names)) < len(names):
    raise errors.UserError(
        f"--models={','.join(names)}: expected each model once.")
  return names


def _listener() -> socket.socket:
  """Listens at --host and --port, or raises `UserError`."""
  host, port = _HOST.value, _PORT.value
  if not host.strip():
    raise errors.UserError(
        '--host: found nothing; expected an address, as 127.0.0.1 for this '
        'machine only.')
  try:
    kind, *_, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM)[0]
    return socket.create_server(address[:2], family=kind)
  except (OSError, UnicodeError) as error:
    reason = getattr(error, 'strerror', None) or errors.one_line(error)
    reason = reason.partition(' (while')[0]
    raise errors.UserError(
        f'--host={host} --port={port}: cannot be listened on ({reason}); '
        'expected an address of this machine and a port that is free. Give '
        'another --port.') from error


def _app(names: list[str]):
  """Loads the models; returns the page that shows them."""
  cli.import_tensorflow()
  from air_tf import run as run_lib
  from air_tf.demo import answers
  from air_tf.demo import app
  from air_tf.serving import released
  names = names or released.names()
  if not names:
    raise errors.UserError('found no model in models/; expected --models=PATH.')
  return app.make([answers.Answers(name, run_lib.LoadedModel(name))
                   for name in progress.track(names, 'loading')])


if __name__ == '__main__':
  cli.run(main)

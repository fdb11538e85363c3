"""The server of the page: Starlette routes around `answers.Answers`."""

from collections.abc import Callable
from collections.abc import Sequence
import json
import pathlib
import threading

from starlette import applications
from starlette import concurrency
from starlette import requests
from starlette import responses
from starlette import routing

from air_tf import errors
from air_tf.demo import answers as answers_lib

__all__ = ['MAX_BYTES', 'make']

MAX_BYTES = 8 << 20  # Of a request.
_FOLDER = pathlib.Path(__file__).parent
_PAGES = {'/': ('page.html', 'text/html'),
          '/page.css': ('page.css', 'text/css'),
          '/page.js': ('page.js', 'text/javascript')}
# Nothing is fetched from elsewhere, and no other site may show the page.
_HEADERS = {'Content-Security-Policy': (
    "default-src 'self'; img-src 'self' data:; frame-ancestors 'self'"),
            'Cache-Control': 'no-store'}


def make(models: Sequence[answers_lib.Answers]) -> applications.Starlette:
  """Returns the application.

  Args:
    models: those to choose from; the first is shown first.

  A request that cannot be answered gets status 400 and one sentence as JSON,
  `{"error": ...}`; one that is too large gets status 413.
  """
  by_name = {model.name: model for model in models}
  asking = threading.Lock()  # One question at a time: two cores, one model.

  def answer(question: Callable[[answers_lib.Answers, bytes, dict], dict]):
    async def endpoint(request: requests.Request) -> responses.Response:
      model = by_name.get(request.query_params.get('model', models[0].name))
      if model is None:
        return _error(f'found no such model; expected {", ".join(by_name)}.')
      body = await _body(request)
      if body is None:
        return _error(f'found more than {MAX_BYTES >> 20} MiB; expected a '
                      'smaller picture.', 413)
      def ask():
        with asking:
          return question(model, body, dict(request.query_params))
      try:
        return responses.JSONResponse(
            await concurrency.run_in_threadpool(ask), headers=_HEADERS)
      except errors.UserError as error:
        return _error(str(error))
    return endpoint

  async def describe(request: requests.Request) -> responses.Response:
    return responses.JSONResponse(
        [model.describe() for model in models], headers=_HEADERS)

  return applications.Starlette(routes=[
      *(routing.Route(path, _page(*page)) for path, page in _PAGES.items()),
      routing.Route('/models', describe),
      *(routing.Route(path, answer(question), methods=[method])
        for path, method, question in (
            ('/explain', 'POST', lambda model, body, _: model.explain(body)),
            ('/decode', 'POST', lambda model, body, _: model.decode(
                **_objects(body))),
            ('/scene', 'GET', lambda model, _, query: model.scene(
                _number(query, 'number'))),
            ('/sample', 'GET', lambda model, _, query: model.sample(
                _number(query, 'num_steps')))))])


def _page(name: str, kind: str):
  async def endpoint(request: requests.Request) -> responses.Response:
    return responses.FileResponse(
        _FOLDER / name, media_type=kind, headers=_HEADERS)
  return endpoint


async def _body(request: requests.Request) -> bytes | None:
  """Returns the body, None as soon as it is too large."""
  parts, size = [], 0
  async for part in request.stream():
    size += len(part)
    if size > MAX_BYTES:
      return None
    parts.append(part)
  return b''.join(parts)


def _objects(body: bytes) -> dict:
  try:
    sent = json.loads(body)
    return {'what': list(sent['what']), 'where': list(sent['where'])}
  except (ValueError, TypeError, KeyError, RecursionError) as error:
    raise errors.UserError(
        'expected JSON with `what` and `where`, a row for each object.'
        ) from error


def _number(query: dict, name: str) -> int:
  try:
    return int(query.get(name, ''))
  except ValueError as error:
    raise errors.UserError(f'{name}: expected a whole number.') from error


def _error(text: str, status: int = 400) -> responses.Response:
  return responses.JSONResponse(
      {'error': text[:1].upper() + text[1:]}, status, _HEADERS)

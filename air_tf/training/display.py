"""What a terminal shows of a training run."""

import types

from air_tf import config as config_lib
from air_tf import progress

__all__ = ['Display', 'scores']


def scores(line: dict) -> str:
  """Returns the main numbers of a held-out evaluation, a line of metrics."""
  accuracy = line.get('count_accuracy')
  count = (f"{line['expected_num_steps']:.1f} objects per image"
           if accuracy is None else f'count accuracy {100 * accuracy:.2f} %')
  return f"held-out ELBO {line['elbo']:.1f}, {count}"


class Display:
  """A bar over the iterations, and a line for each evaluation.

  To be used in a `with` statement.
  """

  def __init__(self, config: config_lib.Config, iteration: int):
    """Says that the training step is compiled, which comes first.

    Args:
      config: the run.
      iteration: at which it starts or resumes.
    """
    self._iteration, self._accuracy = iteration, None
    self._compiling, self._evaluated, self._left = True, False, ''
    if iteration >= config.num_iterations:
      self._bar = progress.Bar(
          config.num_iterations, 'trained', iteration, lines=False)
      return
    # Two cores; the search and the difference input double the graph.
    seconds = 20 if config.difference and config.jit_compile else 10
    self._bar = progress.Bar(
        config.num_iterations, f'compiling (about {seconds} s)', iteration,
        lines=False)
    if not self._bar.shown:
      progress.status(f'Compiling (about {seconds} s).')

  def advanced(self, iteration: int, elbo: float) -> None:
    """Moves the bar; `elbo` is a mean over the iterations done, nats."""
    text = f'ELBO {elbo:.1f}'
    if self._accuracy is not None:
      text += f', accuracy {100 * self._accuracy:.2f} %'
    self._bar.describe('training')
    self._bar.update(iteration - self._iteration, text)
    self._iteration = iteration
    if self._compiling:  # What comes now is faster.
      self._compiling = False
      self._bar.start_clock()

  def evaluating(self) -> None:
    """Says so."""
    self._left = self._bar.time_left()
    self._bar.describe('evaluating')

  def evaluated(self, line: dict) -> None:
    """Writes a line; `line` is that of the metrics, held-out."""
    if not self._evaluated:  # The first one was compiled, too.
      self._evaluated = True
      self._bar.start_clock()
    self._accuracy = line.get('count_accuracy')
    progress.status(
        f"Iteration {line['step']:,}: {scores(line)}; "
        f"{progress.duration(line['seconds'])}"
        + (f', {self._left}' if self._left else '') + '.')
    self._bar.describe('training')

  def __enter__(self) -> 'Display':
    """Returns itself."""
    return self

  def __exit__(self, kind: type[BaseException] | None,
               error: BaseException | None,
               traceback: types.TracebackType | None) -> None:
    """Leaves the bar as it is; lines may follow."""
    self._bar.close()

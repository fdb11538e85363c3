"""Tables in Markdown."""

from collections.abc import Iterable
from collections.abc import Sequence

__all__ = ['table']


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
  """Returns a Markdown table, with a newline at its end.

  Args:
    header: names of the columns.
    rows: one cell per column each.

  Raises:
    ValueError: if a row has another number of cells than the header.
  """
  lines = []
  for cells in (header, *rows):
    if len(cells) != len(header):
      raise ValueError(
          f'`rows`: expected {len(header)} cells as in {list(header)}, but '
          f'found {list(cells)}.')
    lines.append(f"| {' | '.join(cells)} |\n")
  lines.insert(1, '|---' * len(header) + '|\n')
  return ''.join(lines)

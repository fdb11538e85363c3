"""Public functions say the types of all their arguments.

Ruff checks what they return; it cannot leave private functions out of its rule
for arguments, ANN001.
"""

import ast
import pathlib

import pytest

PACKAGE = pathlib.Path(__file__).parent.parent / 'air_tf'


def bare_arguments(tree, prefix=''):
  """Yields `function.argument` of those without a type."""
  for node in tree.body:
    if isinstance(node, ast.ClassDef) and not node.name.startswith('_'):
      yield from bare_arguments(node, f'{node.name}.')
    public = isinstance(node, ast.FunctionDef) and (
        not node.name.startswith('_') or node.name.startswith('__'))
    if public:
      arguments = node.args
      for x in arguments.posonlyargs + arguments.args + arguments.kwonlyargs:
        if x.annotation is None and x.arg not in ('self', 'cls'):
          yield f'{prefix}{node.name}.{x.arg}'


@pytest.mark.parametrize('path', sorted(PACKAGE.rglob('*.py')), ids=str)
def test_arguments_have_types(path):
  assert list(bare_arguments(ast.parse(path.read_text()))) == []


def test_one_without_a_type_is_found():
  tree = ast.parse('class A:\n  def f(self, x: int, y): ...\n'
                   'def _g(z): ...\n')
  assert list(bare_arguments(tree)) == ['A.f.y']

import pytest

from air_tf.studies import markdown


def test_table_has_a_header_a_rule_and_one_line_per_row():
  assert markdown.table(['name', 'ms'], [['a', '1'], ['b', '2']]) == (
      '| name | ms |\n|---|---|\n| a | 1 |\n| b | 2 |\n')
  assert markdown.table(['name'], iter([])) == '| name |\n|---|\n'


def test_a_row_of_another_length_is_an_error():
  with pytest.raises(ValueError, match='expected 2 cells.*found'):
    markdown.table(['name', 'ms'], [['a']])

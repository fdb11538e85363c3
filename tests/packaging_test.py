"""What is installed, and the container of the page to play with."""

import json
import re
import runpy
import subprocess
import tomllib

from absl import flags
import docs_util
import pytest

ROOT = docs_util.ROOT
SPACE = ROOT / 'docs' / 'space'


def requirements(name):
  """Returns the lines of a requirements file, and of those that it names."""
  lines = []
  for line in (ROOT / name).read_text().splitlines():
    line = line.partition('#')[0].strip()
    lines += (requirements(line.split()[1]) if line.startswith('-r ')
              else [line] if line else [])
  return lines


def instructions():
  """Returns [(instruction, rest)] of the Dockerfile."""
  text = (SPACE / 'Dockerfile').read_text()
  text = re.sub(r'^#.*\n|\\\n', '', text, flags=re.M)
  return [tuple(line.split(maxsplit=1)) for line in text.splitlines() if line]


def test_versions_are_pinned_for_what_the_package_needs_and_no_more():
  project = tomllib.loads((ROOT / 'pyproject.toml').read_text())['project']
  *pins, package = requirements('requirements-run.txt')
  assert package == '-e .'
  assert [pin.partition('==')[0] for pin in pins] == project['dependencies']
  for line in {*requirements('requirements.txt')} - {'-e .'}:
    assert re.fullmatch(r'[\w-]+==[\d.]+', line), line


def test_one_file_installs_all():
  everything = requirements('requirements.txt')
  assert len(set(everything)) == len(everything)
  for file in ROOT.glob('requirements*.txt'):
    assert set(requirements(file.name)) <= set(everything)
  assert any(line.startswith('pytest==') for line in everything)


def test_the_container_holds_what_it_needs():
  copied = []
  for instruction, rest in instructions():
    if instruction == 'COPY':
      *sources, target = rest.split()
      # What is not in the repository is not in a clone, either.
      assert subprocess.run(['git', 'ls-files', '--error-unmatch', *sources],
                            cwd=ROOT, capture_output=True).returncode == 0, rest
      assert target == './' or [target] == sources
      copied += sources
    elif instruction == 'RUN' and 'pip install' in rest:
      named = re.findall(r'-r (\S+)', rest)
      assert set(named) == {'requirements-run.txt', 'requirements-demo.txt'}
      # `-e .` of the first builds the package.
      assert {*named, 'pyproject.toml', 'air_tf', 'README.md'} <= set(copied)
  assert {'bin', 'models'} <= set(copied)


def test_the_container_serves_the_page_where_a_space_expects_it():
  found = dict(instructions())
  python, script, *arguments = json.loads(found['CMD'])
  assert (python, script) == ('python', 'bin/demo.py')
  with docs_util.own_flags():
    runpy.run_path(str(ROOT / script), run_name='not main')
    assert flags.FLAGS['host'].default == '127.0.0.1'
    own = flags.FlagValues()
    for name in ('host', 'port', 'models'):
      own[name] = flags.FLAGS[name]
  assert own([script, *arguments]) == [script]
  assert own.host == '0.0.0.0'
  front = (SPACE / 'README.md').read_text().split('---\n')[1]
  values = dict(line.split(': ', 1) for line in front.splitlines())
  assert values['sdk'] == 'docker' and values['license'] == 'apache-2.0'
  assert len(values['short_description']) <= 60  # As Spaces allow.
  assert str(own.port) == values['app_port'] == found['EXPOSE']
  assert found['USER'] == '1000'
  assert any(instruction == 'RUN' and '--uid 1000 ' in rest
             for instruction, rest in instructions())


@pytest.mark.parametrize('page', [
    'docs/inference.md', 'docs/space/Dockerfile'])
def test_the_page_says_how_to_build_the_container(page):
  assert '-f docs/space/Dockerfile .' in (ROOT / page).read_text()

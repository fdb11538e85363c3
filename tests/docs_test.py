"""README and docs: their commands, links, file names and examples hold."""

import dataclasses
import itertools
import json
import re
import runpy
import textwrap

from absl import flags
import docs_util
import numpy as np
from PIL import Image
import pytest
import scripts
import tiny

from air_tf import cli
from air_tf import errors
from air_tf import flagfiles

ROOT, SCRIPTS = docs_util.ROOT, docs_util.SCRIPTS
GUIDES = [ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md')),
          ROOT / 'data' / 'README.md', ROOT / 'models' / 'README.md']
PAGES = [*GUIDES, ROOT / 'BUILD_NOTES.md', ROOT / 'tests' / 'README.md',
         ROOT / 'docs' / 'images' / 'README.md',
         ROOT / 'docs' / 'reports' / 'README.md']

name_of = lambda path: str(path.relative_to(ROOT))
each_guide = pytest.mark.parametrize('page', GUIDES, ids=name_of)
each_page = pytest.mark.parametrize('page', PAGES, ids=name_of)


# --- What a page holds --------------------------------------------------------
def commands(text):
  """Yields (script, arguments) of each `python bin/...` in a page."""
  text = re.sub(r'\\\n\s*', ' ', text)
  for script, rest in re.findall(
      r'python ((?:bin|data)/\w+\.py)((?: +[^\s|;&>`]+)*)', text):
    yield script, [argument.replace('SEED', '0')
                   for argument in rest.split() if argument != '...']


def code_spans(text):
  """Returns all that is set as code: fences, indented blocks, `spans`."""
  fences = re.findall(r'^```.*?^```', text, re.M | re.S)
  text = re.sub(r'^```.*?^```', '', text, flags=re.M | re.S)
  indented = re.findall(r'^    .*', text, re.M)
  return [*fences, *indented, *re.findall(r'`([^`]+)`', text)]


def python_blocks(text):
  return re.findall(r'^```python\n(.*?)^```', text, re.M | re.S)


def anchors(text):
  """Returns the anchors that GitHub gives to the headings of a page."""
  text = re.sub(r'^```.*?^```', '', text, flags=re.M | re.S)
  found, seen = set(), {}
  for heading in re.findall(r'^#+ (.*)', text, re.M):
    slug = re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-')
    repeat = seen[slug] = seen.get(slug, -1) + 1
    found.add(f'{slug}-{repeat}' if repeat else slug)
  return found


def dead_links(page, text):
  """Returns the relative links of a page that lead nowhere."""
  prose = re.sub(r'^```.*?^```', '', text, flags=re.M | re.S)
  prose = re.sub(r'^    .*|`[^`]*`', '', prose, flags=re.M)
  dead = []
  for link in re.findall(r'\]\(([^)\s]+)\)', prose):
    if re.match(r'https?://', link):
      continue
    path, _, anchor = link.partition('#')
    target = page.parent / path if path else page
    if not target.exists() or (anchor and anchor not in anchors(
        text if target == page else target.read_text())):
      dead.append(link)
  return dead


# --- Flags --------------------------------------------------------------------
@pytest.fixture(scope='module')
def definitions():
  """The flags of each script, as it defines them."""
  found = {}
  for script in SCRIPTS:
    found[name_of(script)] = own = flags.FlagValues()
    with docs_util.own_flags() as take:
      runpy.run_path(str(script), run_name='not main')
      for name, flag in take().items():
        own[name] = flag
  return found


@pytest.fixture
def parse(definitions, monkeypatch):
  """Returns a function that parses a command as its script would."""
  monkeypatch.chdir(ROOT)  # Flagfiles are named from there.

  def parse_by(script, arguments, known_only=False):
    own = definitions[script]
    for name in own:
      own[name].unparse()
    arguments = [x for x in arguments if x != '--help']  # absl's own.
    left = own([script, *flagfiles.expand(arguments)], known_only=known_only)
    # Values that do not go together are refused, too, where they are used.
    if ('batch_size' in own and 'num_iterations' in own
        and script != 'data/make_scenes.py'):
      with monkeypatch.context() as patched:
        patched.setattr(flags, 'FLAGS', own)
        cli.config_from_flags()
    return left[1:]

  def parse(script, arguments):
    if 'parse=sweep_flags.parse_known' not in (ROOT / script).read_text():
      return parse_by(script, arguments)
    # A sweep hands flagfiles and what it does not know to bin/train.py.
    files = [x for x in arguments if x.startswith('--flagfile=')]
    own = [x for x in arguments if x not in files]
    common = parse_by(script, own, known_only=True)
    vary = ([text.partition('=')[::2] for text in
             definitions[script]['vary'].value or []]
            if 'vary' in definitions[script] else [])
    for file in files or ['']:
      for values in itertools.product(
          *([f'--{name}={value}' for value in values.split(',')]
            for name, values in vary)):
        assert not parse_by('bin/train.py', [
            *filter(None, [file]), *values, *common])
    return []

  return parse


@each_page
def test_commands_parse(page, parse):
  for script, arguments in commands(page.read_text()):
    try:
      left = parse(script, arguments)
    except (flags.Error, errors.UserError) as error:
      pytest.fail(f'{name_of(page)}: python {script} '
                  f"{' '.join(arguments)}: {error}")
    assert script == 'bin/infer.py' or not left


def test_there_are_commands():
  found = {script for page in GUIDES
           for script, _ in commands(page.read_text())}
  assert found == set(map(name_of, SCRIPTS))


@pytest.mark.parametrize('command', [
    'python bin/train.py --no_such_flag=1', 'python bin/train.py --max_steps=x',
    'python bin/train.py --flagfile=bin/flags/no_such.flags',
    'python bin/train.py --counts=0,9 --max_steps=3',
    'python bin/sweep.py --seeds=0:3 --no_such_flag=1',
    'python bin/sweep.py --flagfile=bin/flags/no_such.flags',
    'python bin/sweep.py --vary=estimator=marginal,no_such',
    'python bin/sweep.py --vary=no_such=1',
    'python bin/evaluate.py \\\n    --logdir=x --no_such_flag'])
def test_a_wrong_command_is_noticed(command, parse):
  (script, arguments), = commands(f'Prose.\n\n    {command} | tail -1\n')
  with pytest.raises((flags.Error, errors.UserError)):
    parse(script, arguments)


@each_page
def test_flags_that_are_mentioned_exist(page, definitions):
  known = {name for own in definitions.values() for name in own}
  known |= {f'no{name}' for name in known}
  known |= {'flagfile', 'help', 'verbosity'}
  known |= {'follow', 'xla_cpu_enable_fast_math'}  # Of git and of XLA.
  known |= {'no', 'rm'}  # Of pip, `--no-compile`, and of docker.
  known |= {'kills', 'minutes'}  # Of tests/kill_campaign.py.
  known |= {'clients', 'requests'}  # Of docs/serving/load.py.
  known |= {'workers'}  # Of docs/ray_data/count.py.
  text = page.read_text()  # But for the table of old names:
  text = re.sub(r'^\| old \| new \|\n(\|.*\n)*', '', text, flags=re.M)
  mentioned = set(re.findall(
      r'(?<![\w-])--(\w+)', '\n'.join(code_spans(text))))
  assert mentioned <= known


# --- Links, file names, length ------------------------------------------------
@each_page
def test_links_lead_somewhere(page):
  assert dead_links(page, page.read_text()) == []


def test_a_dead_link_is_noticed():
  page = ROOT / 'docs' / 'README.md'
  text = textwrap.dedent('''\
      ## A `heading`: it's here
      [a](model.md) [b](no_such.md) [c](#a-heading-its-here) [d](#nowhere)
      [e](model.md#the-elbo) [f](model.md#nowhere) `[g](code.md)`
      ![two
      lines](images/no_such.png) [h](https://example.org/no/such)
      ''')
  assert dead_links(page, text) == [
      'no_such.md', '#nowhere', 'model.md#nowhere', 'images/no_such.png']


@each_page
def test_files_that_are_mentioned_exist(page):
  mentioned = {
      name for span in code_spans(page.read_text()) for name in re.findall(
          r'(?<![\w/.])(?:air_tf|bin|data|docs|tests)/[\w/]*\.(?:py|md|flags)\b',
          span)}
  assert [name for name in sorted(mentioned)
          if not (ROOT / name).exists()] == []


def test_every_picture_is_shown():
  text = '\n'.join(page.read_text() for page in GUIDES)
  assert [path.name for path in (ROOT / 'docs' / 'images').iterdir()
          if f'images/{path.name}' not in text] == []


def test_every_flagfile_is_in_the_readme():
  text = (ROOT / 'README.md').read_text()
  assert [path.stem for path in (ROOT / 'bin' / 'flags').iterdir()
          if f'`{path.stem}`' not in text] == []


def test_readme_is_short():
  lines = (ROOT / 'README.md').read_text().splitlines()
  assert len(lines) <= 170
  assert [line for line in lines if len(line) > 100] == []


@each_page
def test_no_page_names_a_machine(page):
  assert not re.search(r'(?<![\w.])/(?:work|tmp|home|root)\b',
                       page.read_text())


# --- Examples that are run ----------------------------------------------------
@pytest.fixture(scope='module')
def place(tmp_path_factory):
  """A folder in which a tiny run has the names that the pages use."""
  folder = tmp_path_factory.mktemp('place')
  scripts.succeed('train.py', *tiny.run_flags(
      folder, 'runs/quickstart', num_iterations=4), before=scripts.EAGER)
  for name in 'multi_mnist', 'cells':
    (folder / 'runs' / name).symlink_to('quickstart')
  (folder / 'docs' / 'images').mkdir(parents=True)
  (folder / 'pictures').mkdir()
  example = Image.open(ROOT / 'docs' / 'images' / 'example.png')
  example.resize([40, 30]).save(folder / 'pictures' / 'large.png')
  example = example.resize([16, 16])
  for name in 'docs/images/example.png', 'a.png', 'b.png', 'picture.png':
    example.save(folder / name)
  np.savez(folder / 'scenes.npz', images=np.stack([example] * 3))
  return folder


# Scripts that take seconds on the tiny run, with what makes them small.
CHEAP = {'bin/evaluate.py': [], 'bin/export.py': [], 'bin/infer.py': [],
         'data/make_scenes.py': [
             '--digits=embedded', '--canvas_size=16', '--digit_scale=.3,.3',
             '--num_scenes=12']}


@pytest.mark.slow
@pytest.mark.parametrize('page', ['README.md', 'docs/inference.md'])
def test_cheap_commands_run(page, place):
  done = 0
  for script, arguments in commands((ROOT / page).read_text()):
    if script in CHEAP:
      ended = scripts.run(script, *arguments, *CHEAP[script],
                          before=scripts.EAGER
                          + f'import os; os.chdir({str(place)!r})')
      assert not ended.returncode, (script, arguments, ended.stderr)
      assert json.loads(ended.stdout.splitlines()[-1])
      done += 1
  assert done >= 2


# Made as small as the run: what would take minutes.
SMALLER = {"air_tf.Config(digits='embedded')": 'air_tf.Config(**SMALL)',
           'range(40)': 'range(2)', 'iterations=50': 'iterations=2'}
SERVER = 'urlopen('  # In an example that asks a server, which is not there.


@pytest.mark.slow
@each_guide
def test_python_examples_run(page, place, monkeypatch):
  monkeypatch.chdir(place)
  names = {'SMALL': dataclasses.asdict(
      tiny.config(cache_dir=str(place / 'cache')))}
  for block in python_blocks(page.read_text()):
    for text, smaller in SMALLER.items():
      block = block.replace(text, smaller)
    code = compile(block, name_of(page), 'exec')
    if SERVER not in block:
      with tiny.eagerly():  # As a reader goes on from one example to the next.
        exec(code, names)


def test_what_is_made_smaller_is_there():
  blocks = [block for page in GUIDES
            for block in python_blocks(page.read_text())]
  for text in [*SMALLER, SERVER]:
    assert any(text in block for block in blocks), text

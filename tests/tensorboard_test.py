"""What TensorBoard is given: texts, cards, variances, codes, sweeps."""

import json
import os
import pathlib

import disk_util
from google.protobuf import text_format
import numpy as np
from PIL import Image
import pytest
import run_util
from tensorboard import context as tensorboard_context
from tensorboard.backend.event_processing import data_provider
from tensorboard.backend.event_processing import plugin_event_multiplexer
from tensorboard.plugins import projector as plugin
from tensorboard.plugins.hparams import api_pb2
from tensorboard.plugins.hparams import backend_context
from tensorboard.plugins.hparams import list_session_groups
import tiny

from air_tf import errors
from air_tf import model as model_lib
from air_tf.data import scenes as scenes_lib
from air_tf.evaluation import codes
from air_tf.plotting import curves
from air_tf.plotting import scene_cards
from air_tf.studies import hparams
from air_tf.studies import sweep
from air_tf.training import cards
from air_tf.training import projector
from air_tf.training import summaries
from air_tf.training import variances

# --- Text on cards ------------------------------------------------------------


def test_a_description_has_unit_split_and_direction():
  text = cards.describe('evaluation/elbo', 'test')
  assert '**Unit:** nats per image' in text
  assert '**Split:** all held-out scenes' in text
  assert '**Direction:** higher is better' in text
  assert 'training scenes' in cards.describe('evaluation/elbo', 'train')
  assert 'being trained on' in cards.describe('training/elbo', 'train')
  assert 'hold 2' in cards.describe('evaluation/count_accuracy/2', 'test')
  assert 'hold' not in cards.describe('evaluation/count_accuracy', 'test')
  text = cards.describe('gradient_variance/where/hidden/w', 'train')
  assert '`hidden/w` of `where`' in text and 'lower is better' in text
  assert cards.describe('training/unheard_of', 'train') is None
  assert 'being trained on' in cards.describe_picture('variance')
  assert 'held-out' in cards.describe_picture('figures/elbo')


def test_only_the_first_event_has_the_description(tmp_path):
  writer = summaries.Writer(tmp_path)
  for i in range(3):
    writer.scalars('train', {'training/elbo': 1.}, i)
    writer.images('scenes', np.zeros([2, 3, 4, 3], np.uint8), i)
  writer.texts({'run/command': '    python'}, 3)
  writer.flush()
  found = run_util.events(tmp_path)
  first, *others = found['train', 'training/elbo']
  assert 'nats' in first.description
  assert [x.description for x in others] == ['', '']
  assert '✗' in found['test', 'scenes'][0].description
  command, = found['train', 'run/command']
  assert command.value == b'    python'


@pytest.mark.slow
def test_a_run_leaves_cards_that_say_what_they_show(finished):
  found = run_util.events(finished[0])
  scalars = {key: entries[0] for key, entries in found.items() if key[1].split(
      '/')[0] in ('training', 'evaluation', 'gradient_variance')}
  assert len(scalars) > 50
  assert not [key for key, first in scalars.items()
              if '**Direction:**' not in first.description]
  # There is no model of the background.
  assert not [tag for _, tag in found if 'kl_background' in tag]
  for split in 'train', 'test':
    assert (split, 'evaluation/kl_what') in found
  where = [tag for _, tag in found if tag.startswith('gradient_variance/where')]
  assert 'gradient_variance/where/where_estimator/hidden/linear_0/w' in where
  # Ten cards at a time: sizes, then pictures.
  assert [len(x.value) for x in found['test', 'scenes']] == [2 + 10] * 3
  assert ('test', 'variance') in found and ('test', 'progress') not in found


@pytest.mark.slow
def test_a_run_says_what_repeats_it(finished):
  folder = finished[0]
  found = run_util.events(folder)
  def text(tag):
    entry, = found['train', tag]
    return entry.value.item().decode()
  assert f'    python bin/train.py --flagfile={folder}/flags.txt' in text(
      'run/command')
  assert [line[4:] for line in text('run/flagfile').splitlines()] == (
      folder / 'flags.txt').read_text().splitlines()
  assert '"tensorflow": "2.' in text('run/versions')


# --- Pictures of scenes -------------------------------------------------------


def explanation(counts, num_steps):
  shape = len(counts), num_steps
  return dict(
      num_steps=np.array(counts), step_probs=np.full(shape, .25),
      tight_boxes=np.tile([4., 2., 8., 8.], [*shape, 1]),
      glimpses=np.full([*shape, 4, 4], .5),
      reconstruction=np.zeros([len(counts), 16, 16]))


def has(card, colour):
  """How many pixels have a colour, '#RRGGBB'."""
  expected = [int(colour[i:i + 2], 16) for i in (1, 3, 5)]
  return int((card == expected).all(-1).sum())


def test_cards_show_what_is_there_and_no_more():
  images = np.full([3, 16, 16], .2)
  found = scene_cards.scene_cards(
      images, explanation([0, 1, 2], num_steps=10), np.array([0, 2, 2]))
  few = scene_cards.scene_cards(images, explanation([0, 1, 2], num_steps=3))
  assert found.shape == few.shape == (3, 284, 330, 3)
  # Ten steps need no more room than three; five objects a second row.
  assert scene_cards.scene_cards(
      images, explanation([5, 5, 5], num_steps=10)).shape[1] == 378
  orange, blue, grey, red = '#E69F00', '#56B4E9', '#CCCCCC', '#C00000'
  assert [has(card, orange) > 100 for card in found] == [False, True, True]
  assert [has(card, blue) > 100 for card in found] == [False, False, True]
  assert all(has(card, grey) > 100 for card in found)  # The step not taken.
  assert [has(card, red) > 0 for card in found] == [False, True, False]
  # The input is on the left, 150 pixels wide, and the box where it belongs.
  assert (found[:, 40:170, 20:150] == 51).all()
  column = found[2, 30:180, 170 + 6 * 150 // 16]
  rows = np.flatnonzero((column != 0).any(-1))
  assert (rows.min(), rows.max()) == (4 * 150 // 16, 12 * 150 // 16)


def test_a_card_with_all_steps_taken_has_no_frame():
  found = scene_cards.scene_cards(
      np.zeros([1, 16, 16, 3]), explanation([2], 2) | dict(
          reconstruction=np.zeros([1, 16, 16, 3]),
          tight_boxes=np.tile([3., 3., 1e9, 0.], [1, 2, 1])))  # No box to draw.
  assert has(found[0], '#CCCCCC') < 60  # Edges of letters have it, too.


# --- Variances ----------------------------------------------------------------


def test_variances_of_earlier_sessions_are_remembered(tmp_path):
  writer = summaries.Writer(tmp_path)
  tags = {'gradient_variance/where': 4., 'gradient_variance/where/w': 5.,
          'training/learning_signal/variance': 6., 'training/elbo': 7.}
  for i in (10, 20, 30):
    writer.scalars('train', {k: v + i for k, v in tags.items()}, i)
  writer.flush()
  history = variances.History(tmp_path / 'train', 20)
  history.add({'gradient_variance/glimpse_encoder': 1.}, 25)
  assert history.curves() == {
      'where': {10: 14., 20: 24.}, 'learning signal': {10: 16., 20: 26.},
      'glimpse encoder': {25: 1.}}
  assert variances.History(tmp_path / 'train', 0).curves() == {}
  assert variances.History(tmp_path / 'nowhere', 20).curves() == {}
  file, = (tmp_path / 'train').iterdir()
  whole = file.read_bytes()
  for damaged in whole[:-30], b'', b'no events at all' * 9:
    file.write_bytes(damaged)
    assert 30 not in variances.History(tmp_path / 'train', 20).curves().get(
        'where', {})


def test_variances_are_drawn_on_a_logarithmic_axis():
  axes, = curves.variance({
      'where': {20: 1e-6, 10: 1e-2, 30: 0.}, 'decoder': {10: 3.}}).axes
  assert axes.get_yscale() == 'log'
  line = axes.get_lines()[0]
  np.testing.assert_array_equal(line.get_xdata(), [10, 20, 30])
  np.testing.assert_array_equal(line.get_ydata(), [1e-2, 1e-6, np.nan])


# --- The projector ------------------------------------------------------------


@pytest.fixture(scope='module')
def model():
  made = model_lib.AIRModel(tiny.config())
  tiny.fill(made.trainable_variables)
  # Else no step is taken.
  made.variable_groups()['steps_predictor'][-2].assign_add([1.25])
  return made


def boxed(scenes, boxes_of_objects):
  """One object in each scene, of label 7."""
  boxes = np.full([len(scenes.images), 2, 4], np.nan, np.float32)
  boxes[:, 0] = boxes_of_objects
  labels = np.full(boxes.shape[:2], -1, np.int32)
  labels[:, 0] = 7
  return scenes_lib.Scenes(scenes.images, scenes.counts, boxes, labels)


def test_codes_are_those_of_the_explanations(model, monkeypatch):
  from air_tf import explain
  from air_tf.data import streams
  scenes = tiny.scenes(7)
  answer = explain.explain(model, streams.to_pixels(scenes.images))
  counts = answer.num_steps.numpy()
  assert counts.max() > 1
  scenes = boxed(scenes, answer.boxes.numpy()[np.arange(7), counts - 1])
  monkeypatch.setattr(explain, 'batch_size', lambda *_: 3)
  found = codes.collect(model, scenes, 1_000)
  np.testing.assert_array_equal(
      found.columns['scene'], np.repeat(np.arange(7), counts))
  place = found.columns['scene'], found.columns['step'] - 1
  np.testing.assert_allclose(
      found.what, answer.what.numpy()[place], atol=1e-5)
  np.testing.assert_array_equal(found.columns['true count'],
                                scenes.counts[place[0]])
  assert found.glimpses.shape == (counts.sum(), 6, 6)
  # The true object is where the last step of each scene looked.
  last = found.columns['step'] == found.columns['count']
  np.testing.assert_array_equal(
      found.columns['label'], np.where(last, 'class 7', 'none'))
  few = codes.collect(model, scenes, 2)
  assert len(few.what) == len(few.columns['label']) == 2
  assert set(codes.collect(model, scenes_lib.Scenes(
      scenes.images, None, None, None), 5).columns) == {
          'scene', 'step', 'count', 'probability'}


def test_projector_finds_its_files(tmp_path):
  what = np.arange(10, dtype=np.float32).reshape(5, 2)
  pictures = np.linspace(0., 1., 5)[:, None, None] * np.ones([5, 4, 3])
  projector.write(tmp_path, 'what', what, pictures, {
      'label': list('abcde'), 'scene': range(5)})
  folder = tmp_path / projector.FOLDER
  assert sorted(os.listdir(folder)) == [
      'codes.tsv', 'metadata.tsv', 'projector_config.pbtxt', 'sprites.png']
  config = text_format.Parse((folder / 'projector_config.pbtxt').read_text(),
                             plugin.ProjectorConfig())
  embedding, = config.embeddings
  assert list(embedding.tensor_shape) == [5, 2]
  assert list(embedding.sprite.single_image_dim) == [3, 4]
  np.testing.assert_array_equal(
      np.loadtxt(folder / embedding.tensor_path), what)
  assert (folder / embedding.metadata_path).read_text().splitlines()[:2] == [
      'label\tscene', 'a\t0']
  sheet = np.asarray(Image.open(folder / embedding.sprite.image_path))
  assert sheet.shape == (12, 9)  # Three rows of three.
  np.testing.assert_array_equal(sheet[::4, ::3], [
      [0, 64, 128], [191, 255, 0], [0, 0, 0]])
  # A single column has no heading, or the heading would be an object's.
  projector.write(tmp_path, 'what', what, pictures, {'label': list('abcde')})
  assert (folder / 'metadata.tsv').read_text().split() == list('abcde')


def test_sprites_stay_within_what_browsers_take(tmp_path, monkeypatch):
  monkeypatch.setattr(projector, '_MAX_SIDE', 20)
  projector.write(tmp_path, 'what', np.zeros([4, 1]), np.ones([4, 30, 30, 3]),
                  {'step': range(4)})
  with Image.open(tmp_path / projector.FOLDER / 'sprites.png') as sheet:
    assert sheet.size == (20, 20) and sheet.mode == 'RGB'


def test_no_object_leaves_no_file_and_a_read_only_folder_is_one_line(tmp_path):
  empty = np.zeros([0, 2]), np.zeros([0, 4, 4]), {'step': []}
  projector.write(tmp_path, 'what', *empty)
  assert not list(tmp_path.iterdir())
  (tmp_path / 'test').touch()
  with pytest.raises(errors.UserError, match='cannot be written'):
    projector.write(tmp_path, 'what', np.zeros([1, 2]), np.zeros([1, 4, 4]),
                    {'step': [1]})


def test_a_full_disk_is_one_line_and_leaves_the_old_files(tmp_path):
  write = lambda codes: projector.write(
      disk, 'what', codes, np.zeros([len(codes), 4, 4]),
      {'step': range(len(codes))})
  with disk_util.small_disk(tmp_path / 'disk') as disk:
    write(np.ones([2, 3]))
    before = (disk / projector.FOLDER / 'codes.tsv').read_bytes()
    with pytest.raises(errors.DiskFull, match='codes.tsv.*no space left'):
      write(np.random.default_rng(0).random([1_000, 50]))
    assert (disk / projector.FOLDER / 'codes.tsv').read_bytes() == before
    assert not list(disk.rglob('*.tmp'))


@pytest.mark.slow
def test_a_run_leaves_the_codes_of_its_objects(finished):
  folder = finished[0] / projector.FOLDER
  rows = (folder / 'metadata.tsv').read_text().splitlines()
  assert {'scene', 'step', 'count'} <= set(rows[0].split('\t'))
  assert len((folder / 'codes.tsv').read_text().splitlines()) == len(rows) - 1


# --- HParams of a sweep -------------------------------------------------------


def runs(folder, **recipes):
  return {name: [sweep.Run(folder / name / f'seed-{seed}', (
      '--flagfile=a.flags', *flags, '--num_iterations=5', f'--seed={seed}'))
                 for seed in range(2)] for name, flags in recipes.items()}


def test_what_was_varied_is_found(tmp_path):
  some = runs(tmp_path, x=('--estimator=nvil', '--learning_rate=1e-3'),
              y=('--estimator=mvd', '--learning_rate=.1', '--max_steps=4'))
  found = list(hparams.varied(some).values())
  assert found[0] == {
      'seed': 0., 'estimator': 'nvil', 'learning_rate': .001}
  assert found[3] == {'seed': 1., 'estimator': 'mvd', 'learning_rate': .1,
                      'max_steps': 4.}
  two = {name: [sweep.Run(tmp_path, (f'--flagfile=some/{name}.flags',
                                     '--jit_compile', '--seed=3'))]
         for name in 'ab'}
  assert list(hparams.varied(two).values()) == [
      {'flagfile': 'a', 'seed': 3.}, {'flagfile': 'b', 'seed': 3.}]


def end(run, code=0):
  run.folder.mkdir(parents=True)
  (run.folder / 'config.json').write_text('{}')
  (run.folder / 'sweep.json').write_text(json.dumps({
      'arguments': list(run.arguments), 'exit_code': code, 'error': ''}))
  writer = summaries.Writer(run.folder)
  writer.scalars('test', {'evaluation/count_accuracy': .5 + .1 * code}, 7)
  writer.flush()


def test_tensorboard_finds_the_sweep(tmp_path):
  some = runs(tmp_path, x=('--estimator=nvil',), y=('--estimator=mvd',))
  hparams.write(str(tmp_path), some)
  assert not list(tmp_path.iterdir())  # Nothing has ended.
  end(some['x'][0])
  end(some['y'][1], code=3)
  (tmp_path / 'y' / 'seed-0').mkdir()  # Begun, and no run yet.
  hparams.write(str(tmp_path), some)
  assert not list((tmp_path / 'y' / 'seed-0').iterdir())
  groups = sessions(tmp_path)
  assert {(x.hparams['estimator'].string_value, x.hparams['seed'].number_value)
          for x in groups} == {('nvil', 0.), ('mvd', 1.)}
  assert {x.name for x in groups} == {'x seed-0', 'y seed-1'}
  by_name = {x.hparams['estimator'].string_value: x.sessions[0] for x in groups}
  assert by_name['nvil'].status == api_pb2.STATUS_SUCCESS
  assert by_name['mvd'].status == api_pb2.STATUS_FAILURE
  value, = by_name['mvd'].metric_values
  assert value.name.group == 'test' and value.value == pytest.approx(.8)
  # The same again touches nothing.
  before = {path: path.stat().st_ino for path in tmp_path.rglob('*')}
  hparams.write(str(tmp_path), some)
  assert before == {path: path.stat().st_ino for path in tmp_path.rglob('*')}


def sessions(folder: pathlib.Path):
  """What TensorBoard's own backend makes of a folder."""
  multiplexer = plugin_event_multiplexer.EventMultiplexer()
  multiplexer.AddRunsFromDirectory(str(folder))
  multiplexer.Reload()
  context = backend_context.Context(type('Context', (), dict(
      data_provider=data_provider.MultiplexerDataProvider(
          multiplexer, str(folder)))))
  request = api_pb2.ListSessionGroupsRequest(
      allowed_statuses=[api_pb2.STATUS_SUCCESS, api_pb2.STATUS_FAILURE],
      col_params=[api_pb2.ColParams(metric=api_pb2.MetricName(
          tag='evaluation/count_accuracy', group='test'))], slice_size=10)
  handler = list_session_groups.Handler(
      tensorboard_context.RequestContext(), context, '', request)
  return handler.run().session_groups

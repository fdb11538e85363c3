"""Every kind of picture and array is read right, or refused."""

import data_util
import numpy as np
from PIL import Image
import pytest
import tifffile

from air_tf import config as config_lib
from air_tf import errors
from air_tf.data import datasets
from air_tf.data import images as images_lib
from air_tf.data import picture_files
from air_tf.data import tiff
from air_tf.data import value_range

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, [8, 10], np.uint8)
GREY[0, :2] = 0, 255
COLOURED = RNG.integers(0, 256, [8, 10, 3], np.uint8)
TWELVE = RNG.integers(0, 4096, [8, 10], np.uint16)
SIXTEEN = RNG.integers(0, 65536, [8, 10], np.uint16)
SIXTEEN_COLOURED = RNG.integers(0, 65536, [8, 10, 3], np.uint16)


def read(path, **options):
  """Returns the values of the images under a path."""
  return [values for _, values in
          images_lib.open_source(str(path), **options).read()]


def as_trained(path, **options):
  """Returns the pixels that a run with --scenes=path is trained on."""
  config = config_lib.Config(scenes=str(path), **options)
  source = images_lib.open_source(str(path), config.invert)
  found, _ = images_lib.measured_range(config, source)
  return [pixels for _, pixels in source.read_pixels(found)]


def assert_scaled(pixels, values, low, high):
  """Pixels are the part of low ... high that values are, in 255 parts."""
  share = np.clip((values.astype(float) - low) / (high - low), 0., 1.)
  np.testing.assert_allclose(pixels, share * 255., atol=.51)


def png_of_16_bits(values, kind):
  rows = b''.join(b'\0' + row.astype('>u2').tobytes() for row in values)
  return data_util.png_by_hand(*values.shape[:2], 16, kind, rows)


@pytest.mark.parametrize('suffix', ['png', 'tif', 'gif', 'bmp', 'pgm', 'webp'])
def test_eight_bits_are_kept(suffix, tmp_path):
  path = tmp_path / f'a.{suffix}'
  Image.fromarray(GREY).save(path, **({'lossless': True} if suffix == 'webp'
                                      else {}))
  found, = read(path)
  np.testing.assert_array_equal(found, GREY)
  np.testing.assert_array_equal(as_trained(path)[0], GREY)


@pytest.mark.parametrize('suffix', ['png', 'tif', 'bmp', 'ppm', 'webp'])
def test_colours_are_kept_and_grey_in_colour_files_is_grey(suffix, tmp_path):
  path = tmp_path / f'a.{suffix}'
  options = {'lossless': True} if suffix == 'webp' else {}
  Image.fromarray(COLOURED).save(path, **options)
  np.testing.assert_array_equal(read(path)[0], COLOURED)
  Image.fromarray(GREY).convert('RGB').save(path, **options)
  np.testing.assert_array_equal(read(path)[0], GREY)


def test_a_jpeg_of_grey_in_three_channels_is_grey(tmp_path):
  smooth = np.tile(np.arange(0, 240, 15, dtype=np.uint8), [16, 1])
  Image.fromarray(smooth).convert('RGB').save(tmp_path / 'a.jpg', quality=95)
  found, = read(tmp_path / 'a.jpg')
  assert found.shape == (16, 16)
  np.testing.assert_allclose(found.astype(int), smooth, atol=4)


def test_modes_of_pillow(tmp_path):
  bits = GREY > 127
  Image.fromarray(bits).save(tmp_path / '1.png')
  np.testing.assert_array_equal(read(tmp_path / '1.png')[0], bits * 255)
  palette = Image.fromarray(GREY // 64).convert('P')
  palette.putpalette([0, 0, 0, 200, 10, 30, 9, 90, 200, 255, 255, 255])
  palette.save(tmp_path / 'p.png')
  colours = np.array([[0, 0, 0], [200, 10, 30], [9, 90, 200], [255] * 3])
  np.testing.assert_array_equal(
      read(tmp_path / 'p.png')[0], colours[GREY // 64])
  cmyk = np.zeros([8, 10, 4], np.uint8)
  cmyk[..., 3] = GREY
  Image.fromarray(cmyk, 'CMYK').save(tmp_path / 'cmyk.tif')
  np.testing.assert_allclose(
      read(tmp_path / 'cmyk.tif')[0].astype(int), 255 - GREY, atol=1)


@pytest.mark.parametrize('mode', ['LA', 'RGBA', 'P'])
def test_transparent_parts_are_ground(mode, tmp_path):
  path = tmp_path / 'a.png'
  if mode == 'P':
    picture = Image.fromarray(GREY // 255).convert('P')
    picture.putpalette([7, 7, 7, 120, 120, 120])
    picture.save(path, transparency=0)
    expected = np.where(GREY == 255, 120, 0)
    opaque = GREY == 255
  else:
    opaque = GREY > 99
    channels = [GREY] * (len(mode) - 1) + [opaque * np.uint8(255)]
    Image.fromarray(np.stack(channels, axis=-1), mode).save(path)
    expected = np.where(opaque, GREY, 0)
  np.testing.assert_array_equal(read(path)[0], expected)
  np.testing.assert_array_equal(
      read(path, light=True)[0], np.where(opaque, expected, 255))
  inverted = as_trained(path, invert=True, range='0,255')[0]
  np.testing.assert_array_equal(inverted, np.where(opaque, 255 - expected, 0))


def test_sixteen_bits_of_both_byte_orders(tmp_path):
  Image.fromarray(SIXTEEN).save(tmp_path / 'a.png')
  Image.fromarray(SIXTEEN).save(tmp_path / 'little.tif')
  tifffile.imwrite(tmp_path / 'big.tif', SIXTEEN, byteorder='>')
  (tmp_path / 'a.pgm').write_bytes(
      b'P5 10 8 65535\n' + SIXTEEN.astype('>u2').tobytes())
  for name in ('a.png', 'little.tif', 'big.tif', 'a.pgm'):
    found, = read(tmp_path / name)
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, SIXTEEN)
  assert_scaled(as_trained(tmp_path, range='dtype')[0], SIXTEEN, 0, 65535)


def test_a_portable_greymap_of_twelve_bits_fills_its_scale(tmp_path):
  (tmp_path / 'a.pgm').write_bytes(
      b'P5 10 8 4095\n' + TWELVE.astype('>u2').tobytes())
  assert_scaled(as_trained(tmp_path / 'a.pgm', range='dtype')[0],
                TWELVE, 0, 4095)


@pytest.mark.parametrize('channels, kind', [(2, 4), (3, 2), (4, 6)])
def test_a_png_of_sixteen_bits_in_colour_keeps_all_bits(
    channels, kind, tmp_path):
  values = SIXTEEN_COLOURED[..., :1] if channels == 2 else SIXTEEN_COLOURED
  whole = values
  if channels != 3:
    opacity = np.full([8, 10, 1], 65535, np.uint16)
    opacity[0] = 0
    whole = np.concatenate([values, opacity], axis=2)
    values = np.where(opacity, values, 0)
  (tmp_path / 'a.png').write_bytes(png_of_16_bits(whole, kind))
  found, = read(tmp_path / 'a.png')
  assert found.dtype == np.uint16
  np.testing.assert_array_equal(found, np.squeeze(values))


@pytest.mark.parametrize('options', [
    {}, {'byteorder': '>'}, {'planarconfig': 'separate'}])
def test_a_tiff_of_pages_of_sixteen_bits_in_colour(options, tmp_path):
  stack = np.stack([SIXTEEN_COLOURED, SIXTEEN_COLOURED[::-1]])
  if options.get('planarconfig'):
    tifffile.imwrite(tmp_path / 'a.tif', np.moveaxis(stack, -1, 1),
                     photometric='rgb', **options)
  else:
    tifffile.imwrite(tmp_path / 'a.tif', stack, photometric='rgb', **options)
  np.testing.assert_array_equal(read(tmp_path / 'a.tif'), stack)


def test_without_tifffile_such_a_tiff_is_refused(tmp_path, monkeypatch):
  tifffile.imwrite(tmp_path / 'a.tif', SIXTEEN_COLOURED, photometric='rgb')
  monkeypatch.setitem(__import__('sys').modules, 'tifffile', None)
  data_util.assert_user_error(
      ['a.tif', 'tifffile', 'pip install'], read, tmp_path / 'a.tif')


def test_a_tiff_in_which_zero_is_white(tmp_path):
  for values in (GREY, SIXTEEN):
    most = np.iinfo(values.dtype).max
    tifffile.imwrite(tmp_path / 'a.tif', values, photometric='miniswhite')
    np.testing.assert_array_equal(read(tmp_path / 'a.tif')[0], most - values)
  tifffile.imwrite(tmp_path / 'a.tif', SIXTEEN / np.float32(7),
                   photometric='miniswhite')
  data_util.assert_user_error(
      ['floats of which 0 is white'], read, tmp_path / 'a.tif')


@pytest.mark.parametrize('kind', [np.float32, np.float64, np.float16])
def test_floats_of_either_scale_fill_it(kind, tmp_path):
  unit = (GREY / 255.).astype(kind)
  for scale in (1, 255):
    values = (unit * kind(scale)).astype(kind)
    tifffile.imwrite(tmp_path / 'a.tif', values)
    assert_scaled(as_trained(tmp_path / 'a.tif')[0], values, 0, scale)


def test_floats_a_rounding_above_one_are_in_zero_to_one(tmp_path):
  values = GREY / 255. * 1.0000001
  np.save(tmp_path / 'a.npy', values)
  for options in ({}, {'range': 'dtype'}):
    assert_scaled(as_trained(tmp_path / 'a.npy', **options)[0], values, 0, 1)


@pytest.mark.parametrize('high', [235, 4095, 60000])
def test_few_bits_in_sixteen_are_seen(high, tmp_path):
  values = np.round(GREY / 255. * high).astype(np.uint16)
  Image.fromarray(values).save(tmp_path / 'a.tif')
  pixels, = as_trained(tmp_path / 'a.tif')
  np.testing.assert_allclose(
      pixels, GREY * (high / max(high, 255)), atol=2 + .02 * 255)


def test_a_mask_of_zero_and_one_is_black_and_white(tmp_path):
  mask = (GREY > 127).astype(np.uint8)
  Image.fromarray(mask).save(tmp_path / 'a.png')
  np.testing.assert_array_equal(
      as_trained(tmp_path / 'a.png')[0], mask * 255)
  source = images_lib.open_source(str(tmp_path / 'a.png'))
  for found in (value_range.BY_TYPE, value_range.ValueRange(0., 255.)):
    data_util.assert_user_error(
        ['a.png', 'uint8 from 0 to 1'],
        lambda found=found: list(source.read_pixels(found)))


@pytest.mark.parametrize('orientation, change', [
    (3, lambda x: x[::-1, ::-1]), (6, lambda x: np.rot90(x, -1)),
    (8, np.rot90), (5, lambda x: x.T)])
@pytest.mark.parametrize('suffix', ['png', 'tif', 'big.tif', 'colour.tif'])
def test_the_orientation_is_applied(orientation, change, suffix, tmp_path):
  path = tmp_path / f'a.{suffix}'
  values = GREY
  if suffix == 'colour.tif':
    values = SIXTEEN_COLOURED[..., 0]
    tifffile.imwrite(path, np.stack([values, values, values // 2], axis=-1),
                     photometric='rgb',
                     extratags=[(274, 'H', 1, orientation, True)])
    np.testing.assert_array_equal(read(path)[0][..., 0], change(values))
    return
  if suffix == 'big.tif':
    values = SIXTEEN
  exif = Image.Exif()
  exif[0x0112] = orientation
  Image.fromarray(values).save(path, exif=exif)
  np.testing.assert_array_equal(read(path)[0], change(values))


@pytest.mark.parametrize('name', ['a.tif', 'a.gif', 'a.webp'])
def test_pages_and_frames_are_images_of_their_own(name, tmp_path):
  pages = [Image.fromarray(x) for x in (GREY, GREY[::-1], 255 - GREY)]
  pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:],
                **({'lossless': True} if name == 'a.webp' else {}))
  source = images_lib.open_source(str(tmp_path / name))
  assert source.num_images == 3
  found = list(source.read())
  assert [x for x, _ in found] == [
      f'{tmp_path / name}[{i}]' for i in range(3)]
  np.testing.assert_array_equal(
      [x for _, x in found], [GREY, GREY[::-1], 255 - GREY])


LAYOUTS = {
    'H, W': (GREY, [GREY]), 'N, H, W': (np.stack([GREY, ~GREY]), [GREY, ~GREY]),
    'N, H, W, 1': (GREY[np.newaxis, ..., np.newaxis], [GREY]),
    'N, H, W, 3': (COLOURED[np.newaxis], [COLOURED]),
    'N, 3, H, W': (np.moveaxis(COLOURED, 2, 0)[np.newaxis], [COLOURED]),
    'N, 1, H, W': (GREY[np.newaxis, np.newaxis], [GREY]),
    'H, W, 3': (COLOURED, [COLOURED])}


@pytest.mark.parametrize('layout', LAYOUTS)
@pytest.mark.parametrize('name', ['a.npy', 'a.npz'])
def test_layouts_of_arrays(layout, name, tmp_path):
  array, expected = LAYOUTS[layout]
  if name == 'a.npy':
    np.save(tmp_path / name, array)
  else:
    np.savez(tmp_path / name, images=array)
  np.testing.assert_array_equal(read(tmp_path / name), expected)


@pytest.mark.parametrize('values, low, high', [
    (GREY > 127, 0, 1), (GREY, 0, 255), (SIXTEEN, 0, 65535),
    (SIXTEEN.astype('>u2'), 0, 65535), (GREY.astype(np.int32), 0, 255),
    (GREY.astype(np.int64), 0, 255), (GREY / 255., 0, 1),
    ((GREY / 255.).astype('>f4'), 0, 1), (GREY * 1., 0, 255)], ids=str)
@pytest.mark.parametrize('name', ['a.npy', 'a.npz'])
def test_types_of_arrays(values, low, high, name, tmp_path):
  square = values[:, :8]
  if name == 'a.npy':
    np.save(tmp_path / name, np.stack([square] * 20))
  else:
    np.savez(tmp_path / name, images=np.stack([square] * 20))
  config = config_lib.Config(scenes=str(tmp_path / name), object_size=5.)
  found = datasets.load(config)[1].images[0]
  np.testing.assert_allclose(
      found, np.clip((square.astype(float) - low) / (high - low), 0, 1) * 255,
      atol=6 if high == 65535 else .51)


def test_what_has_two_meanings_is_refused(tmp_path):
  Image.fromarray(GREY).save(tmp_path / 'a.png')
  Image.fromarray(TWELVE).save(tmp_path / 'b.png')
  data_util.assert_user_error(
      ['uint16 and uint8', '--range='], as_trained, tmp_path)
  # Other files than the model was trained on would become black, or white.
  for trained, values in (((0., 4095.), GREY), ((0., 255.), TWELVE),
                          ((0., 4095.), GREY / 255.), ((0., 1.), GREY * 1.)):
    with pytest.raises(ValueError, match='expected values on the scale'):
      value_range.ValueRange(*trained).apply(values)
  for value in (np.nan, np.inf):
    data_util.assert_user_error(
        ['not finite'], value_range.ValueRange(0., 1.).apply,
        np.array([[0., value]]))


def test_what_is_left_out_of_a_folder_is_counted(tmp_path, caplog):
  Image.fromarray(GREY).save(tmp_path / 'a.png')
  for name in ('.hidden.png', 'notes.txt', 'Thumbs.db'):
    (tmp_path / name).write_bytes(b'?')
  (tmp_path / 'deeper').mkdir()
  (tmp_path / 'lost.png').symlink_to(tmp_path / 'nowhere')
  assert len(read(tmp_path)) == 1
  assert caplog.messages == [
      f'{tmp_path}: 1 pictures; left out: 1 broken link, 1 hidden file, 2 '
      'other files, 1 subfolder.']


def test_a_model_without_a_range_leaves_out_what_is_not_finite(tmp_path):
  values = np.linspace(0., 9., 64, dtype=np.float32).reshape(8, 8)
  for name, image in ('a', values), ('b', values * np.nan):
    Image.fromarray(image).save(tmp_path / f'{name}.tif')
  source, skipped = images_lib.open_source(str(tmp_path)), images_lib.Skipped(
      stop=False)
  found = images_lib.inference_range(source, value_range.BY_TYPE)
  assert len(list(source.read_pixels(found, skipped))) == 1
  assert skipped.as_result() == {'skipped': 1}


def test_a_page_that_cannot_be_read_leaves_the_others(tmp_path):
  path = tmp_path / 'pages.tif'
  with tifffile.TiffWriter(path) as writer:
    for page, photometric in ((GREY, 'minisblack'),
                              (np.float32(GREY), 'miniswhite'),
                              (GREY // 2, 'minisblack')):
      writer.write(page, photometric=photometric)
  skipped = images_lib.Skipped(stop=False)
  found = dict(images_lib.open_source(str(path)).read(skipped))
  assert list(found) == [f'{path}[0]', f'{path}[2]']
  np.testing.assert_array_equal(found[f'{path}[2]'], GREY // 2)
  text, = skipped.texts
  assert text.startswith(f'{path}[1]: cannot be read')


def test_sixteen_bits_behind_a_preview_of_eight_are_not_halved(tmp_path):
  path = tmp_path / 'preview.tif'
  colour = np.stack([TWELVE] * 3, axis=-1)
  with tifffile.TiffWriter(path) as writer:
    writer.write(GREY)
    writer.write(colour, photometric='rgb')
  skipped = images_lib.Skipped(stop=False)
  assert len(list(images_lib.open_source(str(path)).read(skipped))) == 1
  assert '16 bits in colour' in skipped.texts[0]


def test_sparse_objects_of_another_scale_are_noticed():
  values = np.full([100, 100], 100, np.uint16)
  values[:5, :10] = 4_000  # A two-hundredth of the pixels.
  with pytest.raises(errors.UserError, match='expected values on the scale'):
    value_range.ValueRange(0., 255.).apply(values)
  values[:] = 100
  values[0, :5] = 4_000  # Stray pixels, a twenty-thousandth.
  value_range.ValueRange(0., 255.).apply(values)


def test_grey_and_coloured_folders_go_together(tmp_path):
  grey, colour = tmp_path / 'grey', tmp_path / 'colour'
  for folder, pixels in (grey, GREY), (colour, np.stack([GREY] * 3, -1)):
    folder.mkdir()
    pixels = pixels // (1 if pixels.ndim == 2 else np.array([1, 2, 3]))
    for name in 'ab':
      Image.fromarray(pixels.astype(np.uint8)).save(folder / f'{name}.png')
  for train, test, channels in (grey, colour, ()), (colour, grey, (3,)):
    pools, held_out = datasets.load(config_lib.Config(
        scenes=str(train), test_scenes=str(test)))
    assert pools(0).images.shape[3:] == held_out.images.shape[3:] == channels


def test_one_unreadable_picture_is_skipped_or_stops(tmp_path, caplog):
  for name in 'abc':
    Image.fromarray(GREY[:8, :8]).save(tmp_path / f'{name}.png')
  (tmp_path / 'b.png').write_bytes(b'no picture')
  config = config_lib.Config(scenes=str(tmp_path))
  data_util.assert_user_error(['b.png'], datasets.load, config)
  skipped = images_lib.Skipped(stop=False)
  pools, test = datasets.load(config, skipped)
  assert len(pools(0).images) + len(test.images) == 2
  assert skipped.as_result() == {'skipped': 1}
  skipped.log()
  assert 'b.png: cannot be read' in caplog.messages[-1]


def test_a_range_is_kept_in_numbers_and_says_the_same_again(tmp_path):
  values = np.stack([TWELVE[:, :8]] * 20) // 3 + 100
  np.save(tmp_path / 'a.npy', values)
  config = config_lib.Config(scenes=str(tmp_path / 'a.npy'), object_size=5.)
  settled = datasets.with_measured_range(config)
  low, high = settled.range_limits
  assert 100 <= low < 130 and 1400 < high <= 1465
  assert datasets.with_measured_range(settled) is settled
  np.testing.assert_array_equal(datasets.load(config)[1].images,
                                datasets.load(settled)[1].images)


@pytest.mark.parametrize('invert', [False, True])
def test_objects_are_seen_beside_a_few_that_are_far_brighter(tmp_path, invert):
  """Ten objects 20 above a ground of 30, and one 200 above it."""
  image = np.full([100, 100], 30, np.uint8)
  for i in range(10):
    image[10 * i:10 * i + 5, 10:20] = 50
  image[50:58, 60:68] = 230
  if invert:
    image = 255 - image
  Image.fromarray(image).save(tmp_path / 'a.png')
  pixels, = as_trained(tmp_path / 'a.png', range='objects', invert=invert)
  assert pixels[2, 15] == pytest.approx(255 * 20 / 100, abs=1)
  assert pixels[9, 9] == 0 and pixels[54, 64] == 255
  dim, = as_trained(tmp_path / 'a.png', invert=invert)
  assert dim[2, 15] == 50  # By --range=auto the file's own values.


@pytest.mark.parametrize('text', ['1', '2,1', 'a,b', 'nan,1', '1,1', '1,2,3'])
def test_a_range_is_two_numbers_in_order(text):
  data_util.assert_user_error(
      ['--range', '--range=0,4095'], lambda: config_lib.Config(range=text))


def test_stretching_spares_empty_pictures_and_local_contrast_uneven_light():
  rng = np.random.default_rng(1)
  empty = rng.normal(1000., 20., [40, 40]).clip(0)
  span = value_range.ValueRange(0., 4000., contrast='stretch')
  assert span.apply(empty).std() < 20
  dim = empty.copy()
  dim[10:20, 10:20] += 800
  assert span.apply(dim)[12:18, 12:18].mean() > 220
  assert span.apply(dim)[25:, 25:].mean() < 60
  uneven = np.linspace(0., 3000., 40) + 50 * rng.random([40, 40])
  uneven[8:14, 4:10] += 600
  local = value_range.ValueRange(0., 4000., contrast='local').apply(uneven)
  blob, bright = local[9:13, 5:9].mean(), local[20:, 32:].mean()
  assert blob > 2 * bright
  plain = value_range.ValueRange(0., 4000.).apply(uneven)
  assert plain[9:13, 5:9].mean() < plain[20:, 32:].mean()


def test_hidden_kinds_of_tiff_are_said(tmp_path):
  tifffile.imwrite(tmp_path / 'a.tif', np.zeros([5, 8, 10], np.uint16),
                   photometric='minisblack', planarconfig='separate')
  data_util.assert_user_error(['a.tif', 'channels'], read, tmp_path / 'a.tif')
  assert tiff.hint('a.png') == '' and picture_files.has_suffix('B.TIFF')

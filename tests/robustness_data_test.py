"""Files as careless or hostile people make them: one line, never a hang.

Each kind of damage is tried on each kind of file that is read.
"""

import gzip
import io
import os
import pathlib
import socket
import struct
import tracemalloc
import zipfile

import data_util
import numpy as np
from PIL import Image
import pytest

from air_tf import errors
from air_tf import memory
from air_tf.data import images as images_lib
from air_tf.data import npz
from air_tf.data import omniglot

FULL = data_util.some_scenes()


def read_images(path):
  return list(images_lib.open_source(str(path)).read_pixels())


read_scenes, read_digits = data_util.read_scenes, data_util.read_digits
train_on = data_util.train_on
READERS = [read_images, read_scenes, read_digits, train_on]


def refused(fragments, function, *args, **kwargs):
  """Asserts one line of an error, soon and without much memory."""
  tracemalloc.start()
  try:
    data_util.assert_user_error(fragments, function, *args, **kwargs)
    assert tracemalloc.get_traced_memory()[1] < 100e6
  finally:
    tracemalloc.stop()


def npy(shape, data=b'', descr='|u1', fortran=False, version=1):
  """Returns an .npy file with a header of any content."""
  header = repr({'descr': descr, 'fortran_order': fortran, 'shape': shape})
  return np.lib.format.MAGIC_PREFIX + bytes([version, 0]) + struct.pack(
      '<H' if version == 1 else '<I', len(header)) + header.encode() + data


def archive(path, members, compression=zipfile.ZIP_DEFLATED):
  with zipfile.ZipFile(path, 'w', compression) as file:
    for name, data in members.items():
      file.writestr(name, data)


def member(kind):
  """The member of an .npz that a reader opens first."""
  return 'x_train.npy' if kind is read_digits else 'images.npy'


def companions(kind):
  return ({f'{key}.npy': npy((1,), b'\0') for key in data_util.KERAS}
          if kind is read_digits else {})


# --- What is no regular file --------------------------------------------------
@pytest.mark.parametrize('reader', READERS)
@pytest.mark.parametrize('suffix', ['.npz', '.png', ''])
def test_what_could_block_is_refused(tmp_path, reader, suffix):
  fifo = tmp_path / f'fifo{suffix}'
  os.mkfifo(fifo)
  refused([str(fifo), 'a FIFO', 'expected'], reader, fifo)
  link = tmp_path / f'link{suffix}'
  link.symlink_to('/dev/zero')
  refused([str(link), 'a device', 'expected'], reader, link)


@pytest.mark.parametrize('reader', READERS)
def test_sockets_and_broken_links_are_refused(tmp_path, reader, monkeypatch):
  monkeypatch.chdir(tmp_path)  # Names of sockets are short.
  with socket.socket(socket.AF_UNIX) as server:
    server.bind('a.npz')
    refused(['a.npz', 'a socket'], reader, 'a.npz')
  (tmp_path / 'b.npz').symlink_to('nowhere')
  refused(['b.npz', 'no such file'], reader, 'b.npz')
  (tmp_path / 'c.npz').symlink_to('c.npz')
  refused(['c.npz'], reader, 'c.npz')


def test_a_folder_is_read_without_what_is_no_file(tmp_path):
  Image.fromarray(FULL.images[0]).save(tmp_path / 'good.png')
  os.mkfifo(tmp_path / 'a.png')
  (tmp_path / 'b.png').mkdir()
  (tmp_path / 'c.png').symlink_to('/dev/zero')
  (tmp_path / 'd.png').symlink_to('nowhere')
  (tmp_path / '._good.png').write_bytes(b'of macOS')
  (tmp_path / 'manual.pdf').write_bytes(b'%PDF')
  (name, image), = read_images(tmp_path)
  assert name == str(tmp_path / 'good.png')
  np.testing.assert_array_equal(image, FULL.images[0])


def test_names_that_are_not_utf8_can_be_printed(tmp_path):
  path = os.fsencode(tmp_path) + b'/gr\xfc\xdfe\n.png'
  with open(path, 'wb') as file:
    Image.fromarray(FULL.images[0]).save(file, 'PNG')
  for given in (os.fsdecode(path), tmp_path):
    (name, _), = read_images(given)
    assert name == f'{tmp_path}/gr\\xfc\\xdfe\\n.png'
    name.encode()
  with open(path, 'wb') as file:
    file.write(b'no picture')
  refused([r'gr\xfc\xdfe'], read_images, os.fsdecode(path))


# --- Headers and archives that lie --------------------------------------------
@pytest.mark.parametrize('reader', READERS)
@pytest.mark.parametrize('shape', [
    (10**12, 40, 40), (10**30,), (2**63, 2, 2), (20, 40, 41)])
@pytest.mark.parametrize('compression', [
    zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_headers_that_claim_more_than_there_is(
    tmp_path, reader, shape, compression):
  path = tmp_path / 'a.npz'
  archive(path, companions(reader) | {member(reader): npy(
      shape, FULL.images.tobytes())}, compression)
  refused([str(path), '32,000 bytes', 'cut short'], reader, path)
  if reader is read_images:
    (tmp_path / 'a.npy').write_bytes(npy(shape, FULL.images.tobytes()))
    refused(['a.npy', '32,000 bytes'], reader, tmp_path / 'a.npy')


@pytest.mark.parametrize('reader', READERS)
def test_what_does_not_fit_into_memory(tmp_path, reader, monkeypatch):
  monkeypatch.setattr(memory, 'available', lambda: 1_000.)
  path = tmp_path / 'a.npz'
  archive(path, companions(reader) | {
      member(reader): npy((20, 40, 40), FULL.images.tobytes())})
  refused([str(path), 'the memory that this process may use'], reader, path)


@pytest.mark.parametrize('reader', READERS)
@pytest.mark.parametrize('claimed', [2**31, 2**40])
def test_a_directory_that_lies_about_sizes(tmp_path, reader, claimed):
  path = tmp_path / 'a.npz'
  name = member(reader)
  archive(path, companions(reader) | {name: npy((claimed, 1, 1))})
  with zipfile.ZipFile(path) as file:
    entry = file.getinfo(name)
    size = struct.pack('<I', entry.file_size)
  data = path.read_bytes()
  at = data.rindex(size)  # In the central directory, the last of the file.
  path.write_bytes(data[:at] + struct.pack('<I', 2**31) + data[at + 4:])
  refused([str(path), '2,147,483,648 bytes, said to be packed'], reader, path)


@pytest.mark.parametrize('reader', READERS)
@pytest.mark.parametrize('descr, fragment', [
    ('|O', 'Python objects'), ([('a', '<i4'), ('b', '<f8')], 'numbers'),
    ('<U5', 'numbers'), ('<M8[s]', 'numbers'), ('<c16', 'numbers'),
    ('|V0', 'numbers'), ('|S0', 'numbers')])
def test_types_that_are_no_numbers(tmp_path, reader, descr, fragment):
  path = tmp_path / 'a.npz'
  archive(path, companions(reader) | {
      member(reader): npy((2, 2, 2), b'\0' * 400, descr)})
  refused([str(path), fragment], reader, path)


@pytest.mark.parametrize('reader', READERS)
@pytest.mark.parametrize('data', [
    npy((-1, 4, 4), b'\0' * 64), npy((), b'\0'), npy((0, 4, 4)),
    npy(('a',)), npy((2, 2, 2), b'\0' * 8, 'nonsense'), npy((2,), version=3),
    b'', b'\x93NUMPY', b'no array at all'])
def test_headers_that_are_nonsense(tmp_path, reader, data):
  path = tmp_path / 'a.npz'
  archive(path, companions(reader) | {member(reader): data})
  refused([str(path)], reader, path)


@pytest.mark.parametrize('reader', READERS)
def test_no_pickle_is_ever_loaded(tmp_path, reader):
  class Bomb:
    def __reduce__(self):
      return pathlib.Path.touch, (tmp_path / 'exploded',)

  arrays = {key: np.array([Bomb()], object) for key in (
      *data_util.KERAS, 'images')}
  np.savez(tmp_path / 'a.npz', **arrays)
  refused(['a.npz', 'Python objects'], reader, tmp_path / 'a.npz')
  np.save(tmp_path / 'b.npy', arrays['images'])
  refused(['b.npy'], reader, tmp_path / 'b.npy')
  (tmp_path / 'c.npz').write_bytes(np.array([Bomb()], object).dumps())
  refused(['c.npz'], reader, tmp_path / 'c.npz')
  assert not (tmp_path / 'exploded').exists()


@pytest.mark.parametrize('reader', READERS)
def test_archives_in_archives_and_strange_members(tmp_path, reader):
  inner = io.BytesIO()
  np.savez(inner, images=FULL.images)
  for members, fragment in (
      ({'inner.npz': inner.getvalue()}, 'only inner.npz'),
      ({'../images.npy': npy((1, 2, 2), b'\0' * 4)}, 'only ../images'),
      ({f'{i}\x1b[2J.npy': b'' for i in range(99)}, 'and 89 more'),
      ({}, 'only nothing'),
      ({member(reader): inner.getvalue()}, 'a.npz')):
    archive(tmp_path / 'a.npz', companions(reader) | members)
    if reader is read_digits:
      fragment = 'a.npz'
    with pytest.raises(errors.UserError) as raised:
      reader(tmp_path / 'a.npz')
    assert fragment in str(raised.value) and str(raised.value).isprintable()


def test_an_encrypted_archive_is_one_line(tmp_path):
  path = tmp_path / 'a.npz'
  np.savez(path, images=FULL.images)
  data = bytearray(path.read_bytes())
  data[6] |= 1  # The flag of encryption, in both headers.
  data[data.index(b'PK\x01\x02') + 8] |= 1
  path.write_bytes(data)
  for reader in (read_images, read_scenes):
    refused([str(path), 'encrypted'], reader, path)


# --- Digits -------------------------------------------------------------------
def test_a_bomb_of_gzip_is_not_inflated(tmp_path):
  data_util.write_idx(tmp_path, data_util.random_digits())
  name = data_util.IDX_FILES[0]
  head = (tmp_path / name).read_bytes()
  with gzip.open(tmp_path / name, 'wb', 1) as file:
    file.write(head)
    for _ in range(150):
      file.write(bytes(1_000_000))
  refused([name, '5489 bytes or more', '5488'], read_digits, tmp_path)


@pytest.mark.parametrize('compress', [lambda x: x, gzip.compress])
@pytest.mark.parametrize('shape', [
    (2**32 - 1, 2**32 - 1, 2**32 - 1), (2**20, 28, 28), (8, 28, 28)])
def test_idx_headers_that_claim_more(tmp_path, compress, shape):
  digits = data_util.random_digits()
  data_util.write_idx(tmp_path, digits)
  path = tmp_path / data_util.IDX_FILES[0]
  path.write_bytes(compress(struct.pack('>4sIII', b'\0\0\x08\x03', *shape)
                            + digits.train_images.tobytes()))
  refused([str(path)], read_digits, tmp_path)


def test_members_of_omniglot_are_bounded_and_inside(tmp_path):
  ink = np.full([105, 105], 255, np.uint8)
  ink[50:53, 20:80] = 0
  picture = data_util.png(ink)
  large = data_util.png_by_hand(20_000, 20_000, bits=8, kind=0)  # Grey.
  good = {'a/b/1.png': picture, '__MACOSX/a/b/._1.png': b'fork',
          'nested.zip': b'PK\3\4'}
  archive(tmp_path / omniglot.TEST, good)
  archive(tmp_path / omniglot.TRAIN, good)
  assert len(read_digits(tmp_path).train_images) == 1
  for members, fragment in (
      ({'../../evil.png': picture}, 'points out of the folder'),
      ({'/etc/evil.png': picture}, 'points out of the folder'),
      ({'c:\\evil.png': picture}, 'points out of the folder'),
      ({'a/bomb.png': bytes(10_000_000)}, 'bomb.png: found 10,000,000 bytes'),
      ({'a/large.png': large}, '400000000 pixels')):
    archive(tmp_path / omniglot.TEST, members)
    refused([omniglot.TEST, fragment], read_digits, tmp_path)


# --- Pictures -----------------------------------------------------------------
def test_a_picture_that_would_fill_the_memory(tmp_path, monkeypatch, recwarn):
  monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 1_000)
  for side, name in ((40, 'warned.png'), (60, 'refused.png')):
    Image.new('L', (side, side)).save(tmp_path / name)
    refused([name, 'more than 1,000 pixels'], read_images, tmp_path / name)
  assert not recwarn.list


@pytest.mark.parametrize('suffix', ['.png', '.jpg', '.gif', '.tif'])
def test_half_a_picture_is_one_line(tmp_path, suffix, recwarn):
  path = tmp_path / f'a{suffix}'
  Image.fromarray(FULL.images[0]).save(path)
  whole = path.read_bytes()
  for size in (len(whole) // 2, 30, 8, 0):
    path.write_bytes(whole[:size])
    refused([str(path), 'cannot be read as an image'], read_images, path)
  assert not recwarn.list


def test_a_program_is_no_picture(tmp_path):
  path = tmp_path / 'a.eps'
  Image.fromarray(FULL.images[0]).save(path)
  refused([str(path), 'cannot be read as an image'], read_images, path)
  refused(['without pictures'], read_images, tmp_path)


@pytest.mark.parametrize('shape', [
    (1, 1), (1, 10_000), (10_000, 1), (3, 5_000)])
def test_thin_pictures_are_fitted(shape):
  fitted, place = images_lib.fit(np.full(shape, 255, np.uint8), (50, 50))
  assert fitted.shape == (50, 50) and fitted.max() == 255
  assert min(place.scales) > 0.


def test_damaged_stacks_raise_nothing_but_user_errors(tmp_path):
  rng = np.random.default_rng(0)
  num_refused = 0
  for suffix, save in (('npy', np.save), ('npz', lambda p, x: np.savez(
      p, images=x))):
    path = tmp_path / f'a.{suffix}'
    save(path, FULL.images)
    data = np.fromfile(path, np.uint8)
    for _ in range(100):
      damaged = data.copy()
      damaged[rng.integers(128, size=2)] = rng.integers(256, size=2)
      damaged[-1 - rng.integers(100)] = rng.integers(256)
      damaged.tofile(path)
      try:
        read_images(path)
      except errors.UserError as error:
        assert '\n' not in str(error)
        num_refused += 1
  assert num_refused > 100


def test_large_arrays_are_mapped_only_as_far_as_they_reach(
    tmp_path, monkeypatch):
  monkeypatch.setattr(npz, '_LARGE', 0)
  path = tmp_path / 'a.npz'
  archive(path, {'images.npy': npy((10**9, 40, 40), FULL.images.tobytes())},
          zipfile.ZIP_STORED)
  refused([str(path), '32,000 bytes'], read_scenes, path)

"""Paths that people give: flags and arguments, read in one place.

May import: `errors`.
"""

from collections.abc import Iterable
import errno
import os
import pathlib
import stat
import zipfile

from air_tf import errors

__all__ = ['check_folder', 'check_target', 'given', 'irregular',
           'read_regular']

_KINDS = ((stat.S_ISDIR, 'a folder'), (stat.S_ISFIFO, 'a FIFO'),
          (stat.S_ISSOCK, 'a socket'), (stat.S_ISCHR, 'a device'),
          (stat.S_ISBLK, 'a device'))

_LONGEST_NAME = 255  # Bytes, of nearly every file system.
_LONGEST_PATH = 4_095  # PATH_MAX of Linux without the final zero.
# What people keep in files of these endings is never a table or a picture that
# a script writes.
_OTHERS = ('.bmp', '.gif', '.h5', '.hdf5', '.ipynb', '.jpeg', '.jpg', '.json',
           '.jsonl', '.npy', '.npz', '.pb', '.pdf', '.png', '.py',
           '.tfrecord', '.tfrecords', '.tif', '.tiff', '.webp', '.zip')


def given(name: str, text: str, utf8: bool = True) -> str:
  """Returns a path with `~` and `~user` expanded.

  Args:
    name: `--logdir`, or what else the path was given as.
    text: the path.
    utf8: whether it has to be UTF-8, as TensorFlow expects it.

  Raises:
    errors.UserError: if no file can have this path.
  """
  shown = f'{name}={text}' if name.startswith('-') else f'{name} {text!r}'
  def require(condition, expected):
    if not condition:
      shortened = shown if len(shown) < 120 else f'{shown[:100]}...'
      raise errors.UserError(f'{shortened}: expected {expected}.')
  require(text.strip(), 'a path; . is the current folder')
  require('\0' not in text, 'a path without the character NUL')
  path = os.path.expanduser(text) if text.startswith('~') else text
  require(not path.startswith('~'),
          'a path; there is no user of this name. If the name itself begins '
          'with ~, put ./ before it')
  require(not utf8 or _is_utf8(path),
          'a path in UTF-8; rename the file or folder')
  longest = max(len(os.fsencode(part)) for part in path.split(os.sep))
  require(longest <= _LONGEST_NAME and len(os.fsencode(path)) <= _LONGEST_PATH,
          f'names of at most {_LONGEST_NAME} bytes, and {_LONGEST_PATH} in '
          f'all; found one of {longest}')
  return path


def check_target(flag: str, path: str, inputs: Iterable[str] = (),
                 suffix: str | None = None, begins: bytes = b'',
                 member: str = '') -> None:
  """Refuses to overwrite what no earlier call of the script can have written.

  Args:
    flag: `--csv`, which gives the path.
    path: of the file to be written.
    inputs: paths that the script reads.
    suffix: that the path must have; anything but that of other kinds, if None.
    begins: first bytes of every file that the script writes there.
    member: of every zip archive that the script writes there.

  Raises:
    errors.UserError: if the path is an input, or has another suffix, or is
      that of a file of another kind.
  """
  def refuse(found, expected):
    raise errors.UserError(
        f'{flag}={path}: found {found}; expected {expected}.')
  if any(_same(path, x) for x in inputs):
    refuse('one of the inputs, which would be overwritten', 'another path')
  ending = pathlib.PurePath(path).suffix.lower()
  if suffix and ending != suffix:
    refuse(f'a name that ends in {ending!r}' if ending else 'no suffix',
           f'a path that ends in {suffix}')
  if not suffix and ending in _OTHERS:
    refuse(f'a name that ends in {ending}',
           f'the path of a {flag.lstrip("-")} file')
  if os.path.isdir(path):
    refuse('a folder', 'the path of a file')
  if os.path.isfile(path) and os.path.getsize(path):
    if not _is_alike(path, begins, member):
      refuse('a file of another kind, which would be overwritten',
             'another path, or one written by this script')
  elif os.path.exists(path) and not os.path.isfile(path):
    kind = irregular(os.stat(path).st_mode)
    if kind != 'a device':  # /dev/stdout, say. A FIFO blocks until it is read.
      refuse(kind, 'the path of a file')


def check_folder(flag: str, path: str, inputs: Iterable[str] = ()) -> None:
  """Refuses a folder to write into that is an input, or is no folder.

  Raises:
    errors.UserError: if it is.
  """
  if any(_same(path, x) for x in inputs):
    raise errors.UserError(
        f'{flag}={path}: found one of the inputs; expected another folder.')
  if os.path.exists(path) and not os.path.isdir(path):
    raise errors.UserError(
        f'{flag}={path}: found a file; expected a folder, or a new name.')


def irregular(mode: int) -> str:
  """Returns what a file is that is not regular, from its `st_mode`.

  Pipes and devices can block who opens them, or never end. Empty for a regular
  file.
  """
  if stat.S_ISREG(mode):
    return ''
  return next((name for test, name in _KINDS if test(mode)), 'no file')


def read_regular(path: str | os.PathLike[str], most: int = 2**30) -> bytes:
  """Returns the bytes of a regular file, or of what a link to one leads to.

  Args:
    path: of the file.
    most: bytes that it may have.

  Raises:
    OSError: if it cannot be read, is no regular file or has more bytes.
  """
  # A socket cannot be opened, and says only that.
  kind = irregular(os.stat(path).st_mode)
  if not kind:
    with open(path, 'rb', opener=_without_blocking) as file:
      found = os.fstat(file.fileno())
      kind = irregular(found.st_mode)  # It may have been replaced.
      if not kind:
        if found.st_size > most:
          raise OSError(errno.EFBIG, 'File too large', os.fspath(path))
        return file.read(most)
  raise OSError(errno.EINVAL, f'Not a regular file but {kind}',
                os.fspath(path))


def _without_blocking(path: str, flags: int) -> int:
  return os.open(path, flags | getattr(os, 'O_NONBLOCK', 0))


def _is_alike(path: str, begins: bytes, member: str) -> bool:
  with open(path, 'rb') as file:
    if file.read(len(begins)) != begins:
      return False
    try:
      return not member or member in zipfile.ZipFile(file).namelist()
    except Exception:  # Damaged bytes make it raise anything.
      return False


def _same(path: str, other: str) -> bool:
  try:
    return os.path.samefile(path, other)
  except OSError:
    return False


def _is_utf8(text: str) -> bool:
  try:
    text.encode()
  except UnicodeEncodeError:
    return False
  return True

"""File systems that are full."""

import contextlib
import os
import subprocess
import sys

import pytest


@contextlib.contextmanager
def small_disk(path, size='64k'):
  """A file system of its own under `path`; skips where that is not permitted.
  """
  path.mkdir()
  made = sys.platform == 'linux' and os.geteuid() == 0 and subprocess.run(
      ['mount', '-t', 'tmpfs', '-o', f'size={size}', 'tmpfs', path],
      capture_output=True).returncode == 0
  if not made:
    pytest.skip('file systems cannot be mounted here')
  try:
    yield path
  finally:
    subprocess.run(['umount', '-l', path], check=True)

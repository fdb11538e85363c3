"""The example of docs/ray_data: the answers of bin/infer.py, by Ray Data."""

import json
import subprocess
import sys

import numpy as np
from PIL import Image
import pytest
import scripts
import tiny

pytestmark = pytest.mark.slow


def test_workers_answer_as_infer_does_and_in_its_order(tmp_path):
  for package in 'ray', 'pandas', 'pyarrow':
    pytest.importorskip(package)
  with tiny.eagerly():
    tiny.save_model(tmp_path / 'saved_model')
  (tmp_path / 'pictures').mkdir()
  for i, image in enumerate(tiny.scenes(70).images):  # Two workers' share.
    Image.fromarray(image).save(tmp_path / 'pictures' / f'{i:02d}.png')
  np.save(tmp_path / 'stack.npy', tiny.scenes(5, seed=1).images)
  arguments = [f'--saved_model={tmp_path / "saved_model"}',
               str(tmp_path / 'pictures'), str(tmp_path / 'stack.npy')]
  *expected, _ = scripts.succeed('infer.py', *arguments).stdout.splitlines()
  ended = subprocess.run(
      [sys.executable, str(scripts.ROOT / 'docs' / 'ray_data' / 'count.py'),
       *arguments], capture_output=True, text=True, env=scripts.ENVIRONMENT)
  assert ended.returncode == 0, ended.stderr
  found = [json.loads(x) for x in ended.stdout.splitlines()
           if x.startswith('{"image"')]
  expected = [json.loads(x) for x in expected]
  assert len(found) == len(expected) == 75
  for one, other in zip(found, expected):
    assert (one['image'], one['count']) == (other['image'], other['count'])
    # Products of another batch may differ in the last digit that is printed.
    np.testing.assert_allclose(
        one['probabilities'], other['probabilities'], rtol=0., atol=1.1e-6)
    np.testing.assert_allclose(
        one['boxes'], other['boxes'], rtol=0., atol=.011)

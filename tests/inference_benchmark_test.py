"""The times of a SavedModel that bin/benchmark.py --inference reports."""

import pytest

from air_tf import errors
from air_tf.studies import inference_benchmark


def test_times_fit_together(untrained):
  found = inference_benchmark.measure(str(untrained), num_images=40, rounds=1)
  # Of one round, the ratio is that of the two; both are rounded.
  assert found['ratio_to_serving_default'] == pytest.approx(
      found['images_per_second'] / found['serving_default_images_per_second'],
      rel=.05)
  # Reading the file and writing the line come on top; medians of 50.
  assert 0. < found['one_image_in_memory_milliseconds'] < (
      found['one_image_milliseconds']) < 1e3


def test_the_start_is_that_of_the_script(untrained, tmp_path):
  script = tmp_path / 'infer.py'
  script.write_text(
      'import sys, time\nfrom PIL import Image\nimport numpy as np\n'
      'assert np.load(sys.argv[2]).shape == (1, 16, 16)\n'
      'time.sleep(.3)\nprint("{}")\n')
  found = inference_benchmark.start_seconds(str(untrained), script, rounds=1)
  assert found['start_seconds'] >= .3
  assert found['start_cpu_seconds'] > 0.
  script.write_text('import sys\nprint("no", file=sys.stderr)\nsys.exit(3)\n')
  with pytest.raises(errors.UserError, match='exit code 3: no'):
    inference_benchmark.start_seconds(str(untrained), script, rounds=1)

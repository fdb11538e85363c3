"""Statistical assertions that know their own strength."""

import numpy as np

NUM_STDERR = 5.


def assert_mean_matches(samples, expected, resolution):
  """Asserts that independent `samples` `[N, ...]` have mean `expected`.

  Two things are checked. First, that the sample is large enough for the check
  to mean something: a true error of `resolution` must be at least twice the
  tolerance, or the test would pass on wrong code. Second, that the sample mean
  lies within 5 standard errors of `expected`: right code fails about once in
  1.7 million comparisons per element (and never at random: seeds are fixed).
  """
  samples = np.asarray(samples, dtype=np.float64)
  stderr = samples.std(axis=0, ddof=1) / np.sqrt(len(samples))
  tolerance = NUM_STDERR * stderr
  assert np.all(2. * tolerance <= resolution), (
      f'blind: can see {2. * tolerance.max()}, expected {resolution}')
  error = np.abs(samples.mean(axis=0) - expected)
  assert np.all(error <= tolerance + 1e-6), (error, tolerance)

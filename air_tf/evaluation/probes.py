"""Probes: how well `what` predicts the class of an object.

Letters: `N` scenes, `T` most steps, `M` most objects a scene holds, `Z` size of
`what`, `K` objects in all scenes together.
"""

import numpy as np
import threadpoolctl

from air_tf.data import scenes as scenes_lib
from air_tf.evaluation import localisation
from air_tf.evaluation import predictions as predictions_lib

__all__ = ['kernel_probe', 'linear_probe', 'objects']


def objects(predictions: predictions_lib.Predictions, scenes: scenes_lib.Scenes
            ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Returns the codes of matched objects, with their true labels.

  Steps are matched to objects by their boxes: `localisation.match`.

  Args:
    predictions: of N scenes.
    scenes: the same, with boxes and labels.

  Returns:
    `what` `[K, Z]`, labels int `[K]`, and the scene of each, int `[K]`.
  """
  partners, _ = localisation.match(
      predictions.boxes, predictions.presence, scenes.boxes)
  scene, slot = np.nonzero(partners >= 0)
  return (predictions.what[scene, partners[scene, slot]],
          scenes.labels[scene, slot], scene)


def linear_probe(train: tuple[np.ndarray, np.ndarray],
                 test: tuple[np.ndarray, np.ndarray]) -> float:
  """Returns the accuracy of a linear classifier from codes to labels.

  Multinomial logistic regression on standardised codes, with scikit-learn's
  default L2 penalty, C = 1; the optimum is unique, so nothing is random.

  Args:
    train: `what` `[K, Z]` and labels `[K]` of at least two classes to fit on.
    test: the same to score on.
  """
  from sklearn import linear_model  # Takes a second to import.
  from sklearn import pipeline
  from sklearn import preprocessing
  return _accuracy(pipeline.make_pipeline(
      preprocessing.StandardScaler(),
      linear_model.LogisticRegression(max_iter=300)), train, test)


def kernel_probe(train: tuple[np.ndarray, np.ndarray],
                 test: tuple[np.ndarray, np.ndarray]) -> float:
  """Returns the accuracy of a support vector machine on codes.

  With Gaussian kernels as wide as scikit-learn makes them by default, and
  C = 10. Codes are not standardised: that would amplify the entries that the
  model does not use. Arguments as in `linear_probe`; nothing is random.
  """
  from sklearn import svm
  return _accuracy(svm.SVC(C=10.), train, test)


def _accuracy(classifier, train, test) -> float:
  # With matrices this small, more threads are slower.
  with threadpoolctl.threadpool_limits(1):
    return float(classifier.fit(*train).score(*test))

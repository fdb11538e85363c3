"""How much a code tells of the digit it stands for: a linear probe.

Letters: `N` scenes, `T` most steps, `M` most objects a scene holds, `Z` size of
`what`, `K` objects in all scenes together.
"""

import numpy as np

from air_tf.data import scenes as scenes_lib
from air_tf.evaluation import localisation
from air_tf.evaluation import predictions as predictions_lib

__all__ = ['linear_probe', 'objects']


def objects(answers: predictions_lib.Answers, scenes: scenes_lib.Scenes
            ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Codes of the objects that a model found, with their true labels.

  Which object a step found is told by its box: `localisation.match`.

  Args:
    answers: of N scenes.
    scenes: those scenes, with boxes and labels.

  Returns:
    `what` `[K, Z]`, labels int `[K]`, and the scene of each, int `[K]`.
  """
  partners, _ = localisation.match(
      answers.boxes, answers.presence, scenes.boxes)
  scene, slot = np.nonzero(partners >= 0)
  return (answers.what[scene, partners[scene, slot]],
          scenes.labels[scene, slot], scene)


def linear_probe(train: tuple[np.ndarray, np.ndarray],
                 test: tuple[np.ndarray, np.ndarray]) -> float:
  """Accuracy of a linear classifier from codes to labels.

  Multinomial logistic regression on standardised codes, with scikit-learn's
  L2 penalty of C = 1, which has one optimum: nothing is random.

  Args:
    train: `what` `[K, Z]` and labels `[K]` to fit on, two labels at least.
    test: the same to be scored on.
  """
  from sklearn import linear_model  # A second to import.
  from sklearn import pipeline
  from sklearn import preprocessing
  import threadpoolctl  # Comes with scikit-learn.
  classifier = pipeline.make_pipeline(
      preprocessing.StandardScaler(),
      linear_model.LogisticRegression(max_iter=300))
  # Threads cost more than they bring in products as small as these.
  with threadpoolctl.threadpool_limits(1):
    return float(classifier.fit(*train).score(*test))

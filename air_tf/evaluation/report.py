"""All metrics of a trained model, as numbers and as a table.

Letters: `N` scenes, `K` samples of the importance-weighted bound.
"""

import numpy as np

from air_tf import elbo as elbo_lib
from air_tf import errors
from air_tf.data import npz
from air_tf.data import plausibility
from air_tf.data import scene_files
from air_tf.data import scenes as scenes_lib
from air_tf.data import value_range as value_range_lib
from air_tf.evaluation import counting
from air_tf.evaluation import localisation
from air_tf.evaluation import predictions as predictions_lib
from air_tf.evaluation import probes
from air_tf.evaluation import segmentation

__all__ = ['evaluate', 'read_scenes', 'table']

_BOUNDS = (1, 10, 100)  # Numbers of samples at which the bound is reported.


def evaluate(model: predictions_lib.Signatures, test: scenes_lib.Scenes,
             train: scenes_lib.Scenes | None, num_samples: int = 0,
             progress: bool = False, refined: bool = False) -> dict:
  """Evaluates a model.

  Args:
    model: its signatures.
    test: the scenes to evaluate on.
    train: those to fit the probes on; the first half of `test`, if None.
    num_samples: K, 0 for no bound.
    progress: whether to show a bar while the bound is computed.
    refined: whether each object is explained again, alone, before places, codes
      and masks are scored; the ELBO is that of one pass.

  Returns:
    What `json.dumps` accepts; equal arguments give equal results:
    `scenes`, their number; the ELBO and its terms (nats, means over scenes, one
    posterior sample, n summed out); `reconstruction_mse`, mean over pixels;
    `log_likelihood_bound`, by K, with K > 0; with counts in `test`, those of
    `counting.count_metrics`, the 95 % `count_accuracy_interval`, `confusion`
    (rows: true counts), `count_error`, the mean absolute error of a count, and
    `objects_found` and `objects`, in all scenes; with boxes, `localisation` of
    the glimpses and of the ink in them; with labels too, `probe_accuracy`,
    `kernel_probe_accuracy`, `probe_train_objects` and `probe_objects`, how many
    objects they were fitted and scored on; with masks,
    `segmentation.metrics_with_intervals`.
  """
  predictions = predictions_lib.collect(
      model, test.images, masks=test.masks is not None, refined=refined)
  result = {'scenes': len(test.images),
            **_elbo(model, test.images, num_samples, progress),
            'reconstruction_mse': float(predictions.squared_error.mean())}
  if test.counts is not None:
    result |= _counting(predictions, test.counts)
  if test.boxes is not None and not np.isnan(test.boxes).all():
    result['localisation'] = {
        name: localisation.localisation_metrics(
            boxes, predictions.presence, predictions.step_probs, test.boxes)
        for name, boxes in (('glimpse', predictions.boxes),
                            ('ink', predictions.tight_boxes))}
    if test.labels is not None:
      result |= _probe(model, predictions, test, train, refined)
  if predictions.masks is not None:
    result |= _segmentation(predictions, test.masks)
  return result


def table(result: dict) -> str:
  """Returns the result of `evaluate` as text."""
  lines = []
  if 'count_accuracy' in result:
    low, high = result['count_accuracy_interval']
    lines.append(f"count accuracy       {_percent(result['count_accuracy'])}   "
                 f'(95 %: {_percent(low)} to {_percent(high)})')
    lines.append(f"error of a count     {result['count_error']:.4f}   "
                 f"({result['objects_found']:,} objects found, of "
                 f"{result['objects']:,})")
    lines += _confusion_lines(result)
  lines += _localisation_lines(result)
  lines += _segmentation_lines(result)
  if 'probe_accuracy' in result:
    lines.append(
        f"digit from `what`    {_percent(result['probe_accuracy'])} linear, "
        f"{_percent(result['kernel_probe_accuracy'])} with kernels   "
        f"({result['probe_objects']:,} objects)")
  lines += _elbo_lines(result)
  return '\n'.join(lines)


def _elbo_lines(result: dict) -> list[str]:
  lines = [
      f"ELBO                 {result['elbo']:.2f} nats = "
      f"{result['log_likelihood']:.2f} - {result['kl_what']:.2f} (what) - "
      f"{result['kl_where']:.2f} (where) - {result['kl_num_steps']:.2f} (n)"
      + (f" - {result['kl_background']:.2f} (background)"
         if result.get('kl_background') else '')]
  for k, value in result.get('log_likelihood_bound', {}).items():
    lines.append(f"{f'log p(x), K = {k}':<20} {value:.2f} nats at least")
  lines.append(f"reconstruction       {result['reconstruction_mse']:.5f} "
               'mean squared error per pixel')
  return lines


def _localisation_lines(result: dict) -> list[str]:
  titles = {'glimpse': 'glimpse boxes', 'ink': 'tight boxes'}
  return [f"{titles[name]:<20} {_percent(metrics['matched'])} matched, mean "
          f"IoU {metrics['mean_iou']:.3f}, average precision at .5 "
          f"{metrics['average_precision']:.3f}"
          for name, metrics in result.get('localisation', {}).items()]


def _segmentation_lines(result: dict) -> list[str]:
  titles = {'fg_ari': 'FG-ARI', 'ari': 'ARI', 'miou': 'mIoU', 'mbo': 'mBO',
            'mask_ap50': 'masks, AP at .5'}
  return [f'{title:<20} {result[name]:.4f}   (95 %: '
          + ' to '.join(f'{x:.4f}' for x in result[f'{name}_interval']) + ')'
          for name, title in titles.items() if name in result]


def read_scenes(path: str, image_shape: tuple[int, ...],
                max_steps: int, value_range: value_range_lib.ValueRange
                = value_range_lib.BY_TYPE) -> scenes_lib.Scenes:
  """Returns the scenes of a file, if their images suit a model.

  What is odd about them is a warning.

  Args:
    path: of the file.
    image_shape: of the images that the model takes.
    max_steps: T, the most objects that it counts.
    value_range: of its training.

  Raises:
    errors.UserError: if they do not, or the file is not a scene file.
  """
  scenes = scene_files.read(path, value_range, image_shape[0])
  found = scenes.images.shape[1:]
  if found != image_shape:
    raise errors.UserError(
        f'--scenes={path}: images: found {npz.describe_image(found)}, expected '
        f'{npz.describe_image(image_shape)}, as the model was trained on.')
  suspicions = plausibility.scene_suspicions(scenes)
  most = 0 if scenes.counts is None else scenes.counts.max()
  if most > max_steps:
    suspicions.append(
        f'counts are up to {most}, but the model counts to T = {max_steps}, so '
        f'that larger ones are wrong; expected a model with --max_steps={most}')
  plausibility.warn(path, suspicions)
  return scenes


def _elbo(model: predictions_lib.Signatures, images: np.ndarray,
          num_samples: int, progress: bool) -> dict:
  """Returns means of the ELBO and its terms, and the bound if K > 0."""
  scores = predictions_lib.scores(model, images, max(1, num_samples), progress)
  weights = scores.pop('log_weight').astype(np.float64)
  result = {name: float(np.mean(values, dtype=np.float64))
            for name, values in scores.items()}
  if num_samples:
    result['log_likelihood_bound'] = {
        str(k): float(np.mean(elbo_lib.importance_bound(weights[:k])))
        for k in sorted({*_BOUNDS, num_samples}) if k <= num_samples}
  return result


def _counting(predictions: predictions_lib.Predictions,
              counts: np.ndarray) -> dict:
  right = int((predictions.num_steps == counts).sum())
  max_steps = predictions.presence.shape[1]
  return counting.count_metrics(predictions.num_steps, counts) | {
      'count_accuracy_interval': counting.wilson_interval(right, len(counts)),
      'confusion': counting.confusion(
          predictions.num_steps, counts, max_steps).tolist(),
      'count_error': float(np.abs(predictions.num_steps - counts).mean()),
      'objects_found': int(predictions.num_steps.sum()),
      'objects': int(counts.sum())}


def _segmentation(predictions: predictions_lib.Predictions,
                  masks: np.ndarray) -> dict:
  scores = segmentation.per_scene(segmentation.contingency(
      masks, predictions.masks, max(1, int(masks.max())),
      predictions.presence.shape[1]))
  return segmentation.metrics_with_intervals(
      scores, predictions.presence, predictions.step_probs)


def _probe(model: predictions_lib.Signatures,
           predictions: predictions_lib.Predictions, test: scenes_lib.Scenes,
           train: scenes_lib.Scenes | None, refined: bool) -> dict:
  """Returns the accuracy of the probes; nothing if they cannot be fitted.

  They need objects of two classes at least, and test objects of these classes.
  """
  codes, labels, scene = probes.objects(predictions, test)
  if train is None:
    first = scene < len(test.images) // 2
    fit, score = (codes[first], labels[first]), (codes[~first], labels[~first])
  elif train.boxes is None or train.labels is None:
    return {}
  else:
    fit = probes.objects(
        predictions_lib.collect(model, train.images, refined=refined),
        train)[:2]
    score = codes, labels
  if len(np.unique(fit[1])) < 2 or not np.isin(score[1], fit[1]).any():
    return {}
  return {'probe_accuracy': probes.linear_probe(fit, score),
          'kernel_probe_accuracy': probes.kernel_probe(fit, score),
          'probe_train_objects': len(fit[1]), 'probe_objects': len(score[1])}


def _confusion_lines(result: dict) -> list[str]:
  matrix = result['confusion']
  header = ''.join(f'{n:>8}' for n in range(len(matrix[0])))
  lines = [f"  {'true, counted as':<17}{header}   right"]
  for true, row in enumerate(matrix):
    if sum(row):
      right = _percent(result[f'count_accuracy/{true}'])
      lines.append(f'  {true:<17}' + ''.join(f'{n:>8,}' for n in row)
                   + f'   {right}')
  return lines


def _percent(share: float) -> str:
  return f'{100. * share:.2f} %'

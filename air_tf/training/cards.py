"""What TensorBoard's cards say: meaning, unit, split and direction."""

from typing import NamedTuple

__all__ = ['describe', 'describe_picture']


class _Quantity(NamedTuple):
  """What a curve shows."""
  meaning: str
  unit: str
  direction: str = 'none by itself'


_NATS = 'nats per image'
_HIGHER, _LOWER = 'higher is better', 'lower is better'
_TERMS = {
    'elbo': _Quantity(
        'Evidence lower bound on log p(x): `log_likelihood` minus all KLs. It '
        'jumps where the prior of the counts changes', _NATS, _HIGHER),
    'log_likelihood': _Quantity(
        'Log-likelihood of the pixels, log p(x | z)', _NATS, _HIGHER),
    'kl_what': _Quantity(
        'KL of the appearance codes, steps weighted by P(n >= t)', _NATS,
        'lower at the same log-likelihood'),
    'kl_where': _Quantity(
        'KL of the places, steps weighted by P(n >= t)', _NATS,
        'lower at the same log-likelihood'),
    'kl_num_steps': _Quantity(
        'KL of the number of objects, q(n) from p(n)', _NATS,
        'lower at the same log-likelihood'),
    'kl_background': _Quantity(
        "KL of the background's code", _NATS,
        'lower at the same log-likelihood'),
    'expected_num_steps': _Quantity(
        'Expected number of objects under q(n)', 'objects per image',
        'towards the mean of the true counts'),
}
_SHARE = 'higher is better, at most 1'
_MASKS = {
    'ari': _Quantity(
        'Adjusted Rand index of the masks over all pixels, the ground being a '
        'group', 'index, 0 by chance', _SHARE),
    'fg_ari': _Quantity(
        'Adjusted Rand index of the masks over the pixels of true objects '
        '(FG-ARI)', 'index, 0 by chance', _SHARE),
    'miou': _Quantity(
        'Mean IoU of the masks of true objects with those of inferred ones, '
        'matched one to one', 'fraction', _SHARE),
    'mbo': _Quantity(
        'Mean best overlap: the largest IoU of each true object with an '
        'inferred one', 'fraction', _SHARE),
    'mask_ap50': _Quantity(
        'Average precision of the masks at an IoU of .5', 'fraction', _SHARE),
}
_TRAINING = {
    'prior_log_success': _Quantity(
        'Log of s, p(n) ~ s^n: an object costs -log s; a schedule', 'nats'),
    'exploration': _Quantity(
        'Share of the uniform distribution in the posterior of the counts; a '
        'schedule', 'fraction'),
    'learning_rate': _Quantity('Learning rate; a schedule', 'per iteration'),
    'gradient_norm': _Quantity(
        'Norm of the gradient of all weights, before clipping',
        'nats per unit of the weights', 'steady; peaks are what is clipped'),
    'importance_weighted_bound': _Quantity(
        'Bound on log p(x) by the particles of the estimator', _NATS, _HIGHER),
    'learning_signal/mean': _Quantity(
        'What the score function is multiplied by: objective minus baseline, '
        'mean', 'nats', 'near 0: the baseline fits'),
    'learning_signal/variance': _Quantity(
        'Variance of the learning signal', 'nats squared', _LOWER),
    'baseline_loss': _Quantity(
        'Squared error of the learnt baseline', 'nats squared', _LOWER),
    'partial_presence': _Quantity(
        'Mean of s (1 - s) of the relaxed presences s', 'fraction',
        'lower: presences are nearer to 0 and 1'),
    'rebar_eta': _Quantity('Scale of the control variate, learnt', 'factor'),
    'rebar_temperature': _Quantity(
        'Temperature of the relaxation, learnt', 'logits'),
    'effective_particles': _Quantity(
        'Effective number of particles, 1 / sum of squared weights',
        'particles', _HIGHER),
}
_OF_TRAINING = ('the batches being trained on, mean since the last point; '
                'weights as trained')
_OF_EVALUATION = {'train': 'up to 1,000 training scenes; averaged weights',
                  'test': 'all held-out scenes; averaged weights'}
_OF_PICTURES = 'held-out scenes; averaged weights'
_CARD = ('Above, inferred and true count (✗: wrong); then the input, its '
         'reconstruction with the boxes of the objects, and the decoded '
         'glimpses with the probability of each step; the empty frame is the '
         'step that is not taken')
_PICTURES = {
    'scenes': f'Scenes of every true count. {_CARD}',
    'figures/progress': f'Scenes of every true count. {_CARD}',
    'figures/errors': 'Scenes whose true count is the least probable, worst '
                      f'first. {_CARD}',
    'variance': (
        'Variance of the gradient, by group of weights, and of the learning '
        'signal, on a logarithmic axis. **Unit:** squared unit of the '
        'gradient; nats squared. **Direction:** lower is better; 0 is not '
        'drawn'),
}


def describe(tag: str, split: str) -> str | None:
  """Returns the text of a curve's card, as Markdown.

  Args:
    tag: of the curve, `training/elbo` for instance.
    split: 'train' or 'test', the run of TensorBoard that it is in.

  Returns:
    Meaning, unit, split and direction; None for a tag of no known kind.
  """
  group, _, name = tag.partition('/')
  if group == 'gradient_variance':
    return _text(_variance(name), 'the batch that is trained on next')
  quantity = _TERMS.get(name)
  if group == 'training':
    quantity = quantity or _TRAINING.get(name)
  elif group == 'evaluation':
    quantity = quantity or _MASKS.get(name) or _accuracy(name)
  else:
    return None
  return quantity and _text(
      quantity, _OF_TRAINING if group == 'training' else _OF_EVALUATION[split])


def describe_picture(tag: str) -> str:
  """Returns the text of a picture's card, as Markdown."""
  meaning = _PICTURES.get(tag, 'A figure of the run, as in its folder '
                               '`figures/`')
  split = 'the batches being trained on' if tag == 'variance' else _OF_PICTURES
  return f'{meaning}. **Split:** {split}.'


def _variance(name: str) -> _Quantity:
  group, _, variable = name.partition('/')
  of = (f'the weights `{variable}` of `{group}`' if variable
        else f'all weights of `{group}`')
  return _Quantity(
      f'Variance of the gradient per parameter, mean over {of}, by two '
      'gradients of one batch', 'squared unit of the gradient', _LOWER)


def _accuracy(name: str) -> _Quantity | None:
  """Of `count_accuracy`, or `count_accuracy/N` of scenes of N objects."""
  head, _, count = name.partition('/')
  if head != 'count_accuracy':
    return None
  of = f' that hold {count}' if count else ''
  return _Quantity(f'Scenes{of} whose number of objects is right',
                   'fraction', _SHARE)


def _text(quantity: _Quantity, split: str) -> str:
  return (f'{quantity.meaning}.\n\n**Unit:** {quantity.unit}. **Split:** '
          f'{split}. **Direction:** {quantity.direction}.')

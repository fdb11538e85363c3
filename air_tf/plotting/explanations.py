"""Pictures of single scenes: how one is explained, and where it goes wrong.

Letters: `N` images, `T` most steps, `[H, W]` image, `[h, w]` glimpse; both have
a last axis of 3 channels in colour.
"""

from matplotlib import figure
from matplotlib import patches
import numpy as np

from air_tf.plotting import canvas

__all__ = ['film_strip', 'worst']

_PITCH = 1. + canvas.GAP


def film_strip(image: np.ndarray, seen: np.ndarray,
               answer: dict[str, np.ndarray]) -> figure.Figure:
  """One image being attended, inferred, repeated: a row a step.

  Where the step looks; what it sees there; what it takes that for; the canvas
  after it is written. The last row is the step that is not taken.

  Args:
    image: float `[H, W]`, 0 ... 1.
    seen: `[T, h, w]`, the glimpses cut out of the image.
    answer: as `explain` gives, of this image alone: `num_steps` `[]`,
      `num_steps_probs` `[T + 1]`, `boxes` `[T, 4]`, `glimpses` `[T, h, w]`,
      `canvases` `[T, H, W]`.

  Returns:
    The figure.
  """
  count = int(answer['num_steps'])
  size = np.array(image.shape[:2] * 2)
  taken = np.cumsum(answer['num_steps_probs'][::-1])[::-1][1:]
  stops = count < len(taken)
  wide = 1.5  # From one picture to the next: an arrow stands between.
  fig, axes = canvas.blank(
      left=1.35, right=3 * wide + 1.1, above=.5,
      below=count * _PITCH + (.55 if stops else .1))
  for column, title in enumerate((
      'attend', 'see', 'infer', 'write')):
    axes.text(column * wide + .5, -.12, title, ha='center', va='bottom',
              fontsize=10, fontweight='bold')
  for step in range(count):
    top = step * _PITCH
    canvas.label(axes, top, f'step {step + 1}\ntaken: '
                  f'{100 * taken[step]:.0f} %', step)
    pictures = (image, seen[step], answer['glimpses'][step],
                answer['canvases'][step])
    for column, content in enumerate(pictures):
      canvas.picture(axes, content, column * wide, top)
      if column in (0, 3):
        canvas.box(axes, answer['boxes'][step] / size, step,
                    (column * wide, top))
      if column:
        axes.annotate(
            '', (column * wide - .08, top + .5),
            (column * wide - wide + 1.08, top + .5),
            arrowprops=dict(arrowstyle='->', color=canvas.colour(step)))
  if stops:
    axes.text(-.1, count * _PITCH + .2, f'step {count + 1}\ntaken: '
              f'{100 * taken[count]:.0f} %', ha='right', va='center',
              fontsize=8, fontweight='bold', color=canvas.colour(count))
    axes.text(0., count * _PITCH + .2, 'stop', ha='left', va='center',
              fontsize=10)
  return fig


def worst(images: np.ndarray, answer: dict[str, np.ndarray],
          true_counts: np.ndarray | None) -> figure.Figure:
  """Scenes that went wrong, with what the model thought: a column a scene.

  The input; the reconstruction, with all boxes; q(n), the true count in black.

  Args:
    images: float `[N, H, W]`, 0 ... 1.
    answer: as `explain.explain` gives: `num_steps` `[N]`, `num_steps_probs`
      `[N, T + 1]`, `boxes` `[N, T, 4]`, `reconstruction` `[N, H, W]`.
    true_counts: int `[N]`, if known.

  Returns:
    The figure.
  """
  num_images, num_counts = answer['num_steps_probs'].shape
  bars = 2 * _PITCH + .1  # Where the bars' picture begins.
  fig, axes = canvas.blank(left=1.25, right=num_images * _PITCH, above=.38,
                            below=bars + 1.3)
  size = np.array(images.shape[1:3] * 2)
  for top, text in ((0., 'input'), (_PITCH, 'explained\nas'), (bars, 'q(n)')):
    canvas.label(axes, top, text)
  for i in range(num_images):
    left = i * _PITCH
    count = int(answer['num_steps'][i])
    axes.text(left + .5, -.08, canvas.verdict(count, true_counts, i),
              ha='center', va='bottom', fontsize=8)
    canvas.picture(axes, images[i], left, 0.)
    canvas.picture(axes, answer['reconstruction'][i], left, _PITCH)
    for step in range(count):
      canvas.box(axes, answer['boxes'][i, step] / size, step, (left, _PITCH))
    for n, probability in enumerate(answer['num_steps_probs'][i]):
      true = true_counts is not None and n == true_counts[i]
      bar = left + (n + .1) / num_counts
      axes.add_patch(patches.Rectangle(
          (bar, bars + 1.), .8 / num_counts, -float(probability),
          color='black' if true else '#999999', linewidth=0))
      axes.text(bar + .4 / num_counts, bars + 1.04, f'{n}', ha='center',
                va='top', fontsize=8, fontweight='bold' if true else 'normal')
    axes.plot([left, left + 1.], [bars + 1.] * 2, color='black', linewidth=.8)
  return fig

"""Figures: functions from arrays to Matplotlib figures, and saving them.

Images are uint8, or floats in 0 ... 1. May import: `errors`, `files`.
"""

from air_tf.plotting.canvas import plot_boxes
from air_tf.plotting.canvas import save
from air_tf.plotting.explanations import film_strip
from air_tf.plotting.explanations import progress
from air_tf.plotting.explanations import worst_errors
from air_tf.plotting.films import explained
from air_tf.plotting.films import save_gif

__all__ = ['explained', 'film_strip', 'plot_boxes', 'progress', 'save',
           'save_gif', 'worst_errors']

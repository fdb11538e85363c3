"""Attend, Infer, Repeat in TensorFlow 2, Sonnet 2 and TFP."""

"""A trained model as a SavedModel, and a SavedModel at work on images.

May import: the model, `explain`, `data`.
"""

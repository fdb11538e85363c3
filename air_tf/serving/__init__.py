"""Exports a trained model as a SavedModel, and applies a SavedModel to images.

May import: the model, `explain`, `data`.
"""

"""What can be measured of a trained model.

May import: the model, `data`, `serving`.
"""

"""Figures. They take arrays and return Matplotlib figures.

May import: `errors`.
"""

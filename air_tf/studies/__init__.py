"""Experiments about one run or over many: what `bin/` offers beside training.

May import: everything but another study's internals. Nothing imports a study.
"""

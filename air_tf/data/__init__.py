"""Scenes: where objects come from, how scenes are composed, their files.

May import: `errors`, `files`, `config`, `digit_sources`, `memory`. Nothing here
imports TensorFlow but `streams`.
"""

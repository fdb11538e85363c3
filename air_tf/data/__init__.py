"""Scenes: where objects come from, how scenes are composed, their files.

May import: `errors`, `config`, `memory`. Nothing here imports TensorFlow but
`streams`.
"""

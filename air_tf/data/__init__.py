"""Scenes: where objects come from, how scenes are composed, their files.

May import: `boxes`, `config`, `digit_sources`, `errors`, `files`, `memory`,
`paths`, `progress`, `scene_options`. TensorFlow reads published sets and
streams; nothing here knows the model.
"""

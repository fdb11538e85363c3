"""The page to play with: a web server around a SavedModel, on this machine.

`answers` asks the model, `app` is the server, `page.*` is what a browser shows.
May import all but `studies`. Needs requirements-demo.txt.
"""

"""Training: the compiled loop, optimizers, schedules and the run folder.

May import: the model and its estimators, `data`.
"""

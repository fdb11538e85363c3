"""Training: the compiled loop, optimizers, schedules, strategies, run folders.

May import the model, the estimators and `data`. What evaluates, exports or
plots a trained model imports this package, never the reverse.
"""

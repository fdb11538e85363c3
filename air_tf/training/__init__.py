"""Training: the compiled loop, optimizers, schedules, strategies, run folders.

May import: the model, the estimators, `data`, and `plotting` for what
TensorBoard shows. What evaluates a trained model imports this package, never
the reverse.
"""

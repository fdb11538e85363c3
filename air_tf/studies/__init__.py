"""Studies of one run or of many: what `bin/` offers beside training.

May import every other package, and of another study its public functions. Only
`bin/` imports a study.
"""

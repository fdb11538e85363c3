"""Where the runs of a sweep are made: one module per `sweep.Launcher`.

`choice` makes the one that --launcher names.

Each makes a run by the same code, `local` on some machine, so that what is
left in its folder, and with it resuming and the report, is the same. May
import: `sweep`.
"""

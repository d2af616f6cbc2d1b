"""The search for better classifier settings.

`stage` is the command, `space` what is searched, `study` the Optuna database and its loop, `trial` one training,
`page` what came of it. Read in that order.
"""

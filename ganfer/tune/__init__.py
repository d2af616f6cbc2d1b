"""The search for better classifier settings.

`stage` is the command, `space` what is searched, `study` the Optuna database and its loop, `lanes` where trials run,
`trial` one training, `worker` a process that trains them, `page` what came of it. Read in that order.
"""

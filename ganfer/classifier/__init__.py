"""The classifier as a stage of the way, and everything that looks at one.

`train` makes it, `catalogue` finds one by name, `opened` opens it, `subject` is what is measured (images and scores),
`figures` and `selective` measure, `evaluate` is the command and `files` what it writes; `crossval`, `explain` and
`export` are the other commands. The `*_page` modules put results on a page, with `sections` in common.
"""

"""The classifier as a stage of the way, and everything that looks at one.

`train` makes it, `catalogue` finds one by name, `opened` opens it (`starter` comes with ganfer), `subject` is what is
measured (images and scores), `figures` and `selective` measure, `evaluate` is the command and `files` what it writes;
`crossval`, `explain` and `export` are the other commands. `early` finds what is wrong with a command before data or a
classifier is made for it. `evaluate_page`, `crossval_page` and `explain_page` put results on a page, with `sections`
in common; `model_card` describes a classifier.
"""

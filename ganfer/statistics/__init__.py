"""What figures allow to be said: pure functions of scores.

`intervals` bound a single share, `significance` corrects for many comparisons and tests pairs, `luck` says what seeds,
folds and generators bring to a change, `verdict` turns paired scores into an interval and a word, and `rule` says what
must hold before the faces are said to help. Read in that order. `agreement` compares two people.
"""

"""What figures allow to be said: pure functions of scores.

`intervals` bound a single share, `significance` corrects for many comparisons and tests pairs,
`verdict` turns paired scores into an interval and a word. Read in that order.
"""

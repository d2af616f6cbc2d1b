"""From a batch to labels: which faces may be trained on, and why the others may not.

`labels` is the table that is written, `criteria` decides on one batch of figures, `screener` learns the limits from
real images, `stage` is the command, and `fill` has more drawn until enough are kept. Read in that order. `known` has
the images that a face may be a copy of, `held_out` looks for copies of validation and test images, and `photos` labels
photographs where the workspace knows drawn faces only.
"""

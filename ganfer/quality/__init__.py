"""The command `ganfer quality`: a batch beside held-back real images.

`stage` measures with `ganfer.metrics`, `cas` trains on the faces alone, `files` and `page` write down what came out.
"""

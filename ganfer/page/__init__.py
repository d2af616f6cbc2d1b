"""The kit of every page ganfer writes: no file of it knows what a page says.

`numbers` writes figures as text, `svg` draws, `charts` puts drawings together, `blocks` are the parts of a page,
`node` reads JSON with checked types, `sheet` makes a whole page of blocks. Read in that order.
"""

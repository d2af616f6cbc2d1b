"""From a generator to a batch of synthetic faces.

`quota` says how many of each class, `source` opens a generator (`stylegan2` opens foreign ones), `draw` draws and
`batch` is what it leaves on disk (`shards` for very many). Where the generator knows no classes, `steer` leads it
there, in the latent spaces of `spaces`, with the faces accepted by `judge`. `redraw` makes single faces again from
their seeds; `foreign` takes in images made elsewhere.
"""

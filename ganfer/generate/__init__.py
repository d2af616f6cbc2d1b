"""From a generator to a batch of synthetic faces.

`request` finds at once what is wrong with a command, `room` whether the disk suffices. `quota` says how many of each
class, `source` opens a generator (`stylegan2` opens foreign ones), `draw` draws and `batch` is what it leaves on disk
(`shards` for very many, with `cards`). `several` draws from several GANs. Where the generator knows no classes, `steer`
leads it there, in the latent spaces of `spaces`, with the faces accepted by `judge`. `from_faces` changes the faces
that `real_faces` chooses, by `changing`; `project` finds the latents of images. `redraw` makes single faces again from
their seeds; `foreign` takes in images made elsewhere.
"""

"""Readers of StyleGAN2 checkpoints, one format per file; none loads torch, and none runs what a file contains.

`checkpoint` is what every reader returns, `values` and `safe_pickle` what they share; `nvidia_torch`, `nvidia_tf` and
`rosinality` (with `torch_format`) read other programs' files, `native` reads and writes the bridge's own.
`discriminator` reads the discriminator of a training snapshot.
"""

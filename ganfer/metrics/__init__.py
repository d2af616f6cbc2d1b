"""Measures of synthetic images: pure functions of arrays.

`features` and `extractors` turn images into vectors (`inception`, `perceptual` by foreign networks); `fid`, `kid`,
`precision_recall`, `density_coverage` and `diversity` compare sets of vectors, by way of `neighbours` and `halves`.
`copies` looks for images that repeat a training image, with `search` (the nearest of many) and `pictures` (their
pixels); `identity` says how much two faces look like one person.
"""

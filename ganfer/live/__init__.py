"""Faces in the wild: found, turned upright, read and followed; in photos, films, a camera's picture and a lecture.

`stage` holds the two commands. For `predict` (`predict` is its loop): `folders`, `sources`, `pictures` and `videos`
read (`opencv` says whether OpenCV is whole, `clock` reads times); `detect` (with `yunet`), `crop` and `geometry` find
and align; `analyse` gives each face its scores (`faces`, `opinion`); `track` numbers people; `mesh` and `attention` say
where they look; `models` has the two networks for this. `records`, `journal`, `outputs`, `summary`, `annotate` (with
`emoji`) and `films` write. For `timeline`: `logs`, `people`, `viewers`, `moments`, `timeline`, `drawing`. `law` is what
the law asks.
"""

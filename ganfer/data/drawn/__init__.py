"""Drawn faces: procedural expressive faces, so that the whole pipeline runs with nothing downloaded.

Drawn in numpy and OpenCV from FACS action units; every face is named by its seed, its label and, where asked for, its
person. The numbers of a face are the same everywhere; its pixels are the same on one machine and may differ by a grey
level between kinds of processor, whose exponentials round differently.

`sets` draws many. `face` chooses the numbers of one from its seed (`draws`): who it is (`identity`) and what it shows
(`expressions`). `render` makes them pixels, on a `canvas`: `head` and `shading` for its form and light, `features`,
`mouth` and `hair` for its parts, `scene` for what is around it.
"""

from ganfer.data.drawn.draws import DRAWN_VERSION
from ganfer.data.drawn.expressions import EXPRESSIONS, ActionUnits
from ganfer.data.drawn.face import Face, Lighting, Pose, Scene
from ganfer.data.drawn.identity import Identity
from ganfer.data.drawn.render import render, render_rgba
from ganfer.data.drawn.sets import DrawnSet, draw_faces, drawn_set, long_tailed_counts

__all__ = [
    "DRAWN_VERSION",
    "EXPRESSIONS",
    "ActionUnits",
    "DrawnSet",
    "Face",
    "Identity",
    "Lighting",
    "Pose",
    "Scene",
    "draw_faces",
    "drawn_set",
    "long_tailed_counts",
    "render",
    "render_rgba",
]

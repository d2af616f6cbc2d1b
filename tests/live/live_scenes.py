"""Full scenes with drawn faces whose places, expressions and directions are known."""

from dataclasses import dataclass, replace

import numpy as np

from ganfer.data.drawn import Face, render_rgba


@dataclass(frozen=True)
class Placed:
    """A drawn head in a scene: its square of `side` pixels at (x, y), and how it is turned, degrees."""

    seed: int
    expression: str
    x: int
    y: int
    side: int
    roll: float = 0.0
    yaw: float = 0.0
    gaze: float = 0.0
    closed: bool = False
    identity: int | None = None

    @property
    def middle(self) -> tuple[float, float]:
        """About where the face's box has its centre."""
        return self.x + 0.5 * self.side, self.y + 0.53 * self.side


def scene(placed: list[Placed], width: int = 640, height: int = 480) -> np.ndarray:
    """(height, width, 3) uint8 RGB: heads before a wall with a gentle gradient."""
    picture = np.empty((height, width, 3), np.float32)
    picture[:] = np.linspace(150, 215, width)[None, :, None] * np.array((1.0, 0.98, 0.94))
    for head in placed:
        drawn = render_rgba(turned(head), min(512, head.side)).astype(np.float32)
        x0, y0 = max(0, -head.x), max(0, -head.y)
        part = picture[head.y + y0 : head.y + head.side, head.x + x0 : head.x + head.side]
        drawn = drawn[y0 : y0 + part.shape[0], x0 : x0 + part.shape[1]]
        cover = drawn[:, :, 3:] / 255
        part[:] = part * (1 - cover) + drawn[:, :, :3] * cover
    return np.rint(picture).astype(np.uint8)


def turned(head: Placed) -> Face:
    """The face of a placed head, without glasses, whose frames hide what is looked for."""
    face = Face.sample(head.seed, head.expression, head.identity, difficulty=0.3)
    pose = replace(face.pose, yaw=head.yaw, pitch=0.0, roll=head.roll, gaze_x=head.gaze, gaze_y=0.0)
    closure = 1.0 if head.closed else 0.0
    lids = {"eye_closure": closure} if head.closed else {}
    return replace(
        face,
        identity=replace(face.identity, glasses=0),
        pose=pose,
        left=replace(face.left, **lids),
        right=replace(face.right, **lids),
    )

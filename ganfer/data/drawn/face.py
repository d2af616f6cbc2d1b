"""One drawn face as plain numbers: who, what expression, seen how, in what light, by what camera."""

from dataclasses import dataclass

from ganfer.data.drawn.draws import EXPRESSION, SCENE, Draws, check_seed
from ganfer.data.drawn.expressions import EXPRESSIONS, ActionUnits, sample_units
from ganfer.data.drawn.identity import Colour, Identity

OCCLUDERS: tuple[str, ...] = ("none", "hand_mouth", "hand_cheek", "hand_brow", "hair", "object")


@dataclass(frozen=True)
class Pose:
    """Where the head is. Angles in degrees; `scale` in half face widths per frame width; offsets in frame widths."""

    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    scale: float = 0.4
    shift_x: float = 0.0
    shift_y: float = 0.0
    gaze_x: float = 0.0  # -1..1 of the iris's way
    gaze_y: float = 0.0


@dataclass(frozen=True)
class Lighting:
    """One soft lamp. Angles in degrees from the camera's axis; strengths 0..1."""

    azimuth: float = -30.0
    elevation: float = 35.0
    strength: float = 0.6
    warmth: float = 0.0  # -1 blue .. 1 amber
    shine: float = 0.1


@dataclass(frozen=True)
class Scene:
    """What lies behind and before the face, and what the camera does to it. Lengths in frame widths."""

    background: Colour = (150.0, 160.0, 170.0)
    background_contrast: float = 0.0
    occluder: int = 0  # into OCCLUDERS
    occluder_side: float = 1.0
    occluder_shift: float = 0.0
    occluder_colour: Colour = (90.0, 90.0, 100.0)
    blur: float = 0.0
    noise: float = 0.0  # standard deviation, grey levels
    contrast: float = 1.0
    brightness: float = 0.0  # grey levels
    gamma: float = 1.0


@dataclass(frozen=True)
class Face:
    """Every parameter of one drawing. `seed` also names its texture and its noise; `left` is the viewer's left."""

    seed: int
    label: int  # into EXPRESSIONS
    identity: Identity
    left: ActionUnits
    right: ActionUnits
    pose: Pose
    lighting: Lighting
    scene: Scene

    @property
    def expression(self) -> str:
        """The name of the label."""
        return EXPRESSIONS[self.label]

    @classmethod
    def sample(cls, seed: int, label: int | str, identity: int | None = None, difficulty: float = 1.0) -> "Face":
        """Face number `seed` of a class.

        `label` is a name or an index of EXPRESSIONS. Faces with the same `identity` number are the same person; without
        one, the person belongs to the seed. `difficulty` 0 is the textbook expression, seen from the front in even
        light; 1 is as hard as photographs from the web; up to 2 is harder. ValueError names any value out of range.
        """
        seed = check_seed("seed", seed)
        index = label_index(label)
        person = check_seed("identity", identity) if identity is not None else None
        check_difficulty(difficulty)
        left, right = sample_units(Draws(EXPRESSION, seed), EXPRESSIONS[index], difficulty)
        draws = Draws(SCENE, seed)
        return cls(
            seed=seed,
            label=index,
            # Odd and even keep the people of seeds apart from the people that are asked for by number.
            identity=Identity.sample(2 * seed + 1 if person is None else 2 * person),
            left=left,
            right=right,
            pose=_sample_pose(draws, difficulty),
            lighting=_sample_lighting(draws, difficulty),
            scene=_sample_scene(draws, difficulty),
        )


def check_difficulty(difficulty: float) -> None:
    """ValueError unless faces can be that hard."""
    if not 0.0 <= difficulty <= 2.0:
        raise ValueError(f"difficulty must lie in 0..2, got {difficulty!r}")


def label_index(label: int | str) -> int:
    """The index of a class given by name or index; ValueError naming the value otherwise."""
    if isinstance(label, str):
        if label not in EXPRESSIONS:
            raise ValueError(f"unknown expression {label!r}; known are {', '.join(EXPRESSIONS)}")
        return EXPRESSIONS.index(label)
    if isinstance(label, bool) or int(label) != label or not 0 <= label < len(EXPRESSIONS):
        raise ValueError(f"label must be 0..{len(EXPRESSIONS) - 1} or a name of EXPRESSIONS, got {label!r}")
    return int(label)


def _sample_pose(draws: Draws, difficulty: float) -> Pose:
    turned = difficulty * (1.6 if draws.chance(0.18) else 1.0)
    return Pose(
        yaw=draws.normal(0.0, 9.0 * turned, 2.0),
        pitch=draws.normal(0.0, 5.5 * turned, 2.0),
        roll=draws.normal(0.0, 5.0 * difficulty, 2.0),
        scale=0.405 * (1.0 + draws.normal(0.0, 0.05 * difficulty, 2.0)),
        shift_x=draws.normal(0.0, 0.018 * difficulty, 2.0),
        shift_y=draws.normal(0.0, 0.018 * difficulty, 2.0),
        gaze_x=draws.normal(0.0, 0.35 * difficulty, 2.0),
        gaze_y=draws.normal(0.05, 0.22 * difficulty, 2.0),
    )


def _sample_lighting(draws: Draws, difficulty: float) -> Lighting:
    return Lighting(
        azimuth=draws.normal(-12.0, 34.0 * difficulty, 2.0),
        elevation=draws.normal(32.0, 19.0 * difficulty, 2.0),
        strength=min(1.0, max(0.05, draws.normal(0.5, 0.2 * difficulty))),
        warmth=draws.normal(0.0, 0.35 * difficulty, 2.0),
        shine=0.08 + draws.uniform(0.0, 0.22) * difficulty,
    )


def _sample_scene(draws: Draws, difficulty: float) -> Scene:
    bright = draws.uniform(45.0, 225.0)
    background = (
        bright * draws.uniform(0.85, 1.1),
        bright * draws.uniform(0.9, 1.08),
        bright * draws.uniform(0.85, 1.15),
    )
    occluded = draws.chance(min(1.0, 0.08 * difficulty))
    occluder = 1 + draws.pick((3, 2.5, 1.5, 2, 2))
    poor = difficulty * (2.0 if draws.chance(0.16) else 1.0)
    return Scene(
        background=background,
        background_contrast=draws.uniform(0.1, 0.5),
        occluder=occluder if occluded else 0,
        occluder_side=1.0 if draws.chance(0.5) else -1.0,
        occluder_shift=draws.normal(0.0, 0.08),
        occluder_colour=(draws.uniform(30, 210), draws.uniform(30, 210), draws.uniform(30, 210)),
        blur=poor * abs(draws.normal(0.0, 0.0045)),
        noise=poor * draws.uniform(0.5, 3.5),
        contrast=1.0 + draws.normal(0.0, 0.13 * difficulty, 2.0),
        brightness=draws.normal(0.0, 12.0 * difficulty, 2.0),
        gamma=2.0 ** draws.normal(0.08, 0.22 * difficulty, 2.0),
    )

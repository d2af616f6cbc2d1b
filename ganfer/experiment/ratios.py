"""The kept faces in each of the ratios to try: how many of them are added to the real images."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ganfer.experiment.material import Material
from ganfer.experiment.portions import portion, rare_first


@dataclass(frozen=True)
class Portion:
    """So many of the faces. asked: faces per real image in the settings, which names folders; ratio: what it came to;
    both None where all the kept faces are added. material: with only these faces."""

    asked: float | None
    ratio: float | None
    count: int
    material: Material


def portions_of(material: Material, ratios: Sequence[float]) -> list[Portion]:
    """A portion per ratio, rare classes filled first; ratios that the kept faces are too few for become one, with all
    of them."""
    kept, real = material.kept, material.real
    if not ratios:
        return [Portion(None, None, len(kept), material)]
    available = list(kept.counts().values())
    found: dict[int, Portion] = {}
    for ratio in ratios:
        counts = rare_first(list(real.counts().values()), available, max(1, round(ratio * len(real))))
        faces = portion(kept, counts, material.seed)
        if len(faces) in found:
            continue
        reached = ratio if len(faces) < len(kept) else len(kept) / len(real)
        unscreened = portion(material.unscreened, counts, material.seed)
        turns = tuple(portion(one, counts, material.seed) for one in material.turns)
        taken = replace(material, kept=faces, unscreened=unscreened, turns=turns)
        found[len(faces)] = Portion(ratio, round(reached, 4), len(faces), taken)
    return list(found.values())

"""Expression names: their order, and how the file formats' own names map to them."""

from collections.abc import Container, Iterable

from ganfer.data.text import folded
from ganfer.errors import DataError

EXPRESSIONS: tuple[str, ...] = (
    "angry",
    "disgust",
    "fear",
    "happy",
    "sad",
    "surprise",
    "neutral",
    "contempt",
    "embarrassed",
)

_SYNONYMS = {
    "anger": "angry",
    "disgusted": "disgust",
    "afraid": "fear",
    "fearful": "fear",
    "happiness": "happy",
    "joy": "happy",
    "sadness": "sad",
    "surprised": "surprise",
    "suprise": "surprise",  # AffectNet and FERPlus redistributions spell it so
    "contemptuous": "contempt",
    "embarrassment": "embarrassed",
    "embarassed": "embarrassed",
}


# Words for an expression only where the data has no class of its own for it.
_LOOSE = {"calm": "neutral"}


def canonical(name: str, present: Container[str] = ()) -> str:
    """The name ganfer uses for a class: lower case, known synonyms mapped, anything else kept.

    present: the classes there are; a loose synonym (calm) stays a class of its own beside the expression itself.
    """
    cleaned = folded(name)
    loose = _LOOSE.get(cleaned)
    if loose is not None:
        return cleaned if loose in present or cleaned in present else loose
    return _SYNONYMS.get(cleaned, cleaned)


def is_loose(name: str, expression: str) -> bool:
    """Whether a class is only loosely named like the expression it is read as."""
    return _LOOSE.get(folded(name)) == expression


def class_named(name: str, class_names: Container[str]) -> str:
    """The class, of those given, that a folder's name means; "" for none. A class of just that name comes first."""
    written = name.strip().lower()  # as sets that were made before names were composed may have it
    return next((found for found in (folded(name), canonical(name), written) if found in class_names), "")


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Unique names in ganfer's order: the expressions first, then all others alphabetically."""
    unique = set(names)
    known = [name for name in EXPRESSIONS if name in unique]
    return tuple(known + sorted(unique - set(known)))


def parse_renames(pairs: Iterable[str]) -> dict[str, str]:
    """`["anger=angry"]` as a dict. Raises DataError for a pair without '=' and a name given twice."""
    renames: dict[str, str] = {}
    for pair in pairs:
        old, equals, new = pair.partition("=")
        if not (old.strip() and equals and new.strip()):
            raise DataError(f"--rename {pair!r} is not OLD=NEW.", "Write it like --rename anger=angry.")
        name = folded(old)
        if name in renames:
            raise DataError(f"--rename gives {name} twice.", "Give it once.")
        renames[name] = folded(new)
    return renames

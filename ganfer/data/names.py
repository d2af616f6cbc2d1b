"""Expression names: their order, and how the file formats' own names map to them."""

from collections.abc import Iterable

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
    "calm": "neutral",
    "contemptuous": "contempt",
    "embarrassment": "embarrassed",
    "embarassed": "embarrassed",
}


def canonical(name: str) -> str:
    """The name ganfer uses for a class: lower case, known synonyms mapped, anything else kept."""
    cleaned = name.strip().lower()
    return _SYNONYMS.get(cleaned, cleaned)


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Unique names in ganfer's order: the expressions first, then all others alphabetically."""
    unique = set(names)
    known = [name for name in EXPRESSIONS if name in unique]
    return tuple(known + sorted(unique - set(known)))


def parse_renames(pairs: Iterable[str]) -> dict[str, str]:
    """`["anger=angry"]` as a dict. Raises DataError for a pair without '='."""
    renames: dict[str, str] = {}
    for pair in pairs:
        old, equals, new = pair.partition("=")
        if not (old.strip() and equals and new.strip()):
            raise DataError(f"--rename {pair!r} is not OLD=NEW.", "Write it like --rename anger=angry.")
        renames[old.strip().lower()] = new.strip().lower()
    return renames

"""What a folder holds to look at, and what is left out of it: ganfer's own results and workspaces, other files."""

import json
import os
import re
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from ganfer.live.journal import NAME as JOURNAL
from ganfer.workspace import KINDS

_OWN = re.compile(r".*\.faces\.(jpg|mp4)", re.IGNORECASE)  # annotated copies
_TEMPORARY = re.compile(r"\..*\.tmp\.\w+")  # of a run that was killed
RESULTS = ("faces.csv", "faces.json", "summary.json")
_WORKSPACE_PARTS = (*KINDS, "predictions", "landmarks", "features")
_SNIFFED = ("JPEG", "PNG", "GIF", "WEBP", "TIFF", "BMP", "JPEG2000", "AVIF")  # known by their first bytes
_KINDS_NAMED = 6
_INDEX_BYTES = 16 * 2**20  # in which a film's index ends, and its comment with it
MARK = "ganfer predict"  # in the comment of every annotated copy


@dataclass
class LeftOut:
    """What was not looked at. own: pictures ganfer made; workspaces, closed: folders; kinds: other files by suffix."""

    own: int = 0
    workspaces: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    repeated: int = 0

    def lines(self) -> list[str]:
        """In words; none where nothing was left out."""
        said = []
        if self.kinds:
            named = [f"{count} {kind}" for kind, count in self.kinds.most_common(_KINDS_NAMED)]
            more = len(self.kinds) - _KINDS_NAMED
            said.append(", ".join(named) + (f", and {more} more kinds" if more > 0 else ""))
        said += [f"{self.own} picture(s) that ganfer made"] if self.own else []
        said += [f"the workspace {name}" for name in self.workspaces]
        said += [f"the folder {name}, which may not be read" for name in self.closed]
        said += [f"{self.repeated} given twice"] if self.repeated else []
        return [f"Left out: {'; '.join(said)}."] if said else []


def files_of(folder: Path, suffixes: set[str], left_out: LeftOut, results: Path | None = None) -> list[Path]:
    """The pictures and videos below a folder, sorted. results: a folder that is being written, left out as well."""
    found: list[Path] = []

    def closed(error: OSError) -> None:
        left_out.closed.append(str(error.filename))

    for place, folders, names in os.walk(folder, onerror=closed):
        here = Path(place)
        inside = here == folder and _is_workspace(here)
        for name in sorted(folders):
            below = here / name
            if _is_workspace(below) or (inside and name in _WORKSPACE_PARTS):
                left_out.workspaces.append(str(below))
                folders.remove(name)
            elif below.is_symlink():
                left_out.kinds["linked folder(s)"] += 1
                folders.remove(name)
        ours = any((here / name).is_file() for name in RESULTS) or (results is not None and _same(here, results))
        named = _copies_named(here) if ours else set()
        for name in names:
            path = here / name
            if _OWN.fullmatch(name) and (name in named or has_mark(path)):
                left_out.own += 1
            elif _TEMPORARY.fullmatch(name) or (ours and (name in RESULTS or name == JOURNAL)):
                continue
            elif path.suffix.lower() in suffixes or _is_picture(path):
                found.append(path)
            else:
                left_out.kinds[path.suffix.lower() or "without extension"] += 1
    return sorted(found)


def _copies_named(folder: Path) -> set[str]:
    """Annotated copies that the summary in their folder names; those of an earlier ganfer bear no mark."""
    try:
        sources = json.loads((folder / "summary.json").read_text(encoding="utf-8"))["sources"]
        return {Path(str(one["picture"])).name for one in sources if one.get("picture")}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return set()


def has_mark(path: Path, mark: str = MARK) -> bool:
    """Whether the file is an annotated copy that ganfer wrote; with another mark, one that bears it."""
    try:
        with path.open("rb") as file:
            if path.suffix.lower() != ".mp4":
                return mark.encode() in file.read(4096)
            return mark.encode() in file.read(_INDEX_BYTES)
    except OSError:
        return False


def _is_workspace(folder: Path) -> bool:
    try:
        return "ganfer" in json.loads((folder / "workspace.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, TypeError, RecursionError):
        return False


def _same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve()


def _is_picture(path: Path) -> bool:
    """Whether a file of an unknown name begins as one of the usual pictures."""
    try:
        with Image.open(path, formats=_SNIFFED):
            return True
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False

"""A tree that remembers which of its files were used, so that every other one can be named with the reason."""

from collections.abc import Callable, Iterator
from pathlib import Path

from ganfer.data.sources.items import Refused
from ganfer.data.sources.survey import TABLE_SUFFIXES, base, is_archive, is_image, unreadable_picture
from ganfer.data.sources.trees import Entry, Tree, Wanted, says_workspace

OWN_WORKSPACE = "a workspace of ganfer's"
ARCHIVE = "an archive inside, not unpacked"
UNREAD_TABLE = "a table that was not read"


class WatchedTree:
    """A tree without ganfer's own workspaces, seen through one reading of a source.

    Every file is asked for (`files`) by the layout that uses it; `left` names those that nobody asked for.
    """

    def __init__(self, tree: Tree, workspaces: tuple[str, ...] = ()) -> None:
        self.path: Path = tree.path
        self.listed = tree.listed
        self._tree = tree
        self._workspaces = workspaces
        self._used: set[str] = set()  # label files only: an image is asked for once
        self._unused: dict[str, None] = {}
        self._refused: dict[str, Refused] = {}

    def names(self) -> Iterator[str]:
        """Names of all files, junk and workspaces left out."""
        return (name for name in self._tree.names() if not name.startswith(self._workspaces))

    def files(self, wanted: Wanted) -> Iterator[Entry | Refused]:
        """The wanted files with their content, and what had to be refused."""
        for entry in self._tree.files(lambda name: self._ask(name, wanted)):
            if isinstance(entry, Refused):
                if entry.id.startswith(self._workspaces):
                    continue
                self._refused[entry.id] = entry
            yield entry

    def once(self, wanted: Wanted) -> Iterator[Entry | Refused]:
        """As `files`, for a layout that reads all of its files in one pass: no name is remembered as used."""
        for entry in self._tree.files(lambda name: self._ask(name, wanted, remember=False)):
            if not (isinstance(entry, Refused) and entry.id.startswith(self._workspaces)):
                yield entry

    @property
    def inner(self) -> Tree:
        """The tree itself."""
        return self._tree

    def digest(self) -> str:
        """SHA-256 that changes when the files do."""
        return self._tree.digest()

    def left(self, unnamed: str, own: Callable[[str], bool] | None, told: set[str]) -> Iterator[Refused]:
        """What was neither used nor told: refused by the tree, or wanted by nobody.

        unnamed: the reason for images. own: names that belong to the layout without being read.
        """
        yield from (entry for name, entry in self._refused.items() if name not in told)
        yield from (Refused(prefix, OWN_WORKSPACE) for prefix in self._workspaces)
        for name in self._unused:
            if name not in told and name not in self._refused and not (own and own(name)):
                yield Refused(name, unnamed if is_image(name) else why_unread(name))

    def _ask(self, name: str, wanted: Wanted, *, remember: bool = True) -> bool:
        if name.startswith(self._workspaces):
            return False
        wants = wanted(name)
        if wants:
            self._unused.pop(name, None)
            if remember and not is_image(name):
                self._used.add(name)
        elif name not in self._used:
            self._unused[name] = None
        return wants


def why_unread(name: str) -> str:
    """Why a file that is no image was left out."""
    reason = unreadable_picture(name)
    if reason:
        return reason
    suffix = Path(name).suffix.lower()
    if is_archive(name):
        return ARCHIVE
    if suffix in TABLE_SUFFIXES:
        return UNREAD_TABLE
    return f"not an image ({suffix or 'no extension'})"


def workspaces_in(tree: Tree, names: list[str]) -> tuple[str, ...]:
    """Folders of an archive, with a slash at the end, that are workspaces of ganfer's. names: its `WORKSPACE` files."""
    if not names:
        return ()
    files = (entry for entry in tree.files(lambda name: name in names) if isinstance(entry, Entry))
    return tuple(file.name[: -len(base(file.name))] for file in files if says_workspace(file.bytes()))

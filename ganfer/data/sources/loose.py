"""Images below a folder whose layout does not matter: what a command takes that is given a folder of pictures."""

from pathlib import Path

from ganfer.data.sources.items import Refused
from ganfer.data.sources.survey import is_image
from ganfer.data.sources.trees import FolderTree
from ganfer.data.sources.watched import why_unread
from ganfer.data.text import printable


def images_below(folder: Path) -> tuple[list[Path], list[tuple[str, str]]]:
    """The image files below a folder, and (name, reason) of what is left out; ganfer's workspaces and junk are passed
    over. DataError for a workspace itself and for a folder that may not be read.
    """
    tree = FolderTree(folder)
    files: list[Path] = []
    left_out: list[tuple[str, str]] = []
    for entry in tree.files(lambda name: True):
        if isinstance(entry, Refused):
            left_out.append((printable(entry.id), entry.reason))
        elif is_image(entry.name):
            files.append(folder / entry.name)
        else:
            left_out.append((printable(entry.name), why_unread(entry.name)))
    return files, left_out

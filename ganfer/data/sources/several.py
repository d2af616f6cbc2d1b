"""Several files as one source: those that a pattern, a list or a folder names; tar shards one after the other."""

import glob
import hashlib
import os
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from ganfer.data.sources.items import Refused
from ganfer.data.sources.tars import TarTree
from ganfer.data.sources.trees import Entry, Wanted, is_tar
from ganfer.errors import DataError

_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
_CHOICE = re.compile(r"\{([^{}]*,[^{}]*)\}")
_MOST = 100_000  # files that a pattern may name
_SHARD = re.compile(r"(.*?)(\d+)-of-(\d+)")


class FilesTree:
    """Some files below a folder, in the order given."""

    listed = True

    def __init__(self, path: Path, files: Sequence[Path]) -> None:
        self.path = path
        self._files = {file.relative_to(path).as_posix(): file for file in files}

    def names(self) -> Iterator[str]:
        """Their names, relative to the folder."""
        return iter(self._files)

    def files(self, wanted: Wanted) -> Iterator[Entry | Refused]:
        """The wanted ones, by path."""
        return (Entry(name, file) for name, file in self._files.items() if wanted(name))

    def digest(self) -> str:
        """SHA-256 over names, sizes and times of change, as of a folder."""
        return _stamp(self._files)


class ShardsTree:
    """Tar shards, read one after the other; an image's name begins with its shard's: `train-000000.tar/KEY.png`."""

    listed = False

    def __init__(self, path: Path, files: Sequence[Path]) -> None:
        self.path = path
        self.shards = {file.relative_to(path).as_posix(): file for file in files}

    def names(self) -> Iterator[str]:
        """Names in all shards; costs a pass over them when run to the end."""
        return (f"{shard}/{name}" for shard, file in self.shards.items() for name in TarTree(file).names())

    def first_names(self) -> Iterator[str]:
        """Names in the first shard, which tell how the others are laid out."""
        shard, file = next(iter(self.shards.items()))
        return (f"{shard}/{name}" for name in TarTree(file).names())

    def files(self, wanted: Wanted) -> Iterator[Entry | Refused]:
        """The wanted members of all shards, one in memory at a time."""
        for shard, file in self.shards.items():
            for entry in TarTree(file).files(lambda name, shard=shard: wanted(f"{shard}/{name}")):  # type: ignore[misc]
                if isinstance(entry, Refused):
                    yield Refused(f"{shard}/{entry.id}", entry.reason)
                else:
                    yield Entry(f"{shard}/{entry.name}", entry.data)

    def digest(self) -> str:
        """SHA-256 over names, sizes and times of change: hashing terabytes would double the import's time."""
        return _stamp(self.shards)


def named_files(paths: Sequence[Path]) -> tuple[Path, list[Path]]:
    """The folder and the files that paths and patterns name, each once. DataError for what is missing or mixed."""
    found: dict[Path, None] = {}
    for path in paths:
        for file in _expanded(path):
            if not file.is_file():
                raise DataError(f"{file} {'is no file' if file.exists() else 'does not exist'}.", "Check the names.")
            found[file.resolve()] = None
    files = list(found)
    kinds = {"tar" if is_tar(file.name) else file.suffix.lower() for file in files}
    if not kinds <= {"tar"} and not kinds <= {".parquet"}:
        raise DataError(
            f"{len(files):,} files of several kinds ({', '.join(sorted(kinds))}) are no one source.",
            "Give several Parquet files, or several tar shards; add anything else one by one, with --merge.",
        )
    return Path(os.path.commonpath([file.parent for file in files])), files


def missing_shards(names: Iterable[str]) -> list[str]:
    """A line for every row of files called NUMBER-of-COUNT of which some are not there."""
    there: dict[tuple[str, str], set[int]] = defaultdict(set)
    for name in names:
        if match := _SHARD.match(name):
            there[match[1], match[3]].add(int(match[2]))
    lines = []
    for (start, count), numbers in sorted(there.items()):
        total = min(int(count), _MOST)
        if lost := [number for number in range(total) if number not in numbers]:
            shown = ", ".join(f"{number:0{len(count)}d}" for number in lost[:3]) + (", ..." if len(lost) > 3 else "")
            lines.append(
                f"left out: of {start}...-of-{count}, {len(lost):,} of {total:,} files are not there ({shown})"
            )
    return lines


def is_pattern(path: Path) -> bool:
    """Whether a path that is not there names files by `*`, `?`, `[...]` or `{...}`."""
    return not path.exists() and any(mark in str(path) for mark in "*?[{")


def _expanded(path: Path) -> list[Path]:
    if not is_pattern(path):
        return [path]
    files: list[Path] = []
    for text in _braces(str(path)):
        if not any(mark in text for mark in "*?["):
            files.append(Path(text))
            continue
        matching = sorted(Path(name) for name in glob.glob(text, recursive=True))
        if not matching:
            raise DataError(f"No file is named like {text}.", "Check the pattern.")
        files += [file for file in matching if file.is_file()]
    return files


def _braces(text: str) -> list[str]:
    """The texts that `{000..012}` and `{train,test}` stand for, as a shell expands them."""
    open_texts, done = [text], list[str]()
    while open_texts:
        if len(open_texts) + len(done) > _MOST:
            raise DataError(f"{text} names more than {_MOST:,} files.", "Give a folder, or a shorter range.")
        each = open_texts.pop()
        if match := _RANGE.search(each):
            first, last = int(match[1]), int(match[2])
            if not 0 <= last - first < _MOST:
                raise DataError(f"{text}: {match[0]} is no range of at most {_MOST:,} numbers.", "Write {000..099}.")
            parts = [f"{number:0{len(match[1])}d}" for number in range(first, last + 1)]
        elif match := _CHOICE.search(each):
            parts = match[1].split(",")
        else:
            done.append(each)
            continue
        open_texts += [each[: match.start()] + part + each[match.end() :] for part in reversed(parts)]
    return done


def _stamp(files: dict[str, Path]) -> str:
    seal = hashlib.sha256()
    for name, file in files.items():
        status = file.stat()
        seal.update(f"{name}\0{status.st_size}\0{status.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
    return seal.hexdigest()

"""The layouts ganfer reads, and how it tells which one a path holds."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from ganfer.data.sources import (
    affectnet,
    ckplus,
    coded,
    expw,
    fer2013,
    ferplus,
    ferplus_images,
    folders,
    huggingface,
    parquet,
    rafdb,
    roboflow,
    stylegan,
    webdataset,
)
from ganfer.data.sources.codes import CODES
from ganfer.data.sources.items import Item, Note, ReadOptions, Refused, Stream
from ganfer.data.sources.opening import open_tree, several, source_stem
from ganfer.data.sources.reading import Reading
from ganfer.data.sources.remarks import named_files, nothing, said_of, some, split_names
from ganfer.data.sources.several import ShardsTree
from ganfer.data.sources.survey import Survey, looks_like_picture, survey
from ganfer.data.sources.trees import Tree
from ganfer.data.sources.watched import WatchedTree, workspaces_in
from ganfer.data.sources.words import EVAL, meant_by_eval, split_word
from ganfer.errors import DataError, did_you_mean

__all__ = ["KINDS", "DatasetSource", "Layout", "open_source", "open_tree", "source_stem"]


@dataclass(frozen=True)
class Layout:
    """One published way to lay out labelled faces.

    fits: whether the names look like it. items: the stream. lone_val_is_test: with no test split, its validation split
    is the test, as its users report it. labels: the classes without reading an image, where that tells. allows: as
    `fits`, when the user asks for it. lines: how the source is read, in words. unnamed: why an image that the layout
    does not use is left out. own: files of the layout that need no reading.
    """

    summary: str
    fits: Callable[[Survey], bool]
    items: Callable[[Tree, Survey, ReadOptions], Stream]
    lone_val_is_test: bool = False
    labels: Callable[[Tree, Survey, ReadOptions], Iterator[str]] | None = None
    allows: Callable[[Survey], bool] | None = None
    lines: Callable[[Tree, Survey, ReadOptions], Sequence[str]] | None = None
    unnamed: str = "not named in the label file"
    own: Callable[[str], bool] | None = None


_FER = fer2013.items(fer2013.CLASSES)
_CK_CSV = fer2013.items(fer2013.CK_CLASSES)
_BESIDE = "a picture beside the CSV, which holds the images"

# In the order of trial: the most telling first.
KINDS: dict[str, Layout] = {
    "ferplus": Layout(
        "FER2013 with FERPlus's votes", ferplus.fits, ferplus.items, lone_val_is_test=True, unnamed=_BESIDE
    ),
    "ferplus+images": Layout(
        "FERPlus's folders of images, each with its votes in label.csv",
        ferplus_images.fits,
        ferplus_images.items,
        lone_val_is_test=True,
        allows=ferplus_images.allows,
    ),
    "roboflow": Layout(
        "Roboflow's images with _classes.csv", roboflow.fits, roboflow.items, unnamed="not named in _classes.csv"
    ),
    "ck+csv": Layout(
        "CK+ as FER2013's CSV, 7 = contempt", fer2013.fits_ck, _CK_CSV, allows=fer2013.fits, unnamed=_BESIDE
    ),
    "fer2013": Layout("FER2013's CSV files", fer2013.fits, _FER, lone_val_is_test=True, unnamed=_BESIDE),
    "expw": Layout("ExpW: label.lst and images", expw.fits, expw.items),
    "raf-db": Layout(
        "RAF-DB basic",
        rafdb.fits,
        rafdb.items,
        unnamed="not named in the label file, or the photograph of an aligned face",
        own=rafdb.own,
    ),
    "affectnet": Layout("AffectNet", affectnet.fits, affectnet.items, lone_val_is_test=True, own=affectnet.own),
    "huggingface": Layout(
        "images with metadata.csv or metadata.jsonl",
        huggingface.fits,
        huggingface.items,
        labels=huggingface.labels,
        lines=huggingface.lines,
        unnamed="not named in the metadata",
    ),
    "webdataset": Layout(
        "WebDataset tar shards (KEY.png, KEY.cls, KEY.json)",
        webdataset.fits,
        webdataset.items,
        lines=webdataset.lines,
        unnamed="of no sample",
    ),
    "parquet": Layout(
        "Hugging Face Parquet (image, label)",
        parquet.fits,
        parquet.items,
        labels=parquet.labels,
        allows=parquet.allows,
        lines=parquet.lines,
        unnamed="an image beside the Parquet files",
        own=parquet.own,
    ),
    "stylegan": Layout(
        "StyleGAN's dataset.json and images", stylegan.fits, stylegan.items, unnamed="not named in dataset.json"
    ),
    "ck+": Layout(
        "CK+ as released, with its Emotion folder",
        ckplus.fits,
        ckplus.items,
        unnamed=ckplus.UNLABELLED,
        own=ckplus.own,
    ),
    "ck+48": Layout("CK+48", folders.fits_ck, folders.items_ck, labels=folders.labels),
    **{kind: Layout(code.title, coded.fits(kind), coded.items(kind)) for kind, code in CODES.items()},
    "folder": Layout("a folder per class, with or without splits", folders.fits, folders.items, labels=folders.labels),
}
_PIXELS_OR_TABLE = ("ferplus", "ck+csv", "fer2013", "stylegan")
_BY_FOLDER = ("ck+48", "folder", "huggingface")  # where the folders' levels count


@dataclass(frozen=True)
class DatasetSource:
    """A path together with its layout. `items()` starts the stream anew each time.

    workspaces: folders of an archive that are ganfer's own, and are left out.
    """

    path: Path
    kind: str
    layout: Layout
    tree: Tree
    seen: Survey
    options: ReadOptions
    workspaces: tuple[str, ...] = ()

    def items(self) -> Stream:
        """The source's images, one at a time; then every file that was not used, with the reason."""
        tree = WatchedTree(self.tree, self.workspaces)
        told: set[str] = set()
        left: dict[str, list[str]] = defaultdict(list)
        numbers = not self.options.class_names
        for entry in self.layout.items(tree, self.seen, self.options):
            if isinstance(entry, Refused):
                told.add(entry.id)
                left[said_of(entry)].append(entry.id)
                yield self._placed(entry)
            elif isinstance(entry, Item) and not entry.label.strip():
                yield Refused(entry.id, "its class has no name")
            elif isinstance(entry, Item) and self.options.class_names:
                named = replace(entry, label=self._named(entry.label))
                numbers |= named.label in self.options.class_names
                yield named
            else:
                yield entry
        for refused in tree.left(self.layout.unnamed, self.layout.own, told):
            yield self._placed(refused)
            left[said_of(refused)].append(refused.id)
        if not numbers:
            yield Note("--class-names was not used: no class of the source is a number.")
        for text, names in left.items():
            if text:
                yield Note(text.format(some(names)))

    def _placed(self, refused: Refused) -> Refused:
        """With the class it would have had, where its folder tells."""
        if refused.label or self.kind not in ("folder", "ck+48"):
            return refused
        label = self._plan.of(refused.id).label
        return replace(refused, label=label) if label and looks_like_picture(refused.id) else refused

    @cached_property
    def _plan(self) -> Reading:
        return folders.reading(self.tree, self.seen, self.options)

    def lines(self) -> list[str]:
        """How the source is read, in words. DataError where that is open."""
        first = f"{self.path} is read as {self.kind}: {self.layout.summary}."
        return [first, *(f"  {line}" for line in self._details)]

    @cached_property
    def _details(self) -> Sequence[str]:
        if self.layout.lines is not None:
            return self.layout.lines(WatchedTree(self.tree, self.workspaces), self.seen, self.options)
        return [*self._plan.lines, *split_names(self.seen)] if self.kind in ("folder", "ck+48") else ()

    def labels(self) -> Iterator[str] | None:
        """The classes without reading any image; None where only reading tells."""
        if self.layout.labels is None:
            return None
        found = self.layout.labels(WatchedTree(self.tree, self.workspaces), self.seen, self.options)
        return (self._named(label) for label in found)

    def _named(self, label: str) -> str:
        """The class that a number stands for, where the user named them. DataError for a number beyond."""
        names = self.options.class_names
        if not names or not (label.isascii() and label.isdigit()):
            return label
        if int(label) >= len(names):
            raise DataError(
                f"{self.path} has class {label}, and --class-names names {len(names)} (0 to {len(names) - 1}).",
                "Name all of them, in order.",
            )
        return names[int(label)]

    @property
    def count(self) -> int | None:
        """Images in the source, about; None where only reading it through tells."""
        if self.kind == "parquet":
            return parquet.count(self.tree)
        return self.seen.images if self.tree.listed and self.seen.images else None

    @property
    def named_split(self) -> str:
        """The split that the path itself is named after (`test/`, `val.zip`), of images that say none; "" for none."""
        found = split_word(self.path.resolve().name.partition(".")[0])
        return meant_by_eval(()) if found == EVAL else found

    def digest(self) -> str:
        """SHA-256 that changes when the source does."""
        return self.tree.digest()


def open_source(
    path: Path | Sequence[Path], kind: str | None = None, options: ReadOptions | None = None
) -> DatasetSource:
    """The source at `path`, or in several files.

    DataError when it is missing, holds nothing ganfer reads, or does not fit `kind`.
    """
    if kind is not None and kind not in KINDS:
        raise DataError(f"Unknown layout {kind!r}.", did_you_mean(kind, KINDS))
    options = options or ReadOptions()
    tree = open_tree(path) if isinstance(path, Path) else several(path)
    path = tree.path if not isinstance(path, Path) else path
    seen, workspaces = _look(tree)
    if path.is_dir() and not seen.images and seen.tars and set(seen.packed) <= set(seen.tars):
        tree = ShardsTree(path, [path / name for name in seen.tars])
        seen, workspaces = _look(tree)
    if isinstance(tree, ShardsTree) and not webdataset.fits(seen):
        raise DataError(
            f"The tars of {path} are no WebDataset shards (KEY.png with KEY.cls or KEY.json).",
            "Add one tar at a time, the later ones with --merge; or unpack them into one folder.",
        )
    if twice := [name for name, count in Counter(options.class_names).items() if count > 1]:
        raise DataError(f"--class-names gives {twice[0]!r} to two classes.", "Give each a name of its own.")
    if kind is None:
        kind = _found_out(path, tree, seen, options)
    elif not (KINDS[kind].allows or KINDS[kind].fits)(seen):
        raise DataError(
            f"{path} does not look like {kind} ({KINDS[kind].summary}).", "Leave --as out, or check the path."
        )
    if options.columns and kind != "parquet":
        raise DataError(f"--column is for Parquet; {path} is read as {kind}.", "Leave it out.")
    if (options.class_level or options.subject_level) and kind not in _BY_FOLDER:
        raise DataError(
            f"--class-level and --subject-level are for class folders; {path} is read as {kind}.",
            "Leave them out, or add --as folder.",
        )
    return DatasetSource(path, kind, KINDS[kind], tree, seen, options, workspaces)


def _found_out(path: Path, tree: Tree, seen: Survey, options: ReadOptions) -> str:
    """The layout of a source. DataError where there is none, or where two have a claim."""
    if options.class_level is not None and seen.in_folders:
        return "folder"
    kind = next((name for name, layout in KINDS.items() if layout.fits(seen)), None)
    if kind is None:
        raise DataError(*nothing(path, seen, KINDS))
    if kind in _PIXELS_OR_TABLE and 2 * seen.in_classes > seen.images > 0:
        raise DataError(
            f"{path} holds {KINDS[kind].summary}, and {seen.in_classes:,} images in class folders beside it.",
            f"Say which it is: --as {kind}, or --as folder.",
        )
    if kind == "folder" and not seen.in_classes and 2 * seen.ck_names > seen.images:
        raise DataError(
            f"{path} holds CK+'s frames without their labels: the folders are subjects and sequences.",
            "Give the folder that holds CK+'s Emotion/ as well.",
        )
    if kind == "folder" and not seen.in_classes and 2 * seen.named_apart > seen.images:
        raise DataError(*named_files(path, seen))
    if kind == "huggingface" and 2 * seen.in_classes > seen.images:
        differs = huggingface.unlike_folders(tree, seen, options)
        if differs:
            raise DataError(differs, "Say which counts: --as huggingface (the table), or --as folder.")
    return kind


def _look(tree: Tree) -> tuple[Survey, tuple[str, ...]]:
    """What the names say, and the workspaces of ganfer's in an archive; a tar is read through for it."""
    seen = survey(tree.first_names() if isinstance(tree, ShardsTree) else tree.names())
    if isinstance(tree, ShardsTree):
        return seen, ()
    workspaces = workspaces_in(tree, seen.workspaces)
    return (survey(WatchedTree(tree, workspaces).names()) if workspaces else seen), workspaces

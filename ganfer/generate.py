"""Drawing a batch of synthetic faces: how many of which class, then PNGs that say how they were made.

The plan is arithmetic on counts and can be looked at first. Drawing resumes: a PNG that is there and whole stays.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ganfer.config import Config
from ganfer.console import progress, say
from ganfer.data.imageset import read_set
from ganfer.data.provenance import read_facts, write_png
from ganfer.data.sheets import row_sheet, save_sheet
from ganfer.errors import DataError, GanferError, did_you_mean
from ganfer.files import digest_json, write_csv
from ganfer.gan.generator import Generator, open_generator
from ganfer.results import Result, table
from ganfer.runtime import describe, resolve_device
from ganfer.seeding import image_seeds
from ganfer.workspace import Run, Workspace

COLUMNS = ("file_name", "asked", "seed", "generator", "truncation")
_CHUNK = 512  # images in memory while being written; as many again are being drawn
_WRITERS = 4
_SHEET = 12  # faces per class on the contact sheet
_PNG_END = b"IEND\xaeB`\x82"


@dataclass(frozen=True)
class Quota:
    """How many images to draw per class name, beside how many real training images there are."""

    counts: Mapping[str, int]
    existing: Mapping[str, int]

    @property
    def total(self) -> int:
        """Images to draw in all."""
        return sum(self.counts.values())

    def lines(self) -> list[str]:
        """The plan as a table."""
        rows = [
            (name, f"{self.existing.get(name, 0):,}", f"{count:,}", f"{self.existing.get(name, 0) + count:,}")
            for name, count in self.counts.items()
        ]
        before = sum(self.existing.get(name, 0) for name in self.counts)
        rows.append(("all", f"{before:,}", f"{self.total:,}", f"{before + self.total:,}"))
        return [f"generate {self.total:,} faces:", *table(["class", "real", "to draw", "together"], rows)]


def plan_counts(
    data: Run,
    config: Config,
    *,
    n: int | None = None,
    balance: bool = False,
    to: int | None = None,
    classes: Mapping[str, int] | None = None,
) -> Quota:
    """The quota for a data set's training split; see `plan_quota`. `config.generate.n` when nothing is asked for."""
    images = read_set(data.path)
    train = (images.split == "train") & (images.source == "real") & (images.labels >= 0)
    tally = np.bincount(images.labels[train], minlength=len(images.class_names))
    counts = {name: int(count) for name, count in zip(images.class_names, tally, strict=True)}
    if n is None and not balance and to is None and not classes:
        n = config.generate.n
    return plan_quota(counts, n=n, balance=balance, to=to, classes=classes or {})


def plan_quota(
    counts: Mapping[str, int],
    *,
    n: int | None = None,
    balance: bool = False,
    to: int | None = None,
    classes: Mapping[str, int] | None = None,
) -> Quota:
    """How many to draw per class, from real counts per class. Classes without a real image get nothing on their own.

    n alone: spread evenly, the remainder to the rarest. balance: every class filled up to the largest, or to `to`
    (which implies balance); with n at most n, each next image to the class that is rarest by then. classes: just these.
    GanferError for a class that does not exist, a combination without a meaning, or nothing to draw.
    """
    if classes:
        if n is not None or balance or to is not None:
            raise GanferError(
                "--class gives exact counts and goes with none of --n, --balance and --to.", "Use one or the other."
            )
        for name in classes:
            if name not in counts:
                raise GanferError(f"The data has no class {name!r}.", did_you_mean(name, counts))
        quota = {name: classes[name] for name in counts if classes.get(name, 0) > 0}
        return _non_empty(Quota(quota, counts), "Every count given is 0.", "Give a count above 0.")
    present = {name: count for name, count in counts.items() if count > 0}
    if not present:
        raise DataError("The training split holds no labelled real image.", "Add images: ganfer data add PATH.")
    if balance or to is not None:
        target = to if to is not None else max(present.values())
        levels = _fill(present, target, n)
        quota = {name: levels[name] - count for name, count in present.items() if levels[name] > count}
        return _non_empty(
            Quota(quota, counts),
            f"Nothing to draw: every class has {target:,} real images or more.",
            f"Ask for more with --to N (above {min(present.values()):,}), or use --n.",
        )
    assert n is not None
    share, rest = divmod(n, len(present))
    rarest = sorted(present, key=lambda name: present[name])[:rest]
    quota = {name: share + (name in rarest) for name in present if share or name in rarest}
    return _non_empty(Quota(quota, counts), f"--n {n}.", "Ask for at least 1 image.")


def _fill(counts: Mapping[str, int], target: int, limit: int | None) -> dict[str, int]:
    """Counts raised to `target`; with a limit, the rarest are raised together until it is used up."""
    levels = {name: max(count, target) for name, count in counts.items()}
    if limit is None or sum(levels.values()) - sum(counts.values()) <= limit:
        return levels
    low, high = min(counts.values()), target  # the highest common level that the limit pays for
    while low < high:
        middle = (low + high + 1) // 2
        if sum(max(0, middle - count) for count in counts.values()) <= limit:
            low = middle
        else:
            high = middle - 1
    left = limit - sum(max(0, low - count) for count in counts.values())
    levels = {name: max(count, low) for name, count in counts.items()}
    for name in [name for name in counts if levels[name] == low][:left]:
        levels[name] += 1
    return levels


def _non_empty(quota: Quota, problem: str, remedy: str) -> Quota:
    if quota.total <= 0:
        raise GanferError(problem, remedy)
    return quota


@dataclass(frozen=True)
class _Draw:
    """The batch to draw: for image i its file, class name, seed and label (None: unconditional)."""

    names: Sequence[str]
    asked: Sequence[str]
    seeds: np.ndarray
    labels: np.ndarray | None

    def part(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Seeds and labels of some images."""
        return self.seeds[indices], None if self.labels is None else self.labels[indices]


def generate(workspace: Workspace, config: Config, gan: Run, data: Run, quota: Quota) -> Result:
    """Draw the quota with a trained GAN; writes synthetic/<batch>/ and returns its figures.

    Resumes an interrupted batch. GanferError when the GAN does not know a class; OSError (disk full) passes through
    with every finished image kept and nothing half-written.
    """
    settings = {"counts": dict(quota.counts), "truncation": config.generate.truncation}
    key = {"config": settings, "inputs": {"data": data.digest, "gan": gan.digest}, "seed": config.seed}
    run = workspace.run("synthetic", "batch", key)
    with run.work("generate", key) as record:
        if record.get("status") == "complete":
            return _result(run, quota, "was already generated")
        generator = open_generator("dcgan", gan.path, config.device, truncation=config.generate.truncation)
        plan = _plan_draw(generator, quota, config.seed)
        for line in quota.lines():
            say(line)
        facts: dict[str, Any] = {"generator": generator.digest, "truncation": config.generate.truncation}
        device = resolve_device(config.device)
        missing = _missing(run.path, plan.names)
        with progress("generate", len(plan.names)) as advance:
            advance(len(plan.names) - len(missing))
            for written in _draw_files(run.path, generator, plan, missing, {**facts, "device": device.type}):
                advance(written)
        save_sheet(run.path / "contact.png", _sheet(generator, plan))
        write_csv(run.path / "metadata.csv", COLUMNS, _rows(plan, facts))
        figures = {
            "count": quota.total,
            "per_class": dict(quota.counts) if plan.labels is not None else {},
            "gan": gan.name,
            "generator": generator.digest,
            "resumed_with": len(plan.names) - len(missing),
        }
        run.finish(digest=digest_json(key), figures=figures, device=describe(device))
    return _result(run, quota, "generated")


def _plan_draw(generator: Generator, quota: Quota, seed: int) -> _Draw:
    """Seeds, labels and file names of the batch. GanferError for a class the generator does not know."""
    seeds = image_seeds(seed, quota.total)
    if generator.class_names is None:
        say("The generator knows no classes: the faces are drawn as they come, `ganfer label` sorts them.")
        asked, labels = [""] * quota.total, None
    else:
        for name in quota.counts:
            if name not in generator.class_names:
                raise GanferError(
                    f"The generator knows no {name!r}; it was trained on {', '.join(generator.class_names)}.",
                    "Train one on data with that class: ganfer train gan.",
                )
        asked = [name for name, count in quota.counts.items() for _ in range(count)]
        labels = np.array([generator.class_names.index(name) for name in asked], dtype=np.int64)
    names = [f"images/{_in_file_name(name)}-{i:07d}.png" for i, name in enumerate(asked)]
    return _Draw(names, asked, seeds, labels)


def _in_file_name(class_name: str) -> str:
    return re.sub(r"[^\w-]+", "_", class_name) or "face"


def _missing(folder: Path, names: Sequence[str]) -> np.ndarray:
    """Indices of the images that are not there whole yet."""
    return np.array([i for i, name in enumerate(names) if not _whole(folder / name)], dtype=np.int64)


def _whole(path: Path) -> bool:
    """Whether the file ends as a PNG ends: a power cut can leave a renamed file short."""
    try:
        with path.open("rb") as file:
            file.seek(-len(_PNG_END), 2)
            return file.read() == _PNG_END
    except OSError:
        return False


def _draw_files(
    folder: Path, generator: Generator, plan: _Draw, missing: np.ndarray, facts: Mapping[str, Any]
) -> Iterator[int]:
    """Draw and write the missing images, a chunk being written while the next is drawn; yields how many it wrote."""

    def write(index: int, image: np.ndarray) -> None:
        own: dict[str, str | int] = {"seed": int(plan.seeds[index]), "class": plan.asked[index]}
        write_png(folder / plan.names[index], image, {**facts, **own})

    (folder / "images").mkdir(parents=True, exist_ok=True)
    with _writers(folder / "images") as pool:
        writing: list[Future[None]] = []
        for start in range(0, len(missing), _CHUNK):
            indices = missing[start : start + _CHUNK]
            images = generator.sample(*plan.part(indices))
            yield _finished(writing)
            writing = [pool.submit(write, int(i), image) for i, image in zip(indices, images, strict=True)]
        yield _finished(writing)


def _finished(writing: Sequence[Future[None]]) -> int:
    """Wait for the files; raises what the first failed one raised."""
    for future in writing:
        future.result()
    return len(writing)


@contextmanager
def _writers(folder: Path) -> Iterator[ThreadPoolExecutor]:
    """Threads that write files into `folder`; whatever ends the block, no temporary file stays."""
    pool = ThreadPoolExecutor(_WRITERS)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        for temporary in folder.glob(".*.tmp"):
            temporary.unlink(missing_ok=True)


def _rows(plan: _Draw, facts: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for name, asked, seed in zip(plan.names, plan.asked, plan.seeds, strict=True):
        yield {"file_name": name, "asked": asked, "seed": int(seed), **facts}


def _sheet(generator: Generator, plan: _Draw) -> Any:
    """The first faces of every class."""
    asked = np.array(plan.asked)
    rows = []
    for name in dict.fromkeys(plan.asked):
        indices = np.flatnonzero(asked == name)
        rows.append((name or "faces", f"{len(indices):,}", generator.sample(*plan.part(indices[:_SHEET]))))
    return row_sheet(rows)


def redraw(path: Path, generator: Generator) -> np.ndarray:
    """The image (C, H, W) uint8 of a generated PNG drawn again from what the file says of itself.

    Equal to the file's pixels bit for bit on the kind of device it was drawn on. DataError when the file is none of
    this generator's.
    """
    facts = read_facts(path)
    if facts.get("synthetic") != "true" or "seed" not in facts:
        raise DataError(f"{path} does not say how it was drawn.", "Only PNGs that `ganfer generate` wrote do.")
    if facts["generator"] != generator.digest:
        raise DataError(
            f"{path} was drawn by generator {facts['generator'][:12]}, not {generator.digest[:12]}.", "Open that one."
        )
    drawn_with, given = float(facts["truncation"]), float(getattr(generator, "truncation", 0.0))
    if drawn_with != given:
        raise DataError(
            f"{path} was drawn with truncation {drawn_with:g}, not {given:g}.", "Open the generator with it."
        )
    labels = None
    if generator.class_names is not None:
        labels = np.array([generator.class_names.index(facts["class"])])
    image: np.ndarray = generator.sample(np.array([int(facts["seed"])]), labels)[0]
    return image


def _result(run: Run, quota: Quota, what: str) -> Result:
    figures = run.figures
    lines = [
        f"{run.name} {what}: {figures['count']:,} faces by {figures['gan']}.",
        *quota.lines()[1:],
        f"  images: {run.path / 'images'}, contact sheet: {run.path / 'contact.png'}",
    ]
    return Result("ganfer generate", run.path, figures, lines)

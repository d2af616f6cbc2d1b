"""Drawing a batch of synthetic faces: PNGs that say how they were made.

Drawing resumes: a PNG that is there and whole stays. Several processes (torchrun) draw a part each, and the files are
those that one would have drawn.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ganfer.config import Config
from ganfer.data import parquet
from ganfer.data.imageset import read_set
from ganfer.data.provenance import encode_png, write_png
from ganfer.data.sheets import row_sheet, save_sheet
from ganfer.errors import GanferError
from ganfer.gan.generator import Generator
from ganfer.generate import shards
from ganfer.generate.cards import write_batch_cards
from ganfer.generate.quota import Quota, plan_counts, plan_quota
from ganfer.generate.room import already, need_room_for
from ganfer.generate.source import GeneratorChoice, gan_source
from ganfer.results import Result
from ganfer.runtime import ranks
from ganfer.runtime.console import progress, say
from ganfer.runtime.device import describe, drawn_on, resolve_device
from ganfer.runtime.files import digest_json, write_csv
from ganfer.runtime.seeding import image_seeds, short_seeds
from ganfer.version import __version__
from ganfer.workspace import Run, Workspace

__all__ = ["Quota", "draw", "draw_more", "generate", "plan_counts", "plan_quota"]

SHEET_FACES = 12  # per class on the contact sheet
_CHUNK = 512  # images in memory while being written; as many again are being drawn
_WRITERS = 4
_PNG_END = b"IEND\xaeB`\x82"


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
    """`draw` with a trained GAN of the workspace."""
    return draw(workspace, config, gan_source(gan, config), data, quota)


def draw(
    workspace: Workspace,
    config: Config,
    source: GeneratorChoice,
    data: Run,
    quota: Quota,
    seeds: Sequence[int] | None = None,
) -> Result:
    """Draw the quota; writes synthetic/<batch>/ and returns its figures. seeds: exactly these, one face each.

    Resumes an interrupted batch. GanferError when the generator does not know a class; OSError (disk full) passes
    through with every finished image kept and nothing half-written.
    """
    form = config.generate.format
    sharded = form != "png"
    settings: dict[str, Any] = {"counts": dict(quota.counts), **source.settings}
    if sharded:
        settings["shard_size"] = config.generate.shard_size
    if form == "parquet":
        parquet.need_pyarrow("--format parquet")
        settings["format"] = form
    if seeds is not None:
        settings["seeds"] = list(seeds)
    key = {"config": settings, "inputs": {"data": data.digest, source.input: source.digest}, "seed": config.seed}
    run = workspace.run("synthetic", "batch", key)
    with run.work("generate") as record:
        if record.get("status") == "complete":
            return _result(run, quota, "was already generated")
        images = read_set(data.path)
        left = quota.total - (_in_finished_shards(run.path, config) if sharded else already(run.path))
        need_room_for(run.path, max(0, left), images.size, images.channels, config)
        generator = source.open(config.device, images.size, images.channels)
        plan = _plan_draw(generator, quota, config.seed, seeds)
        if sharded:
            plan = _in_shards(plan, config.generate.shard_size, form)
        for line in plan_lines(quota, generator.class_names):
            say(line)
        facts: dict[str, Any] = {"generator": generator.digest, **generator.facts}
        device = resolve_device(config.device)
        size = config.generate.shard_size if sharded else 1
        mine = _share_of(plan, size)
        missing = _missing(run.path, plan.names, mine)
        made = _draw_shards if sharded else _draw_files
        with progress("generate", len(mine)) as advance:
            advance(len(mine) - len(missing))
            for written in made(run.path, generator, plan, missing, {**facts, "device": drawn_on(device)}):
                advance(written)
        ranks.barrier()  # every process has drawn its part; the rest is the leader's
        if ranks.leads():
            _remove_temporary(run.path / shards.folder_of(form))
            save_sheet(run.path / "contact.png", _sheet(generator, plan))
            write_csv(run.path / "metadata.csv", ("file_name", "asked", "seed", *facts), _rows(plan, facts))
            told = {**facts, "device": drawn_on(device)}
            learned_from = data.name if source.input == "gan" else ""
            shape = generator.size, generator.channels
            write_batch_cards(run, *shape, form, told, data=learned_from, generator=source.name)
            for note in list(generator.notes()):
                say(note)
            figures = {
                "count": len(plan.names),
                "per_class": dict(quota.counts) if plan.labels is not None else {},
                "gan": source.name,
                "generator": generator.digest,
                "resumed_with": len(mine) - len(missing),
                "notes": list(generator.notes()),
            }
            run.finish(digest=digest_json(key), figures=figures, device=describe(device))
    ranks.barrier()
    return _result(run, quota, "generated")


def plan_lines(quota: Quota, class_names: Sequence[str] | None) -> list[str]:
    """The plan for drawing without steering: per class, or for a generator that knows no classes just how many."""
    if class_names is not None:
        return quota.lines()
    return [
        f"generate {quota.total:,} faces:",
        "the generator is unconditional: `ganfer label` sorts the faces into classes",
    ]


def _plan_draw(generator: Generator, quota: Quota, seed: int, given: Sequence[int] | None) -> _Draw:
    """Seeds, labels and file names of the batch. GanferError for a class the generator does not know."""
    seeds = _seeds(generator, quota.total, seed, given)
    if generator.class_names is None:
        asked, labels = [""] * len(seeds), None
    else:
        if given is not None:
            raise GanferError(
                "--seeds draws from a generator without classes, or from one chosen class.",
                "Choose it with --network-class, or give --class NAME=N and --seed.",
            )
        for name in quota.counts:
            if name not in generator.class_names:
                raise GanferError(
                    f"The generator has no class {name!r}; it knows {', '.join(generator.class_names)}.",
                    "Take one that was trained on data with that class.",
                )
        asked = [name for name, count in quota.counts.items() for _ in range(count)]
        labels = np.array([generator.class_names.index(name) for name in asked], dtype=np.int64)
    return _Draw([image_name(name, i) for i, name in enumerate(asked)], asked, seeds, labels)


def draw_more(
    folder: Path, generator: Generator, asked: Sequence[str], start: int, seed: int, facts: Mapping[str, Any]
) -> list[tuple[str, int]]:
    """Images start, start + 1, ... of a batch named by `seed`, one per class asked for; their files and seeds.

    Files that are there whole are not drawn again. A generator that knows no classes is asked for "".
    """
    seeds = _seeds(generator, start + len(asked), seed, None)[start:]
    known = generator.class_names
    labels = None if known is None else np.array([known.index(name) for name in asked], dtype=np.int64)
    plan = _Draw([image_name(name, start + i) for i, name in enumerate(asked)], asked, seeds, labels)
    for _ in _draw_files(folder, generator, plan, _missing(folder, plan.names, np.arange(len(asked))), facts):
        pass
    _remove_temporary(folder / "images")
    return list(zip(plan.names, seeds.tolist(), strict=True))


def _seeds(generator: Generator, count: int, seed: int, given: Sequence[int] | None) -> np.ndarray:
    """The given seeds, or those that a batch of this seed has; (N,) int64. GanferError for one out of range."""
    highest = generator.max_seed
    if given is None:
        return image_seeds(seed, count) if highest is None else short_seeds(seed, count, highest)
    if highest is not None and max(given) > highest:
        raise GanferError(f"--seeds: {max(given)} is above {highest}, this generator's highest.", "Give lower ones.")
    return np.array(given, dtype=np.int64)


def image_name(class_name: str, place: int) -> str:
    """The file of an image inside its batch."""
    readable = re.sub(r"[^\w-]+", "_", class_name) or "face"
    return f"images/{readable}-{place:07d}.png"


def _missing(folder: Path, names: Sequence[str], indices: np.ndarray) -> np.ndarray:
    """Those of the indices whose images are not there whole yet."""
    return np.array([i for i in indices if not _whole(folder / names[i])], dtype=np.int64)


def _in_finished_shards(folder: Path, config: Config) -> int:
    whole = (folder / shards.folder_of(config.generate.format)).glob("[!.]*")
    return config.generate.shard_size * sum(1 for _ in whole)


def _share_of(plan: _Draw, size: int) -> np.ndarray:
    """Indices of the images that this process draws: its part of the files, each of `size` images."""
    files = -(-len(plan.names) // size)
    part = ranks.share(files)
    return np.arange(len(plan.names))[part.start * size : part.stop * size]


def _in_shards(plan: _Draw, size: int, form: str) -> _Draw:
    """The same images, in tar shards or Parquet files of `size`."""
    total = -(-len(plan.names) // size)
    files = [shards.shard_name(shard, total, form) for shard in range(total)]
    names = [f"{files[i // size]}{shards.SEPARATOR}{Path(name).name}" for i, name in enumerate(plan.names)]
    return replace(plan, names=names)


def _whole(path: Path) -> bool:
    """Whether the file ends as a PNG ends (a power cut can leave a renamed file short); a shard is flushed whole."""
    if shards.SEPARATOR in path.name:
        return shards.file_of(path.parent, path.name).is_file()
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

    chunk = min(_CHUNK, generator.chunk)
    with writers(folder / "images") as pool:
        writing: list[Future[None]] = []
        for start in range(0, len(missing), chunk):
            indices = missing[start : start + chunk]
            images = generator.sample(*plan.part(indices))
            yield _finished(writing)
            writing = [pool.submit(write, int(i), image) for i, image in zip(indices, images, strict=True)]
        yield _finished(writing)


def _draw_shards(
    folder: Path, generator: Generator, plan: _Draw, missing: np.ndarray, facts: Mapping[str, Any]
) -> Iterator[int]:
    """Draw and write the missing shards, one after the other at constant memory; yields images written."""
    files: dict[Path, list[int]] = {}
    for i in missing.tolist():
        files.setdefault(shards.file_of(folder, plan.names[i]), []).append(i)

    def encoded(pair: tuple[int, np.ndarray]) -> tuple[str, bytes, dict[str, Any]]:
        index, image = pair
        own = {**facts, "seed": int(plan.seeds[index]), "class": plan.asked[index]}
        return Path(plan.names[index].partition(shards.SEPARATOR)[2]).stem, encode_png(image, own), own

    with writers(next(iter(files)).parent if files else folder) as pool:

        def samples(indices: Sequence[int]) -> Iterator[tuple[str, bytes, dict[str, Any]]]:
            for start in range(0, len(indices), _CHUNK):
                part = np.array(indices[start : start + _CHUNK])
                yield from pool.map(encoded, zip(part.tolist(), generator.sample(*plan.part(part)), strict=True))

        for file, indices in files.items():
            if file.suffix == parquet.SUFFIX:
                told = {"synthetic": True, "version": __version__}
                rows = ((f"{key}.png", png, own["class"], own | told) for key, png, own in samples(indices))
                parquet.write_parquet(file, rows, generator.class_names, _parquet_columns(facts))
            else:
                shards.write_shard(file, samples(indices))
            yield len(indices)


def _parquet_columns(facts: Mapping[str, Any]) -> dict[str, type]:
    """What a Parquet row says of its image besides the class."""
    told = {name: type(value) if type(value) in (bool, int, float) else str for name, value in facts.items()}
    return {"synthetic": bool, "seed": int, "version": str, **told}


def _finished(writing: Sequence[Future[None]]) -> int:
    """Wait for the files; raises what the first failed one raised."""
    for future in writing:
        future.result()
    return len(writing)


@contextmanager
def writers(folder: Path) -> Iterator[ThreadPoolExecutor]:
    """Threads that write files into `folder`; whatever ends the block, no temporary file stays."""
    folder.mkdir(parents=True, exist_ok=True)
    pool = ThreadPoolExecutor(_WRITERS)
    try:
        yield pool
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        if ranks.count() == 1:  # others may be writing theirs
            _remove_temporary(folder)


def _remove_temporary(folder: Path) -> None:
    """Delete what an interrupted writer left."""
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
        rows.append((name or "faces", f"{len(indices):,}", generator.sample(*plan.part(indices[:SHEET_FACES]))))
    return row_sheet(rows)


def _result(run: Run, quota: Quota, what: str) -> Result:
    figures = run.figures
    folder = next(path for name in ("images", shards.FOLDER, parquet.FOLDER) if (path := run.path / name).is_dir())
    lines = [
        f"{run.name} {what}: {figures['count']:,} faces by {figures['gan']}.",
        *(quota.lines()[1:] if figures["per_class"] else []),
        *(f"  {note}" for note in figures["notes"]),
        f"  images: {folder}, contact sheet: {run.path / 'contact.png'}",
    ]
    return Result("ganfer generate", run.path, figures, lines)

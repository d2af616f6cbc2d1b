"""`ganfer label --fill`: draw more faces until the screen has kept as many of each class as were asked for.

The batch's own generator goes on with the next seeds. What was drawn before stays: a new batch holds the old images
(linked, not copied) and the new ones, so rejected faces can be looked at, too. A class whose yield is hopeless is given
up early, and it is said.
"""

import dataclasses
import math
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import beta

from ganfer.config import Config, LabelConfig
from ganfer.data.imageset import read_set
from ganfer.errors import DataError, GanferError
from ganfer.gan.generator import Generator
from ganfer.generate.batch import Batch, filled_by, read_batch, read_rows
from ganfer.generate.cards import write_batch_cards
from ganfer.generate.draw import draw_more
from ganfer.generate.room import need_room_for
from ganfer.generate.shards import file_of
from ganfer.generate.source import GeneratorChoice, gan_source, network_source
from ganfer.label.known import pools_behind, pools_input
from ganfer.label.labels import KEPT
from ganfer.label.screener import ImageFacts, Screener, image_facts
from ganfer.label.stage import LOOKS, label_run
from ganfer.results import table
from ganfer.runtime.console import progress, say
from ganfer.runtime.device import describe, drawn_on, ranks, resolve_device
from ganfer.runtime.files import digest_json, write_csv
from ganfer.workspace import Run, Workspace

_SPARE = 1.25  # faces kept per face asked for, so that there is a choice between easy and hard ones
_LEAST = 64  # faces in a round, per class, at least
_LEVEL = 0.95
FILLED = "filled"
_DECIDED = ("label", "confidence", "keep", "reason")  # columns that labelling adds to metadata.csv


@dataclass(frozen=True)
class Tally:
    """Of one class: faces asked for, drawn so far, kept so far."""

    asked: int
    drawn: int
    kept: int

    @property
    def most_yield(self) -> float:
        """The upper end of the yield's 95% interval (Clopper & Pearson 1934)."""
        if self.kept >= self.drawn:
            return 1.0
        return float(beta.ppf(1 - (1 - _LEVEL) / 2, self.kept + 1, self.drawn - self.kept))


@dataclass(frozen=True)
class Step:
    """What to do next about a class: draw so many more, or nothing because of `stop`."""

    draw: int = 0
    stop: str = ""


def next_step(tally: Tally, most_per_face: float) -> Step:
    """How many faces of a class to draw next. Rounds at most double what was drawn, for the yield is an estimate.

    most_per_face: faces that may be drawn per face asked for. It stops when a quarter more than asked for was kept
    (a choice between easy and hard ones), when the allowance is used up, and early when even the most favourable yield
    costs more draws per face than are allowed.
    """
    budget = math.floor(most_per_face * tally.asked)
    left = budget - tally.drawn
    if tally.kept >= math.ceil(_SPARE * tally.asked) or (tally.kept >= tally.asked and left <= 0):
        return Step(stop=FILLED)
    passed = f"{tally.kept:,} of {tally.drawn:,} pass"
    if left <= 0:
        return Step(stop=f"{passed}, and label.draws = {most_per_face:g} per face allows no more")
    most = tally.most_yield
    if tally.drawn and tally.kept < tally.asked and most * most_per_face < 1:
        return Step(
            stop=f"{passed} ({tally.kept / tally.drawn:.1%}, at most {most:.1%}), so {tally.asked:,} would take "
            f"{tally.asked / most:,.0f} draws or more, and label.draws allows {budget:,}"
        )
    aim = math.ceil(_SPARE * tally.asked) - tally.kept
    expected = aim * (tally.drawn + 2) / (tally.kept + 1)
    return Step(draw=max(1, min(left, max(_LEAST, tally.drawn), math.ceil(expected))))


@dataclass
class _Filling:
    """The growing batch: one row of metadata.csv per image."""

    run: Run
    generator: Generator
    names: tuple[str, ...]
    rows: list[dict[str, str]]
    facts: Mapping[str, Any]
    seed: int
    config: Config

    @property
    def batch(self) -> Batch:
        """The images so far."""
        columns = [tuple(row.get(name, "") for row in self.rows) for name in ("file_name", "asked", "seed")]
        return Batch(self.run.path, *columns)

    @property
    def asked(self) -> np.ndarray:
        """(N,) class asked for, -1 where none was."""
        index = {name: k for k, name in enumerate(self.names)}
        return np.array([index.get(row["asked"], -1) for row in self.rows], dtype=np.int64)

    def draw(self, counts: Mapping[str, int]) -> None:
        """Draw so many more of each class ("" for a generator without classes); resumes within the round."""
        asked = [name for name, count in counts.items() for _ in range(count)]
        need_room_for(self.run.path, len(asked), self.generator.size, self.generator.channels, self.config)
        drawn = draw_more(self.run.path, self.generator, asked, len(self.rows), self.seed, self.facts)
        shown = {name: str(value) for name, value in self.facts.items() if name != "device"}
        for (name, seed), wanted in zip(drawn, asked, strict=True):
            self.rows.append({"file_name": name, "asked": wanted, "seed": str(seed), **shown})


def check_fill(workspace: Workspace, config: Config, batch_run: Run) -> None:
    """GanferError for a batch that cannot be filled: one without classes, or whose generator cannot go on."""
    _in_one_process()
    if "fill" not in batch_run.figures:
        source_of(workspace, config, batch_run)
        quota_of(batch_run)


def _in_one_process() -> None:
    if ranks.count() > 1:
        raise GanferError("--fill runs in one process.", "Give the command without torchrun.")


def fill(
    workspace: Workspace,
    config: Config,
    batch_run: Run,
    classifier_run: Run,
    data: Run,
    *,
    wanted: Mapping[str, int] | None = None,
) -> Run:
    """A batch with as many screened faces of each class as `batch_run` was asked for, as far as they can be had.

    wanted: so many of each class instead, in a run of the kind `fresh`, which no command takes for the newest batch.
    A batch that was filled by another labeller, or under other settings, is filled anew from the one it began with.
    Resumes an interrupted one. GanferError for a batch whose generator cannot go on: images from a folder, steered
    faces, a network that is not the one named now.
    """
    if wanted is None and "fill" in batch_run.figures:
        if filled_by(batch_run) == classifier_run.digest and _filled_as(batch_run) == dataclasses.asdict(config.label):
            return batch_run
        batch_run = _begun_from(workspace, batch_run)
    _in_one_process()
    source = source_of(workspace, config, batch_run)
    quota = quota_of(batch_run) if wanted is None else dict(wanted)
    settings = {"counts": quota, **source.settings, "label": dataclasses.asdict(config.label)}
    pools = pools_behind(batch_run)
    inputs = {
        "data": data.digest,
        source.input: source.digest,
        "batch": batch_run.digest,
        "classifier": classifier_run.digest,
    }
    seed = int(batch_run.record["key"].get("seed", config.seed))
    key = {"config": settings, "inputs": inputs, "seed": seed, **pools_input(pools)}
    run = workspace.run(*(("synthetic", "filled") if wanted is None else ("fresh", "faces")), key)
    with run.work("generate") as record:
        if record.get("status") == "complete":
            return run
        images = read_set(data.path)
        generator = source.open(config.device, images.size, images.channels)
        device = resolve_device(config.device)
        facts = {"generator": generator.digest, **generator.facts, "device": drawn_on(device)}
        rows = _linked(batch_run, run)
        before = len(rows)
        filling = _Filling(run, generator, images.class_names, rows, facts, seed, config)
        screener = Screener(config, classifier_run, data, images, pools)
        digest = digest_json(key)
        looks = label_run(config, run.path, digest, classifier_run, data, pools=pools).path / LOOKS
        tallies, stops = _rounds(filling, screener, quota, config.label.draws, looks)
        columns = list(dict.fromkeys(name for row in (filling.rows[0], filling.rows[-1]) for name in row))
        write_csv(run.path / "metadata.csv", columns, filling.rows)
        learned_from = data.name if source.input == "gan" else ""
        shape = generator.size, generator.channels
        write_batch_cards(run, *shape, "png", facts, data=learned_from, generator=source.name)
        shutil.copyfile(batch_run.path / "contact.png", run.path / "contact.png")
        figures = {
            **batch_run.figures,
            "count": len(filling.rows),
            "quota": quota,
            "fill": {
                "of": batch_run.name,
                "classes": {name: {**dataclasses.asdict(t), "stop": stops[name]} for name, t in tallies.items()},
                "lines": _lines(tallies, stops, before, len(filling.rows), matched=config.label.require_match),
            },
        }
        run.finish(digest=digest, figures=figures, device=describe(device))
    return run


def _filled_as(batch_run: Run) -> dict[str, Any]:
    """The label's settings of a filled batch; those that came later are at their defaults."""
    had = batch_run.record.get("key", {}).get("config", {}).get("label", {})
    return {**dataclasses.asdict(LabelConfig()), **had}


def _begun_from(workspace: Workspace, batch_run: Run) -> Run:
    """The batch that a filled one began with. GanferError where it is gone."""
    name = str(batch_run.figures["fill"]["of"])
    begun = next((run for run in workspace.runs("synthetic") if run.complete and run.name == name), None)
    if begun is None:
        raise GanferError(
            f"{batch_run.name} was filled by another labeller or under other settings, and {name}, which it began "
            "with, is gone.",
            "Generate a batch: ganfer generate. Or label this one as it is: leave --fill out.",
        )
    say(f"{batch_run.name} was filled by another labeller or under other settings: {name} is filled anew.")
    return begun


def _rounds(
    filling: _Filling, screener: Screener, quota: Mapping[str, int], most_per_face: float, looks: Path
) -> tuple[dict[str, Tally], dict[str, str]]:
    """Look, count, draw, until every class is full or given up."""
    look: ImageFacts | None = None
    with progress("fill", sum(quota.values())) as advance:
        before = 0
        while True:
            seen = 0 if look is None else len(look)
            new = image_facts(screener, len(filling.rows), filling.batch.images, looks, start=seen)
            look = new if look is None else ImageFacts.together([look, new])
            reason = screener.decide(look, filling.asked, filling.batch.images)
            tallies = _tallies(filling, look, reason, quota)
            steps = {name: next_step(tally, most_per_face) for name, tally in tallies.items()}
            reached = sum(min(t.kept, t.asked) for t in tallies.values())
            advance(reached - before, f"{len(filling.rows):,} drawn")
            before = reached
            wanted = {name: step.draw for name, step in steps.items() if step.draw}
            if not wanted:
                return tallies, {name: step.stop for name, step in steps.items()}
            if filling.generator.class_names is None:
                wanted = {"": max(wanted.values())}
            filling.draw(wanted)


def _tallies(filling: _Filling, look: ImageFacts, reason: np.ndarray, quota: Mapping[str, int]) -> dict[str, Tally]:
    """Drawn counts by the class asked for; all of them for a generator without classes."""
    kept = np.bincount(look.predicted[reason == KEPT], minlength=len(filling.names))
    asked = filling.asked
    drawn = np.bincount(asked[asked >= 0], minlength=len(filling.names))
    if filling.generator.class_names is None:
        drawn = np.full(len(filling.names), len(filling.rows))
    return {
        name: Tally(count, int(drawn[filling.names.index(name)]), int(kept[filling.names.index(name)]))
        for name, count in quota.items()
    }


def _linked(batch_run: Run, run: Run) -> list[dict[str, str]]:
    """The rows of a batch, its images linked into the new one's folder."""
    batch = read_batch(batch_run)
    for name in batch.file_names:
        target = file_of(run.path, name)
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            _link(file_of(batch.folder, name), target)
    rows = read_rows(batch_run.path / "metadata.csv")
    return [{name: value for name, value in row.items() if name not in _DECIDED} for row in rows]


def _link(source: Path, target: Path) -> None:
    """A hard link, or a copy where the file system has none."""
    try:
        os.link(source, target)
    except FileNotFoundError as error:
        raise DataError(f"{source} is missing.", "Remove the batch and generate it again.") from error
    except OSError:
        temporary = target.with_name(f".{target.name}.tmp")
        shutil.copyfile(source, temporary)
        temporary.replace(target)


def quota_of(batch_run: Run) -> dict[str, int]:
    """How many faces of each class a batch was asked for. GanferError when it was not asked for classes."""
    counts = batch_run.record.get("key", {}).get("config", {}).get("counts")
    if not counts:
        raise GanferError(
            f"{batch_run.name} was not asked for classes, so nothing tells when it is full.",
            "Fill a batch of `ganfer generate --balance`, --n or --class.",
        )
    return {str(name): int(count) for name, count in counts.items() if count}


def source_of(workspace: Workspace, config: Config, batch_run: Run) -> GeneratorChoice:
    """The generator that drew a batch. GanferError when it cannot draw more of the same."""
    key = batch_run.record.get("key", {})
    settings, inputs = key.get("config", {}), key.get("inputs", {})
    if "from_faces" in settings:
        raise GanferError(
            f"{batch_run.name} was made from real faces.", "Ask for more with --class, or raise transfer.tries."
        )
    if "steering" in settings:
        raise GanferError(f"{batch_run.name} was steered.", "`ganfer generate` itself fills a steered batch.")
    if "gan" in inputs:
        gan = next((run for run in workspace.runs("gans") if run.complete and run.digest == inputs["gan"]), None)
        if gan is None:
            raise GanferError(f"The GAN that drew {batch_run.name} is gone.", "Generate a batch with another one.")
        generate = dataclasses.replace(config.generate, truncation=float(settings.get("truncation", 0.0)))
        return gan_source(gan, dataclasses.replace(config, generate=generate))
    if "network" in inputs:
        source = network_source(str(settings.get("source", "stylegan2")), config)
        if source.digest != inputs["network"]:
            raise GanferError(
                f"{batch_run.name} was drawn by another network than {source.name}.",
                "Name that one with --set stylegan.network=FILE|URL|NAME.",
            )
        return source
    raise GanferError(
        f"{batch_run.name} came from a folder; ganfer has no generator to draw more from.",
        "Generate a batch with ganfer generate.",
    )


def _lines(
    tallies: Mapping[str, Tally], stops: Mapping[str, str], before: int, drawn: int, *, matched: bool
) -> list[str]:
    """What filling brought, for the terminal. matched: whether all that passed of a class was asked to be of it, so
    that there is a yield of the class.
    """
    rows = [
        [name, t.asked, t.drawn, t.kept, f"{t.kept / t.drawn:.1%}" if matched and t.drawn else "-"]
        for name, t in tallies.items()
    ]
    given_up = [f"{name}: given up: {stop}." for name, stop in stops.items() if stop != FILLED]
    for line in given_up:
        say(line)
    head = f"filled from {before:,} to {drawn:,} faces drawn; of each class passed:"
    return [head, *table(["class", "asked", "drawn", "passed", "yield"], rows), *given_up]

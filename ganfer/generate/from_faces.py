"""`ganfer generate --from-faces`: real faces of common classes with a rare class's expression.

New people for a rare class is what its few images lack. Each face is inverted, moved to the class by the workspace's
classifier as steering does, accepted by the independent judge, and kept if it still looks like whom it came from
without being the same picture; so says a network that had no part in the search (`ganfer.metrics.identity`). Only
training images are ever started from, and each face names its own. Batches of faces are kept as they are finished, so
the same command again goes on to the same faces.
"""

import dataclasses
import io
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from ganfer.classifier.opened import open_classifier
from ganfer.classifier.train import training_prior
from ganfer.config import Config
from ganfer.data.imageset import ImageSet, read_set
from ganfer.data.provenance import write_png
from ganfer.data.sheets import row_sheet, save_sheet
from ganfer.errors import GanferError
from ganfer.gan.encoder import open_encoder
from ganfer.gan.identity import WITNESS, open_identity
from ganfer.gan.sampling import GanGenerator
from ganfer.generate.cards import write_batch_cards
from ganfer.generate.changing import KEPT, PASSES, WORDS, Changed, Changer
from ganfer.generate.draw import SHEET_FACES, image_name, writers
from ganfer.generate.quota import Quota
from ganfer.generate.real_faces import Sources, plan_sources
from ganfer.generate.redraw import CODES
from ganfer.generate.source import GeneratorChoice
from ganfer.generate.steer import judge_of, score_of
from ganfer.metrics.perceptual import open_perceptual
from ganfer.results import Result, table
from ganfer.runtime.console import progress, say
from ganfer.runtime.device import describe, drawn_on, resolve_device
from ganfer.runtime.files import digest_json, digest_of, write_bytes, write_csv, write_npy
from ganfer.workspace import Run, Workspace

_PARTS = "parts"
_PEOPLE = (
    "Each face was made from the photograph of a person in the training images and is meant to look like them, with "
    "another expression: it is as personal as the photograph, and source_image names that."
)
_HOPELESS = 0.02  # a class whose yield after a full round is below this is given up


@dataclasses.dataclass(frozen=True)
class Helpers:
    """The runs that take part besides the generator. identity: keeps the person while the expression is moved; witness:
    bounds the distance; encoder: None for a generator that is inverted by search."""

    guide: Run
    judge: Run
    identity: Run
    witness: Run
    encoder: Run | None


def plan_lines(sources: Sources, quota: Quota, config: Config, *, encoded: bool) -> list[str]:
    """What will be done and what it costs at most, in passes of the generator."""
    own, tries = config.transfer, int(np.ceil(config.transfer.tries * quota.total))
    search = own.refine if encoded else config.projection.steps
    return [
        *sources.lines(quota, config),
        f"at most {tries:,} tries, each of up to {search + PASSES:,} passes of the generator forth and back",
        f"kept: what the judge believes at {own.confidence:.0%} and is no further from its real face than all but "
        f"{own.identity:.0%} of strangers",
    ]


def generate_from_faces(
    workspace: Workspace, config: Config, source: GeneratorChoice, data: Run, quota: Quota, given: tuple[str, ...],
    helpers: Helpers,
) -> Result:  # fmt: skip
    """Fill the quota with changed real faces; writes synthetic/<batch>/ with their codes, and returns its figures.

    A class that cannot be filled is left short, and the result says why; GanferError when not a single face was kept.
    """
    inputs = {
        "data": data.digest, source.input: source.digest, "guide": helpers.guide.digest, "judge": helpers.judge.digest,
        "identity": helpers.identity.digest, "witness": helpers.witness.digest,
    }  # fmt: skip
    if helpers.encoder is not None:
        inputs["encoder"] = helpers.encoder.digest
    settings = {
        "counts": dict(quota.counts), **source.settings, "from_faces": sorted(given),
        "transfer": dataclasses.asdict(config.transfer), "projection": dataclasses.asdict(config.projection),
        "reach": config.steering.reach,
    }  # fmt: skip
    key = {"config": settings, "inputs": inputs, "seed": config.seed}
    run = workspace.run("synthetic", "from-faces", key)
    with run.work("generate") as record:
        if record.get("status") == "complete":
            return _result(run, quota, "was already generated")
        images = read_set(data.path)
        sources = plan_sources(images, given, quota, config, source.class_names)
        generator = source.open(config.device, images.size, images.channels)
        for line in [*quota.lines(), *plan_lines(sources, quota, config, encoded=helpers.encoder is not None)]:
            say(line)
        changer = _changer(generator, images, helpers, config)
        kept, tallies = _fill(run, changer, images, sources, quota, config)
        if not kept:
            reasons = "; ".join(f"{name}: {_why(tally)}" for name, tally in tallies.items())
            raise GanferError(
                f"Not one of the changed faces was kept ({reasons}).",
                "Raise transfer.tries or transfer.identity, or lower transfer.confidence.",
            )
        device = resolve_device(config.device)
        facts = {**generator.facts, "generator": generator.digest, "device": drawn_on(device)}
        _write(run, data, kept, images, facts)
        figures = _figures(kept, tallies, quota, sources, changer) | {
            "gan": source.name, "generator": generator.digest, "guide": helpers.guide.name, "judge": helpers.judge.name,
            "identity_by": helpers.witness.name, "led_by": helpers.identity.name,
            "auc_drawn": helpers.witness.figures["auc_drawn"],
        }  # fmt: skip
        run.finish(digest=digest_json(key), figures=figures, device=describe(device))
        for part in (run.path / _PARTS).glob("*.npz"):
            part.unlink()
    return _result(run, quota, "generated")


def _changer(generator: Any, images: ImageSet, helpers: Helpers, config: Config) -> Changer:
    names = images.class_names
    guiding, judging = (open_classifier(run, names, config) for run in (helpers.guide, helpers.judge))
    labels = None
    if generator.class_names is not None:
        labels = np.array([generator.class_names.index(n) if n in generator.class_names else -1 for n in names])
    encoder = None
    if helpers.encoder is not None:
        assert isinstance(generator, GanGenerator)
        encoder = open_encoder(helpers.encoder, generator, config)
    device = resolve_device(config.device)
    alike = open_identity(helpers.identity, images.channels, device)
    witness = open_identity(helpers.witness, images.channels, device, WITNESS)
    near = open_perceptual(config.projection.lpips, channels=images.channels, device=device)
    return Changer(
        generator, labels, encoder, score_of(guiding, training_prior(guiding, images)), judge_of(judging), alike,
        witness, near, config, witness.bound(config.transfer.identity),
    )  # fmt: skip


@dataclasses.dataclass(frozen=True)
class _Kept:
    """One face: its pixels and code, what was asked, whom it came from, the how-manieth of that one, how near to the
    network that measures and to the one that led."""

    image: np.ndarray
    code: np.ndarray
    asked: str
    number: int
    row: int
    style: int
    identity: float
    led: float


def _fill(
    run: Run, changer: Changer, images: ImageSet, sources: Sources, quota: Quota, config: Config
) -> tuple[list[_Kept], dict[str, Counter[str]]]:
    """Class by class, batches of sources until enough were kept; a finished batch lies in the run's folder."""
    kept: list[_Kept] = []
    tallies: dict[str, Counter[str]] = {}
    offset = 0  # other classes start from other people, as far as there are some
    with progress("change faces", quota.total) as advance:
        for name, wanted in quota.counts.items():
            target, tally, mine = images.class_names.index(name), Counter[str](), 0
            most = min(int(np.ceil(config.transfer.tries * wanted)), len(sources.rows) * config.transfer.styles)
            for start in range(0, most, config.transfer.batch):
                numbers = np.arange(start, min(start + config.transfer.batch, most))
                rows = sources.rows[(offset + numbers) % len(sources.rows)]
                styles = numbers // len(sources.rows)
                changed = _batch(run, changer, images, target, numbers, rows, styles)
                for i, fate in enumerate(changed.fate.tolist()):
                    if fate == KEPT and mine == wanted:
                        break
                    tally[fate] += 1
                    if fate == KEPT:
                        mine += 1
                        kept.append(
                            _Kept(
                                changed.images[i], changed.codes[i], name, int(numbers[i]), int(rows[i]),
                                int(styles[i]), float(changed.identity[i]), float(changed.led[i]),
                            )
                        )  # fmt: skip
                        advance(1, name)
                tried = sum(tally.values())
                if mine == wanted or (tried >= 4 * config.transfer.batch and mine < _HOPELESS * tried):
                    break
            tallies[name] = tally
            offset += sum(tally.values())
    return kept, tallies


def _batch(
    run: Run, changer: Changer, images: ImageSet, target: int, numbers: np.ndarray, rows: np.ndarray, styles: np.ndarray
) -> Changed:
    file = run.path / _PARTS / f"{target:03d}-{numbers[0]:08d}.npz"
    if not file.is_file():
        faces = np.ascontiguousarray(images.images[rows])
        changed = changer.change(faces, images.labels[rows], target, numbers, styles)
        buffer = io.BytesIO()
        np.savez(buffer, **vars(changed))
        file.parent.mkdir(exist_ok=True)
        write_bytes(file, buffer.getvalue())
    with np.load(file) as stored:
        return Changed(**{name: stored[name] for name in stored.files})


def _write(run: Run, data: Run, kept: list[_Kept], images: ImageSet, facts: Mapping[str, Any]) -> None:
    """The codes, the PNGs, metadata.csv and the sheet of real faces with what became of them."""
    write_npy(run.path / CODES, np.stack([face.code for face in kept]))
    facts = {**facts, "codes": digest_of(run.path / CODES)}
    rows = [
        {
            "file_name": image_name(face.asked, i), "asked": face.asked, "seed": face.number, "method": "from-face",
            "code": i, "source_image": str(images.ids[face.row]),
            "source_class": images.class_names[images.labels[face.row]], "style": face.style,
            "identity": round(face.identity, 4),
        }
        for i, face in enumerate(kept)
    ]  # fmt: skip
    with writers(run.path / "images") as pool:
        waiting = []
        for row, face in zip(rows, kept, strict=True):
            own = {name: value for name, value in row.items() if name not in ("file_name", "asked")}
            waiting.append(
                pool.submit(write_png, run.path / row["file_name"], face.image, {**facts, **own, "class": face.asked})
            )
        for done in waiting:
            done.result()
    shown = {name: value for name, value in facts.items() if name != "codes"}
    write_csv(run.path / "metadata.csv", [*rows[0], *shown], [{**row, **shown} for row in rows])
    told = {"method": "from-face", "source_image": "", **shown}
    shape, generator = (images.size, images.channels), str(facts.get("generator", ""))
    write_batch_cards(run, *shape, "png", told, data=data.name, generator=generator, notes=(_PEOPLE,))
    sheet = []
    for name in dict.fromkeys(face.asked for face in kept):
        mine = [face for face in kept if face.asked == name][:SHEET_FACES]
        sheet.append(("real", "", np.stack([images.images[face.row] for face in mine])))
        sheet.append((name, f"{sum(face.asked == name for face in kept):,}", np.stack([face.image for face in mine])))
    save_sheet(run.path / "contact.png", row_sheet(sheet))


def _why(tally: Counter[str]) -> str:
    parts = [f"{count:,} {WORDS[fate]}" for fate, count in tally.most_common() if fate != KEPT]
    return f"of {sum(tally.values()):,} tries {', '.join(parts) or 'none was refused'}"


def _figures(
    kept: list[_Kept], tallies: Mapping[str, Counter[str]], quota: Quota, sources: Sources, changer: Changer
) -> dict[str, Any]:
    made = Counter(face.asked for face in kept)
    return {
        "count": len(kept),
        "wanted": quota.total,
        "per_class": {name: made[name] for name in quota.counts},
        "sources": list(sources.names),
        "source_faces": len({face.row for face in kept}),
        "tries": {name: dict(tally) for name, tally in tallies.items()},
        "identity": round(float(np.mean([face.identity for face in kept])), 4),
        "identity_bound": round(changer.bound, 4),
        "identity_strangers": round(float(np.median(changer.witness.strangers)), 4),
        "identity_led": round(float(np.mean([face.led for face in kept])), 4),
        "identity_led_strangers": round(float(np.median(changer.alike.strangers)), 4),
        "short": {name: _why(tally) for name, tally in tallies.items() if made[name] < quota.counts[name]},
    }


def _result(run: Run, quota: Quota, what: str) -> Result:
    figures = run.figures
    rows = [
        [name, wanted, figures["per_class"][name], sum(figures["tries"].get(name, {}).values())]
        for name, wanted in quota.counts.items()
    ]
    lines = [
        f"{run.name} {what}: {figures['count']:,} of {quota.total:,} faces from {figures['source_faces']:,} real ones "
        f"of {', '.join(figures['sources'])}, by {figures['gan']}.",
        *table(["class", "wanted", "kept", "tries"], rows),
        f"identity: {figures['identity']:.2f} from the real face on average, at most {figures['identity_bound']:.2f}; "
        f"between strangers {figures['identity_strangers']:.2f}, by {figures['identity_by']}, which led no search "
        f"(by {figures['led_by']}, which did: {figures['identity_led']:.2f}, strangers "
        f"{figures['identity_led_strangers']:.2f})",
        *(f"  {name} is short: {reason}" for name, reason in figures["short"].items()),
        f"  images: {run.path / 'images'}, real faces and what became of them: {run.path / 'contact.png'}",
    ]
    return Result("ganfer generate", run.path, figures, lines)

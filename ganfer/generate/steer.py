"""Class quotas from a generator that knows no classes, or keeps to them badly: steered by the workspace's classifier.

The classifier's calibrated logits, under equal class shares, lead `stylegan_bridge.steer` through the latent space; the
independent judge rejects what it does not believe. Works for anything with a latent space: StyleGAN2 and ganfer's own
GANs.
"""

import dataclasses
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from classifiers import Classifier
from classifiers.models import require_model
from ganfer.classifier.opened import open_classifier
from ganfer.classifier.train import training_prior
from ganfer.config import Config, SteeringConfig
from ganfer.data.imageset import ImageSet, read_set
from ganfer.data.provenance import write_png
from ganfer.data.sheets import row_sheet, save_sheet
from ganfer.errors import GanferError
from ganfer.gan.generator import Generator
from ganfer.generate.cards import write_batch_cards
from ganfer.generate.draw import SHEET_FACES, image_name, writers
from ganfer.generate.judge import judge_settings
from ganfer.generate.quota import Quota
from ganfer.generate.redraw import CODES
from ganfer.generate.room import need_room_for
from ganfer.generate.source import GeneratorChoice
from ganfer.generate.spaces import latent_space
from ganfer.metrics.diversity import relative_entropy_to_uniform
from ganfer.results import Result, table
from ganfer.runtime.console import progress, say
from ganfer.runtime.device import describe, drawn_on, resolve_device
from ganfer.runtime.files import digest_json, digest_of, write_csv, write_npy
from ganfer.runtime.seeding import parse_ranges, short_seeds
from ganfer.workspace import Run, Workspace
from stylegan_bridge import SteerConfig, SteerResult, steer
from stylegan_bridge.generator import MAX_SEED

_CHECKPOINT = "steering{}.safetensors"
_RAREST = 1e-4  # share of a class the classifier never saw: its logits are not lifted without bound
_MOST_LAYERS = 64  # of W+; NVIDIA's largest network has 18
_POOL_SHARE = 0.25  # of the evaluations, which the pool may take at most


def score_of(classifier: Classifier, shares: np.ndarray) -> Callable[[Tensor], Tensor]:
    """Images (N, C, H, W) float 0..255 to calibrated logits (N, K) under equal class shares, differentiable.

    shares: (K,) class shares that the classifier's probabilities assume.
    """
    model = classifier.model.eval().requires_grad_(False)
    prior = torch.from_numpy(np.log(np.maximum(shares, _RAREST)).astype(np.float32)).to(classifier.device)

    def score(images: Tensor) -> Tensor:
        logits: Tensor = model(images.to(classifier.device) / 255)
        return logits.float() / classifier.temperature - prior

    return score


def judge_of(classifier: Classifier) -> Callable[[Tensor], Tensor]:
    """Images (N, C, H, W) uint8 to calibrated logits (N, K); the judge learned all classes equally often."""

    def judge(images: Tensor) -> Tensor:
        return torch.from_numpy(classifier.logits(images.cpu().numpy()) / classifier.temperature)

    return judge


def steer_settings(config: SteeringConfig, count: int, num_layers: int = 1) -> SteerConfig:
    """The bridge's settings for `count` faces; the pool takes no more than a quarter of the evaluations."""
    pool = min(config.pool, max(8, int(_POOL_SHARE * config.evaluations * count)))
    if config.evaluations * count <= pool:
        raise GanferError(
            f"{count} faces with {config.evaluations:g} evaluations each are too few to steer by.",
            "Ask for more faces, or raise steering.evaluations.",
        )
    return SteerConfig(
        pool_size=pool,
        max_evaluations_per_face=config.evaluations,
        min_confidence=config.confidence,
        diversity_floor=config.diversity,
        max_distance=config.reach,
        layers=tuple(parse_ranges(config.layers, num_layers - 1, "steering.layers")) if config.layers else None,
    )


def check_settings(config: Config, classifier_model: str) -> None:
    """GanferError for a judge or layers that no steering can use; what depends on the network is found later."""
    require_model(judge_settings(config, classifier_model).model)
    if config.steering.layers:
        parse_ranges(config.steering.layers, _MOST_LAYERS, "steering.layers")


def plan_lines(config: SteeringConfig, quota: Quota) -> list[str]:
    """What steering will cost at most."""
    most = int(config.evaluations * quota.total)
    return [f"steer the generator to these classes with the classifier, at most {most:,} generator evaluations"]


@dataclass(frozen=True)
class _Kept:
    """What steering brought home, in the order of the quota's classes."""

    images: np.ndarray
    asked: tuple[str, ...]
    seeds: tuple[int, ...]
    methods: tuple[str, ...]
    codes: np.ndarray


def generate_steered(
    workspace: Workspace, config: Config, source: GeneratorChoice, data: Run, quota: Quota, guide: Run, judge: Run
) -> Result:
    """Fill the quota by steering; writes synthetic/<batch>/ with the codes, and returns its figures.

    Resumes an interrupted search to the same faces. A class that cannot be filled is left short, and the result says
    why; GanferError when not a single face was found.
    """
    key = {
        "config": {
            "counts": dict(quota.counts),
            **source.settings,
            "steering": dataclasses.asdict(config.steering),
        },
        "inputs": {"data": data.digest, source.input: source.digest, "guide": guide.digest, "judge": judge.digest},
        "seed": config.seed,
    }
    run = workspace.run("synthetic", "steered", key)
    with run.work("generate") as record:
        if record.get("status") == "complete":
            return _result(run, quota, "was already generated")
        images = read_set(data.path)
        need_room_for(run.path, quota.total, images.size, images.channels, config)
        generator = source.open(config.device, images.size, images.channels)
        if generator.mix_seeds:
            raise GanferError("Style mixing and steering do not go together.", "Leave --mix-seeds out, or use --n.")
        for line in [*quota.lines(), *plan_lines(config.steering, quota)]:
            say(line)
        results = _search(run, config, generator, quota, images, guide, judge)
        kept = _kept(results, images.class_names, quota)
        if not kept.asked:
            reasons = "; ".join(f"{row['class']}: {row['stopped']}" for row in _rows(results, images.class_names))
            raise GanferError(
                f"Steering {source.name} found no face at all ({reasons}).",
                "Raise steering.evaluations, or lower steering.confidence or steering.diversity.",
            )
        device = resolve_device(config.device)
        facts = {**generator.facts, "generator": generator.digest, "device": drawn_on(device)}
        _write(run, kept, facts)
        learned_from = data.name if source.input == "gan" else ""
        shape = generator.size, generator.channels
        write_batch_cards(run, *shape, "png", facts, data=learned_from, generator=source.name)
        figures = {
            "gan": source.name,
            "generator": generator.digest,
            "guide": guide.name,
            "judge": judge.name,
            **_figures(results, images.class_names, quota, kept),
        }
        run.finish(digest=digest_json(key), figures=figures, device=describe(device))
        for leftover in run.path.glob(_CHECKPOINT.format("*")):
            leftover.unlink()
    return _result(run, quota, "generated")


def _search(
    run: Run, config: Config, generator: Generator, quota: Quota, images: ImageSet, guide: Run, judge: Run
) -> list[SteerResult]:
    """One campaign for an unconditional generator; one per class for a conditional one, in that class's own latents."""
    names = images.class_names
    guiding, judging = (open_classifier(classifier, names, config) for classifier in (guide, judge))
    score, ask = score_of(guiding, training_prior(guiding, images)), judge_of(judging)
    wanted = {names.index(name): count for name, count in quota.counts.items()}
    seed = int(short_seeds(config.seed, 1, MAX_SEED)[0])
    known = generator.class_names
    parts: list[tuple[int | None, dict[int, int]]] = [(None, wanted)]
    if known is not None:
        missing = [name for name in quota.counts if name not in known]
        if missing:
            raise GanferError(
                f"The generator has no class {missing[0]!r}; it knows {', '.join(known)}.",
                "Ask for those, or name a class of the data for each of the network's.",
            )
        parts = [(known.index(names[target]), {target: count}) for target, count in wanted.items()]
    results = []
    with progress("steer", quota.total) as advance:
        kept_so_far: dict[tuple[int, int], int] = {}
        for place, (label, part) in enumerate(parts):

            def moved(target: int, kept: int, evaluations: int, place: int = place) -> None:
                before = sum(kept_so_far.values())
                if target >= 0:
                    kept_so_far[place, target] = kept
                what = names[target] if target >= 0 else "plain images first"
                advance(sum(kept_so_far.values()) - before, f"{what}, {evaluations:,} evaluations")

            space = latent_space(generator, label)
            num_layers = space.codes([seed]).shape[1]
            results.append(
                steer(
                    space,
                    score,
                    ask,
                    part,
                    config=steer_settings(config.steering, sum(part.values()), num_layers),
                    seed=seed,
                    progress=moved,
                    checkpoint=run.path / _CHECKPOINT.format("" if label is None else f"-{place}"),
                )
            )
    return results


def _kept(results: Sequence[SteerResult], names: Sequence[str], quota: Quota) -> _Kept:
    order = {name: place for place, name in enumerate(quota.counts)}
    asked = [names[label] for result in results for label in result.labels.tolist()]
    rows = np.array(sorted(range(len(asked)), key=lambda i: order[asked[i]]), dtype=np.int64)
    seeds = [seed for result in results for seed in result.seeds]
    methods = [method for result in results for method in result.methods]
    return _Kept(
        images=np.concatenate([result.images.numpy() for result in results])[rows],
        asked=tuple(asked[i] for i in rows),
        seeds=tuple(seeds[i] for i in rows),
        methods=tuple(methods[i] for i in rows),
        codes=np.concatenate([result.codes.numpy() for result in results])[rows],
    )


def _write(run: Run, kept: _Kept, facts: Mapping[str, Any]) -> None:
    """The codes, the PNGs, the sheet and metadata.csv. A PNG names its row of the codes, which draw it again."""
    write_npy(run.path / CODES, kept.codes)
    facts = {**facts, "codes": digest_of(run.path / CODES)}
    names = [image_name(asked, i) for i, asked in enumerate(kept.asked)]
    rows: list[dict[str, Any]] = [
        {"asked": asked, "seed": seed, "method": method, "code": i}
        for i, (asked, seed, method) in enumerate(zip(kept.asked, kept.seeds, kept.methods, strict=True))
    ]
    with writers(run.path / "images") as pool:
        waiting = [
            pool.submit(write_png, run.path / name, image, {**facts, **row, "class": row["asked"]})
            for name, image, row in zip(names, kept.images, rows, strict=True)
        ]
        for done in waiting:
            done.result()
    asked = np.array(kept.asked)
    sheet = [
        (str(name), f"{int((asked == name).sum()):,}", kept.images[np.flatnonzero(asked == name)[:SHEET_FACES]])
        for name in dict.fromkeys(kept.asked)
    ]
    save_sheet(run.path / "contact.png", row_sheet(sheet))
    shown = {name: value for name, value in facts.items() if name != "codes"}
    table_rows = [{"file_name": name, **row, **shown} for name, row in zip(names, rows, strict=True)]
    write_csv(run.path / "metadata.csv", list(table_rows[0]), table_rows)


def _rows(results: Sequence[SteerResult], names: Sequence[str]) -> list[dict[str, Any]]:
    """One row per class: wanted, kept, by which way, what was refused and why it stopped short."""
    return [
        {
            "class": names[report.target],
            "wanted": report.wanted,
            "kept": report.kept,
            "evaluations": report.evaluations,
            "evaluations_per_face": round(report.evaluations / report.kept, 2) if report.kept else None,
            "methods": report.methods,
            "refused": report.refused,
            "diversity": None if np.isnan(report.diversity) else round(report.diversity, 3),
            "stopped": report.stopped,
        }
        for result in results
        for report in result.reports
    ]


def _figures(results: Sequence[SteerResult], names: Sequence[str], quota: Quota, kept: _Kept) -> dict[str, Any]:
    tally = Counter(kept.asked)
    plain: Counter[int] = Counter()
    for result in results:
        plain.update(result.plain_counts)
    evaluations = sum(result.evaluations for result in results)
    return {
        "count": len(kept.asked),
        "wanted": quota.total,
        "per_class": {name: tally[name] for name in quota.counts},
        "classes": _rows(results, names),
        "plain": {name: plain[i] for i, name in enumerate(names)},
        "label_entropy": relative_entropy_to_uniform([tally[name] for name in quota.counts]),
        "evaluations": evaluations,
        "evaluations_per_face": round(evaluations / len(kept.asked), 2),
        "short": {row["class"]: row["stopped"] for row in _rows(results, names) if row["kept"] < row["wanted"]},
    }


def _result(run: Run, quota: Quota, what: str) -> Result:
    figures = run.figures
    plain = figures["plain"]
    total = max(1, sum(plain.values()))
    rows = [
        [
            row["class"], f"{plain[row['class']] / total:.1%}", row["wanted"], row["kept"], row["evaluations"],
            "-" if row["diversity"] is None else f"{row['diversity']:.2f}",
            ", ".join(f"{n} {way}" for way, n in row["methods"].items()),
        ]
        for row in figures["classes"]
    ]  # fmt: skip
    lines = [
        f"{run.name} {what}: {figures['count']:,} of {quota.total:,} faces by {figures['gan']}, steered by "
        f"{figures['guide']}, accepted by {figures['judge']}.",
        *table(["class", "plain share", "wanted", "kept", "evaluations", "diversity", "how"], rows, "<>>>>><"),
        f"{figures['evaluations_per_face']:g} generator evaluations per kept face; plain shares are the judge's, of "
        f"{total:,} plain images",
        *(f"  {name} is short: {reason}" for name, reason in figures["short"].items()),
        f"  images: {run.path / 'images'}, contact sheet: {run.path / 'contact.png'}",
    ]
    return Result("ganfer generate", run.path, figures, lines)

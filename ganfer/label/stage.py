"""Pseudo-label a batch: calibrated probabilities, asked against predicted class, keep or reject with the reason.

The classifier saw the training split only; its temperature, the class-wise thresholds and the limits of the other
criteria (`screening`) come from validation. Looking goes chunk by chunk and resumes; the verdict is over the batch.
"""

import dataclasses
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ganfer.classifier import starter
from ganfer.config import Config
from ganfer.data.imageset import ImageSet, read_set
from ganfer.data.provenance import picture_text
from ganfer.data.sheets import contact_sheet
from ganfer.errors import DataError
from ganfer.generate.batch import Batch, filled_by, is_pool, read_batch
from ganfer.label.held_out import copies_of_held_out, from_elsewhere
from ganfer.label.known import pools_behind, pools_input
from ganfer.label.labels import COPY, HELD_OUT, REASONS, Labels, newest_labels, show_labels, write_labels
from ganfer.label.photos import ConfidenceScreener
from ganfer.label.screener import ImageFacts, Screener, image_facts
from ganfer.metrics.diversity import relative_entropy_to_uniform
from ganfer.results import Result, table
from ganfer.runtime import ranks
from ganfer.runtime.console import progress, say
from ganfer.runtime.files import atomic_path, digest_json, digest_of
from ganfer.workspace import Run

__all__ = ["label", "label_run", "labelled"]

LOOKS = "looks"
_SHEET = 12  # faces per class on the sheet
_COPIES = 48  # copies on their sheet, at most
_BLIND = 0.2  # a class of which less of the held-back images is recognised is named
_TELLING = 5  # held-back images that tell anything about a class


def labelled(batch: Run) -> bool:
    """Whether the batch has a finished labelling."""
    return newest_labels(batch) is not None


def label_run(
    config: Config,
    batch: Path,
    batch_digest: str,
    classifier_run: Run,
    data: Run | None,
    *,
    elsewhere: bool = False,
    pool: bool = False,
    pools: Sequence[Run] = (),
) -> Run:
    """The run of this labelling inside the batch's folder.

    elsewhere: no GAN of this workspace drew the batch, so it is compared with validation and test as well. pool: it is
    one of real images, whose class shares are estimated. pools: those that its GAN learned from.
    """
    settings = {name: value for name, value in dataclasses.asdict(config.label).items() if name != "draws"}
    key = {
        "config": settings,
        "inputs": {
            "batch": batch_digest,
            "classifier": classifier_run.digest,
            "data": data.digest if data else starter.NAME,
        },
        **({"held_out": "compared"} if elsewhere and data else {}),
        **({"shares": "estimated"} if pool else {}),
        **pools_input(pools),
    }
    return Run(batch / "labels" / f"{classifier_run.name.split('-')[0]}-{digest_json(key)[:8]}", key)


def label(config: Config, batch_run: Run, classifier_run: Run, data: Run | None) -> Result:
    """Label and screen a batch; writes `labels/<run>/labels.csv` in it and refreshes its `metadata.csv`.

    data: None for photographs that only the starter reads.
    """
    pools = pools_behind(batch_run) if data else []
    run = label_run(
        config, batch_run.path, batch_run.digest, classifier_run, data,
        elsewhere=from_elsewhere(batch_run), pool=is_pool(batch_run), pools=pools,
    )  # fmt: skip
    shown = newest_labels(batch_run)
    with run.work("label") as record:
        if record.get("status") == "complete":
            if shown is not None and shown.path != run.path and ranks.leads():
                show_labels(run, read_batch(batch_run))
            return _result(run, batch_run, "was already labelled")
        batch = read_batch(batch_run)
        if not len(batch):
            raise DataError(f"{batch_run.path} holds no images.", "Generate some: ganfer generate --n 500.")
        images = read_set(data.path) if data else starter.no_images()
        with ranks.leader_first():
            screener = Screener(config, classifier_run, data, images, pools) if data else ConfidenceScreener(config)
            if is_pool(batch_run):
                screener.estimate_shares(len(batch), batch.images)
        with progress("label", len(batch)) as advance:
            look = image_facts(screener, len(batch), batch.images, run.path / LOOKS, advance)
        held_out = np.zeros(len(batch), dtype=bool)
        if data and from_elsewhere(batch_run):
            held_out = copies_of_held_out(screener, batch, images, run.path / LOOKS / "held-out")
        if ranks.leads():
            _finish(run, batch_run, batch, look, held_out, screener, images, classifier_run.name)
            shutil.rmtree(run.path / LOOKS)
    ranks.barrier()
    if not sum(run.figures["screen"]["kept"].values()):
        say("No image was kept. The table below says which criterion rejected them.")
    return _result(run, batch_run, "labelled")


def _finish(
    run: Run, batch_run: Run, batch: Batch, look: ImageFacts, held_out: np.ndarray, screener: Screener,
    images: ImageSet, classifier: str,
) -> None:  # fmt: skip
    """The verdict over the whole batch, and the files. held_out: (N,) bool, copies of validation or test images."""
    names = images.class_names
    asked = np.array([names.index(name) if name in names else -1 for name in batch.asked], dtype=np.int64)
    quota = batch_run.figures.get("quota")
    wanted = None if quota is None else np.array([int(quota.get(name, 0)) for name in names])
    reason = screener.decide(look, asked, batch.images, wanted)
    reason[held_out] = HELD_OUT
    labels = Labels(run, names, look.predicted, look.confidence, look.probabilities, reason)
    write_labels(run, batch, labels, _columns(look, screener))
    _write_sheet(run.path / "sheet.png", batch, labels)
    _write_copies(run.path / "copies.png", batch, labels, look, screener)
    figures = _figures(labels, asked, screener, classifier)
    if screener.pools:
        copies = look.nearest[labels.reason == COPY].tolist()
        figures["screen"]["copies_of_pool"] = sum(map(screener.known.of_pool, copies))
    run.finish(digest=digest_of(run.path / "labels.csv"), figures=figures, device=str(screener.classifier.device))


def _columns(look: ImageFacts, screener: Screener) -> dict[str, list[str]]:
    """What labels.csv says besides the label: realism, and the nearest training image (or image of a pool that the
    generator learned from) where it was looked for."""

    def figure(values: np.ndarray) -> list[str]:
        return ["" if np.isnan(value) else f"{value:.4f}" for value in values]

    columns = {"realism": figure(look.realism)}
    if len(look) and look.nearest.max() >= 0:
        columns["nearest"] = [screener.known.name(int(i)) for i in look.nearest]
        columns["likeness"] = figure(look.likeness)
        columns["isolation"] = figure(look.isolation)
    return columns


def _figures(labels: Labels, asked: np.ndarray, screener: Screener, classifier: str) -> dict[str, Any]:
    names, limits = labels.class_names, screener.limits
    count = len(names)
    before = np.bincount(labels.predicted, minlength=count)
    after = np.bincount(labels.predicted[labels.kept], minlength=count)
    wanted = np.bincount(asked[asked >= 0], minlength=count)
    of = np.where(asked >= 0, asked, labels.predicted)  # the class whose yield an image counts for

    def by_name(counts: np.ndarray) -> dict[str, int]:
        return {name: int(n) for name, n in zip(names, counts, strict=True)}

    def by_share(shares: np.ndarray) -> dict[str, float]:
        return {name: round(float(share), 4) for name, share in zip(names, shares, strict=True)}

    def reasons(chosen: np.ndarray) -> dict[str, int]:
        tally = Counter(labels.reason[chosen].tolist())
        return {reason: tally[reason] for reason in REASONS if tally[reason]}

    thresholds = {name: float(t) for name, t in zip(names, limits.thresholds, strict=True)}
    copy = None if limits.copy is None else dataclasses.asdict(limits.copy)
    return {
        "labelling": {
            "classifier": classifier,
            "temperature": screener.classifier.temperature,
            "before": {"counts": by_name(before), "entropy": relative_entropy_to_uniform(before)},
            "after": {"counts": by_name(after), "entropy": relative_entropy_to_uniform(after)},
            "thresholds": thresholds,
            **({} if screener.assumed is None else {"shares": by_share(screener.assumed)}),
            "held_back_recall": dict(zip(names, _recall(screener, count), strict=True)),
        },
        "screen": {
            "asked": by_name(wanted) if wanted.any() else by_name(before),
            "kept": by_name(after),
            "reasons": reasons(np.ones(len(of), dtype=bool)),
            "by_class": {name: reasons(of == k) for k, name in enumerate(names)},
            "limits": {
                "confidence": thresholds,
                "realism": {name: float(limits.realism[k]) for k, name in enumerate(names)},
                "copy": copy,
            },
            "held_back": {"off the manifold": limits.held_back_off, "copy": limits.held_back_copies},
        },
    }


def _recall(screener: Screener, classes: int) -> list[dict[str, float]]:
    """Of the held-back real images of each class, how many there are and the share that is recognised, judged alike."""
    labels = screener.held_back_labels
    right = screener.held_back_probabilities.argmax(axis=1) == labels
    count = np.bincount(labels, minlength=classes)
    shares = np.bincount(labels, weights=right, minlength=classes) / np.maximum(count, 1)
    return [{"images": int(n), "recall": round(float(share), 4)} for n, share in zip(count, shares, strict=True)]


def _blind(labelling: dict[str, Any]) -> list[str]:
    """A line where the classifier hardly knows a class: what it labels so, or does not, tells little."""
    known = labelling.get("held_back_recall", {}).items()
    named = [
        f"{name} {one['recall']:.0%} of {one['images']:,}"
        for name, one in known
        if one["images"] >= _TELLING and one["recall"] < _BLIND
    ]
    if not named:
        return []
    return [
        f"Of held-back real images the classifier recognises few of some classes: {', '.join(named)}. What it labels "
        "so, or does not, tells little. Label with one that was trained for rare classes: the best of a retrain "
        "(--classifier best), or ganfer train classifier --set classifier.loss=logit-adjusted."
    ]


def _result(run: Run, batch: Run, what: str) -> Result:
    figures = run.figures
    labelling = figures["labelling"]
    names = list(labelling["before"]["counts"])
    before, after, asked = (
        figures["labelling"]["before"]["counts"],
        figures["labelling"]["after"]["counts"],
        figures["screen"]["asked"],
    )
    total, kept = sum(before.values()), sum(after.values())
    thresholds = figures["labelling"]["thresholds"]

    def share(n: int, of: int) -> str:
        return f"{n / of:.1%}" if of else "-"

    rows = [
        [n, asked[n], before[n], share(before[n], total), f"{thresholds[n]:.2f}", after[n], share(after[n], kept)]
        for n in names
    ]
    rows.append(["all", sum(asked.values()), total, "", "", kept, ""])
    entropy = [figures["labelling"][when]["entropy"] for when in ("before", "after")]
    reasons = ", ".join(f"{n} {reason}" for reason, n in sorted(figures["screen"]["reasons"].items()))
    lines = [
        f"{batch.name} {what} by {figures['labelling']['classifier']}: {reasons}",
        *table(["class", "asked", "labelled", "share", "threshold", "kept", "share"], rows),
        *_criteria(figures["screen"]),
        f"entropy of the labels relative to uniform: {entropy[0]:.3f} before screening, {entropy[1]:.3f} after",
        *([f"class shares of the pool, estimated: {_shares(labelling['shares'])}"] if "shares" in labelling else []),
        *_blind(labelling),
        *_led(run, batch),
        *_filled(run, batch),
        f"in {run.path}",
    ]
    return Result("ganfer label", run.path, figures, lines)


def _led(run: Run, batch: Run) -> list[str]:
    """A line where the labeller itself led the search for the faces: they were moved until it believed them."""
    guide = batch.record.get("key", {}).get("inputs", {}).get("guide")
    if not guide or guide != run.record.get("key", {}).get("inputs", {}).get("classifier"):
        return []
    return [
        "These faces were moved until this very classifier saw the class, so its labels and its screen prove little: "
        "look at the sheet, or label with another one (--classifier)."
    ]


def _filled(run: Run, batch: Run) -> list[str]:
    """What filling brought, where this labeller decided what passed."""
    lines: list[str] = batch.figures.get("fill", {}).get("lines", [])
    if lines and filled_by(batch) != run.record.get("key", {}).get("inputs", {}).get("classifier"):
        return [
            "Another labeller decided how many faces were drawn. To fill it by this one: the same command with --fill."
        ]
    return lines


def _shares(shares: dict[str, float]) -> str:
    return ", ".join(f"{name} {share:.1%}" for name, share in shares.items())


def _criteria(screen: dict[str, Any]) -> list[str]:
    """What the criteria reject, beside what they would reject of held-back real images."""
    total, held_back = max(1, sum(screen["reasons"].values())), screen["held_back"]
    return [
        f"{reason}: {screen['reasons'].get(reason, 0) / total:.1%} of the batch, "
        f"{held_back[reason]:.1%} of held-back real images would be"
        for reason in held_back
        if screen["reasons"].get(reason)
    ] + ([f"{of_pool:,} of the copies repeat an image of a pool"] if (of_pool := screen.get("copies_of_pool")) else [])


def _write_sheet(path: Path, batch: Batch, labels: Labels) -> None:
    """One row per class: the kept faces with the highest confidence, so that a person can judge the labels."""
    chosen: list[int] = []
    captions: list[str] = []
    for k, name in enumerate(labels.class_names):
        mine = np.flatnonzero((labels.predicted == k) & labels.kept)
        best = mine[np.argsort(-labels.confidence[mine], kind="stable")][:_SHEET]
        chosen += best.tolist()
        captions += [f"{name} {labels.confidence[i]:.2f}" for i in best]
    _save_sheet(path, batch.images(chosen), _SHEET, captions)


def _write_copies(path: Path, batch: Batch, labels: Labels, look: ImageFacts, screener: Screener) -> None:
    """The rejected copies, each beside the real image that it repeats, the most similar first."""
    copies = np.flatnonzero(labels.reason == COPY)
    copies = copies[np.argsort(-look.likeness[copies], kind="stable")][:_COPIES]
    pairs, captions = [], []
    for i in copies:
        pairs += [batch.images([int(i)])[0], screener.known[look.nearest[[i]]][0]]
        whose = "image of a pool" if screener.known.of_pool(int(look.nearest[i])) else "training image"
        captions += [f"made, {look.likeness[i]:.2f}", whose]
    _save_sheet(path, np.array(pairs), 12, captions)


def _save_sheet(path: Path, pixels: np.ndarray, columns: int, captions: Sequence[str]) -> None:
    if len(captions):
        with atomic_path(path) as temporary:
            contact_sheet(pixels, columns=columns, captions=captions).save(
                temporary, format="PNG", pnginfo=picture_text("contact sheet")
            )

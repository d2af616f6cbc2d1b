"""`ganfer quality`: how good the faces of a batch are, overall and class by class, beside what real images reach.

The data's path: batch and held-back real images (the validation split) -> features, looks (`screening`) -> distances,
manifolds, diversity, copies, classification accuracy scores -> quality.json, tables, the page. Features and looks are
stored part by part, trainings resume; the same command again finds the finished run.
"""

import dataclasses
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any

import numpy as np
from scipy.stats import binomtest

from ganfer.classifier.train import identity, real_only
from ganfer.config import Config
from ganfer.data.imageset import ImageSet, read_set
from ganfer.errors import DataError
from ganfer.generate.batch import read_batch
from ganfer.label.known import pools_behind, pools_input
from ganfer.label.labels import newest_labels, read_labels
from ganfer.label.screener import ImageFacts, Screener
from ganfer.metrics import extractors, inception
from ganfer.metrics.density_coverage import NEIGHBOURS, density_coverage
from ganfer.metrics.diversity import diversity
from ganfer.metrics.extractors import features_and_probabilities, halved
from ganfer.metrics.fid import fid
from ganfer.metrics.halves import Compared, compare
from ganfer.metrics.inception import InceptionFeatures
from ganfer.metrics.kid import mmd2
from ganfer.metrics.neighbours import Device
from ganfer.metrics.perceptual import Perceptual, open_perceptual
from ganfer.metrics.precision_recall import precision_recall
from ganfer.quality.cas import cas_data, train_cas
from ganfer.quality.files import Subject, quality_result, write_quality
from ganfer.results import Result
from ganfer.runtime.console import progress, say
from ganfer.runtime.files import digest_of
from ganfer.runtime.parts import Arrays, kept_parts
from ganfer.runtime.seeding import stream
from ganfer.statistics.intervals import confusion_estimates
from ganfer.tracking import figures_of, tracked
from ganfer.workspace import Run, Workspace

LEAST = 8  # images of a class on each side that a comparison needs
_LOOKS = "looks"
_PAIRED = 500  # images per class whose diversity is measured, at most

_SHARE, _ANY = (0.0, 1.0), (-np.inf, np.inf)
_RANGES = {"precision": _SHARE, "recall": _SHARE, "coverage": _SHARE, "density": (0.0, np.inf), "fid": (0.0, np.inf)}

Measure = Callable[[np.ndarray, np.ndarray], dict[str, float]]


def quality(workspace: Workspace, config: Config, batch_run: Run, classifier_run: Run, data: Run) -> Result:
    """Measure a batch; writes qualities/<run>/. DataError for an empty batch, or without held-back real images."""
    labels_run = newest_labels(batch_run)
    kept_only = config.quality.faces == "kept"
    if kept_only and labels_run is None:
        raise DataError(f"{batch_run.name} is not screened yet.", "Screen it first: ganfer label.")
    inputs = {"data": data.digest, "batch": batch_run.digest, "classifier": classifier_run.digest}
    if kept_only:
        assert labels_run is not None
        inputs["labels"] = labels_run.digest
    settings = {"quality": asdict(config.quality), "classifier": identity(config.classifier)}
    pools = pools_behind(batch_run)
    key = {"config": settings, "inputs": inputs, "seed": config.seed, **pools_input(pools)}
    run = workspace.run("qualities", "quality", key)
    with run.work("quality") as record, tracked(run, config, "quality") as track:
        if record.get("status") == "complete":
            say(f"{run.name} was already done.")
            return quality_result(run)
        track.start(settings | {"batch": batch_run.name, "seed": config.seed})
        images = read_set(data.path)
        screener = Screener(_with_everything(config), classifier_run, data, images, pools)
        file = inception.find_inception(config.quality.inception)
        extract = inception.InceptionFeatures(file, screener.classifier.device) if file else None
        subject, seen = _subject(run, screener, extract, batch_run, labels_run if kept_only else None, images)
        look = seen.look
        results = {
            "title": f"Quality of {batch_run.name}",
            "batch": batch_run.name,
            "faces": config.quality.faces,
            "classifier": classifier_run.name,
            "class_names": list(images.class_names),
            "counts": _counts(subject),
            "halvings": config.quality.halvings,
            **_compared(config, screener, subject, seen, extract),
            **_diversities(config, screener, subject),
            "copies": _copies(screener, subject.classes, images.class_names, look),
            "cas": _cas(run, config, subject),
            "run": {name: run.record.get(name) for name in ("command", "versions", "machine", "started")},
        }
        results["notes"] = _notes(results, subject)
        write_quality(run, results, subject, look, screener)
        shown = ("counts", "groups", "inception", "diversity", "copies", "cas", "notes")
        figures = {name: results[name] for name in shown}
        track.metrics(
            figures_of({name: results[name] for name in ("groups", "inception", "diversity", "copies", "cas")})
        )
        track.artefacts("index.html", "quality.json")
        device = str(screener.classifier.device)
        run.finish(digest=digest_of(run.path / "quality.json"), figures=figures, device=device)
        shutil.rmtree(run.path / _LOOKS, ignore_errors=True)  # the finished run has what was read from them
    return quality_result(run)


def check_weights(config: Config) -> None:
    """GanferError for files of weights that are not those that were named."""
    file = inception.find_inception(config.quality.inception)
    if file is not None:
        inception.require_known(file)
    if config.quality.lpips:
        open_perceptual(config.quality.lpips)


def _with_everything(config: Config) -> Config:
    """The screen's own defaults: what is measured does not depend on what the user has it reject."""
    label = dataclasses.replace(config.label, manifold=0.05, copies=True, diverse=False)
    return dataclasses.replace(config, label=label)


@dataclasses.dataclass(frozen=True)
class _Seen:
    """What one pass over N faces finds: features (N, d) of the classifier and, where it is at hand, of Inception."""

    look: ImageFacts
    features: np.ndarray
    inception: np.ndarray | None


def _see(screener: Screener, extract: InceptionFeatures | None, pixels: np.ndarray) -> Arrays:
    features, found = features_and_probabilities(screener.classifier, pixels)
    more = {"inception": extract(pixels)} if extract else {}
    return {**vars(screener.facts(pixels, features, found)), "features": halved(features), **more}


def _subject(
    run: Run,
    screener: Screener,
    extract: InceptionFeatures | None,
    batch_run: Run,
    labels_run: Run | None,
    images: ImageSet,
) -> tuple[Subject, _Seen]:
    batch = read_batch(batch_run)
    names = images.class_names
    chosen = np.arange(len(batch))
    if labels_run is not None:
        chosen = np.flatnonzero(read_labels(labels_run, names).kept)
    if not len(chosen):
        raise DataError(f"{batch_run.name} holds no face to measure.", "Generate some, or measure all: --faces all.")
    held = real_only(images, "val")
    held = held.select(np.flatnonzero(held.labels >= 0))
    subject = Subject(batch, chosen, np.empty(0), held, images)
    with progress("look at the faces", len(chosen)) as advance:
        folder = run.path / _LOOKS / ("inception" if extract else "features")
        see = partial(_see, screener, extract)
        parts = list(kept_parts(see, len(chosen), subject.read, folder, spread=screener.spread, advance=advance))
    together = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    look = ImageFacts(**{field.name: together.pop(field.name) for field in dataclasses.fields(ImageFacts)})
    asked = np.array([names.index(batch.asked[i]) if batch.asked[i] in names else -1 for i in chosen])
    subject = dataclasses.replace(subject, classes=np.where(asked >= 0, asked, look.predicted))
    return subject, _Seen(look, together["features"], together.get("inception"))


def _counts(subject: Subject) -> dict[str, dict[str, int]]:
    names = subject.images.class_names
    return {
        name: {"faces": int((subject.classes == k).sum()), "held_back": int((subject.held_back.labels == k).sum())}
        for k, name in enumerate(names)
    }


# --- distances and manifolds ------------------------------------------------------------------------------------------


def measure_on(device: Device) -> Measure:
    """FID, KID, precision, recall, density and coverage of candidates against a reference, as one dict."""

    def measure(candidates: np.ndarray, reference: np.ndarray) -> dict[str, float]:
        found = {"fid": fid(candidates, reference, device=device).value, "kid": mmd2(candidates, reference)}
        if min(len(candidates), len(reference)) > NEIGHBOURS:
            found |= asdict(precision_recall(candidates, reference, device=device))
            found |= asdict(density_coverage(candidates, reference, device=device))
        return found

    return measure


def _compared(
    config: Config, screener: Screener, subject: Subject, seen: _Seen, extract: InceptionFeatures | None
) -> dict[str, Any]:
    """The comparisons with classifier features, and with Inception's where its weights are at hand."""
    classifier = screener.classifier
    fake = seen.features.astype(np.float32)
    real = classifier.features(np.asarray(subject.held_back.images))
    groups = _groups(fake, real, subject, config, classifier.device)
    found: dict[str, Any] = {"features": extractors.NAME, "groups": groups, "inception": None}
    if extract is None or seen.inception is None:
        found["inception_note"] = inception.missing_note()
        return found
    real = extract(np.asarray(subject.held_back.images))
    found["inception"] = _groups(seen.inception, real, subject, config, classifier.device)
    return found


def _groups(
    fake: np.ndarray, real: np.ndarray, subject: Subject, config: Config, device: Device
) -> dict[str, dict[str, Any]]:
    """Every class with enough images on both sides, and all classes together at equal numbers of each."""
    measure, labels = measure_on(device), subject.held_back.labels
    settings: dict[str, Any] = {
        "halvings": config.quality.halvings,
        "most": config.quality.most,
        "seed": config.seed,
    }
    groups = {}
    names = subject.images.class_names
    with progress("compare", len(names) + 1) as advance:
        for k, name in enumerate(names):
            mine, theirs = fake[subject.classes == k], real[labels == k]
            if min(len(mine), len(theirs) // 2) >= LEAST:
                groups[name] = _as_dict(compare(mine, theirs, measure, **settings))
            advance()
        if len(groups) > 1:
            strata = (subject.classes, labels)
            groups = {"all": _as_dict(compare(fake, real, measure, strata=strata, **settings)), **groups}
        advance()
    return groups


def _as_dict(compared: Compared) -> dict[str, Any]:
    figures = {
        name: {
            side: {part: float(np.clip(value, *_RANGES.get(name, _ANY))) for part, value in asdict(found[name]).items()}
            for side, found in (("faces", compared.fake), ("real", compared.real))
        }
        for name in compared.fake
    }
    return {"num_images": compared.num_images, **figures}


# --- diversity --------------------------------------------------------------------------------------------------------


def _diversities(config: Config, screener: Screener, subject: Subject) -> dict[str, Any]:
    """The diversity of each class's faces over that of as many real images of the class."""
    distance = open_perceptual(
        config.quality.lpips, channels=subject.images.channels, device=screener.classifier.device
    )
    found = {}
    with progress("diversity", len(subject.images.class_names)) as advance:
        for k, name in enumerate(subject.images.class_names):
            mine, theirs = np.flatnonzero(subject.classes == k), np.flatnonzero(subject.held_back.labels == k)
            n = min(len(mine), len(theirs), _PAIRED)
            if n >= LEAST:
                rng = stream(config.seed, "diversity of", k)  # the first ones may all be of one person
                mine, theirs = (np.sort(rng.permutation(each)[:n]) for each in (mine, theirs))
                real = np.asarray(subject.held_back.images[theirs])
                found[name] = _diversity(subject.read(mine), real, distance, config)
            advance()
    return {"distance": distance.name, "distance_note": distance.note, "diversity": found}


def _diversity(fake: np.ndarray, real: np.ndarray, distance: Perceptual, config: Config) -> dict[str, float]:
    made, held = (diversity(part, distance, rounds=config.quality.pairs, seed=config.seed) for part in (fake, real))
    ratio = made.value / held.value if held.value else float("nan")
    relative = np.hypot(made.error / made.value if made.value else 0.0, held.error / held.value if held.value else 0.0)
    return {
        "faces": made.value,
        "real": held.value,
        "ratio": ratio,
        "low": ratio * (1 - 1.96 * relative),
        "high": ratio * (1 + 1.96 * relative),
        "num_images": made.num_images,
    }


# --- copies -----------------------------------------------------------------------------------------------------------


def _copies(screener: Screener, classes: np.ndarray, names: Sequence[str], look: ImageFacts) -> dict[str, Any]:
    """How many faces are copies of an image that the generator learned from, beside how many held-back real images
    would count as such."""
    copy = screener.copies(look)
    share = binomtest(int(copy.sum()), len(copy)).proportion_ci(method="wilson")
    assert screener.limits.copy is not None
    return {
        "count": int(copy.sum()),
        "of": len(copy),
        "share": float(copy.mean()),
        "low": float(share.low),
        "high": float(share.high),
        "held_back_share": screener.limits.held_back_copies,
        "held_back_likeness": screener.limits.held_back_likeness,
        "likeness": float(np.median(look.likeness)),
        "rule": asdict(screener.limits.copy),
        "per_class": {name: int(copy[classes == k].sum()) for k, name in enumerate(names)},
        **({"of_pool": sum(map(screener.known.of_pool, look.nearest[copy].tolist()))} if screener.pools else {}),
    }


# --- classification accuracy scores -----------------------------------------------------------------------------------


def _cas(run: Run, config: Config, subject: Subject) -> dict[str, Any] | None:
    """Train on synthetic and test on real, and the reverse, each beside the same with real images."""
    if not config.quality.cas:
        return None
    images, names = subject.images, subject.images.class_names
    train = np.flatnonzero((images.split == "train") & (images.source == "real") & (images.labels >= 0))
    data = cas_data(
        subject.read,
        subject.classes,
        lambda places: np.asarray(images.images[train[places]]),
        images.labels[train],
        len(names),
        most=config.quality.most,
        seed=config.seed,
    )
    if data is None:
        return None
    models = train_cas(config, {"real": data.real, "synthetic": data.synthetic}, names, run.path / "cas")
    held = np.asarray(subject.held_back.images)
    called = {arm: model.logits(held).argmax(axis=1) for arm, model in models.items()}
    chunks = extractors.chunks(len(subject.chosen))
    seen = [models["real"].logits(subject.read(range(p.start, p.stop))).argmax(axis=1) for p in chunks]
    tables = {
        "trained_on_synthetic": (subject.held_back.labels, called["synthetic"]),
        "trained_on_real": (subject.held_back.labels, called["real"]),
        "faces_recognised": (subject.classes, np.concatenate(seen)),
    }
    found: dict[str, Any] = {
        "images": len(data.real),
        "replaced": [name for k, name in enumerate(names) if data.replaced[k]],
    }
    for what, (labels, predicted) in tables.items():
        confusion = np.zeros((len(names), len(names)), np.int64)
        np.add.at(confusion, (labels, predicted), 1)
        estimates = confusion_estimates(confusion, names, beta=1.0, resamples=2000, seed=config.seed)
        recalls = {f"recall:{name}": name for name in names}
        wanted = {"balanced_accuracy": "balanced_accuracy", **recalls}
        found[what] = {
            short: {"mean": estimates[long].mean, "low": estimates[long].low, "high": estimates[long].high}
            for long, short in wanted.items()
            if long in estimates
        }
    return found


def _notes(results: dict[str, Any], subject: Subject) -> list[str]:
    """What to keep in mind about these figures."""
    notes = [
        "Features are the penultimate layer of the workspace's classifier, trained on the training split: FID and KID "
        "of them are not the published ones and compare within this data set only."
    ]
    notes += [results[name] for name in ("inception_note", "distance_note") if results.get(name)]
    sizes = [group["num_images"] for group in results["groups"].values()]
    if sizes:
        notes.append(
            f"Comparisons have {_range(sizes)} images on each side. FID is biased upwards at such "
            "numbers, for the real images beside it alike; KID is not."
        )
    few = [
        name
        for name, n in results["counts"].items()
        if n["faces"] and name not in results["groups"] and min(n["faces"], n["held_back"] // 2) < LEAST
    ]
    if few:
        notes.append(f"Too few images for figures of their own ({LEAST} on each side): {', '.join(few)}.")
    if results["cas"] is None and subject is not None:
        notes.append("Nothing was trained on the faces: it was not asked for, or no class has 10 of them.")
    return notes


def _range(sizes: Sequence[int]) -> str:
    low, high = min(sizes), max(sizes)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"

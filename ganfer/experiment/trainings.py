"""The trainings of an experiment: each once, many at a time, resumed after a kill; one look at the test split each."""

import glob
import io
import json
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from classifiers import Classifier, Job, Samples, TrainConfig, TrainResult, load_classifier, train_many
from classifiers.device import resolve_device
from classifiers.errors import ClassifierError
from classifiers.files import read_weights
from classifiers.tail_features import refit_on_features
from classifiers.training import Progress, find_finished
from ganfer.classifier.train import samples, with_fresh
from ganfer.config import Config
from ganfer.data.imageset import ImageSet
from ganfer.experiment.arms import Trained
from ganfer.experiment.material import TrainingData
from ganfer.experiment.portions import filled
from ganfer.runtime.console import Advance, progress, say
from ganfer.runtime.files import write_bytes
from ganfer.workspace import Run

_TICK_SECONDS = 20.0  # between notes of the time worked so far
_VAL, _TEST = "val.npz", "test.npz"


def seeds_of(config: Config) -> list[int]:
    """The seeds that every arm is trained with."""
    return [config.seed + i for i in range(config.retrain.seeds)]


class Trainings:
    """The models of one experiment, in a folder each below `trainings/` of the run."""

    def __init__(
        self, run: Run, val: ImageSet, test: ImageSet, seeds: Sequence[int], *, device: str, workers: int = 0,
        cluster: str = "",
    ) -> None:  # fmt: skip
        self.run, self.val, self.test, self.seeds = run, val, test, tuple(seeds)
        self.device, self.workers, self.cluster = device, workers, cluster
        self._val_samples = samples(val)

    def train(self, wanted: Mapping[str, TrainingData]) -> None:
        """Train each of the wanted ones with every seed. ClassifierError when a training fails.

        What was trained before, also by an interrupted run, is found.
        """
        train_together([(self, wanted)])

    def one(self, name: str, data: TrainingData, seed: int) -> tuple[Path, Trained]:
        """A training with one seed, never tested: its folder, and what it says of validation."""
        _train([(self, name, data, seed)])
        folder = self.folder(name, seed)
        facts = _stored(folder / _VAL)
        return folder, Trained(
            np.empty((0, len(self.val.class_names)), np.float32), facts["probabilities"], float(facts["temperature"]),
            float(facts["seconds"]), str(facts["device"]),
        )  # fmt: skip

    def validated(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        """The validation probabilities (S, V, K) of what was trained."""
        return {
            name: np.stack([_stored(self.folder(name, seed) / _VAL)["probabilities"] for seed in self.seeds])
            for name in names
        }

    def ensemble(self, name: str, images: np.ndarray, of: str = "") -> np.ndarray:
        """What all seeds' models of a training say of images, averaged: (N, K) float32; kept, for a resumed run.

        of: which images, "" for the real training ones.
        """
        place = f"ensemble-{name}{of and '-'}{of}"
        stored = self.kept(place)
        if stored is None:
            said = [model.probabilities(images) for model in self.models(name, len(self.seeds))]
            stored = self.keep(place, probabilities=np.mean(said, axis=0).astype(np.float32))
        return stored["probabilities"]

    def models(self, name: str, most: int) -> list[Classifier]:
        """The first seeds' models of a training, `most` at most."""
        return [load_classifier(self.folder(name, seed), self.device) for seed in self.seeds[:most]]

    def kept(self, name: str) -> dict[str, np.ndarray] | None:
        """Arrays that this run has kept under a name; None where it has not yet."""
        file = self._file(name)
        return _stored(file) if file.is_file() else None

    def keep(self, name: str, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        """Keep arrays under a name, for a resumed run."""
        _store(self._file(name), **arrays)
        return arrays

    def _file(self, name: str) -> Path:
        return self.run.path / "trainings" / f".{name}.npz"

    def fit_head(self, name: str, data: TrainingData, seed: int) -> None:
        """A model that is no training of its own: the original's, with a head fitted on features that are drawn."""
        assert data.head is not None
        began, source, target = time.monotonic(), self.folder("original", seed), self.folder(name, seed)
        wanted = np.array(filled(list(data.images.counts().values()), len(data.images)))
        card = refit_on_features(
            source, target, samples(data.images), self._val_samples, wanted, seed=seed, device=self.device,
            settings=data.head,
        )  # fmt: skip
        self._say_of_val(target, card["seconds"] + time.monotonic() - began)

    def look(self, name: str) -> tuple[Trained, ...]:
        """One look of each of an arm's models at the test split, kept, so that there never is a second one."""
        return tuple(self._look(self.folder(name, seed)) for seed in self.seeds)

    def folder(self, name: str, seed: int) -> Path:
        """Where a training lives."""
        return self.run.path / "trainings" / f"{name}-{seed}"

    def done(self, name: str, seed: int) -> bool:
        """Whether a training, and what it says of validation, is there."""
        return (self.folder(name, seed) / _VAL).is_file()

    def job(self, name: str, data: TrainingData, seed: int, arrays: dict[tuple[str, int], Samples]) -> Job:
        """A training as a job, or one like it of another experiment taken over. arrays: those that jobs share."""
        turn = self.seeds.index(seed) % max(1, len(data.turns))
        if (name, turn) not in arrays:
            own = samples(data.of_seed(turn), data.weights, data.added)
            arrays[name, turn] = with_fresh(own, data.fresh_of_seed(turn))
        images = arrays[name, turn]
        self._adopt(data.config, images, name, seed)
        return Job(data.config, images, self._val_samples, self.val.class_names, self.folder(name, seed), seed)

    def settled_precision(self) -> str | None:
        """What precision "auto" came to in the experiment's first trainings: its arms must differ in nothing else."""
        for file in sorted(self.run.path.glob("trainings/*/model.safetensors")):
            try:
                card = read_weights(file)[1]
            except ClassifierError:
                continue  # damaged: it is trained again
            if card["config"].get("precision") == "auto" and _made_on(card) == "cpu":
                return str(card.get("precision", "32-true"))
        return None

    def _adopt(self, config: TrainConfig, images: Samples, name: str, seed: int) -> None:
        """Take this very training over from another experiment of the workspace, where one has made it before, on the
        same kind of device."""
        own = self.folder(name, seed)
        if own.exists():
            return
        for folder in sorted(self.run.path.parent.glob(f"*/trainings/{glob.escape(own.name)}")):
            found = find_finished(config, images, self._val_samples, self.val.class_names, folder, seed=seed)
            settled = self.settled_precision()
            here = found is not None and _made_on(found.card) == resolve_device(self.device).type
            if found and here and settled in (None, found.card.get("precision", "32-true")):
                own.parent.mkdir(parents=True, exist_ok=True)
                copying = own.with_name(f".{own.name}.tmp")
                shutil.rmtree(copying, ignore_errors=True)
                leave = shutil.ignore_patterns(
                    _TEST, "tensorboard", ".*"
                )  # a look at the test is each experiment's own
                shutil.copytree(folder, copying, ignore=leave)
                copying.rename(own)
                return

    def validate(self, result: TrainResult) -> None:
        """Keep what a training says of validation."""
        self._say_of_val(result.folder, result.seconds)

    def _say_of_val(self, folder: Path, seconds: float) -> None:
        classifier = load_classifier(folder, self.device)
        _store(
            folder / _VAL,
            probabilities=classifier.probabilities(self.val.images),
            temperature=classifier.temperature,
            seconds=seconds,
            device=str(classifier.device),
        )

    def _look(self, folder: Path) -> Trained:
        if not (folder / _TEST).is_file():
            classifier: Classifier = load_classifier(folder, self.device)
            _store(folder / _TEST, probabilities=classifier.probabilities(self.test.images))
        return _trained(folder)


def train_together(wanted: Sequence[tuple[Trainings, Mapping[str, TrainingData]]]) -> None:
    """Train what several experiments want, all at the same time, as far as the machine takes them side by side."""
    _train([(own, name, data, seed) for own, each in wanted for name, data in each.items() for seed in own.seeds])


def _train(wanted: Sequence[tuple[Trainings, str, TrainingData, int]]) -> None:
    left = [each for each in wanted if not each[0].done(each[1], each[3])]
    for own, name, data, seed in left:
        if data.head is not None:
            own.fit_head(name, data, seed)
            own.run.tick()
    left = [each for each in left if each[2].head is None]
    owners = list(dict.fromkeys(own for own, *_ in left))
    arrays: dict[Trainings, dict[tuple[str, int], Samples]] = {own: {} for own in owners}
    jobs = [own.job(name, data, seed, arrays[own]) for own, name, data, seed in left]
    settled = {own: own.settled_precision() for own in owners}
    for precision in dict.fromkeys(settled.values()):  # one, but where experiments were begun that differ in it
        now = [i for i, each in enumerate(left) if settled[each[0]] == precision]
        with _kept_awake([own.run for own in owners]) as watched:
            results = train_many(
                [jobs[i] for i in now], device=owners[0].device, workers=owners[0].workers or None, progress=watched,
                auto_precision=precision, cluster=owners[0].cluster, say=say,
            )  # fmt: skip
        _say_notes([left[i][1] for i in now], results)
        for i, result in zip(now, results, strict=True):
            left[i][0].validate(result)
    for own in owners:
        own.run.tick()


def stored_trained(run: Path, name: str, seed: int) -> Trained:
    """One model of a finished experiment in the folder `run`. ClassifierError when its files are not there."""
    return _trained(run / "trainings" / f"{name}-{seed}")


def _trained(folder: Path) -> Trained:
    facts = _stored(folder / _VAL)
    return Trained(
        probabilities=_stored(folder / _TEST)["probabilities"],
        validation=facts["probabilities"],
        temperature=float(facts["temperature"]),
        seconds=float(facts["seconds"]),
        device=str(facts["device"]),
        **_told(folder),
    )


def _told(folder: Path) -> dict[str, Any]:
    """Balanced accuracy at each validation, and what it was trained on; empty where the training's card is gone."""
    try:
        card = json.loads((folder / "card.json").read_text(encoding="utf-8"))
        history = tuple(float(row["val_balanced_accuracy"]) for row in card["history"])
        return {"history": history, "made_on": _made_on(card)}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _made_on(card: Mapping[str, Any]) -> str:
    """cpu, cuda or mps."""
    return str(card.get("device", "cpu")).partition(":")[0]


def _say_notes(left: Sequence[str], results: Sequence[TrainResult]) -> None:
    """Each note once, with the arms it is about."""
    about: dict[str, list[str]] = {}
    for name, result in zip(left, results, strict=True):
        for note in result.notes:
            about.setdefault(note, []).append(name)
    for note, names in about.items():
        say(f"{', '.join(dict.fromkeys(names))}: {note}")


@contextmanager
def _kept_awake(runs: Sequence[Run]) -> Iterator[Progress]:
    """A progress bar that also notes the time worked so far in the runs' records, for the case of a kill."""
    last = time.monotonic()

    @contextmanager
    def watched(description: str, total: int) -> Iterator[Advance]:
        with progress(description, total) as advance:

            def step(n: int = 1, note: str = "") -> None:
                nonlocal last
                advance(n, note)
                if time.monotonic() - last > _TICK_SECONDS:
                    last = time.monotonic()
                    for run in runs:
                        run.tick()

            yield step

    yield watched


def _store(path: Path, **arrays: object) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    write_bytes(path, buffer.getvalue())


def _stored(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as stored, np.load(stored) as arrays:
            return dict(arrays)
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        whole = path if path.name.startswith(".") else path.parent  # what has to go with it
        raise ClassifierError(f"{path} is damaged ({error}); remove {whole} and run the command again") from error

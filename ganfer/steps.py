"""The way of the data: add (or draw) -> train gan -> generate -> label (trains the classifier) -> retrain -> report.

What a step lacks is made first.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from ganfer import ranks
from ganfer.config import Config
from ganfer.console import say
from ganfer.errors import GanferError
from ganfer.results import Result
from ganfer.workspace import Run, Workspace

_STEERS = "steer the generator to these classes with the classifier; the judge accepts"


class Steps:
    """A workspace, the settings, and the way from images to the report, each step by its command's name."""

    def __init__(self, workspace: str | Path | Workspace | None = None, config: Config | None = None) -> None:
        self.workspace = workspace if isinstance(workspace, Workspace) else Workspace(workspace)
        self.config = config or Config()

    # --- data ---------------------------------------------------------------------------------------------------

    def add(self, path: str | Path, **options: Any) -> Result:
        """Import images; see `ganfer.data.ingest.add` for the options."""
        from ganfer.data.ingest import add

        return add(self.workspace, self.config, Path(path), **options)

    def stats(self) -> Result:
        """Counts, shares, imbalance and contact sheets of the active data set."""
        from ganfer.data.stats import stats

        return stats(self.workspace, self.config, self.need_data())

    def check(self, *, drop: bool = False) -> Result:
        """Duplicates, leaks between splits, conflicting labels, damaged images of the active data set."""
        from ganfer.data.check import check

        return check(self.workspace, self.config, self.need_data(), drop=drop)

    def thin(self, *, imbalance: float | None = None, counts: Mapping[str, int] | None = None) -> Result:
        """A variant with fewer training images: an exponential long tail, or fixed counts per class."""
        from ganfer.data.thin import thin

        return thin(self.workspace, self.config, self.need_data(), imbalance=imbalance, counts=counts or {})

    # --- training -----------------------------------------------------------------------------------------------

    def train_gan(self) -> Result:
        """Train the generator on the active data's training split."""
        from ganfer.gan.train import train_gan

        return train_gan(self.workspace, self.config, self.need_data())

    def train_judge(self) -> Result:
        """Train the independent judge of steered faces on half of the active data's training split."""
        from ganfer.judge import train_judge

        return train_judge(self.workspace, self.config, self.need_data(), self.guide_model())

    def train_classifier(self) -> Result:
        """Train and calibrate the classifier on the active data's training split."""
        from ganfer.classifier import train_classifier

        return train_classifier(self.workspace, self.config, self.need_data())

    # --- the daily use ------------------------------------------------------------------------------------------

    def generate(
        self,
        n: int | None = None,
        *,
        balance: bool = False,
        to: int | None = None,
        classes: Mapping[str, int] | None = None,
        gan: str | None = None,
        source: str = "dcgan",
        seeds: Sequence[int] | None = None,
        steer: bool | None = None,
        dry_run: bool = False,
    ) -> Result:
        """Draw synthetic faces: `n` spread evenly, or as many as fill every class up to the largest (or to `to`).

        source: the kind of generator; all but "dcgan" are opened from `stylegan.network`. seeds: exactly these. steer:
        lead the generator to the classes; None does so where classes are asked of a generator that knows none.
        """
        from ganfer.generate import draw, plan_lines
        from ganfer.quota import plan_counts, plan_seeds
        from ganfer.source import gan_source, look_ahead

        own = source == "dcgan"
        there = self.workspace.find("gans", gan) if gan else self._newest("gans") if own else None
        ahead = look_ahead(source, there, self.config, fetch=not dry_run)  # what is wrong with it is said at once
        asks_classes = balance or to is not None or bool(classes)
        steered = steer if steer is not None else asks_classes and ahead.class_names is None
        needed = ["data", *(["gan"] if own and not gan else []), *(["classifier", "judge"] if steered else [])]
        if dry_run and self.workspace.active_data is None:
            return self._plan("generate", [*ahead.steps, *self.missing(*needed)])
        if steered and ranks.count() > 1:
            raise GanferError("Steering runs in one process.", "Give the command without torchrun.")
        if not dry_run:
            self.announce(*needed)
        data = self.need_data()
        request: dict[str, Any] = {"n": n, "balance": balance, "to": to, "classes": classes or {}}
        quota = plan_counts(data, self.config, **request) if seeds is None else plan_seeds(seeds, steered, **request)
        if dry_run:
            plan = [*quota.lines(), _STEERS] if steered else plan_lines(quota, ahead.class_names)
            return self._plan("generate", [*ahead.steps, *self.missing(*needed), *plan])
        chosen = ahead.source or gan_source(self.need_gan(gan), self.config)
        if not steered:
            return draw(self.workspace, self.config, chosen, data, quota, seeds)
        from ganfer.steering import generate_steered

        guide = self.need_classifier()
        return generate_steered(self.workspace, self.config, chosen, data, quota, guide, self.need_judge())

    def label(
        self,
        folder: str | Path | None = None,
        *,
        classifier: str | None = None,
        fill: bool = False,
        dry_run: bool = False,
    ) -> Result:
        """Pseudo-label and screen the newest batch, or a folder of images from elsewhere.

        fill: have more faces drawn until the screen has kept as many of each class as were asked for.
        """
        from ganfer.data.foreign import import_batch
        from ganfer.label import label

        named = self.need_classifier(classifier) if classifier else None  # a wrong name is said before any work
        needed = ["data", *([] if named else ["classifier"]), *([] if folder else ["batch"])]
        if dry_run:
            more = ["draw more faces until as many of each class are kept as were asked for"] if fill else []
            return self._plan("label", [*self.missing(*needed), "label and screen the batch", *more])
        self.announce(*needed)
        data = self.need_data()
        batch = import_batch(self.workspace, self.config, Path(folder), data) if folder else self.need_batch()
        labeller = named or self.need_classifier()
        if fill:
            from ganfer.fill import fill as fill_batch

            batch = fill_batch(self.workspace, self.config, batch, labeller, data)
        return label(self.workspace, self.config, batch, labeller, data)

    def quality(self, batch: str | None = None, *, classifier: str | None = None, dry_run: bool = False) -> Result:
        """Measure a batch (the newest) beside held-back real images: distances, variety, copies, what is learned."""
        from ganfer.quality import quality

        named = self.need_classifier(classifier) if classifier else None
        chosen = self.workspace.find("synthetic", batch) if batch else None
        kept = self.config.quality.faces == "kept"
        needed = ["data", *([] if named else ["classifier"])]
        needed += [] if chosen else ["labels" if kept else "batch"]
        if dry_run:
            return self._plan("quality", [*self.missing(*needed), "measure the faces beside held-back real images"])
        self.announce(*needed)
        data = self.need_data()
        chosen = chosen or (self.need_labels() if kept else self.need_batch())
        return quality(self.workspace, self.config, chosen, named or self.need_classifier(), data)

    def retrain(self, *, dry_run: bool = False) -> Result:
        """Train with and without the synthetic faces, paired seeds, and report what changed."""
        from ganfer.retrain import plan_lines, retrain

        needed = ["data", "classifier", "batch", "labels"]
        plan = plan_lines(self.config, self.workspace, self.workspace.active_data)  # a wrong arm is said at once
        if self.config.retrain.folds:
            return self._retrain_in_folds(plan, dry_run=dry_run)
        if dry_run:
            return self._plan("retrain", [*self.missing(*needed), *plan])
        self.announce(*needed)
        return retrain(self.workspace, self.config, self.need_data(), self.need_labels())

    def _retrain_in_folds(self, plan: Sequence[str], *, dry_run: bool) -> Result:
        """Every fold is a workspace of its own, in which the whole story is told anew."""
        from ganfer.experiment.crossfold import folds_lines, retrain_in_folds

        words = folds_lines(self.config)  # a wrong number is said before any work
        if dry_run:
            return self._plan("retrain", [*self.missing("data"), *words, *plan])

        def tell(workspace: Workspace, config: Config, counts: Mapping[str, int]) -> Result:
            project = Steps(workspace, config)
            project.generate(classes=counts)
            project.label()
            return project.retrain()

        return retrain_in_folds(self.workspace, self.config, self.need_data(), self._newest("synthetic"), tell)

    def demo(self, *, dry_run: bool = False) -> Result:
        """The whole story on the drawn faces: every class filled up to the largest, labelled, retrained, reported."""
        if dry_run:
            from ganfer.retrain import plan_lines

            filled = "generate faces until every class is as large as the largest"
            steps = [*self.missing("data", "gan"), filled, *self.missing("classifier"), "label and screen them"]
            return self._plan("demo", [*steps, *plan_lines(self.config)])
        self.need_data()
        self.generate(balance=True)
        self.label()
        return self.retrain()

    # --- what a command needs, made when it is missing ------------------------------------------------------------

    def need_data(self) -> Run:
        """The active data set; the drawn faces when there is none."""
        with ranks.leader_first():
            run = self.workspace.active_data
            if run is None:
                from ganfer.data.ingest import draw

                run = draw(self.workspace, self.config)
        return run

    def need_gan(self, name: str | None = None) -> Run:
        """A finished GAN: the named one, else the newest trained on the active data, else a new one."""
        if name:
            return self.workspace.find("gans", name)
        return self._newest("gans") or self._made(self.train_gan, "gans")

    def need_classifier(self, name: str | None = None) -> Run:
        """A finished classifier: the named one, else the newest trained on the active data, else a new one."""
        if name:
            from ganfer.catalogue import chosen_run

            return chosen_run(self.workspace, name)
        return self._newest("classifiers") or self._made(self.train_classifier, "classifiers")

    def need_judge(self) -> Run:
        """The finished judge of steered faces for the active data, else a new one."""
        return self._judge() or self._made(self.train_judge, "judges")

    def _judge(self) -> Run | None:
        from ganfer.judge import judge_run

        data = self.workspace.active_data
        run = judge_run(self.workspace, self.config, data, self.guide_model()) if data else None
        return run if run and run.complete else None

    def guide_model(self) -> str:
        """The architecture of the classifier that is there, or that would be trained."""
        there = self._newest("classifiers")
        return str(there.figures["model"]) if there else self.config.classifier.model

    def need_batch(self) -> Run:
        """The newest batch for the active data, generated with the configured n when there is none."""
        return self._newest("synthetic") or self._made(self.generate, "synthetic")

    def need_labels(self) -> Run:
        """The newest labelled batch for the active data, labelled now when the newest batch is not."""
        from ganfer.label import labelled

        batch = self.need_batch()
        if not labelled(batch):
            self.label()
        return batch

    def _newest(self, kind: str) -> Run | None:
        data = self.workspace.active_data
        return self.workspace.latest(kind, data=data.digest) if data else None

    def _made(self, make: Callable[[], Result], kind: str) -> Run:
        result = make()
        assert result.path is not None
        return Run(result.path)

    def missing(self, *needed: str) -> list[str]:
        """What has to be made first, in order, in words."""
        from ganfer.label import labelled

        batch = self._newest("synthetic")
        gan_words = f"train the {self.config.gan.network} for {self.config.gan.steps:,} steps"
        parts = {
            "data": (
                self.workspace.active_data,
                f"draw {self.config.drawn.total:,} training faces (no data was added)",
            ),
            "gan": (self._newest("gans"), gan_words),
            "batch": (batch, f"generate {self.config.generate.n:,} faces"),
            "classifier": (self._newest("classifiers"), f"train the classifier ({self.config.classifier.model})"),
            "judge": (self._judge() if "judge" in needed else None, "train the independent judge on half of the data"),
            "labels": (batch if batch and labelled(batch) else None, "label and screen them"),
        }
        wanted = set(needed)
        if {"batch", "labels"} & wanted and parts["batch"][0] is None:
            wanted |= {"gan", "batch"}
        return [words for name, (there, words) in parts.items() if name in wanted and not there]

    def announce(self, *needed: str) -> None:
        """Print what will be made first, if anything."""
        steps = self.missing(*needed)
        if steps:
            say("Plan: first " + "; then ".join(steps) + ".")

    def _plan(self, command: str, steps: Sequence[str]) -> Result:
        lines = ["Plan (nothing was done):", *(f"  {step}" for step in steps)]
        return Result(f"ganfer {command} --dry-run", None, {"plan": list(steps)}, lines)

"""What comes before what: the data before a GAN, a GAN before a batch, a classifier before labels.

What a command needs is looked for in the workspace, and made with the configured settings when it is missing.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ganfer.config import Config
from ganfer.results import Result
from ganfer.runtime import ranks
from ganfer.runtime.console import say
from ganfer.workspace import Run, Workspace

if TYPE_CHECKING:
    from ganfer.classifier.catalogue import ServedModel


class Needs:
    """A workspace's finished runs for its active data: `data()`, `gan()`, ... give the newest one, or make it."""

    def __init__(self, workspace: Workspace, config: Config) -> None:
        self.workspace = workspace
        self.config = config

    # --- made when missing ----------------------------------------------------------------------------------------

    def data(self) -> Run:
        """The active data set; the drawn faces when there is none."""
        with ranks.leader_first():
            run = self.workspace.active_data
            if run is None:
                self.workspace.check_active()
                from ganfer.data.ingest import draw

                run = draw(self.workspace, self.config)
        return run

    def gan(self, name: str | None = None) -> Run:
        """A finished GAN: the named one, else the newest trained on the active data, else a new one."""
        from ganfer.gan.train import train_gan

        if name:
            return self.workspace.find("gans", name)
        return self.newest("gans") or _made(lambda: train_gan(self.workspace, self.config, self.data()))

    def gans(self, number: int) -> list[Run]:
        """So many finished GANs that differ in their seed alone: those that are there, the others trained now."""
        from ganfer.gan.many import train_gans
        from ganfer.generate.several import relatives

        data = self.data()
        there, missing = relatives(self.workspace, self.config, data, number)
        if missing:
            train_gans(self.workspace, missing, data, number)
        return relatives(self.workspace, self.config, data, number)[0] if missing else there

    def classifier(self, name: str | None = None) -> Run:
        """A finished classifier: the named one, else the newest trained on the active data, else a new one."""
        from ganfer.classifier import starter
        from ganfer.classifier.catalogue import find_run
        from ganfer.classifier.train import train_classifier

        if name:
            run = find_run(self.workspace, name)
            starter.refuse(run.path, "labels, the screen and the experiment")
            return run
        return self.newest("classifiers") or _made(lambda: train_classifier(self.workspace, self.config, self.data()))

    def reader(self) -> "ServedModel | None":
        """What reads photographs of people: a classifier trained on real images, else the starter; which is said.

        None in an installation without the starter, before a classifier was trained.
        """
        from ganfer.classifier import starter
        from ganfer.classifier.catalogue import for_people

        found = for_people(self.workspace)
        data = self.workspace.active_data
        if found is not None and found.file == starter.FILE:
            say(starter.notice())
        elif found is not None and data is not None and found.data_digest != data.digest:
            say(f"{found.name} reads the faces. It was trained on other data; on {data.name}: ganfer train classifier.")
        return found

    def judge(self) -> Run:
        """The finished judge of steered faces for the active data, else a new one."""
        from ganfer.generate.judge import train_judge

        return self._judge() or _made(lambda: train_judge(self.workspace, self.config, self.data(), self.guide_model()))

    def identity(self) -> Run:
        """The finished network that tells people apart for the active data, else a new one."""
        from ganfer.gan.identity import identity_run, train_identity

        data = self.data()
        run = identity_run(self.workspace, self.config, data)
        return run if run.complete else _made(lambda: train_identity(self.workspace, self.config, data))

    def witness(self) -> Run:
        """The finished network that bounds a changed face's distance, apart from the one that leads; else a new one."""
        from ganfer.gan.identity import WITNESS, identity_run, train_identity

        data = self.data()
        run = identity_run(self.workspace, self.config, data, part=WITNESS)
        if run.complete:
            return run
        return _made(lambda: train_identity(self.workspace, self.config, data, part=WITNESS))

    def encoder(self, gan: Run) -> Run:
        """The finished encoder of a GAN, else a new one, with the identity network that it learns from."""
        from ganfer.gan.encoder import encoder_run, train_encoder

        data, identity = self.data(), self.identity()
        run = encoder_run(self.workspace, self.config, data, gan, identity)
        return run if run.complete else _made(lambda: train_encoder(self.workspace, self.config, data, gan, identity))

    def batch(self) -> Run:
        """The newest batch for the active data; when there is none, the configured n is drawn from the GAN."""
        from ganfer.generate.draw import draw
        from ganfer.generate.quota import plan_counts
        from ganfer.generate.source import gan_source

        there = self.newest("synthetic")
        if there:
            return there
        data = self.data()
        quota = plan_counts(data, self.config)
        source = gan_source(self.gan(), self.config)
        return _made(lambda: draw(self.workspace, self.config, source, data, quota))

    def labels(self) -> Run:
        """The newest batch for the active data, labelled now where it is not."""
        from ganfer.label.stage import label, labelled

        batch = self.batch()
        if not labelled(batch):
            label(self.config, batch, self.classifier(), self.data())
        return batch

    # --- looked up ------------------------------------------------------------------------------------------------

    def newest(self, kind: str) -> Run | None:
        """The newest finished run of a kind that was made from the active data."""
        data = self.workspace.active_data
        return self.workspace.latest(kind, data=data.digest) if data else None

    def guide_model(self) -> str:
        """The architecture of the classifier that is there, or that would be trained."""
        there = self.newest("classifiers")
        return str(there.figures["model"]) if there else self.config.classifier.model

    def _judge(self) -> Run | None:
        from ganfer.generate.judge import judge_run

        data = self.workspace.active_data
        run = judge_run(self.workspace, self.config, data, self.guide_model()) if data else None
        return run if run and run.complete else None

    def _identity(self, witness: bool = False) -> Run | None:
        from ganfer.gan.identity import GUIDE, WITNESS, identity_run

        data, part = self.workspace.active_data, WITNESS if witness else GUIDE
        run = identity_run(self.workspace, self.config, data, part=part) if data else None
        return run if run and run.complete else None

    def encoder_of(self, gan: Run | None) -> Run | None:
        """The finished encoder of a GAN; None where it has to be trained."""
        from ganfer.gan.encoder import encoder_run

        data, identity = self.workspace.active_data, self._identity()
        run = encoder_run(self.workspace, self.config, data, gan, identity) if data and gan and identity else None
        return run if run and run.complete else None

    # --- said before ----------------------------------------------------------------------------------------------

    def missing(self, *needed: str) -> list[str]:
        """What of "data", "gan", "batch", "classifier", "judge", "identity", "witness" and "labels" has to be made, in
        words.

        "encoder": it is missing, as `encoder_of` found.
        """
        from ganfer.label.stage import labelled

        if needed:
            self.workspace.check_active()
        batch = self.newest("synthetic")
        gan_words = f"train the {self.config.gan.network} for {self.config.gan.steps:,} steps"
        parts = {
            "data": (
                self.workspace.active_data,
                f"draw {self.config.drawn.total:,} training faces (no data was added)",
            ),
            "gan": (self.newest("gans"), gan_words),
            "batch": (batch, f"generate {self.config.generate.n:,} faces"),
            "classifier": (self.newest("classifiers"), f"train the classifier ({self.config.classifier.model})"),
            "judge": (self._judge() if "judge" in needed else None, "train the independent judge on half of the data"),
            "identity": (
                self._identity() if "identity" in needed else None,
                "train the network that tells people apart (minutes)",
            ),
            "witness": (
                self._identity(witness=True) if "witness" in needed else None,
                "train a second one that bounds what the first has led (minutes)",
            ),
            "encoder": (None, f"train the GAN's encoder for {self.config.encoder.steps:,} steps"),
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
        if "data" in needed and self.workspace.active_data is None:
            say("Your own images: ganfer data add PATH.")


def _made(make: Callable[[], Result]) -> Run:
    path: Path | None = make().path
    assert path is not None
    return Run(path)

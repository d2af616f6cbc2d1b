"""The table of contents: `Project`, a workspace with settings, whose methods are the commands.

The way of the data is add (or draw) -> train gan -> generate -> label (trains the classifier) -> retrain -> report.
Every method says what is wrong with its arguments first, then its plan; with `dry_run` it stops there. What it lacks
is made by `ganfer.needs`, what it does itself is one call of the stage named after it.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ganfer.config import Config, load_config
from ganfer.errors import DataError, GanferError, WorkspaceError
from ganfer.needs import Needs
from ganfer.results import Result, together
from ganfer.runtime.console import say
from ganfer.runtime.extras import require
from ganfer.runtime.files import check_writable
from ganfer.tracking import check_trackers
from ganfer.workspace import Run, Workspace

if TYPE_CHECKING:
    from ganfer.generate.request import Request
    from ganfer.generate.source import Preview


class Project:
    """A workspace and the settings its commands run with. Every method is the command of the same name."""

    def __init__(self, workspace: str | Path | Workspace | None = None, config: Config | None = None) -> None:
        self.workspace = workspace if isinstance(workspace, Workspace) else Workspace(workspace)
        self.config = config or Config()
        self.needs = Needs(self.workspace, self.config)
        check_trackers(self.config.tracking)  # a wrong word is said before any work

    # --- data -----------------------------------------------------------------------------------------------------

    def add(self, *paths: str | Path, pool: bool = False, **options: Any) -> Result:
        """Import images from a path, or from several files that make one source; see `ganfer.data.ingest.add`.

        pool: real images without labels, kept apart from the splits.
        """
        from ganfer.data.ingest import add
        from ganfer.data.unlabelled import add_pool

        if pool:
            given = sorted(name for name, value in options.items() if value and name != "dry_run")
            if len(paths) != 1:
                raise DataError("--pool takes one path.", "Add each as a pool of its own.")
            if given:
                raise DataError(
                    f"A pool has no labels, so {', '.join(given)} says nothing of it.",
                    "Leave it out, or leave --pool out.",
                )
            return add_pool(self.workspace, self.config, Path(paths[0]), dry_run=bool(options.get("dry_run")))
        return add(self.workspace, self.config, paths[0] if len(paths) == 1 else paths, **options)

    def stats(self, *, dry_run: bool = False) -> Result:
        """Counts, shares, imbalance and contact sheets of the active data set."""
        from ganfer.data.stats import stats

        plan = self._first("data stats", ["data"], ["write contact sheets of the active set"], dry_run)
        return plan or stats(self.config, self.needs.data())

    def check(self, *, drop: bool = False, dry_run: bool = False) -> Result:
        """Duplicates, leaks between splits, conflicting labels, damaged images of the active data set."""
        from ganfer.data.check import check

        plan = self._first("data check", ["data"], ["compare all images of the active set with each other"], dry_run)
        return plan or check(self.workspace, self.needs.data(), drop=drop)

    def audit(
        self,
        path: str | Path | None = None,
        *,
        predictions: str | Path | None = None,
        out: str | Path | None = None,
        apply: str = "",
        dry_run: bool = False,
    ) -> Result:
        """Labels of the active set that are probably wrong; or, of a path or predictions from elsewhere, what is wrong.

        apply: "decided" or "all" makes a new active set of it; see `ganfer.review.audit.audit`.
        """
        if path is not None or predictions is not None:
            from ganfer.review.elsewhere import audit_elsewhere

            if apply:
                raise GanferError("--apply changes the active set.", "Leave it out, or add the data to the workspace.")
            step = f"compare the images of {path} with each other" if path else f"read {predictions}"
            given = [None if value is None else Path(value) for value in (path, predictions, out)]
            if out is not None:
                check_writable(Path(out), f"--out {out}")
            return self._first("data audit", [], [step], dry_run) or audit_elsewhere(self.config, *given)
        if out is not None:
            raise GanferError("--out goes with PATH or --predictions.", "The active set's details go to its folder.")
        from ganfer.classifier.early import check_training, refuse_seen
        from ganfer.review.audit import audit, plan_lines

        check_training(self.config, self.workspace)
        refuse_seen(self.workspace, self.config.classifier.pretrained, "classifier.pretrained")
        self._check_cluster(dry_run)
        plan = self._first("data audit", ["data"], plan_lines(self.config, self.workspace.active_data), dry_run)
        return plan or audit(self.workspace, self.config, self.needs.data(), apply)

    def thin(
        self, *, imbalance: float | None = None, counts: Mapping[str, int] | None = None, dry_run: bool = False
    ) -> Result:
        """A variant with fewer training images: an exponential long tail, or fixed counts per class."""
        from ganfer.classifier.early import check_classes
        from ganfer.data.thin import thin

        check_classes(self.workspace, counts or {}, "--class")
        plan = self._first("data thin", ["data"], ["make a thinned variant of the active set"], dry_run)
        return plan or thin(self.workspace, self.config, self.needs.data(), imbalance=imbalance, counts=counts or {})

    def use(self, name: str, *, dry_run: bool = False) -> Result:
        """Make the data set of this name (or whose name begins so) the active one."""
        from ganfer.data.sets import use

        plan = f"make {self.workspace.find('data', name).name} the active set"
        return self._first("data use", [], [plan], dry_run) or use(self.workspace, name)

    def export_data(
        self, form: str = "parquet", *, synthetic: bool = False, batch: str | None = None, licence: str = "unknown",
        dry_run: bool = False,
    ) -> Result:  # fmt: skip
        """The active set as Parquet, tar shards or class folders, with a card and Croissant metadata.

        synthetic: with the kept faces of the newest batch, or of `batch`. licence: for the card, as the Hub names it.
        """
        from ganfer.share.stage import export, plan_lines

        chosen = self.workspace.find("synthetic", batch) if batch else None
        if synthetic and chosen is None:
            chosen = self.needs.newest("synthetic")
            if chosen is None:
                raise WorkspaceError(
                    f"{self.workspace.root} holds no batch for the active set.", "Run ganfer generate."
                )
        plan = self._first("data export", ["data"], plan_lines(form, chosen, licence), dry_run)
        return plan or export(self.workspace, self.config, self.needs.data(), chosen, form=form, licence=licence)

    # --- training -------------------------------------------------------------------------------------------------

    def train_gan(self, number: int = 1, *, dry_run: bool = False) -> Result:
        """Train the generator on the active data's training split; `number` of them with seeds of their own."""
        from ganfer.gan.many import Way, seeded, train_several
        from ganfer.gan.train import plan_steps, train_gan

        seeded(self.config, number)  # a seed beyond the last is said before any work
        if number > 1:
            self._check_cluster(dry_run)
        elif self.config.cluster:
            say("A single GAN is trained here: the cluster is for --number.")
        steps = plan_steps(self.workspace.active_data, self.config, self.workspace, timed=dry_run, number=number)
        if number > 1:
            steps.append(f"They are trained {Way.of(self.config, number)}.")
        if plan := self._first("train gan", ["data"], steps, dry_run):
            return plan
        if number == 1:
            return train_gan(self.workspace, self.config, self.needs.data())
        return train_several(self.workspace, self.config, self.needs.data(), number)

    def train_encoder(self, gan: str | None = None, *, dry_run: bool = False) -> Result:
        """Train the encoder of one of the workspace's GANs (the newest), and what tells people apart before it."""
        from ganfer.gan.encoder import train_encoder

        named = self.workspace.find("gans", gan) if gan else None
        needed = ["data", *([] if named else ["gan"]), "identity"]
        steps = [f"train the encoder for {self.config.encoder.steps:,} steps"]
        if plan := self._first("train encoder", needed, steps, dry_run):
            return plan
        data = self.needs.data()
        chosen = named or self.needs.gan()
        return train_encoder(self.workspace, self.config, data, chosen, self.needs.identity())

    def train_classifier(self, *, dry_run: bool = False) -> Result:
        """Train and calibrate the classifier on the active data's training split."""
        _require_model(self.config)
        from ganfer.classifier.early import check_training
        from ganfer.classifier.train import train_classifier

        check_training(self.config, self.workspace)
        settings = self.config.classifier
        length = f"{settings.steps:,} steps" if settings.steps else f"{settings.epochs} epochs"
        start = "" if settings.pretrained == "none" else f", from {settings.pretrained}"
        steps = [f"train the classifier ({settings.model}) for {length}{start}"]
        plan = self._first("train classifier", ["data"], steps, dry_run)
        return plan or train_classifier(self.workspace, self.config, self.needs.data())

    # --- the daily use --------------------------------------------------------------------------------------------

    def generate(
        self,
        n: int | None = None,
        *,
        balance: bool = False,
        to: int | None = None,
        classes: Mapping[str, int] | None = None,
        gan: str | None = None,
        generators: int = 1,
        source: str = "gan",
        seeds: Sequence[int] | None = None,
        steer: bool | None = None,
        from_faces: Sequence[str] | None = None,
        sign: tuple[Path, Path] | None = None,
        dry_run: bool = False,
    ) -> Result:
        """Draw synthetic faces: `n` spread evenly, or as many as fill every class up to the largest (or to `to`).

        generators: from how many GANs that differ in their seed alone, a batch from each; missing ones are trained.
        source: the kind of generator; all but "gan" are opened from `stylegan.network`. seeds: exactly these. steer:
        lead the generator to the classes; None does so where classes are asked of a generator that knows none. sign: a
        certificate and its key; every face drawn now gets content credentials (C2PA). from_faces: classes whose real
        training faces are changed into those asked for.
        """
        from ganfer.data.credentials import signed
        from ganfer.generate.request import Request
        from ganfer.generate.source import preview, registered

        given = None if from_faces is None else tuple(from_faces)
        kind = registered(source)
        request = Request(n, balance, to, classes or {}, gan, generators, kind, seeds, steer, given)
        request.check(self.workspace, self.config)  # a wrong word is said before any work
        signer = signed(sign)  # as is what is wrong with the certificate, or with the generator
        known = preview(request.source, self._drawing_gan(request), self.config, fetch=not dry_run)
        request.check_known(known, self.config)
        self._check_trainings(request, known)
        with signer:
            if request.changes_faces:
                return self._change_faces(request, known, dry_run=dry_run)
            return self._draw_faces(request, known, dry_run=dry_run)

    def _drawing_gan(self, request: "Request") -> Run | None:
        """The workspace's GAN that is to draw the faces; None where it is yet to be trained, or another kind draws."""
        if request.gan:
            return self.workspace.find("gans", request.gan)
        return self.needs.newest("gans") if request.own else None

    def _check_trainings(self, request: "Request", known: "Preview") -> None:
        """GanferError for settings of what has to be trained for these faces."""
        from ganfer.classifier.early import check_training
        from ganfer.gan.train import check_settings
        from ganfer.generate.steer import check_settings as check_steering

        if request.steered(known) or request.changes_faces:
            check_training(self.config, self.workspace)
            check_steering(self.config, self.needs.guide_model())
        if request.own and self._drawing_gan(request) is None:
            check_settings(self.workspace.active_data, self.config)

    def _draw_faces(self, request: "Request", known: "Preview", *, dry_run: bool) -> Result:
        """Faces drawn by a generator, or by several, steered where that is asked for."""
        from ganfer.generate.draw import draw, plan_lines
        from ganfer.generate.request import check_names, unused
        from ganfer.generate.room import check_room
        from ganfer.generate.source import gan_source
        from ganfer.generate.steer import generate_steered
        from ganfer.generate.steer import plan_lines as steering_lines

        steered, form = request.steered(known), self.config.generate.format
        if steered and form != "png":
            say(f"Steered faces are written as PNG files; --format {form} is not used.")
        self.workspace.check_active()
        quota = request.quota(self.workspace.active_data, self.config, steered=steered)
        check_names(quota, known.class_names if not steered else None, request.seeds, request.source)
        if request.own and self._drawing_gan(request) is None:  # no batch can have been begun
            check_room(self.workspace, self.config, quota.total)
        for line in unused(self.config, steered=steered, from_faces=False):
            say(line)
        trained = ["gan"] if request.own and not request.gan else []
        needed = ["data", *trained, *(["classifier", "judge"] if steered else [])]
        if dry_run:
            steering = [*quota.lines(), *steering_lines(self.config.steering, quota), "judge the faces independently"]
            steps = [*known.steps, *(steering if steered else plan_lines(quota, known.class_names))]
            if request.generators > 1:
                steps.append(f"from each of {request.generators} GANs (missing ones are trained first)")
            return self._plan("generate", needed, steps)
        self.needs.announce(*needed)
        data = self.needs.data()
        if request.generators > 1:
            sources = [gan_source(run, self.config) for run in self.needs.gans(request.generators)]
        else:
            sources = [known.source or gan_source(self.needs.gan(request.gan), self.config)]
        if not steered:
            drawn = [draw(self.workspace, self.config, each, data, quota, request.seeds) for each in sources]
            return together("batches", drawn)
        guide, judge = self.needs.classifier(), self.needs.judge()
        led = [generate_steered(self.workspace, self.config, each, data, quota, guide, judge) for each in sources]
        return together("batches", led)

    def _change_faces(self, request: "Request", known: "Preview", *, dry_run: bool) -> Result:
        """Real faces changed; the sources are looked at before anything is trained."""
        from ganfer.data.imageset import read_set
        from ganfer.generate.from_faces import Helpers, generate_from_faces, plan_lines
        from ganfer.generate.quota import train_counts
        from ganfer.generate.real_faces import check_sources, plan_sources, source_names
        from ganfer.generate.request import unused
        from ganfer.generate.source import gan_source

        there, given, own = self._drawing_gan(request), request.from_faces or (), request.own
        encoder = ["encoder"] if own and self.needs.encoder_of(there) is None else []
        trained = ["gan"] if own and not request.gan else []
        needed = ["data", *trained, "classifier", "judge", "identity", "witness", *encoder]
        names, classes = source_names(given), known.source.class_names if known.source else None
        self.workspace.check_active()
        data = self.workspace.active_data
        quota = request.quota(data, self.config)
        if request.fills:  # the classes to start from are not filled
            counts = {name: count for name, count in quota.counts.items() if name not in names}
            quota = dataclasses.replace(quota, counts=counts)
        check_sources(train_counts(data, self.config), names, quota, self.config, classes)
        for line in unused(self.config, steered=False, from_faces=True):
            say(line)
        if dry_run and data is None:
            return self._plan("generate", needed, [*known.steps, *quota.lines(), "change real training faces"])
        data = data or self.needs.data()
        sources = plan_sources(read_set(data.path), given, quota, self.config, classes)
        if dry_run:
            steps = [*quota.lines(), *plan_lines(sources, quota, self.config, encoded=own)]
            return self._plan("generate", needed, [*known.steps, *steps])
        self.needs.announce(*needed)
        chosen = known.source or gan_source(self.needs.gan(request.gan), self.config)
        encoded = self.needs.encoder(there or self.needs.gan(request.gan)) if own else None
        helpers = Helpers(
            self.needs.classifier(), self.needs.judge(), self.needs.identity(), self.needs.witness(), encoded
        )
        return generate_from_faces(self.workspace, self.config, chosen, data, quota, given, helpers)

    def project(
        self,
        images: Sequence[str | Path],
        *,
        gan: str | None = None,
        of_class: str | None = None,
        dry_run: bool = False,
    ) -> Result:
        """The latent codes of images, of a StyleGAN2 (`stylegan.network`) or of one of the workspace's GANs."""
        from ganfer.generate.project import find_images, open_network, plan_lines, project

        files = find_images([Path(image) for image in images])
        opened = open_network(self.workspace, self.config, gan, of_class)
        steps = plan_lines(opened, len(files), self.config)
        return self._first("stylegan project", [], steps, dry_run) or project(
            self.workspace, self.config, opened, files
        )

    def label(
        self,
        folder: str | Path | None = None,
        *,
        classifier: str | None = None,
        fill: bool = False,
        pool: bool = False,
        dry_run: bool = False,
    ) -> Result:
        """Pseudo-label and screen the newest batch, or a folder of images from elsewhere.

        fill: have more faces drawn until the screen has kept as many of each class as were asked for. pool: the real
        images of the pools instead (`data add --pool`).
        """
        self._check_cluster(dry_run)
        if pool:
            if folder or fill:
                raise GanferError(
                    "--pool labels real images that are there.", "It goes with neither FOLDER nor --fill."
                )
            return self._label_pools(classifier, dry_run=dry_run)
        if folder and fill:
            raise GanferError("--fill draws more faces, and a folder has no generator.", "Leave one of them out.")
        from ganfer.classifier import starter
        from ganfer.classifier.early import check_training
        from ganfer.generate.foreign import image_files, import_batch
        from ganfer.generate.several import companions
        from ganfer.label.fill import check_fill
        from ganfer.label.fill import fill as fill_batch
        from ganfer.label.photos import are_photos
        from ganfer.label.stage import label

        if folder and classifier in (None, starter.NAME) and are_photos(self.workspace, Path(folder)):
            return self._label_photos(Path(folder), dry_run=dry_run)
        named = self.needs.classifier(classifier) if classifier else None  # a wrong name is said before any work
        if folder:
            image_files(Path(folder))
        if not named:
            check_training(self.config, self.workspace)
        needed = ["data", *([] if named else ["classifier"]), *([] if folder else ["batch"])]
        more = ["draw more faces until as many of each class are kept as were asked for"] if fill else []
        if plan := self._first("label", needed, ["label and screen the batch", *more], dry_run):
            return plan
        data = self.needs.data()
        if folder:
            batches = [import_batch(self.workspace, self.config, Path(folder), data)]
        else:
            batches = companions(self.workspace, self.needs.batch())
        if len(batches) > 1:
            say(f"{len(batches)} batches, each of a GAN of its own: {', '.join(run.name for run in batches)}.")
        for batch in batches if fill else ():
            check_fill(self.workspace, self.config, batch)  # before a classifier is trained for it
        labeller = named or self.needs.classifier()
        if fill:
            batches = [fill_batch(self.workspace, self.config, batch, labeller, data) for batch in batches]
        return together("labelled", [label(self.config, batch, labeller, data) for batch in batches])

    def _label_pools(self, classifier: str | None, *, dry_run: bool) -> Result:
        """Every pool of the active data, labelled as synthetic faces are; the result is of all of them."""
        from ganfer.classifier.early import check_training
        from ganfer.data.unlabelled import pools_of
        from ganfer.label.stage import label

        data = self.workspace.active_data
        pools = pools_of(self.workspace, data) if data else []
        if not pools:
            raise DataError("There is no pool for the active data.", "Add one: ganfer data add FOLDER --pool.")
        named = self.needs.classifier(classifier) if classifier else None
        if not named:
            check_training(self.config, self.workspace)
        steps = [f"label and screen the pool {', '.join(run.name for run in pools)}"]
        if plan := self._first("label", [] if named else ["classifier"], steps, dry_run):
            return plan
        labeller = named or self.needs.classifier()
        # real images need not be shown to be realistic, and those unlike the data are what a pool is for
        config = replace(self.config, label=replace(self.config.label, manifold=0.0))
        return together("labelled", [label(config, pool, labeller, self.needs.data()) for pool in pools])

    def _label_photos(self, folder: Path, *, dry_run: bool) -> Result:
        """Photographs, where no data of the workspace is of real people: the starter labels them."""
        from ganfer.classifier import starter
        from ganfer.classifier.catalogue import find_run
        from ganfer.generate.foreign import image_files, import_batch
        from ganfer.label.stage import label

        image_files(folder)
        if plan := self._first("label", [], [f"label {folder} with the {starter.NAME}"], dry_run):
            return plan
        say(starter.notice())
        reader = find_run(self.workspace, starter.NAME)
        return label(self.config, import_batch(self.workspace, self.config, folder, None), reader, None)

    def quality(self, batch: str | None = None, *, classifier: str | None = None, dry_run: bool = False) -> Result:
        """Measure a batch (the newest) beside held-back real images: distances, variety, copies, what is learned."""
        from ganfer.classifier.early import check_file, check_training
        from ganfer.quality.stage import check_weights, quality

        named = self.needs.classifier(classifier) if classifier else None
        chosen = self.workspace.find("synthetic", batch) if batch else None
        check_file(self.config.quality.inception, "--inception")
        check_file(self.config.quality.lpips, "--lpips")
        check_weights(self.config)
        check_training(self.config, self.workspace)
        self._check_cluster(dry_run)
        kept = self.config.quality.faces == "kept"
        needed = ["data", *([] if named else ["classifier"])]
        needed += [] if chosen else ["labels" if kept else "batch"]
        if plan := self._first("quality", needed, ["measure the faces beside held-back real images"], dry_run):
            return plan
        data = self.needs.data()
        chosen = chosen or (self.needs.labels() if kept else self.needs.batch())
        return quality(self.workspace, self.config, chosen, named or self.needs.classifier(), data)

    def review(
        self,
        batch: str | None = None,
        *,
        reviewer: str | None = None,
        port: int = 8502,
        token: str | None = None,
        blind_faces: int = 60,
        export: str | Path | None = None,
        take: str | Path | None = None,
        agreement: bool = False,
        labels: bool = False,
        dry_run: bool = False,
    ) -> Result:
        """A page on which people decide on faces and labels, until interrupted.

        export, take, agreement: without a page, decisions as CSV and who agrees with whom; labels: those of the data.
        """
        from ganfer.review.stage import exchange, plan_lines, reviewer_name, serve_review

        chosen = self.workspace.find("synthetic", batch) if batch else None
        if export:
            check_writable(Path(export).parent, f"--export {export}")
        if export or take or agreement:
            steps = [*([f"take up {take}"] if take else []), *([f"write {export}"] if export else [])]
            files = [None if file is None else Path(file) for file in (export, take)]
            plan = self._first("review", [], steps or ["compare people's decisions"], dry_run)
            return plan or exchange(self.workspace, chosen, labels=labels, export=files[0], take=files[1])
        who = reviewer_name(reviewer)
        steps = plan_lines(self.workspace, self.config, chosen, port, token)
        plan = self._first("review", [], steps, dry_run)
        return plan or serve_review(
            self.workspace, self.config, chosen, reviewer=who, port=port, token=token, blind_faces=blind_faces
        )

    def retrain(self, *, dry_run: bool = False) -> Result:
        """Train with and without the synthetic faces, paired seeds, and report what changed."""
        from ganfer.classifier.early import check_training
        from ganfer.experiment.faces import with_turns
        from ganfer.experiment.retrain import plan_lines, retrain

        check_training(self.config, self.workspace)
        config = with_turns(self.config)
        steps = plan_lines(config, self.workspace, self.workspace.active_data)  # a wrong arm is said at once
        self._check_cluster(dry_run)
        if self.config.retrain.folds:
            return self._retrain_in_folds(steps, dry_run=dry_run)
        needed = ["data", "classifier", "batch", "labels"]
        plan = self._first("retrain", needed, steps, dry_run)
        return plan or retrain(self.workspace, config, self.needs.data(), self.needs.labels())

    def _retrain_in_folds(self, steps: Sequence[str], *, dry_run: bool) -> Result:
        """Every fold is a workspace of its own, in which the whole story is told anew."""
        from ganfer.experiment.crossfold import folds_lines, retrain_in_folds

        words = folds_lines(self.config)  # a wrong number is said before any work
        if dry_run:
            return self._plan("retrain", ["data"], [*words, *steps])

        def drawn(workspace: Workspace, config: Config, counts: Mapping[str, int]) -> Run:
            project = Project(workspace, config)
            project.generate(classes=counts)
            project.label()
            return project.needs.labels()

        batch = self.needs.newest("synthetic")
        return retrain_in_folds(self.workspace, self.config, self.needs.data(), batch, drawn)

    def demo(self, *, dry_run: bool = False) -> Result:
        """The whole story on the drawn faces: every class filled up to the largest, labelled, retrained, reported."""
        from ganfer.classifier.early import check_training
        from ganfer.experiment.retrain import plan_lines
        from ganfer.gan.train import check_settings

        check_training(self.config, self.workspace)
        check_settings(self.workspace.active_data, self.config)
        planned = plan_lines(self.config, self.workspace)
        if dry_run:
            filled = "generate faces until every class is as large as the largest"
            steps = [filled, *self.needs.missing("classifier"), "label and screen them", *planned]
            return self._plan("demo", ["data", "gan"], steps)
        self.needs.data()
        self.generate(balance=True)
        self.label()
        return self.retrain()

    # --- the classifier, looked at --------------------------------------------------------------------------------

    def evaluate(
        self, folder: str | Path | None = None, *, classifiers: Sequence[str] = (), dry_run: bool = False
    ) -> Result:
        """Measure the newest classifier, or several as one, on the test split (`evaluate.split`), or on a folder."""
        from ganfer.classifier.catalogue import together as as_one
        from ganfer.classifier.early import check_class_folders, check_device, check_evaluation, check_training
        from ganfer.classifier.evaluate import evaluate
        from ganfer.classifier.subject import image_files

        paths: list[Any] = list(as_one(self.workspace, classifiers)) if classifiers else []
        check_evaluation(self.workspace, self.config, paths)
        check_device(self.config)
        files = image_files(Path(folder))[0] if folder else []
        if not paths:
            check_training(self.config, self.workspace)
            if folder:
                check_class_folders(self.workspace, Path(folder), files)
        needed = ["data"] if paths and not folder else [] if paths else ["data", "classifier"]
        what = str(folder) if folder else f"the {self.config.evaluate.split} split"
        if plan := self._first("evaluate", needed, [f"measure the classifier on {what}"], dry_run):
            return plan
        paths = paths or [self.needs.classifier().path]
        data = self.workspace.active_data if folder else self.needs.data()
        return evaluate(self.workspace, self.config, paths, data, Path(folder) if folder else None)

    def _check_cluster(self, dry_run: bool) -> None:
        if self.config.cluster and not dry_run:
            from classifiers.cluster import check

            check(self.config.cluster)

    def crossval(self, *, dry_run: bool = False) -> Result:
        """k-fold cross-validation of the classifier's settings, at random and by subject where subjects are known."""
        from ganfer.classifier.crossval import crossval, plan_lines
        from ganfer.classifier.early import check_training, refuse_seen

        check_training(self.config, self.workspace)
        refuse_seen(self.workspace, self.config.classifier.pretrained, "classifier.pretrained")
        self._check_cluster(dry_run)
        plan = self._first("crossval", ["data"], plan_lines(self.config, self.workspace.active_data), dry_run)
        return plan or crossval(self.workspace, self.config, self.needs.data())

    def tune(self, search: Sequence[str] = (), *, dry_run: bool = False) -> Result:
        """Search for better classifier settings, judged on validation; `search` has lines like `lr=1e-4..1e-2:log`."""
        require("ganfer tune", "tune", "optuna")
        _require_model(self.config)
        from ganfer.tune.stage import check_search, plan_lines, tune
        from ganfer.tune.study import check_storage

        check_search(self.workspace, self.config, search)
        check_storage(self.config.tune)
        self._check_cluster(dry_run)
        plan = self._first("tune", ["data"], plan_lines(self.config, search), dry_run)
        return plan or tune(self.workspace, self.config, self.needs.data(), search)

    def explain(
        self,
        images: Sequence[str | Path],
        *,
        classifier: str | None = None,
        target: str | None = None,
        dry_run: bool = False,
    ) -> Result:
        """Where in the images the classifier found its evidence: Grad-CAM, scores, first-layer maps."""
        from ganfer.classifier.catalogue import find
        from ganfer.classifier.early import check_classes, check_device, check_images
        from ganfer.classifier.explain import explain

        check_images([Path(image) for image in images])
        check_device(self.config)
        path: Any = find(self.workspace, classifier) if classifier else self.needs.reader()
        if target and not path:
            check_classes(self.workspace, [target], "--class")
        needed = [] if path else ["data", "classifier"]
        if plan := self._first("explain", needed, [f"explain {len(images)} image(s)"], dry_run):
            return plan
        path = path or self.needs.classifier().path
        return explain(self.workspace, self.config, path, [Path(image) for image in images], target)

    def export(self, out: str | Path | None = None, *, classifier: str | None = None, dry_run: bool = False) -> Result:
        """Write the classifier as ONNX, checked against torch, with a JSON card."""
        require("ganfer export", "export", "onnx", "onnxruntime", "onnxscript")
        from ganfer.classifier.catalogue import find
        from ganfer.classifier.early import check_device
        from ganfer.classifier.export import check_name, export

        path: Any = find(self.workspace, classifier) if classifier else None
        check_name(Path(out) if out else None, is_new=not path and self.needs.newest("classifiers") is None)
        check_device(self.config)
        needed = [] if path else ["data", "classifier"]
        if plan := self._first("export", needed, ["write the classifier as ONNX and check it"], dry_run):
            return plan
        path = path or self.needs.classifier().path
        return export(self.workspace, self.config, path, self.workspace.active_data, Path(out) if out else None)

    # --- faces in the wild ----------------------------------------------------------------------------------------

    def predict(
        self,
        *sources: str | Path | int,
        classifiers: Sequence[str] = (),
        out: str | Path | None = None,
        landmarks: bool = False,
        detector_model: Path | None = None,
        landmarker_model: Path | None = None,
        dry_run: bool = False,
        **request: Any,
    ) -> Result:
        """Expressions of the faces in photos, folders, videos or a camera; see `ganfer.live.predict.Request`."""
        from ganfer.live.opencv import check_opencv

        check_opencv()
        from ganfer.classifier import starter
        from ganfer.classifier.catalogue import listed
        from ganfer.classifier.early import check_device
        from ganfer.live.stage import open_eyes, predict_plan, predict_stage

        if classifiers:
            listed(self.workspace, classifiers)  # a wrong name is said before any work
        opened = predict_plan(self.workspace, sources, out, request)
        check_device(self.config)
        if not classifiers and (reader := self.needs.reader()):
            classifiers = [starter.NAME if reader.file == starter.FILE else str(reader.file.parent)]
        needed = [] if classifiers else ["data", "classifier"]
        if plan := self._first("predict", needed, opened.lines, dry_run):
            return plan
        eyes = open_eyes(self.config, opened, (detector_model, landmarker_model), landmarks=landmarks)
        classifiers = classifiers or [str(self.needs.classifier().path)]
        return predict_stage(self.workspace, self.config, opened, classifiers, eyes, landmarks=landmarks)

    def timeline(
        self,
        *logs: str | Path,
        title: str = "Lecture timeline",
        offsets: Mapping[str, float] | None = None,
        people: int | None = None,
        out: str | Path | None = None,
        dry_run: bool = False,
    ) -> Result:
        """Who attended and showed what when, from the logs of `predict(attention=True)`, as a page with a scrubber."""
        from ganfer.live.outputs import check_folder
        from ganfer.live.timeline import check_page, timeline, timeline_folder

        for log in logs:
            if not Path(log).is_file():
                what = "is no file" if Path(log).exists() else "is not there"
                raise DataError(f"{log} {what}.", "Give logs of: ganfer predict --attention --log FILE.")
        found = [Path(log) for log in logs]
        folder = Path(out) if out is not None else timeline_folder(self.workspace.root / "predictions", found)
        check_folder(folder, "--out")
        check_page(folder, found)
        plan = self._first("timeline", [], [f"put {len(logs)} log(s) into {folder / 'index.html'}"], dry_run)
        return plan or timeline(found, folder, title=title, offsets=offsets, people=people)

    def serve(self, classifiers: Sequence[str] = (), *, dry_run: bool = False, **options: Any) -> Result:
        """Answer over HTTP and show the live page until interrupted; see `ganfer.serve.command.serve`."""
        require("ganfer serve", "serve", "fastapi", "uvicorn", "python_multipart", "prometheus_client")
        if options.get("attention"):
            require("--attention", "gaze", "mediapipe")
        if self.config.serve.backend == "onnx":
            require("backend onnx", "export", "onnx", "onnxruntime", "onnxscript")
        from ganfer.serve.command import check, plan_lines, serve

        needed = [] if classifiers or self.needs.reader() else ["data", "classifier"]
        check(self.config, options, fetch=bool(needed) and not dry_run)
        if dry_run:
            return self._plan("serve", needed, plan_lines(self.workspace, self.config, classifiers))
        self.needs.announce(*needed)
        if needed:
            self.needs.classifier()
        return serve(self.workspace, self.config, classifiers, **options)

    # --- what is there, what comes next ---------------------------------------------------------------------------

    def status(self) -> Result:
        """What the workspace holds and what comes next."""
        from ganfer.status import status

        return status(self.workspace)

    def report(self, name: str | None = None, other: str | None = None) -> Result:
        """Write a report's page again from its results; with two (runs or folders), compare them."""
        from ganfer.report import rewrite

        if name and other:
            from ganfer.report.compare import compare_reports

            first, second = (self._report_folder(given) for given in (name, other))
            page = self.workspace.root / "reports" / f"{first.name}-and-{second.name}.html"
            return compare_reports(first, second, page)
        if name and (Path(name) / "results.json").is_file():
            return rewrite(Run(Path(name)))
        run = self.workspace.find("reports", name) if name else self.workspace.latest("reports")
        if run is None:
            raise WorkspaceError(f"{self.workspace.root} holds no report yet.", "Make one: ganfer retrain.")
        return rewrite(run)

    def _report_folder(self, name: str) -> Path:
        folder = Path(name)
        return folder if (folder / "results.json").is_file() else self.workspace.find("reports", name).path

    # --- plans ----------------------------------------------------------------------------------------------------

    def _first(self, command: str, needed: Sequence[str], steps: Sequence[str], dry_run: bool) -> Result | None:
        """The plan as the command's result with `dry_run`; else what is missing is announced, and None."""
        if dry_run:
            return self._plan(command, needed, steps)
        self.needs.announce(*needed)
        return None

    def _plan(self, command: str, needed: Sequence[str], steps: Sequence[str]) -> Result:
        """What has to be made first and what is done then, as a result without a folder."""
        plan = [*self.needs.missing(*needed), *steps]
        lines = ["Plan (nothing was done):", *(f"  {step}" for step in plan)]
        return Result(f"ganfer {command} --dry-run", None, {"plan": plan}, lines)


def _require_model(config: Config) -> None:
    if config.classifier.model.startswith("timm:"):
        require(f"model {config.classifier.model}", "timm", "timm")


def open(workspace: str | Path | None = None, config: str | Path | Config | None = None, **overrides: Any) -> Project:
    """The project in a workspace folder, for use from Python: `ganfer.open("work", **{"gan.steps": 500})`."""
    settings = config if isinstance(config, Config) else load_config(config, overrides)
    return Project(workspace, settings)

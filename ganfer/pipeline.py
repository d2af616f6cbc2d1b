"""`Project`: a workspace with settings, whose methods are the commands."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ganfer.config import Config, load_config
from ganfer.errors import DataError, WorkspaceError
from ganfer.results import Result
from ganfer.steps import Steps
from ganfer.workspace import Run


class Project(Steps):
    """A workspace and the settings its commands run with. Every method is the command of the same name."""

    # --- the classifier, looked at ----------------------------------------------------------------------------------

    def evaluate(
        self, folder: str | Path | None = None, *, classifiers: Sequence[str] = (), dry_run: bool = False
    ) -> Result:
        """Measure the newest classifier, or several as one, on the test split (`evaluate.split`), or on a folder."""
        from ganfer.catalogue import sources
        from ganfer.evaluate import evaluate

        paths: list[Any] = list(sources(self.workspace, classifiers)) if classifiers else []
        needed = ["data"] if paths and not folder else [] if paths else ["data", "classifier"]
        what = str(folder) if folder else f"the {self.config.evaluate.split} split"
        if dry_run:
            return self._plan("evaluate", [*self.missing(*needed), f"measure the classifier on {what}"])
        self.announce(*needed)
        paths = paths or [self.need_classifier().path]
        data = self.workspace.active_data if folder else self.need_data()
        return evaluate(self.workspace, self.config, paths, data, Path(folder) if folder else None)

    def crossval(self, *, dry_run: bool = False) -> Result:
        """k-fold cross-validation of the classifier's settings, at random and by subject where subjects are known."""
        from ganfer.crossval import crossval, plan_lines

        plan = plan_lines(self.config, self.workspace.active_data)
        if dry_run:
            return self._plan("crossval", [*self.missing("data"), *plan])
        self.announce("data")
        return crossval(self.workspace, self.config, self.need_data())

    def serve(self, classifiers: Sequence[str] = (), *, dry_run: bool = False, **options: Any) -> Result:
        """Answer over HTTP and show the live page until interrupted; see `ganfer.serve.command.serve`."""
        from ganfer.serve.command import plan_lines, serve

        needed = [] if classifiers else ["data", "classifier"]
        if dry_run:
            steps = self.missing(*needed)
            return self._plan("serve", [*steps, *plan_lines(self.workspace, self.config, classifiers)])
        self.announce(*needed)
        if not classifiers:
            self.need_data()
            self.need_classifier()
        return serve(self.workspace, self.config, classifiers, **options)

    def tune(self, search: Sequence[str] = (), *, dry_run: bool = False) -> Result:
        """Search for better classifier settings, judged on validation; `search` has lines like `lr=1e-4..1e-2:log`."""
        from ganfer.tune.stage import plan_lines, tune

        plan = plan_lines(self.config, search)  # a wrong space is said before any work
        if dry_run:
            return self._plan("tune", [*self.missing("data"), *plan])
        self.announce("data")
        return tune(self.workspace, self.config, self.need_data(), search)

    # --- faces in the wild --------------------------------------------------------------------------------------

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
        from ganfer.catalogue import sources as catalogue
        from ganfer.live.stage import predict_plan, predict_stage

        if classifiers:
            catalogue(self.workspace, classifiers)  # a wrong name is said before any work
        opened = predict_plan(self.workspace, sources, out, request)
        first = [] if classifiers else self.missing("data", "classifier")
        if dry_run:
            return self._plan("predict", [*first, *opened.lines])
        if not classifiers:
            self.announce("data", "classifier")
            classifiers = [str(self.need_classifier().path)]
        models = (detector_model, landmarker_model)
        return predict_stage(self.workspace, self.config, opened, classifiers, models, landmarks=landmarks)

    def explain(
        self,
        images: Sequence[str | Path],
        *,
        classifier: str | None = None,
        target: str | None = None,
        dry_run: bool = False,
    ) -> Result:
        """Where in the images the classifier found its evidence: Grad-CAM, scores, first-layer maps."""
        from ganfer.catalogue import choose
        from ganfer.explain import explain

        path: Any = choose(self.workspace, classifier) if classifier else None
        needed = [] if path else ["data", "classifier"]
        if dry_run:
            return self._plan("explain", [*self.missing(*needed), f"explain {len(images)} image(s)"])
        self.announce(*needed)
        path = path or self.need_classifier().path
        return explain(self.workspace, self.config, path, [Path(image) for image in images], target)

    def export(self, out: str | Path | None = None, *, classifier: str | None = None, dry_run: bool = False) -> Result:
        """Write the classifier as ONNX, checked against torch, with a JSON card."""
        from ganfer.catalogue import choose
        from ganfer.export import export

        path: Any = choose(self.workspace, classifier) if classifier else None
        needed = [] if path else ["data", "classifier"]
        if dry_run:
            return self._plan("export", [*self.missing(*needed), "write the classifier as ONNX and check it"])
        self.announce(*needed)
        path = path or self.need_classifier().path
        return export(self.workspace, self.config, path, self.workspace.active_data, Path(out) if out else None)

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
        from ganfer.live.timeline import timeline

        for log in logs:
            if not Path(log).is_file():
                raise DataError(f"{log} is not there.", "Give logs of: ganfer predict --attention --log FILE.")
        folder = Path(out) if out is not None else self.workspace.root / "predictions" / "timeline"
        if dry_run:
            return self._plan("timeline", [f"put {len(logs)} log(s) into {folder / 'index.html'}"])
        return timeline([Path(log) for log in logs], folder, title=title, offsets=offsets, people=people)

    # --- what is there, what comes next -------------------------------------------------------------------------

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


def open(workspace: str | Path | None = None, config: str | Path | Config | None = None, **overrides: Any) -> Project:
    """The project in a workspace folder, for use from Python: `ganfer.open("work", **{"gan.steps": 500})`."""
    settings = config if isinstance(config, Config) else load_config(config, overrides)
    return Project(workspace, settings)

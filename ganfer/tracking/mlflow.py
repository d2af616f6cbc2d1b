"""MLflow (extra `mlflow`): runs in a SQLite file of the workspace, or on a server that `tracking.uri` names.

Nothing secret is written: user and password belong in MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD (or
MLFLOW_TRACKING_TOKEN), an address that holds some into MLFLOW_TRACKING_URI.
"""

import logging
import os
import re
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ganfer.runtime.text import one_line
from ganfer.tracking.tracker import Interval, Metric, TrackedRun, Value
from ganfer.version import __version__

DATABASE, ARTEFACTS = "mlflow.db", "mlflow-artifacts"
EXPERIMENT = "ganfer"
_STATUS = {"finished": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}
_NOT_IN_NAMES = re.compile(r"[^\w\-. /]", re.ASCII)
_BATCH = 500  # metrics or parameters of a request; MLflow takes 1,000 and 100
_PARAMS = 100
_LONGEST = 500
#: A server that does not answer is given up in seconds; and nothing is sent to MLflow's makers.
_ENVIRONMENT = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",  # when it is imported, it sets its loggers' by that
    "GIT_PYTHON_REFRESH": "quiet",
}


class MlflowTracker:
    """A run of MLflow; a nested one carries the tag that MLflow's page shows as its parent."""

    def start(self, run: TrackedRun) -> str:
        with _quiet():
            from mlflow import MlflowClient
            from mlflow.exceptions import MlflowException

            uri = run.uri or os.environ.get("MLFLOW_TRACKING_URI", "") or database(run.workspace)
            self._client = MlflowClient(tracking_uri=uri)
            self._last: dict[str, int] = {}
            self._finals: dict[str, float] = {}
            self._resumed = False
            if run.known:
                try:
                    found = self._client.get_run(run.known)
                    self._client.update_run(run.known, status="RUNNING")
                    self._resumed = True
                    self._finals = dict(found.data.metrics)
                    self._id = run.known
                    return self._id
                except MlflowException as error:
                    if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                        raise  # another server, where the run is not known, gets a new one
            tags = {
                "ganfer.stage": run.stage,
                "ganfer.version": __version__,
                "mlflow.source.name": f"ganfer {run.stage}",
            }
            if run.parent:
                tags["mlflow.parentRunId"] = run.parent
            made = self._client.create_run(self._experiment(run, uri), tags=tags, run_name=one_line(run.name))
            self._id = str(made.info.run_id)
        return self._id

    def params(self, values: Mapping[str, Value]) -> None:
        if self._resumed:  # they are there, and MLflow lets none be changed
            return
        from mlflow.entities import Param

        params = [Param(_named(name), one_line(str(value))[:_LONGEST]) for name, value in values.items()]
        with _quiet():
            for start in range(0, len(params), _PARAMS):
                self._client.log_batch(self._id, params=params[start : start + _PARAMS])

    def metrics(self, values: Mapping[str, Metric], step: int | None) -> None:
        from mlflow.entities import Metric as Point

        now = int(time.time() * 1000)
        with _quiet():
            points = [
                Point(name, value, now, step or 0)
                for name, value in _flat(values).items()
                if self._is_new(name, value, step)
            ]
            for start in range(0, len(points), _BATCH):
                self._client.log_batch(self._id, metrics=points[start : start + _BATCH])

    def picture(self, name: str, pixels: Any, step: int) -> None:
        with _quiet():
            self._client.log_image(self._id, pixels, key=_named(name), step=step)

    def note(self, name: str, text: str, step: int) -> None:
        with _quiet():
            self._client.set_tag(self._id, _named(name), f"step {step}: {one_line(text)}"[:_LONGEST])

    def artefact(self, path: Path) -> None:
        with _quiet():
            self._client.log_artifact(self._id, str(path))

    def end(self, status: str) -> None:
        with _quiet():
            self._client.set_terminated(self._id, status=_STATUS[status])

    def _experiment(self, run: TrackedRun, uri: str) -> str:
        """The experiment's id, made where it is missing; in the workspace's database its files lie beside that."""
        from mlflow.exceptions import MlflowException

        name = run.experiment or EXPERIMENT
        found = self._client.get_experiment_by_name(name)
        if found is None:
            own = uri == database(run.workspace)
            place = (run.workspace.resolve() / ARTEFACTS).as_uri() if own else None
            try:
                return str(self._client.create_experiment(name, artifact_location=place))
            except MlflowException:
                found = self._client.get_experiment_by_name(name)  # another process made it meanwhile
                if found is None:
                    raise
        return str(found.experiment_id)

    def _is_new(self, name: str, value: float, step: int | None) -> bool:
        """Whether a resumed run has not been told this point: some steps are gone over again."""
        if not self._resumed:
            return True
        if step is None:
            return self._finals.get(name) != value
        if name not in self._last:
            history = self._client.get_metric_history(self._id, name) if name in self._finals else []
            self._last[name] = max((point.step for point in history), default=-1)
        return step > self._last[name]


def database(workspace: Path) -> str:
    """The address of the workspace's own database."""
    return f"sqlite:///{workspace.resolve() / DATABASE}"


def _flat(values: Mapping[str, Metric]) -> dict[str, float]:
    """Metrics as MLflow takes them: of an interval the mean under the name itself, and `.low` and `.high`."""
    found: dict[str, float] = {}
    for name, value in values.items():
        if isinstance(value, Interval):
            found |= {_named(name): value.mean, _named(f"{name}.low"): value.low, _named(f"{name}.high"): value.high}
        else:
            found[_named(name)] = float(value)
    return found


def _named(name: str) -> str:
    """A name that MLflow takes: other characters are written as their number, so that no two become one."""
    return _NOT_IN_NAMES.sub(lambda match: f"_{ord(match[0]):x}", name).strip("/")[:250]


@contextmanager
def _quiet() -> Iterator[None]:
    """MLflow's and Alembic's words have no place in a training's output."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    for logger in ("mlflow", "alembic", "git"):
        logging.getLogger(logger).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield

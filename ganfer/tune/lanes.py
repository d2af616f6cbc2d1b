"""Where trials run: in this process, or in worker processes, each behind the same call."""

import dataclasses
import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from classifiers import ClassifierError, TrainConfig
from classifiers.errors import StorageError
from ganfer.tune.trial import Pruned, Report, run_trial


@dataclasses.dataclass(frozen=True)
class Setting:
    """What all trials of a study share."""

    data: Path
    seed: int
    device: str
    metric: str


class Lane(Protocol):
    """Runs one trial after another."""

    def run(self, folder: Path, config: TrainConfig, report: Report) -> dict[str, Any]:
        """The trial's figures; raises Pruned or ClassifierError."""
        ...

    def stop(self) -> None:
        """End whatever runs, from another thread: `run` then raises KeyboardInterrupt."""
        ...

    def close(self) -> None:
        """Let go of everything, when nothing runs any more."""
        ...


class Here:
    """Trials in this process."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting

    def run(self, folder: Path, config: TrainConfig, report: Report) -> dict[str, Any]:
        s = self._setting
        return run_trial(s.data, folder, config, s.seed, s.device, s.metric, report)

    def stop(self) -> None:
        """Ctrl-C reaches this process by itself."""

    def close(self) -> None:
        """Nothing is held."""


class Worker:
    """Trials in a process of their own, started when first needed and again after it died."""

    def __init__(self, setting: Setting, threads: int) -> None:
        self._setting, self._threads = setting, threads
        self._process: subprocess.Popen[str] | None = None
        self._stopped = False

    def run(self, folder: Path, config: TrainConfig, report: Report) -> dict[str, Any]:
        process = self._started()
        shared = {**dataclasses.asdict(self._setting), "data": str(self._setting.data.resolve())}
        self._send({**shared, "folder": str(folder.resolve()), "config": dataclasses.asdict(config)})
        assert process.stdout is not None
        for line in process.stdout:
            message = json.loads(line)
            if "figures" in message:
                figures: dict[str, Any] = message["figures"]
                return figures
            if "storage" in message:
                raise StorageError(message["storage"])
            if "problem" in message:
                raise ClassifierError(message["problem"])
            if "pruned" in message:
                raise Pruned
            self._send({"stop": report(message["part"], message["figure"])})
        code = process.wait()
        self.close()
        if self._stopped:
            raise KeyboardInterrupt
        raise ClassifierError(f"its process died (exit {code}); with fewer workers each has more memory")

    def stop(self) -> None:
        self._stopped = True
        process = self._process
        if process is not None:
            process.kill()

    def close(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for stream in (process.stdin, process.stdout):
                if stream is not None:
                    with suppress(OSError):
                        stream.close()

    def _started(self) -> subprocess.Popen[str]:
        if self._process is None:
            here = str(Path(__file__).resolve().parents[2])
            path = os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])])
            env = {k: v for k, v in os.environ.items() if k not in ("WORLD_SIZE", "LOCAL_WORLD_SIZE")}
            self._process = subprocess.Popen(
                [sys.executable, "-m", "ganfer.tune.worker", str(self._threads)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=env | {"PYTHONPATH": path, "OMP_NUM_THREADS": str(self._threads)},
                start_new_session=True,  # Ctrl-C is for the process that asks; it ends this one
            )
        return self._process

    def _send(self, message: dict[str, Any]) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        with suppress(BrokenPipeError, ValueError):  # it died: reading its answer says so
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()


def make_lanes(setting: Setting, workers: int) -> list[Lane]:
    """One lane per worker; a single one needs no process."""
    if workers == 1:
        return [Here(setting)]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return [Worker(setting, max(1, cores // workers)) for _ in range(workers)]

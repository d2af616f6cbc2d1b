"""Several GANs that differ in their seed alone, side by side: in processes of this machine, or on a cluster.

One thread for each of two trainings does more than two threads for one, so they share the cores. Each GAN is one task
of the scheduler, and what it does is `train_gan`: lock, resume point and record are its own run's. What workers have to
say is said by the command.
"""

import dataclasses
import os
import shutil
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from classifiers import ClassifierError
from classifiers.many import heard_steps, with_threads
from classifiers.memory import let_go
from classifiers.scheduler import Died, Place, Task, Tell, cores, opened, run
from ganfer.config import Config
from ganfer.data.imageset import files_of_set
from ganfer.errors import GanferError
from ganfer.gan.loop import bar_of
from ganfer.gan.parent import is_distant, open_parent
from ganfer.gan.settle import settled_batch
from ganfer.gan.train import gan_result, gan_run, train_gan, used_pools
from ganfer.results import Result
from ganfer.runtime import ranks
from ganfer.runtime.console import Advance, Listener, heard_by, progress, say
from ganfer.runtime.device import resolve_device
from ganfer.workspace import MARKER, Run, Workspace


@dataclass(frozen=True)
class Way:
    """How several GANs are trained. workers: at a time, 1 is in this process; 0 is all that the cluster has.

    threads: of each; None is as many as a GAN alone has.
    """

    workers: int
    threads: int | None
    cluster: str = ""

    @classmethod
    def of(cls, config: Config, number: int) -> "Way":
        """For so many GANs, however many of them are left: a training that goes on does so with as many threads."""
        if ranks.count() > 1:  # torchrun's processes work at each together
            return cls(1, None)
        if config.cluster:
            return cls(config.workers, 1, config.cluster)
        kind = resolve_device(config.device).type
        most = {"cpu": cores(), "cuda": torch.cuda.device_count()}.get(kind, 1)
        workers = min(config.workers or most, number)
        return cls(workers, None if workers == 1 else max(1, min(torch.get_num_threads(), cores() // workers)))

    def __str__(self) -> str:
        if self.cluster:
            most = f", at most {self.workers} at a time" if self.workers else ""
            return f"on the cluster at {self.cluster}, one thread each{most}"
        if self.threads is None:
            return "one after the other"
        return f"{self.workers} at a time, {self.threads} thread{'s' * (self.threads > 1)} each"


def seeded(config: Config, number: int) -> list[Config]:
    """The settings of `number` GANs, with the seeds from the configured one on. ConfigError beyond the last seed."""
    return [dataclasses.replace(config, seed=config.seed + place) for place in range(number)]


def train_several(workspace: Workspace, config: Config, data: Run, number: int) -> Result:
    """`train_gan` with `number` seeds, from the configured one on; the same call again resumes.

    Each GAN has its own held-back images, guide and weights, so that they are as independent as one data set allows.
    """
    results = train_gans(workspace, seeded(config, number), data, number)
    last = results[-1]
    names = [Path(str(result.path)).name for result in results]
    lines = [
        *(line for result in results for line in result.lines),
        f"Draw from each: ganfer generate --generators {number}",
    ]
    return Result("ganfer train gan", last.path, {**last.figures, "gans": names}, lines)


def train_gans(workspace: Workspace, configs: Sequence[Config], data: Run, number: int) -> list[Result]:
    """`train_gan` with each of these settings, which differ in their seeds; results in their order.

    number: of GANs that were asked for, of which these are the last. A GAN that fails does not stop the others;
    GanferError then names it. Under torchrun, whose processes must agree, it does.
    """
    way = Way.of(configs[0], number)
    if ranks.count() > 1:
        if configs[0].cluster:
            say("The cluster is not asked: torchrun's processes work at each GAN together.")
        return [train_gan(workspace, config, data) for config in _announced(configs, number)]
    work = _Several(workspace, configs, data, number, way)
    left = [place for place, each in enumerate(work.runs) if not each.complete]
    ended = work.side_by_side(left) if way.cluster or min(way.workers, len(left)) > 1 else work.in_turn(left)
    failures, bugs = dict[int, str](), list[BaseException]()
    for place, value in ended:
        if isinstance(value, GanferError | ClassifierError):
            failures[place] = str(value)
        elif isinstance(value, Died):
            failures[place] = f"{value.advised}."
        elif isinstance(value, BaseException):
            bugs.append(value)
    if bugs:
        raise bugs[0]
    if failures:
        raise GanferError(
            f"{len(failures)} of {number} GANs failed; the others are done and will be found.",
            " ".join(f"{work.name(place)}: {failures[place]}" for place in sorted(failures)),
        )
    return [
        gan_result(each, "trained" if place in left else "was already trained") for place, each in enumerate(work.runs)
    ]


def _announced(configs: Sequence[Config], number: int) -> Iterator[Config]:
    for place, config in enumerate(configs, number - len(configs) + 1):
        say(f"GAN {place} of {number}, seed {config.seed}.")
        yield config


class _Several:
    """GANs that were asked for together, and their runs; `place` is one's place among `configs`."""

    def __init__(self, workspace: Workspace, configs: Sequence[Config], data: Run, number: int, way: Way) -> None:
        self.workspace, self.data, self.number, self.way = workspace, data, number, way
        first = configs[0]
        batch = settled_batch(first.gan, resolve_device(first.device))  # here, for all: it is part of a run's name
        parent = open_parent(workspace, batch) if batch.parent else None
        if way.cluster and batch.parent and Path(batch.parent).exists():  # a worker may be at work in another folder
            batch = dataclasses.replace(batch, parent=str(Path(batch.parent).absolute()))
        self.configs = [dataclasses.replace(config, gan=batch) for config in configs]
        self.pools = used_pools(workspace, self.configs[0], data)
        self.runs = [gan_run(workspace, config, data, parent, self.pools) for config in self.configs]

    def name(self, place: int) -> str:
        """How a failure calls it."""
        return f"GAN {self._nth(place)} (seed {self.configs[place].seed})"

    def _nth(self, place: int) -> int:
        return self.number - len(self.configs) + place + 1

    def in_turn(self, left: Sequence[int]) -> Iterator[tuple[int, object]]:
        """One after the other in this process, each with its outcome."""
        for place in left:
            say(f"GAN {self._nth(place)} of {self.number}, seed {self.configs[place].seed}.")
            try:
                with with_threads(self.way.threads):
                    yield place, train_gan(self.workspace, self.configs[place], self.data)
            except (GanferError, ClassifierError) as error:
                let_go(error)  # or the network that failed takes the next one's memory
                yield place, error

    def side_by_side(self, left: Sequence[int]) -> Iterator[tuple[int, object]]:
        """Those left on the scheduler, each with its outcome as it ends."""
        if not left:
            return
        root, way = self.workspace.root.absolute(), self.way
        workers = way.workers or None if way.cluster else min(way.workers, len(left))
        gpu = not way.cluster and resolve_device(self.configs[0].device).type == "cuda"
        shared = gpu and (workers or 0) > torch.cuda.device_count()
        arrays = self._files(root) if way.cluster else {}
        steps = self.configs[0].gan.steps
        say(f"{len(left)} GANs are trained {way}.")

        def tasks(advance: Advance) -> Iterator[Task]:
            for place in left:
                config = self.configs[place]
                say(f"GAN {self._nth(place)} of {self.number}, seed {config.seed}.")
                how = (root, config, self.data.name, self.runs[place].name, way.threads, list(sys.argv))
                hear = self._hears(place, heard_steps(steps, advance))
                yield Task(self.name(place), _train, how, root, arrays, hear, about=place)

        with progress(f"train {len(self.configs)} GANs", steps * len(self.configs)) as advance:
            advance(steps * (len(self.configs) - len(left)))
            folders = [self.runs[place].path for place in left]
            with opened(workers, way.threads or 1, folders, cluster=way.cluster, gpu=shared) as engine:
                for task, value in run(tasks(advance), engine):
                    yield task.about, value

    def _hears(self, place: int, moved: Tell) -> Tell:
        def hear(said: tuple[int, str]) -> None:
            moved((said[0], ""))
            if said[1]:
                say(f"GAN {self._nth(place)}: {said[1]}")

        return hear

    def _files(self, root: Path) -> dict[str, np.ndarray]:
        """What a training reads of the workspace, for workers that do not see it: file -> its bytes."""
        sets, kin = [self.data, *self.pools], [self.data]
        while parent := kin[-1].figures.get("parent"):  # a pool may be of one of these
            kin.append(Run(self.data.path.parent / str(parent)))
        files = [root / MARKER, *(each.path / "record.json" for each in [*sets, *kin] if each.complete)]
        files += [file for each in sets for file in files_of_set(each.path)]
        inside = {os.path.relpath(file.absolute(), root): file for file in files}
        return {name: np.fromfile(file, np.uint8) for name, file in inside.items()}


# --- where a GAN is trained -------------------------------------------------------------------------------------------


def _train(
    place: Place, root: Path, config: Config, data: str, own: str, threads: int, asked: Sequence[str]
) -> GanferError | None:
    """One GAN, in a worker. What it leaves is in `own`, its run; a failure that was to be expected is the result."""
    os.environ["LOCAL_RANK"] = str(place.worker)  # several GPUs are taken in turn
    blind = place.folder != root
    workspace = Workspace(place.folder)
    if blind:
        _lay_out(place.folder, place.arrays)
    try:
        if blind and config.gan.parent and not is_distant(config.gan.parent) and not Path(config.gan.parent).exists():
            raise GanferError(
                f"--from {config.gan.parent}: the worker does not see it.",
                "Put it where all workers see it, or leave --cluster out.",
            )
        with with_threads(threads), _as_asked(asked), heard_by(_speaks(place, config)):
            train_gan(workspace, config, Run(place.folder / "data" / data))
    except GanferError as error:
        return GanferError(*(text.replace(str(place.folder), str(root)) for text in (error.problem, error.remedy)))
    except KeyboardInterrupt as ended:  # a signal to this process alone; the training has saved itself
        raise Died(f"its process was ended ({ended})") from None
    finally:
        if blind:
            _tidy(place.folder, own)
    return None


def _speaks(place: Place, config: Config) -> Listener:
    """Tells lines as they come, and at its pace how many steps are done."""
    steps, told = 0, float("-inf")

    def line(text: str) -> None:
        place.tell((steps, text))

    def bar(description: str, total: int | None) -> AbstractContextManager[Advance]:
        own = description == bar_of(config.gan)  # what else moves (the guide) is a sign of life

        def advance(n: int = 1, note: str = "") -> None:
            nonlocal steps, told
            steps += n * own
            if time.monotonic() - told >= place.pace:
                told = time.monotonic()
                place.tell((steps, ""))

        return nullcontext(advance)

    return Listener(line, bar)


@contextmanager
def _as_asked(command: Sequence[str]) -> Iterator[None]:
    """The command that records name, which a worker of a cluster was not started by."""
    before, sys.argv = sys.argv, list(command)
    try:
        yield
    finally:
        sys.argv = before


def _lay_out(folder: Path, files: Mapping[str, np.ndarray]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        content.tofile(folder / name)


def _tidy(folder: Path, own: str) -> None:
    """Leave what is to go back: the run. One that broke off here earlier may be whole by now where it would arrive."""
    for left in (*folder.iterdir(), *folder.glob("gans/*")):
        if left.is_dir() and left.name not in ("gans", own):
            shutil.rmtree(left)
        elif left.is_file():
            left.unlink()
    (folder / "gans" / own / ".lock").unlink(missing_ok=True)

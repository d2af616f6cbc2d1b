"""Where many independent tasks run: in this process, on loky's processes of this machine, or on a Dask cluster.

Three engines (`tasks`, `processes`, `cluster`) stand behind one loop, `run`. loky and Dask are driven through their
futures and not through joblib.Parallel, which ends at the first failure and at a worker's death, says nothing while a
task runs, and takes all tasks in advance, where a search makes the next one from the last results. It stands here,
below `ganfer`, because `train_many` needs it, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from classifiers.mps import overlapping
from classifiers.processes import Local, cores, scratch_beside
from classifiers.tasks import Died, Engine, Here, Place, Task, Tell, results, run

__all__ = ["Died", "Engine", "Here", "Local", "Place", "Task", "Tell", "cores", "opened", "results", "run"]


@contextmanager
def opened(
    workers: int | None, threads: int, folders: Sequence[Path], *, cluster: str = "", gpu: bool = False
) -> Iterator[Engine]:
    """The engine for tasks with these folders: this process for one worker, else this machine's, or the cluster's."""
    if workers == 1 and not cluster:
        yield Here()
        return
    with scratch_beside(folders) as scratch:
        if cluster:
            from classifiers.cluster import Cluster  # its libraries are an extra

            engine: Engine = Cluster(cluster, scratch, most=workers)
            with closing(engine):
                yield engine
            return
        assert workers is not None
        with overlapping(workers * gpu) as shared, closing(Local(workers, threads, scratch, shared)) as engine:
            yield engine

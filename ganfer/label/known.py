"""The real images that a batch's generator learned from, and so may repeat: the data set's, and those of the pools that
its GAN was trained on (`gan.pool`), or that a GAN was which it goes on from."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ganfer.data.imageset import ImageSet, read_set
from ganfer.data.unlabelled import pools_of
from ganfer.errors import GanferError
from ganfer.gan.parent import PARENT
from ganfer.runtime.console import say
from ganfer.runtime.files import digest_json, read_object
from ganfer.workspace import Run, Workspace


class Known:
    """A data set's images and, after them, those of pools: places 0..N-1 and onwards. Pixels stay on disk."""

    def __init__(self, images: ImageSet, pools: Sequence[Run] = ()) -> None:
        self._parts = [images, *(read_set(run.path) for run in pools)]
        self._names = ["", *(f"{run.name}/" for run in pools)]
        self._starts = np.cumsum([0, *map(len, self._parts)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, places: np.ndarray) -> np.ndarray:
        """(n, C, H, W) uint8 at these places (n,)."""
        places = np.asarray(places, dtype=np.int64)
        found = np.empty((len(places), *self._parts[0].images.shape[1:]), np.uint8)
        part = np.searchsorted(self._starts, places, side="right") - 1
        for k in np.unique(part):
            mine = part == k
            found[mine] = self._parts[k].images[places[mine] - self._starts[k]]
        return found

    def name(self, place: int) -> str:
        """The image's id; that of a pool's image follows the pool's name."""
        k = int(np.searchsorted(self._starts, place, side="right")) - 1
        return self._names[k] + str(self._parts[k].ids[place - self._starts[k]])

    def of_pool(self, place: int) -> bool:
        """Whether the image is one of a pool."""
        return bool(place >= self._starts[1])


def pools_behind(batch_run: Run) -> list[Run]:
    """The pools whose images the GAN of a batch was trained on; none for other generators. Says which are gone."""
    inputs = batch_run.record.get("key", {}).get("inputs", {})
    if "gan" not in inputs:
        return []
    workspace = Workspace(batch_run.path.parent.parent)
    gan = next((run for run in workspace.runs("gans") if run.complete and run.digest == inputs["gan"]), None)
    found: dict[str, Run] = {}
    seen: set[str] = set()
    while gan is not None and gan.name not in seen:
        seen.add(gan.name)
        found |= {run.name: run for run in _pools_of_gan(workspace, gan)}
        gan = _parent(workspace, gan)
    return list(found.values())


def pools_input(pools: Sequence[Run]) -> dict[str, list[str]]:
    """What the key of a run says that compared faces with these pools: nothing where there are none."""
    return {"pools": [run.digest for run in pools]} if pools else {}


def _pools_of_gan(workspace: Workspace, gan: Run) -> list[Run]:
    inputs = gan.record.get("key", {}).get("inputs", {})
    if "pools" not in inputs:
        return []
    data = next((run for run in workspace.runs("data") if run.digest == inputs.get("data")), None)
    there = pools_of(workspace, data) if data else []
    for count in range(len(there), 0, -1):  # those that there were, before others were added
        if digest_json([run.digest for run in there[:count]]) == inputs["pools"]:
            return there[:count]
    said = f" all but {', '.join(run.name for run in there)}" if there else ""
    say(f"{gan.name} learned from pools that are gone{said}: copies of their images cannot be told.")
    return there


def _parent(workspace: Workspace, gan: Run) -> Run | None:
    """The GAN of this workspace that a GAN goes on from."""
    try:
        name = read_object(gan.path / PARENT, f"Remove {gan.path} and train it again.").get("name")
    except (OSError, GanferError):
        return None
    there = {run.name: run for run in workspace.runs("gans") if run.complete}
    return there.get(Path(str(name)).name)

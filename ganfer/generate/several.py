"""Several generators: GANs that differ in their seed alone, and the batches that are drawn from each of them.

One training of a GAN is luck as well; what generators that were trained apart do not agree on is part of the answer's
uncertainty (`ganfer retrain --batches`).
"""

import dataclasses

from ganfer.config import Config, GanConfig
from ganfer.errors import GanferError
from ganfer.runtime.files import digest_json
from ganfer.workspace import Run, Workspace


def family(workspace: Workspace, gan: Run) -> list[Run]:
    """The finished GANs that were trained as this one was, on the same data with other seeds; itself among them."""
    kin = [run for run in workspace.runs("gans") if run.complete and _but_seed(run) == _but_seed(gan)]
    return sorted(kin, key=_seed)


def relatives(workspace: Workspace, config: Config, data: Run, number: int) -> tuple[list[Run], list[Config]]:
    """The GANs to draw from where `number` are asked for: those that are there, and settings of those to be trained.

    They are trained as the newest one on this data was, with the seeds after its own that are free; where there is
    none, as the settings say.
    """
    newest = workspace.latest("gans", data=data.digest)
    there = [] if newest is None else family(workspace, newest)[:number]
    like = config if newest is None else _settings_of(config, newest)
    if newest is not None and len(there) < number and "parent" in newest.record["key"].get("inputs", {}):
        raise GanferError(
            f"{newest.name} began from another generator, and there are {len(there)} such GANs, not {number}.",
            f"Train them: ganfer train gan --from ... --number {number}.",
        )
    taken = {_seed(run) for run in there}
    seed = min(taken, default=like.seed)
    missing: list[Config] = []
    while len(there) + len(missing) < number:
        if seed not in taken:
            missing.append(dataclasses.replace(like, seed=seed))
        seed += 1
    return there, missing


def companions(workspace: Workspace, batch: Run) -> list[Run]:
    """The batches that ask for the same of each GAN of a family, in the order of the GANs' seeds; this one among them.

    A batch from elsewhere, or of a GAN that is gone, is alone.
    """
    gans = {run.digest: run for run in workspace.runs("gans") if run.complete}
    own = gans.get(_gan_of(batch))
    if own is None:
        return [batch]
    seeds = {run.digest: _seed(run) for run in family(workspace, own)}
    found = {
        _gan_of(run): run for run in workspace.runs("synthetic") if run.complete and _but_gan(run) == _but_gan(batch)
    }
    found[own.digest] = batch
    return [found[digest] for digest in sorted(found.keys() & seeds.keys(), key=lambda digest: seeds[digest])]


def _settings_of(config: Config, gan: Run) -> Config:
    """The settings that a GAN was trained with; what came after it is at its default."""
    known = {field.name for field in dataclasses.fields(GanConfig)}
    had = {name: value for name, value in gan.record["key"]["config"].items() if name in known}
    return dataclasses.replace(config, gan=GanConfig(**had), seed=_seed(gan))


def _seed(gan: Run) -> int:
    return int(gan.record.get("key", {}).get("seed", 0))


def _but_seed(gan: Run) -> str:
    key = gan.record.get("key", {})
    return digest_json({name: value for name, value in key.items() if name != "seed"})


def _gan_of(batch: Run) -> str:
    return str(batch.record.get("key", {}).get("inputs", {}).get("gan", ""))


def _but_gan(batch: Run) -> str:
    """What was asked of the generator; a filled batch stands on another one, which was drawn by the same."""
    key = batch.record.get("key", {})
    inputs = {name: value for name, value in key.get("inputs", {}).items() if name not in ("gan", "batch")}
    return digest_json({**key, "inputs": inputs})

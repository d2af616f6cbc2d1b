"""Workspaces for the tests of review: a set of drawn or striped faces, a labelled batch, no training."""

from pathlib import Path

import numpy as np
from tiny import NAMES, add_set, striped, tiny_set

from ganfer.config import load_config
from ganfer.data.provenance import encode_png
from ganfer.generate.batch import read_batch
from ganfer.generate.shards import SEPARATOR, shard_name, write_shard
from ganfer.label.labels import KEPT, REASONS, Labels, write_labels
from ganfer.review.desk import Desk
from ganfer.review.server import ReviewServer
from ganfer.runtime.files import digest_of, write_csv
from ganfer.workspace import Run, Workspace

PER_SHARD = 10_000


def labelled_workspace(root: Path, faces: int, *, size: int = 16) -> tuple[Workspace, Run]:
    """A workspace with a set and a batch of `faces` striped faces in shards, labelled with every reason in turn."""
    workspace = Workspace(root)
    images = tiny_set() if size == 16 else tiny_set((60, 60, 60), 20, 20)
    data = add_set(workspace, images)
    return workspace, labelled_batch(workspace, data, faces, size=size)


def labelled_batch(workspace: Workspace, data: Run, faces: int, *, size: int = 16, seed: int = 0) -> Run:
    """A batch in shards, labelled."""
    asked = np.arange(faces) % len(NAMES)
    run = workspace.run("synthetic", "test", {"config": {"n": faces}, "inputs": {"data": data.digest}, "seed": seed})
    names: list[str] = []
    with run.work("generate"):
        shards = -(-faces // PER_SHARD)
        for shard in range(shards):
            members = range(shard * PER_SHARD, min(faces, (shard + 1) * PER_SHARD))
            pixels = striped(asked[members.start : members.stop], seed=seed + shard, size=size, noise=40)
            samples = [(f"{i:06d}", encode_png(p, {"seed": i}), {}) for i, p in zip(members, pixels, strict=True)]
            file = shard_name(shard, shards, "webdataset")
            write_shard(run.path / file, samples)
            names += [f"{file}{SEPARATOR}{i:06d}.png" for i in members]
        rows = [
            {"file_name": name, "asked": NAMES[k], "seed": i}
            for i, (name, k) in enumerate(zip(names, asked, strict=True))
        ]
        write_csv(run.path / "metadata.csv", ["file_name", "asked", "seed"], rows)
        run.finish(digest=digest_of(run.path / "metadata.csv"), figures={"images": faces})
    label(run, data, seed)
    return run


def label(run: Run, data: Run, seed: int, name: str = "test-1") -> None:
    """A labelling of a batch; every other face is kept, the others have the screen's reasons in turn."""
    rng, batch = np.random.default_rng(seed), read_batch(run)
    faces = len(batch)
    asked = np.array([NAMES.index(word) for word in batch.asked])
    probabilities = rng.dirichlet(np.full(len(NAMES), 0.6), faces).astype(np.float32)
    probabilities[np.arange(faces), asked] += 0.6
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    why = np.array(REASONS[1:])[rng.integers(0, len(REASONS) - 1, faces)]
    reason = np.where(np.arange(faces) % 2 == 0, KEPT, why)
    labels = Run(run.path / "labels" / name, {"config": {}, "inputs": {"batch": run.digest, "data": data.digest}})
    with labels.work("label"):
        found = Labels(labels, NAMES, probabilities.argmax(1), probabilities.max(1), probabilities, reason)
        nearest = [f"image{i % 100}" for i in range(faces)]
        write_labels(labels, batch, found, {"nearest": nearest, "likeness": ["0.5000"] * faces})
        labels.finish(digest=digest_of(labels.path / "labels.csv"), figures={})


def review_server(
    workspace: Workspace, reviewer: str, *, token: str | None = None, blind_faces: int = 12
) -> ReviewServer:
    """A server on a free port of 127.0.0.1."""
    desk = Desk(workspace, reviewer, None, blind_faces)
    for run in desk.batches()[:1]:
        desk.wall("faces", run.name)  # as the command does: thumbnails are made before a browser waits
    return ReviewServer(desk, load_config(overrides={"serve.port": 0}).serve, token=token)

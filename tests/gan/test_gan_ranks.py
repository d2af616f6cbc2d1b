"""Several processes at one command, as torchrun starts them: two on this machine's processor."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from gan_tiny import NAMES, TINY, store, tiny_set

from ganfer.config import load_config
from ganfer.errors import GanferError
from ganfer.gan.sampling import open_gan
from ganfer.pipeline import Project
from ganfer.runtime import ranks
from ganfer.runtime.gradients import GradientMean
from ganfer.workspace import Workspace

BOTH = """
import sys
from pathlib import Path
import torch
from ganfer.runtime import ranks
from ganfer.cli import main
from ganfer.gan import loop
train = loop.Training.train
def noted(self, stop):
    train(self, stop)
    weights = torch.cat([p.detach().flatten() for p in self.state.generator.parameters()])
    torch.save({"step": self.state.step, "weights": weights}, f"rank{ranks.rank()}.pt")
loop.Training.train = noted

def check_gradients():
    # buckets sent off during the pass give the mean that one exchange after it gives, bit for bit
    from ganfer.runtime import gradients
    gradients._BUCKET_BYTES = 200
    torch.manual_seed(1)
    parts = [torch.nn.Linear(8, 8) for _ in range(4)] + [torch.nn.Linear(3, 3)]  # the last one is not reached
    network = torch.nn.ModuleList(parts)
    mean, data = gradients.GradientMean(network), torch.Generator().manual_seed(ranks.rank())
    for _ in range(2):
        network.zero_grad()
        x = torch.randn(5, 8, generator=data)
        for part in parts[:4]:
            x = part(x).relu()
        x.sum().backward()
        on_their_way = mean.sent
        expected = [p.grad.clone() for p in network[:4].parameters()]
        mean.finish()
        for gradient in expected:
            torch.distributed.all_reduce(gradient)
        assert all(torch.equal(p.grad, e / 2) for p, e in zip(network[:4].parameters(), expected))
        assert parts[4].weight.grad is None
    torch.save(on_their_way, f"overlap{ranks.rank()}.pt")

ranks.start()
check_gradients()
settings = [f"--set={line}" for line in Path("settings").read_text().splitlines()]
sys.argv = ["ganfer", "generate", "--n", "31", "-w", "shared", *settings]
main.main()
"""


def torchrun(folder: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """BOTH in two processes, in `folder`."""
    (folder / "both.py").write_text(BOTH)
    (folder / "settings").write_text("\n".join(f"{name}={value}" for name, value in TINY.items()))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "both.py"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240)


@pytest.mark.long
def test_two_processes_train_one_gan_and_draw_the_files_of_one(tmp_path: Path, child_environment) -> None:
    store(Workspace(tmp_path / "shared"), tiny_set(dict.fromkeys(NAMES, 30)))
    done = torchrun(tmp_path, child_environment)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("generated: 31 faces") == 1  # the leader alone speaks

    assert [torch.load(tmp_path / f"overlap{rank}.pt") for rank in (0, 1)] == [0, 0], "the unreached bucket comes first"
    one, other = (torch.load(tmp_path / f"rank{rank}.pt") for rank in (0, 1))
    assert one["step"] == other["step"] == 12
    assert torch.equal(one["weights"], other["weights"])
    shared = Workspace(tmp_path / "shared")
    gan, batch = shared.latest("gans"), shared.latest("synthetic")
    assert gan is not None
    assert batch is not None
    assert open_gan(gan.path, "cpu").digest == gan.digest

    project = Project(tmp_path / "alone", load_config(None, TINY))
    store(project.workspace, tiny_set(dict.fromkeys(NAMES, 30)))
    os.makedirs(tmp_path / "alone" / "gans")
    os.rename(gan.path, tmp_path / "alone" / "gans" / gan.name)
    alone = project.generate(31).path
    assert alone is not None
    files = sorted(path.relative_to(alone) for path in alone.rglob("*.*") if path.suffix in (".png", ".csv"))
    assert len(files) == 33  # with the contact sheet and the table
    for file in files:
        assert (alone / file).read_bytes() == (batch.path / file).read_bytes(), file
    assert not list((batch.path / "images").glob(".*"))


def test_the_parts_of_all_processes_make_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    for processes in (1, 2, 3, 7):
        monkeypatch.setenv("WORLD_SIZE", str(processes))
        parts = []
        for rank in range(processes):
            monkeypatch.setenv("RANK", str(rank))
            parts.append(np.arange(20)[ranks.share(20)])
        assert np.array_equal(np.concatenate(parts), np.arange(20))
        assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_a_batch_that_processes_cannot_share_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from ganfer.gan.loop import own_batch

    assert own_batch(8) == 8
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(GanferError, match=r"batch_size = 8 cannot be shared by 3.*gan.batch_size=9"):
        own_batch(8)
    monkeypatch.setenv("WORLD_SIZE", "many")
    with pytest.raises(GanferError, match="WORLD_SIZE='many'"):
        ranks.count()


def test_one_process_keeps_its_gradients() -> None:
    network = torch.nn.Linear(2, 1)
    mean = GradientMean(network)
    network(torch.ones(1, 2)).sum().backward()
    mean.finish()
    assert network.weight.grad is not None
    assert network.weight.grad.tolist() == [[1.0, 1.0]]
    assert mean.sent == 0

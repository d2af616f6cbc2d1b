"""A GAN on labelled images and a pool together: what has no label teaches no class, and nothing else changes."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from gan_tiny import NAMES, store, tiny_images, tiny_set

from ganfer.config import Config
from ganfer.data.imageset import ImageSet, save_set
from ganfer.errors import DataError
from ganfer.gan.batches import Batches, pool_share
from ganfer.gan.guide import Guide
from ganfer.gan.loop import Training, twice
from ganfer.gan.networks import GENERATORS, NetworkSpec, build_discriminator, build_generator
from ganfer.gan.plan import plan_lines, plan_training
from ganfer.gan.train import run_key, train_gan
from ganfer.workspace import Run, Workspace


def add_pool(workspace: Workspace, data: Run, count: int, name: str = "people", size: int = 16) -> Run:
    """A pool of bright images beside the data, as `data add --pool` leaves one."""
    pixels = np.maximum(tiny_images(np.full(count, 2), size, seed=7), 1)
    images = ImageSet(
        images=pixels, labels=np.full(count, -1), class_names=NAMES, split=np.full(count, "pool"),
        group=np.full(count, ""), source=np.full(count, "real"), ids=np.array([f"{i}.png" for i in range(count)]),
    )  # fmt: skip
    run = workspace.run("pools", name, {"inputs": {"data": data.digest, "source": name}})
    with run.work("data add"):
        run.finish(digest=save_set(run.path, images), figures={"images": count, "skipped": {}})
    return run


def networks(name: str, base: int = 4) -> tuple[torch.nn.Module, torch.nn.Module]:
    torch.manual_seed(0)
    spec = NetworkSpec(network=name, size=16, channels=1, num_classes=3, latent_dim=8, base_channels=base)
    built = build_generator(spec), build_discriminator(spec, "r1")
    with torch.no_grad():
        for network in built:  # some embeddings begin at zero, where nothing would be seen
            for part in network.modules():
                if isinstance(part, torch.nn.Embedding):
                    part.weight.normal_()
    return built


def class_parameters(network: torch.nn.Module) -> list[torch.nn.Parameter]:
    """What only a class's images may teach."""
    return [
        p for name, p in network.named_parameters() if "by_class" in name or "class_input" in name or ".embed" in name
    ]


@pytest.mark.parametrize("name", GENERATORS)
def test_an_image_without_a_label_teaches_no_class(name: str) -> None:
    generator, discriminator = networks(name)
    z, labels = torch.randn(4, 8), torch.tensor([0, 1, 2, 0])
    fake = generator(z, labels, torch.zeros(4))
    (
        discriminator(fake, labels, torch.zeros(4)).sum()
        + discriminator(torch.randn(4, 1, 16, 16), labels, torch.zeros(4)).sum()
    ).backward()
    for network in (generator, discriminator):
        assert class_parameters(network)
        for parameter in class_parameters(network):
            assert parameter.grad is None or not parameter.grad.any()
        others = [p for p in network.parameters() if all(p is not mine for mine in class_parameters(network))]
        assert any(p.grad is not None and p.grad.any() for p in others)  # the rest learns from it


@pytest.mark.parametrize("name", GENERATORS)
def test_each_image_has_its_own_conditioning(name: str) -> None:
    generator, discriminator = (network.eval() for network in networks(name))
    z, labels = torch.randn(4, 8), torch.tensor([0, 1, 2, 1])
    images = torch.randn(4, 1, 16, 16)
    mixed = torch.tensor([0.0, 1.0, 0.5, 0.0])
    with torch.no_grad():
        for strength in (0.0, 0.5, 1.0):
            rows = mixed == strength
            assert torch.allclose(generator(z, labels, mixed)[rows], generator(z, labels, strength)[rows], atol=1e-5)
            if name != "stylegan2":  # whose discriminator looks at the batch's variety, too: tested as a whole below
                got, alone = discriminator(images, labels, mixed), discriminator(images, labels, strength)
                assert torch.allclose(got[rows], alone[rows], atol=1e-5)
        whole = discriminator(images, labels, torch.full((4,), 0.5))
        assert torch.allclose(whole, discriminator(images, labels, 0.5), atol=1e-5)
        other = discriminator(images, (labels + 1) % 3, mixed)
        assert torch.allclose(other[mixed == 0], discriminator(images, labels, mixed)[mixed == 0], atol=1e-5)


def batches(labelled: int, unlabelled: int, balance: float = 0.0, size: int = 256) -> Batches:
    """Labelled images are their class's grey, those of the pool white."""
    labels = np.repeat([0, 1, 2], [labelled - 4, 3, 1])
    images = np.broadcast_to((10 * labels)[:, None, None, None], (labelled, 1, 16, 16)).astype(np.uint8)
    pool = np.full((unlabelled, 1, 16, 16), 255, np.uint8) if unlabelled else None
    return Batches(
        images, labels, 3, balance=balance, latent_dim=4, batch_size=size, flip=False, seed=1,
        device=torch.device("cpu"), pool=pool,
    )  # fmt: skip


@pytest.mark.parametrize(("unlabelled", "part"), [(10, 0.25), (300, 0.5)])
def test_batches_are_partly_unlabelled_and_say_which(unlabelled: int, part: float) -> None:
    assert pool_share(30, unlabelled) == part
    source = batches(30, unlabelled, balance=1.0)
    drawn = [source.draw(step) for step in range(40)]
    known = torch.cat([batch.known for batch in drawn])  # type: ignore[misc]
    grey = torch.cat([batch.real[:, 0, 0, 0] for batch in drawn]).add(1).mul(127.5).round()
    labels = torch.cat([batch.labels for batch in drawn])
    assert torch.equal(known == 0, grey == 255)
    assert torch.equal(grey[known == 1], 10.0 * labels[known == 1])
    assert float((known == 0).float().mean()) == pytest.approx(part, abs=0.02)
    for rows in (known == 1, known == 0):  # the spare classes are drawn by the same shares: here equally often
        assert torch.bincount(labels[rows], minlength=3).div(int(rows.sum())).tolist() == pytest.approx(
            [1 / 3] * 3, abs=0.04
        )
    counts = drawn[0].conditioning(0.5)
    assert torch.equal(counts, 0.5 * drawn[0].known)  # type: ignore[arg-type,operator]
    assert torch.equal(twice(counts), torch.cat([counts, counts]))  # type: ignore[arg-type,list-item]


def test_without_a_pool_every_batch_is_as_before() -> None:
    plain = batches(30, 0).draw(3)
    assert plain.known is None
    assert plain.conditioning(0.3) == 0.3
    assert twice(0.3) == 0.3


def test_the_guide_speaks_of_labelled_images_alone() -> None:
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(256, 3))
    guide = Guide(model, {})
    images, labels = torch.randn(4, 1, 16, 16), torch.tensor([0, 1, 2, 0])
    some = guide.loss(images, labels, torch.tensor([1.0, 0.0, 1.0, 0.0]))
    assert float(some) == pytest.approx(float(guide.loss(images[::2], labels[::2])), rel=1e-5)
    assert float(guide.loss(images, labels, torch.zeros(4))) == 0.0


@pytest.mark.parametrize("network", GENERATORS)
def test_every_network_trains_on_both_and_resumes(
    workspace: Workspace, make_config: Callable[..., Config], network: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = store(workspace, tiny_set(dict.fromkeys(NAMES, 12)))
    add_pool(workspace, data, 40)
    config = make_config(gan__network=network, gan__pool=True, gan__steps=4, gan__snapshot_every=2, gan__r1_interval=2)
    whole = train_gan(workspace, config, data)
    assert whole.figures["counts"] == dict.fromkeys(NAMES, 8)
    other = Workspace(Path(str(workspace.root)) / "other")
    again = store(other, tiny_set(dict.fromkeys(NAMES, 12)))
    add_pool(other, again, 40)
    plain, steps = Training._bookkeeping, []

    def crash(self: Training, *rest: object) -> None:
        plain(self, *rest)  # type: ignore[arg-type]
        steps.append(self.state.step)
        if len(steps) == 3:
            raise RuntimeError("power cut")

    with monkeypatch.context() as patched, pytest.raises(RuntimeError, match="power cut"):
        patched.setattr(Training, "_bookkeeping", crash)
        train_gan(other, config, again)
    resumed = train_gan(other, config, again)
    assert steps == [1, 2, 3]
    assert Run(Path(str(resumed.path))).digest == Run(Path(str(whole.path))).digest


def test_the_pool_is_part_of_the_run_only_where_it_is_used(
    workspace: Workspace, data: Run, make_config: Callable[..., Config]
) -> None:
    plain = run_key(make_config(), data)
    assert "pool" not in plain["config"]
    assert plain["inputs"] == {"data": data.digest}
    with pytest.raises(DataError, match="there is no pool beside"):
        train_gan(workspace, make_config(gan__pool=True), data)
    assert workspace.runs("gans") == []
    pool = add_pool(workspace, data, 40)
    assert run_key(make_config(), data) == plain
    used = run_key(make_config(gan__pool=True), data, pools=[pool])
    assert used["config"]["pool"] is True
    assert set(used["inputs"]) == {"data", "pools"}


def test_unlabelled_images_join_the_others_where_there_are_no_classes(make_config: Callable[..., Config]) -> None:
    images, pool = tiny_set(dict.fromkeys(NAMES, 20)), np.full((30, 1, 16, 16), 7, np.uint8)
    plan = plan_training(images, make_config(gan__conditional=False).gan, 0, pool)
    assert plan.pool is None
    assert int((plan.images == 7).all(axis=(1, 2, 3)).sum()) == 30
    assert not (plan.held_images == 7).all(axis=(1, 2, 3)).any()  # snapshots are chosen by labelled images alone
    assert set(plan.labels) == {0}
    config = make_config().gan
    plan = plan_training(images, config, 0, pool)
    assert len(plan.images) + len(plan.held_images) == 60
    assert "30 real images without labels teach what all classes share: 38% of every batch." in plan_lines(plan, config)

"""Perceptual distance, diversity, halves, Inception's weights, and copies: what they notice and what they need."""

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from torchvision.models import alexnet, resnet18, squeezenet1_1, vgg16

from ganfer.data.drawn import draw_faces
from ganfer.errors import GanferError
from ganfer.metrics import inception
from ganfer.metrics.copies import NEAR, CopyRule, Nearest, TrainingIndex, mirrored_thumbnails, thumbnails
from ganfer.metrics.diversity import diversity
from ganfer.metrics.features import RandomConvFeatures
from ganfer.metrics.halves import compare
from ganfer.metrics.kid import mmd2
from ganfer.metrics.perceptual import BACKBONES, kind_of, open_perceptual


@pytest.fixture(scope="module")
def faces() -> np.ndarray:
    """(240, 1, 48, 48): people who all differ."""
    return draw_faces(np.arange(240), ["happy"] * 240)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of weights; its folder."""
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    (tmp_path / "checkpoints").mkdir()
    return tmp_path / "checkpoints"


def backbone(build: Callable[..., torch.nn.Module]) -> dict[str, torch.Tensor]:
    """Random weights of a network's convolutions, under torchvision's names."""
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in build(weights=None).state_dict().items()}
    rng = torch.Generator().manual_seed(0)
    return {
        name: torch.randn(shape, generator=rng) / max(1, shape[1:].numel()) ** 0.5
        for name, shape in shapes.items()
        if name.startswith("features.")
    }


# --- perceptual distance ----------------------------------------------------------------------------------------------


def test_without_weights_the_stand_in_says_what_it_is_and_what_to_do(hub: Path, faces: np.ndarray):
    distance = open_perceptual()
    assert distance.name == "random-conv distance"
    assert str(hub) in distance.note
    assert BACKBONES["alex"] in distance.note
    assert "quality.lpips=FILE" in distance.note
    _orders_damage(distance, faces)


@pytest.mark.parametrize(("kind", "build"), [("alex", alexnet), ("squeeze", squeezenet1_1)])
def test_lpips_takes_the_backbone_from_the_cache_or_a_file(hub: Path, faces: np.ndarray, kind: str, build):
    torch.save(backbone(build), hub / BACKBONES[kind])
    distance = open_perceptual()
    assert (distance.name, distance.note) == (f"LPIPS ({kind})", "")
    if kind == "squeeze":  # the quicker one
        _orders_damage(distance, faces)
    file = (hub / BACKBONES[kind]).rename(hub / "mine.pth")
    assert np.array_equal(open_perceptual(str(file))(faces[:3], faces[3:6]), distance(faces[:3], faces[3:6]))


def test_lpips_is_that_of_the_package(hub: Path, faces: np.ndarray):
    import lpips

    with pytest.warns(UserWarning, match="weights"):  # the package asks torchvision in an outdated way
        theirs = lpips.LPIPS(net="squeeze", pnet_rand=True, verbose=False)
    state = {"features." + name.partition(".")[2]: value for name, value in theirs.net.state_dict().items()}
    torch.save(state, hub / BACKBONES["squeeze"])
    large = faces[:6].repeat(2, axis=2).repeat(2, axis=3)
    x = torch.from_numpy(large).float().expand(-1, 3, -1, -1) / 127.5 - 1
    with torch.no_grad():
        expected = theirs(x[:3], x[3:]).flatten().numpy()
    assert open_perceptual()(large[:3], large[3:]) == pytest.approx(expected, rel=1e-5)


def _orders_damage(distance, faces: np.ndarray) -> None:
    """Nothing changed is 0, a little noise is less than another face."""
    noise = np.random.default_rng(0).normal(0, 4, faces[:20].shape)
    noisy = np.clip(faces[:20] + noise, 0, 255).astype(np.uint8)
    assert distance(faces[:20], faces[:20]) == pytest.approx(np.zeros(20), abs=1e-6)
    assert (distance(faces[:20], noisy) < distance(faces[:20], faces[20:40])).mean() > 0.9
    colour = np.repeat(faces[:4], 3, axis=1)
    assert open_perceptual(channels=3)(colour, colour[::-1].copy()).shape == (4,)
    assert distance(faces[:0], faces[:0]).shape == (0,)


def test_a_file_without_a_backbone_is_refused(tmp_path: Path):
    with torch.device("meta"):
        other = {name: torch.zeros(()) for name in resnet18(weights=None).state_dict()}
    torch.save(other, tmp_path / "resnet.pth")
    (tmp_path / "damaged.pth").write_bytes(b"no weights")
    torch.save([1, 2], tmp_path / "list.pth")
    short = {name: value for name, value in backbone(alexnet).items() if "features.8" not in name}
    torch.save(short, tmp_path / "short.pth")
    for name, what in [
        ("resnet.pth", "cannot be read as weights"),
        ("damaged.pth", "cannot be read"),
        ("list.pth", "no weights of a network"),
        ("absent.pth", "cannot be read"),
        ("short.pth", "lack or differ in features.8.weight"),
    ]:
        with pytest.raises(GanferError, match=what):
            open_perceptual(str(tmp_path / name))


def test_the_backbone_is_known_by_its_layers():
    for kind, build in (("alex", alexnet), ("squeeze", squeezenet1_1), ("vgg", vgg16)):
        assert kind_of(backbone(build), Path("file")) == kind


# --- diversity --------------------------------------------------------------------------------------------------------


def test_diversity_is_the_mean_over_pairs(faces: np.ndarray):
    def by_brightness(first: np.ndarray, second: np.ndarray) -> np.ndarray:
        return np.abs(first.mean(axis=(1, 2, 3)) - second.mean(axis=(1, 2, 3)))

    grey = np.arange(0, 240, 2, dtype=np.uint8)[:, None, None, None]
    found = diversity(grey, by_brightness, rounds=50)
    expected = np.abs(np.subtract.outer(grey.ravel().astype(float), grey.ravel()))
    assert found.value == pytest.approx(expected.sum() / (120 * 119), rel=0.02)
    samples = [diversity(np.random.default_rng(i).choice(grey, 60), by_brightness, rounds=8).value for i in range(100)]
    assert diversity(grey[::2], by_brightness, rounds=8).error == pytest.approx(np.std(samples), rel=0.35)


def test_diversity_notices_collapse_and_copies_of_one_face(faces: np.ndarray):
    distance = open_perceptual()
    whole = diversity(faces[:120], distance)
    collapsed = diversity(np.repeat(faces[:4], 30, axis=0), distance)
    assert collapsed.value < whole.value - 3 * whole.error
    assert diversity(np.repeat(faces[:1], 30, axis=0), distance).value == pytest.approx(0.0, abs=1e-6)
    with pytest.raises(GanferError, match="at least 3"):
        diversity(faces[:2], distance)


# --- halves: fakes beside real images ---------------------------------------------------------------------------------


def _mean_distance(candidates: np.ndarray, reference: np.ndarray) -> Mapping[str, float]:
    assert len(candidates) == len(reference)
    return {"d": float(np.square(candidates.mean(0) - reference.mean(0)).sum())}


def test_real_images_reach_their_ceiling_and_shifted_ones_do_not():
    rng = np.random.default_rng(0)
    real = rng.normal(size=(200, 4))
    found = compare(rng.normal(size=(900, 4)), real, _mean_distance, halvings=20)
    assert found.num_images == 100
    assert found.fake["d"].low < found.real["d"].mean < found.fake["d"].high
    shifted = compare(rng.normal(1, 1, size=(900, 4)), real, _mean_distance, halvings=20)
    assert shifted.fake["d"].low > shifted.real["d"].high
    assert compare(real[:30], real, _mean_distance).num_images == 30
    assert compare(real, real, _mean_distance, most=25).num_images == 25


def test_the_halves_never_share_an_image():
    def shared(candidates: np.ndarray, reference: np.ndarray) -> Mapping[str, float]:
        return {"shared": float(len(np.intersect1d(candidates, reference)))}

    found = compare(np.arange(1000.0, 1100.0)[:, None], np.arange(50.0)[:, None], shared)
    assert found.real["shared"].mean == 0


def test_the_interval_is_that_of_other_images():
    """Over half-samples a mean varies as much as over new samples of the whole size."""
    rng = np.random.default_rng(1)
    widths = []
    for _ in range(40):
        found = compare(
            rng.normal(size=(400, 1)), rng.normal(size=(400, 1)), lambda a, b: {"m": float(b.mean())}, halvings=20
        )
        widths.append((found.real["m"].high - found.real["m"].low) / 2 / 1.96)
    assert np.mean(widths) == pytest.approx(1 / np.sqrt(400), rel=0.15)


# --- Inception's weights ----------------------------------------------------------------------------------------------


def test_thirty_two_bits_of_the_digest_are_not_enough(
    hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file found by trying until the digits of the name came out would be unpickled by torch-fidelity."""
    import hashlib

    file = hub / inception.FILE
    file.write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    for known, right in ((digest, True), (digest[:8] + "0" * 56, False), (digest[:-1] + "g", False)):
        monkeypatch.setattr(inception, "SHA256", known)
        with nullcontext() if right else pytest.raises(GanferError, match="damaged or another file"):
            inception.require_known(file)


def test_a_backbone_that_runs_something_is_refused(hub: Path, tmp_path: Path) -> None:
    class Touch:
        def __reduce__(self) -> tuple:  # type: ignore[type-arg]
            return Path.touch, (tmp_path / "it_ran",)

    for name, legacy in (("new.pth", False), ("old.pth", True)):
        torch.save({"features.0.weight": Touch()}, tmp_path / name, _use_new_zipfile_serialization=not legacy)
        with pytest.raises(GanferError, match="nothing was run"):
            open_perceptual(str(tmp_path / name))
    assert not (tmp_path / "it_ran").exists()


def test_inception_is_found_in_the_cache_or_said_to_be_missing(hub: Path, tmp_path: Path):
    assert inception.find_inception() is None
    assert str(hub) in inception.missing_note()
    assert inception.FILE in inception.missing_note()
    (hub / inception.FILE).write_bytes(b"weights")
    assert inception.find_inception() == hub / inception.FILE
    with pytest.raises(GanferError, match="no such file"):
        inception.find_inception(str(tmp_path / "nowhere.pth"))
    with pytest.raises(GanferError, match="SHA-256 is .*, not 6726825d0af5f729cebd5821db510b11"):
        inception.InceptionFeatures(hub / inception.FILE)


# --- copies -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def index(faces: np.ndarray) -> tuple[TrainingIndex, RandomConvFeatures]:
    extract = RandomConvFeatures(1)
    return TrainingIndex.of(faces[:160], extract(faces[:160])), extract


def _look(index: tuple[TrainingIndex, RandomConvFeatures], images: np.ndarray) -> Nearest:
    return index[0].look(images, index[1](images))


def test_copies_are_found_whatever_was_done_to_them(index, faces: np.ndarray):
    rng = np.random.default_rng(0)
    rule = CopyRule.fit(_look(index, faces[160:]))
    source = faces[40:52]
    shifted = np.roll(source, 2, axis=3)
    done = {
        "as they are": source,
        "mirrored": source[:, :, :, ::-1].copy(),
        "shifted": shifted,
        "darker": (source * 0.8).astype(np.uint8),
        "noisy": np.clip(source + rng.normal(0, 6, source.shape), 0, 255).astype(np.uint8),
        "blurred": (source * 0.5 + np.roll(source, 1, axis=2) * 0.5).astype(np.uint8),
    }
    for what, images in done.items():
        found = _look(index, images)
        assert (found.index == np.arange(40, 52)).mean() > 0.9, what
        assert rule.copies(found).mean() > 0.9, what
        assert (found.mirrored == (what == "mirrored")).mean() > 0.9, what


def test_only_the_given_rows_are_searched(index, faces: np.ndarray):
    rows = np.arange(1, 160, 2)
    odd = TrainingIndex.of(faces, index[1](faces[rows]), rows)
    found = odd.look(faces[[5, 41, 40]], index[1](faces[[5, 41, 40]]))
    assert rows[found.index[:2]].tolist() == [5, 41]
    assert found.likeness[:2] == pytest.approx([1.0, 1.0], abs=1e-4)
    assert found.likeness[2] < 0.95  # its image is not among the rows


def test_other_people_are_no_copies(index, faces: np.ndarray):
    held_back = _look(index, faces[160:200])
    rule = CopyRule.fit(held_back)
    assert rule.copies(held_back).mean() <= 0.05
    assert rule.copies(_look(index, faces[200:])).mean() <= 0.05
    noise = np.random.default_rng(0).integers(0, 255, (10, 1, 48, 48)).astype(np.uint8)
    assert not rule.copies(_look(index, noise)).any()
    blank = np.full((2, 1, 48, 48), 90, np.uint8)
    assert not rule.copies(_look(index, blank)).any()


def test_isolation_is_zero_for_the_very_image_and_one_among_equals():
    corners = np.eye(20, dtype=np.float32)
    images = np.random.default_rng(0).integers(0, 255, (20, 1, 16, 16)).astype(np.uint8)
    searched = TrainingIndex.of(images, corners)
    found = searched.look(images[:2], np.stack([corners[3], np.zeros(20, np.float32)]))
    assert found.isolation == pytest.approx([0.0, 1.0])
    assert found.distance == pytest.approx([0.0, 1.0])


def test_the_rule_comes_from_held_back_images_but_leaks_do_not_loosen_it():
    def nearest(likeness: list[float], isolation: list[float]) -> Nearest:
        zeros = np.zeros(len(likeness), dtype=np.int64)
        return Nearest(zeros, np.array(likeness), zeros > 0, np.array(isolation), np.zeros(len(likeness)))

    held = nearest(np.linspace(0.3, 0.7, 101).tolist() + [0.99] * 10, np.linspace(0.5, 0.9, 101).tolist() + [0.0] * 10)
    rule = CopyRule.fit(held)
    assert rule.likeness == pytest.approx(0.696)
    assert rule.isolation == pytest.approx(0.504)
    probes = nearest([0.69, 0.72, 0.72, NEAR], [0.1, 0.1, 0.8, 1.0])
    assert rule.copies(probes).tolist() == [False, True, False, True]
    assert CopyRule.fit(nearest([0.99], [0.0])) == CopyRule(NEAR, 0.0)


def test_thumbnails_are_unit_vectors_and_mirror(faces: np.ndarray):
    small = thumbnails(faces[:5])
    assert np.linalg.norm(small, axis=1) == pytest.approx(np.ones(5))
    other = thumbnails(faces[:5, :, :, ::-1].copy())
    assert np.allclose(mirrored_thumbnails(small), other, atol=1e-5)
    assert np.allclose(thumbnails(np.repeat(faces[:5], 3, axis=1)), small, atol=0.02)


def test_kid_and_diversity_see_shifted_colours_the_right_way(faces: np.ndarray):
    """Colours shifted alike: far from the real images, as different from each other as before."""
    extract, distance = RandomConvFeatures(3), open_perceptual(channels=3)
    colour = np.repeat(faces, 3, axis=1)
    shifted = colour.copy()
    shifted[:, 0] = (shifted[:, 0] * 0.4).astype(np.uint8)
    real = mmd2(extract(colour[:120]), extract(colour[120:]))
    assert mmd2(extract(colour[:120]), extract(shifted[120:])) > real + 0.01
    assert diversity(shifted[:60], distance).value > 0.5 * diversity(colour[:60], distance).value

"""`ganfer generate --source stylegan2`: NVIDIA's seeds, the face cut out, provenance, and what cannot be drawn."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from bridge_checkpoints import tiny_config, tiny_generator, write_nvidia_torch, write_rosinality
from PIL import Image
from tiny import add_set, tiny_set

from ganfer.cli import main as main_module
from ganfer.config import load_config
from ganfer.data.provenance import read_facts
from ganfer.errors import GanferError
from ganfer.gan.generator import Generator, open_generator
from ganfer.generate.redraw import redraw
from ganfer.generate.source import network_source
from ganfer.generate.stylegan2 import Framing, StyleganGenerator, open_stylegan2
from ganfer.needs import Needs
from ganfer.pipeline import Project
from ganfer.workspace import Run, Workspace
from stylegan_bridge import BridgeError, face_crop, load_generator, mix_styles


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """32-pixel colour checkpoint in NVIDIA's format."""
    return write_nvidia_torch(tiny_generator(tiny_config(32)), tmp_path / "faces.pkl")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A workspace of 16-pixel grey images."""
    workspace = Workspace(tmp_path / "work")
    add_set(workspace, tiny_set())
    return Project(workspace, load_config(overrides={"device": "cpu"}))


def with_network(project: Project, network: Path, **settings: object) -> Project:
    overrides = {f"stylegan.{name}": value for name, value in settings.items()}
    config = load_config(overrides={"device": "cpu", "stylegan.network": str(network), **overrides})
    return Project(project.workspace, config)


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "metadata.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_the_faces_are_nvidias_seeds_at_the_workspaces_size(project: Project, network: Path) -> None:
    result = with_network(project, network, truncation_psi=0.7).generate(5, source="stylegan2")
    assert result.path is not None
    rows = rows_of(result.path)
    assert [row["seed"] for row in rows] == ["0", "1", "2", "3", "4"]
    assert {row["asked"] for row in rows} == {""}
    expected = face_crop(load_generator(network).sample(range(5), truncation_psi=0.7), 16, 1, box=None)
    for row, image in zip(rows, expected.numpy(), strict=True):
        assert np.array_equal(pixels(result.path / row["file_name"]), image[0])
    facts = read_facts(result.path / rows[3]["file_name"])
    assert facts["synthetic"] == "true"
    assert (facts["seed"], facts["truncation_psi"], facts["face_crop"]) == ("3", "0.7", "none")
    assert facts["generator"] == result.figures["generator"] == rows[0]["generator"]
    assert (result.path / "contact.png").is_file()
    again = with_network(project, network, truncation_psi=0.7).generate(5, source="stylegan2")
    assert "already" in str(again)
    other = with_network(project, network, truncation_psi=0.5).generate(5, source="stylegan2")
    assert other.path != result.path


def test_given_seeds_and_the_batches_own(project: Project, network: Path) -> None:
    named = with_network(project, network).generate(source="stylegan2", seeds=[7, 4294967295])
    assert named.path is not None
    assert [row["seed"] for row in rows_of(named.path)] == ["7", "4294967295"]
    later = Project(project.workspace, load_config(overrides={"stylegan.network": str(network), "seed": 3}))
    result = later.generate(2, source="stylegan2")
    assert result.path is not None
    assert [row["seed"] for row in rows_of(result.path)] == [str(3 << 20), str((3 << 20) + 1)]
    with pytest.raises(GanferError, match=r"4294967296 is above 4294967295"):
        with_network(project, network).generate(source="stylegan2", seeds=[4294967296])
    with pytest.raises(GanferError, match="--seeds names every face"):
        with_network(project, network).generate(3, source="stylegan2", seeds=[1])


def test_a_png_is_drawn_again_from_what_it_says(project: Project, network: Path) -> None:
    result = with_network(project, network, noise="random", mix_seeds="90-92", mix_layers="4-").generate(
        4, source="stylegan2"
    )
    assert result.path is not None
    source = network_source("stylegan2", with_network(project, network, noise="random", mix_seeds="90-92",
                                                      mix_layers="4-").config)  # fmt: skip
    generator = source.open("cpu", 16, 1)
    for row in rows_of(result.path):
        path = result.path / row["file_name"]
        assert np.array_equal(redraw(path, generator)[0], pixels(path))
    with pytest.raises(GanferError, match="was drawn with noise random, not const"):
        redraw(path, open_stylegan2(network, "cpu", size=16, channels=1))


def test_an_image_depends_on_its_seed_alone(network: Path) -> None:
    generator = open_stylegan2(network, "cpu", size=16, channels=3, mix_seeds="5,6,7", mix_layers="2-3")
    assert isinstance(generator, Generator)
    generator.chunk = 3
    seeds = np.arange(8)
    whole = generator.sample(seeds)
    assert np.array_equal(generator.sample(seeds[::-1]), whole[::-1])
    loaded = load_generator(network)
    mixed = mix_styles(loaded, [4], [[5, 6, 7][4 % 3]], [2, 3])
    assert np.array_equal(whole[4], face_crop(mixed, 16, 3, box=None)[0].numpy())


def test_conditional_networks_need_to_know_their_classes(project: Project, tmp_path: Path) -> None:
    file = write_nvidia_torch(tiny_generator(tiny_config(16, c_dim=3)), tmp_path / "c.pkl")
    cases = [
        ({}, "3 classes that its file does not name.*--network-classes"),
        ({"classes": "angry,happy"}, "names 2 classes, .* has 3"),
        ({"classes": "angry,happy,angry"}, "names a class twice"),
        ({"classes": "angry,happy,sad", "class_index": 1}, "contradict"),
        ({"class_index": 3}, "has the classes 0..2"),
    ]
    for settings, message in cases:
        with pytest.raises(GanferError, match=message):
            with_network(project, file, **settings).generate(3, source="stylegan2")
    named = with_network(project, file, classes="Sad,happy,angry").generate(
        classes={"sad": 2, "angry": 1}, source="stylegan2"
    )
    assert named.path is not None
    assert [row["asked"] for row in rows_of(named.path)] == ["angry", "sad", "sad"]
    drawn = load_generator(file).sample([0, 1, 2], [2, 0, 0])
    files = [named.path / row["file_name"] for row in rows_of(named.path)]
    assert np.array_equal(np.stack([pixels(f) for f in files]), face_crop(drawn, 16, 1, box=None)[:, 0].numpy())
    one = with_network(project, file, class_index=1).generate(2, source="stylegan2")
    assert one.path is not None
    assert read_facts(one.path / rows_of(one.path)[0]["file_name"])["class_index"] == "1"
    with pytest.raises(GanferError, match="--seeds draws from a generator without classes"):
        with_network(project, file, classes="sad,happy,angry").generate(source="stylegan2", seeds=[1])
    with pytest.raises(GanferError, match="has no class 'happy'. Known: sad, fear, angry"):
        with_network(project, file, classes="sad,fear,angry").generate(classes={"happy": 2}, source="stylegan2")


def test_an_unconditional_network_has_no_classes(project: Project, network: Path) -> None:
    with pytest.raises(GanferError, match="is unconditional.*--balance steers"):
        with_network(project, network, class_index=0).generate(3, source="stylegan2")


class Eye:
    """A detector that finds one face in bright pictures and none in dark ones."""

    name = "eye"

    def detect(self, image: np.ndarray) -> list:
        from ganfer.live.detect import Face

        side = image.shape[0]
        small = Face((0, 0, side / 4, side / 4), None, 0.9)
        large = Face((side / 4, side / 4, side / 2, side / 2), None, 0.8)
        return [small, large] if image.mean() > 100 else []


def test_the_largest_face_is_cut_out_where_one_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ganfer.live.detect.open_detector", lambda kind, model: Eye())
    images = torch.full((2, 3, 64, 64), 90, dtype=torch.uint8)
    images[0, :, 16:48, 16:48] = 250
    images[1] = 20
    framing = Framing(16, 1, "detect")
    cut = framing.hard(images)
    assert cut.shape == (2, 1, 16, 16)
    assert cut[0].float().mean() > 210 > face_crop(images[:1], 16, 1).float().mean()  # the large box, and little around
    assert torch.equal(cut[1:], face_crop(images[1:], 16, 1))
    assert (framing.missed, framing.seen) == (1, 2)
    generator = StyleganGenerator(tiny_generator(), "d")
    generator.framing = framing
    assert generator.notes() == ["In 1 of 2 images the detector found no face; they were cut as FFHQ aligns faces."]


def test_a_real_detector_cuts_faces_out(shared: Path) -> None:
    """YuNet on a drawn face off the centre: found, and brought to where the eyes of a crop are."""
    from ganfer.data.drawn import draw_faces

    face = draw_faces([3], [3], size=96, channels=3)[0]
    photo = np.full((3, 256, 256), 128, np.uint8)
    photo[:, 20:116, 130:226] = face
    framing = Framing(48, 1, "detect", str(shared / "models" / "face_detection_yunet_2026may.onnx"))
    cut = framing.hard(torch.from_numpy(photo)[None])
    if framing.missed:
        pytest.skip("this YuNet does not see the drawn face")
    assert cut.float().std() > 20  # not the even grey of the middle
    assert face_crop(torch.from_numpy(photo)[None], 48, 1)[0].float().std() < cut.float().std()


def test_what_photographs_are_is_guessed_by_size_and_said_in_the_record(project: Project, tmp_path: Path) -> None:
    large = write_rosinality(tiny_generator(tiny_config(128, channel_base=512)), tmp_path / "big.pt")
    source = network_source("stylegan2", with_network(project, large).config)
    assert source.settings["face_crop"] == "aligned"
    small = write_rosinality(tiny_generator(tiny_config(16)), tmp_path / "small.pt")
    assert network_source("stylegan2", with_network(project, small).config).settings["face_crop"] == "none"


@pytest.mark.parametrize("name", ["ffhq-265", "missing.pkl", "sub/missing"])
def test_a_name_that_is_none_is_refused_by_the_plan_too(project: Project, name: str) -> None:
    for dry_run in (True, False):
        with pytest.raises(BridgeError, match=f"{name}.* (neither a file|does not exist)"):
            with_network(project, Path(name)).generate(3, source="stylegan2", dry_run=dry_run)


def run(*arguments: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["ganfer", "generate", "-w", "work", *arguments])
    with pytest.raises(SystemExit) as done:
        main_module.main()
    return (int(done.value.code or 0), *capsys.readouterr())


def test_the_command_line(
    project: Project, network: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = ("--source", "stylegan2", "--network", str(network), "--seeds", "2-4", "--truncation-psi", "0.5")
    code, out, _ = run(*given, "--dry-run", monkeypatch=monkeypatch, capsys=capsys)
    assert (code, "generate 3 faces" in out) == (0, True)
    assert not list(project.workspace.root.glob("synthetic/*"))
    code, out, err = run(*given, "--json", monkeypatch=monkeypatch, capsys=capsys)
    assert code == 0, err
    assert json.loads(out)["count"] == 3
    plan = run("--source", "stylegan2", "--network", "ffhq-256", "--n", "9", "--dry-run",
               monkeypatch=monkeypatch, capsys=capsys)[1]  # fmt: skip
    assert "download ffhq-256: faces at 256 px (NVIDIA Source Code License" in plan
    plan = run("--source", "stylegan2", "--network", str(network), "--to", "70", "--dry-run",
               monkeypatch=monkeypatch, capsys=capsys)[1]  # fmt: skip
    for words in ("train the classifier", "train the independent judge", "steer the generator", "sad"):
        assert words in plan


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--network", "ffhq-265"), "'ffhq-265' is neither a file nor a known network; did you mean ffhq-256"),
        (("--network", "missing.pkl"), "missing.pkl does not exist"),
        (("--network", "notes.pkl"), "notes.pkl: is of an unknown format, not a network"),
        (("--network", "ftp://x/y.pkl"), "only http and https"),
        ((), "needs a network"),
        (("--network", "faces.pkl", "--seeds", "5-2"), "'5-2' is outside"),
        (("--network", "faces.pkl", "--seeds", "a"), "'a' is not a number or range"),
        (("--network", "faces.pkl", "--mix-seeds", "1", "--mix-layers", "40"), "--mix-layers '40'"),
        (("--network", "faces.pkl", "--face-crop", "detect", "--detector-model", "no.onnx"), "no.onnx is no file"),
        (("--network", "faces.pkl", "--truncation-psi", "9"), "stylegan.truncation_psi = 9"),
    ],
)
def test_bad_requests_are_one_line_before_any_work(
    project: Project, network: Path, arguments: tuple[str, ...], message: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    Path("notes.pkl").write_text("shopping list")
    code, out, err = run("--source", "stylegan2", *arguments, monkeypatch=monkeypatch, capsys=capsys)
    assert (code, out) == (1, "")
    assert message in err.splitlines()[-1]
    assert "Traceback" not in err
    assert not list(project.workspace.root.glob("synthetic/*/images/*"))


def test_generators_of_other_packages(project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """An entry point's function opens a file; its images enter the workspace as any other's."""

    class Grey:
        name, class_names, digest = "grey", None, "g" * 64

        def __init__(self, size: int = 16, channels: int = 1) -> None:
            self.size, self.channels = size, channels

        def sample(self, seeds: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
            shape = (len(seeds), self.channels, self.size, self.size)
            return np.broadcast_to(np.asarray(seeds, np.uint8)[:, None, None, None], shape).copy()

    class Point:
        name = "grey"

        def load(self):
            return lambda path, device, **options: Grey(**options)

    monkeypatch.setattr("ganfer.gan.generator.entry_points", lambda group: [Point()])
    (tmp_path / "grey.bin").write_bytes(b"x")
    result = with_network(project, tmp_path / "grey.bin").generate(3, source="grey")
    assert result.path is not None
    assert [int(pixels(result.path / row["file_name"]).max()) for row in rows_of(result.path)] == [0, 1, 2]
    with pytest.raises(GanferError, match="No generator 'gray'.*'grey'"):
        open_generator("gray", tmp_path)
    with pytest.raises(GanferError, match="has no latent space"):
        from ganfer.generate.spaces import latent_space

        latent_space(open_generator("grey", tmp_path / "grey.bin", size=16, channels=1))
    del Grey.sample
    with pytest.raises(GanferError, match="Grey is no generator: it has no sample"):
        open_generator("grey", tmp_path / "grey.bin")


def test_the_latent_space_is_cut_as_the_faces_are(network: Path) -> None:
    generator = open_stylegan2(network, "cpu", size=16, channels=1, truncation_psi=0.7, face_crop="aligned")
    space = generator.latent_space()
    codes = space.codes([3, 8])
    hard = space.final(codes)
    assert np.array_equal(hard.numpy(), generator.sample(np.array([3, 8])))
    soft = space.images(codes.clone().requires_grad_())
    assert (soft.detach() - hard).abs().max() <= 2.5  # rounded twice in the one, not in the other
    soft.sum().backward()
    conditional = StyleganGenerator(tiny_generator(tiny_config(16, c_dim=2)), "d", classes="sad,happy")
    chosen = conditional.latent_space(1)
    assert np.array_equal(chosen.final(chosen.codes([5])).numpy(), conditional.sample(np.array([5]), np.array([1])))


def test_a_stylegan_is_steered_to_the_classes(project: Project, network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Dark, middling and bright faces, of a network that knows no classes; PNGs are drawn again from their codes."""
    from torch import nn

    import ganfer.generate.steer as steering

    generator = open_stylegan2(network, "cpu", size=16, channels=1)
    levels = torch.from_numpy(generator.sample(np.arange(100))).float().mean(dim=(1, 2, 3))
    centre, spread = levels.mean(), levels.std()

    class Level:
        temperature, device, digest, card = 1.0, torch.device("cpu"), "c", {"config": {"sampler": "balanced"}}
        class_names = ("angry", "happy", "sad")

        def __init__(self) -> None:
            self.model = nn.Module()
            self.model.forward = lambda images: self.soft(images * 255)  # type: ignore[method-assign]

        def soft(self, images: torch.Tensor) -> torch.Tensor:
            level = (images.float().mean(dim=(1, 2, 3)) - centre) / spread
            return torch.stack([-level - 1.2, torch.zeros_like(level), level - 1.2], dim=1) * 4

        def logits(self, images: np.ndarray) -> np.ndarray:
            return self.soft(torch.from_numpy(images)).numpy()

    monkeypatch.setattr(steering, "open_classifier", lambda *given: Level())
    monkeypatch.setattr(Needs, "classifier", lambda self: Run(Path("guide")))
    monkeypatch.setattr(Needs, "judge", lambda self: Run(Path("judge")))
    with_steering = Project(
        project.workspace,
        load_config(overrides={"device": "cpu", "stylegan.network": str(network), "steering.diversity": 0.3}),
    )
    result = with_steering.generate(classes={"angry": 6, "happy": 6, "sad": 6}, source="stylegan2")
    assert result.figures["per_class"] == {"angry": 6, "happy": 6, "sad": 6}
    assert result.path is not None
    for row in rows_of(result.path)[::5]:
        path = result.path / row["file_name"]
        assert read_facts(path)["face_crop"] == "none"
        assert np.array_equal(redraw(path, generator)[0], pixels(path))
    mixing = with_network(project, network, mix_seeds="1-3", mix_layers="2-")
    with pytest.raises(GanferError, match="is of faces drawn by their seeds; steered"):
        mixing.generate(classes={"angry": 6}, source="stylegan2")


def broken_networks(folder: Path) -> dict[str, tuple[Path, str]]:
    """Files that are no network to draw with, and what is said of each."""
    good = write_nvidia_torch(tiny_generator(tiny_config(16)), folder / "good.pkl").read_bytes()
    nan = tiny_generator(tiny_config(16))
    nan.synthesis.blocks[1].conv1.weight.data[0, 0] = float("nan")
    files: dict[str, tuple[Path, str]] = {}
    for name, content, words in (
        ("empty", b"", "is empty"),
        ("truncated", good[: len(good) // 2], "truncated.pkl: "),
        ("page", b"<html>404</html>", "is a web page"),
        ("picture", b"\x89PNG\r\n\x1a\n" + bytes(40), "is a PNG image"),
    ):
        (folder / f"{name}.pkl").write_bytes(content)
        files[name] = (folder / f"{name}.pkl", words)
    files["nan"] = (write_nvidia_torch(nan, folder / "nan.pkl"), "nan.pkl: ")
    files["discriminator"] = (
        write_nvidia_torch(tiny_generator(tiny_config(16)), folder / "d.pkl", key="D_only"),
        "d.pkl: ",
    )
    files["folder"] = (folder, "is a folder")
    return files


def test_a_network_that_cannot_be_used_is_one_line_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "files").mkdir()
    for name, (file, words) in broken_networks(tmp_path / "files").items():
        for how in (("--n", "3"), ("--balance",), ("--n", "3", "--dry-run")):
            code, out, err = run("--source", "stylegan2", "--network", str(file), *how,
                                 monkeypatch=monkeypatch, capsys=capsys)  # fmt: skip
            assert (code, out, len(err.splitlines())) == (1, "", 1), (name, err)
            assert words in err, name
    assert not Path("work").exists()

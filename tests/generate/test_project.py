"""`ganfer stylegan project`: codes, drawings and a page; batches that resume; what cannot be inverted is said."""

import json
from pathlib import Path

import numpy as np
import pytest
from bridge_checkpoints import tiny_config, tiny_generator, write_nvidia_torch
from click.testing import CliRunner
from PIL import Image

from ganfer.cli.main import cli
from ganfer.config import load_config
from ganfer.data.provenance import read_facts
from ganfer.errors import DataError, GanferError
from ganfer.gan.networks import NetworkSpec, build_generator
from ganfer.gan.sampling import save_generator
from ganfer.generate import project as stage
from ganfer.pipeline import Project
from ganfer.workspace import Workspace
from stylegan_bridge import StyleSpace


@pytest.fixture
def network(tmp_path: Path) -> Path:
    return write_nvidia_torch(tiny_generator(tiny_config(16, mapping_lr_multiplier=0.01)), tmp_path / "faces.pkl")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Three faces that the network itself drew."""
    space = StyleSpace(tiny_generator(tiny_config(16, mapping_lr_multiplier=0.01)))
    folder = tmp_path / "photos"
    folder.mkdir()
    for i, image in enumerate(space.final(space.codes([7000, 7001, 7002])).numpy()):
        Image.fromarray(image.transpose(1, 2, 0)).save(folder / f"{i}.png")
    return folder


def project_of(network: Path, **changes: object) -> Project:
    values = {"device": "cpu", "stylegan.network": str(network), "projection.steps": 20, "projection.batch": 2}
    return Project(Workspace("work"), load_config(None, values | {n.replace("__", "."): v for n, v in changes.items()}))


def test_codes_drawings_and_a_page_are_written(network, images):
    result = project_of(network, projection__steps=60).project([images])
    stored = np.load(result.path / "latents.npz")
    assert stored["w"].shape == (3, 6, 10)
    assert [Path(str(name)).name for name in stored["files"]] == ["0.png", "1.png", "2.png"]
    assert result.figures["mean_distance"] < 0.5 * result.figures["plain_distance"]
    drawings = sorted((result.path / "images").glob("*.png"))
    assert [read_facts(path)["projected_from"] for path in drawings] == ["0.png", "1.png", "2.png"]
    page = (result.path / "index.html").read_text()
    assert page.count("data:image/png;base64,") == 6
    assert not (result.path / "parts").exists()


def test_an_interrupted_search_ends_with_the_same_codes(network, images, monkeypatch):
    straight = np.load(project_of(network).project([images]).path / "latents.npz")["w"]
    Path("work").rename("elsewhere")
    written = stage.write_bytes

    def killed(path: Path, data: bytes) -> None:
        written(path, data)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(stage, "write_bytes", killed)
        with pytest.raises(KeyboardInterrupt):
            project_of(network).project([images])
    (run,) = Workspace("work").runs("projections")
    assert [path.name for path in (run.path / "parts").iterdir()] == ["00000000.npz"]
    before = (run.path / "parts" / "00000000.npz").stat().st_mtime_ns
    with monkeypatch.context() as patch:
        patch.setattr(stage.Path, "unlink", lambda self, missing_ok=False: None)
        patch.setattr(stage.Path, "rmdir", lambda self: None)
        again = project_of(network).project([images])
    assert (run.path / "parts" / "00000000.npz").stat().st_mtime_ns == before
    assert np.array_equal(np.load(again.path / "latents.npz")["w"], straight)


def test_one_of_ganfer_s_own_gans_gives_its_z(tmp_path, images):
    spec = NetworkSpec("dcgan", 16, 1, 2, latent_dim=8, base_channels=4)
    folder = tmp_path / "own"
    folder.mkdir()
    save_generator(folder, build_generator(spec).state_dict(), spec, ("angry", "happy"), {})
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "face.png")
    project = project_of(Path(), stylegan__network="")
    result = project.project([tmp_path / "face.png", tmp_path / "face.png"], gan=str(folder), of_class="Happy")
    assert np.load(result.path / "latents.npz")["z"].shape == (1, 1, 8)  # a file that is given twice is one
    for of_class, words in ((None, "its classes are angry, happy"), ("sad", "its classes are angry, happy")):
        with pytest.raises(GanferError, match=words):
            project.project([tmp_path / "face.png"], gan=str(folder), of_class=of_class)
    for setting in ({"stylegan__class_index": 2}, {"stylegan__network": "x.pkl"}):
        with pytest.raises(GanferError, match="and --gan names one of ganfer's own"):
            project_of(Path(), **({"stylegan__network": ""} | setting)).project(
                [tmp_path / "face.png"], gan=str(folder)
            )
    with pytest.raises(GanferError, match="noise images"):
        project_of(Path(""), projection__noise=True).project([tmp_path / "face.png"], gan=str(folder), of_class="happy")


def test_what_cannot_be_inverted_is_said_before_any_work(network, images, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG no more")
    with pytest.raises(DataError, match=r"nowhere\.png is not there"):
        project_of(network).project([tmp_path / "nowhere.png"])
    with pytest.raises(DataError, match=r"broken\.png"):
        project_of(network).project([images, broken])
    with pytest.raises(GanferError, match="--class is of ganfer's own GANs"):
        project_of(network).project([images], of_class="happy")
    conditional = write_nvidia_torch(tiny_generator(tiny_config(16, c_dim=2)), tmp_path / "classes.pkl")
    with pytest.raises(GanferError, match=r"choose class_index.*--network-class"):
        project_of(conditional).project([images])
    assert not Workspace("work").runs("projections")


def test_the_command_and_its_plan(network, images):
    arguments = ["stylegan", "project", str(images), "--network", str(network), "--steps", "5", "--json"]
    plan = json.loads(CliRunner().invoke(cli, [*arguments, "--dry-run"]).stdout)["plan"]
    assert plan == ["invert 3 images into faces at 16 pixels: 5 steps for each 8 of them, 5 in all"]
    done = CliRunner().invoke(cli, arguments)
    assert json.loads(done.stdout)["count"] == 3

"""Drawing: an image is its seed, its label and its network; a batch says how it was made and survives anything."""

import copy
import csv
import errno
import json
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from gan_tiny import NAMES, TINY, store, tiny_set
from PIL import Image

import ganfer.generate.draw as generation
from ganfer.config import load_config
from ganfer.data.provenance import is_synthetic, read_facts, write_png
from ganfer.errors import DataError, GanferError
from ganfer.gan.generator import Generator, open_generator
from ganfer.gan.networks import NetworkSpec, build_generator
from ganfer.gan.sampling import FILE, GanGenerator, open_gan, save_generator
from ganfer.generate.draw import Quota, generate, plan_counts
from ganfer.generate.redraw import redraw
from ganfer.workspace import Run
from stylegan_bridge.graphs import Replayed

SPEC = NetworkSpec("dcgan", 48, 1, len(NAMES), latent_dim=100, base_channels=16)


def lively_network(spec: NetworkSpec = SPEC) -> torch.nn.Module:
    """An untrained network whose images differ by latent and by class."""
    torch.manual_seed(0)
    network = build_generator(spec).eval()
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if "by_class" in name:
                parameter.normal_()
            elif parameter.dim() > 1:
                parameter.mul_(4)
    return network


@pytest.fixture
def gan_folder(tmp_path: Path) -> Path:
    save_generator(tmp_path, lively_network().state_dict(), SPEC, NAMES, {"seed": 0})
    return tmp_path


@pytest.fixture
def gan(workspace, data) -> Run:
    """A finished GAN run with an untrained network."""
    run = workspace.run("gans", "dcgan", {"inputs": {"data": data.digest}})
    with run.work("train gan"):
        digest = save_generator(run.path, lively_network().state_dict(), SPEC, NAMES, {"seed": 0})
        run.finish(digest=digest, figures={})
    return run


def files_of(folder: Path) -> dict[str, bytes]:
    names = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {
        str(path.relative_to(folder)): path.read_bytes() for path in names if path.name not in (".lock", "record.json")
    }


def pixels_of(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


# --- the generator --------------------------------------------------------------------------------------------------


def test_an_image_is_its_seed_and_label_whatever_the_batch_order_or_threads():
    generator = GanGenerator(lively_network(), SPEC, NAMES)
    seeds, labels = np.arange(70), np.arange(70) % 3
    expected = generator.sample(seeds, labels)
    assert len({image.tobytes() for image in expected}) == 70
    order = np.random.default_rng(0).permutation(70)
    assert np.array_equal(generator.sample(seeds[order], labels[order]), expected[order])
    one_by_one = [generator.sample(seeds[i : i + 1], labels[i : i + 1])[0] for i in range(0, 70, 9)]
    assert np.array_equal(np.stack(one_by_one), expected[::9])
    for threads in (2, 3, 5):
        torch.set_num_threads(threads)
        assert np.array_equal(generator.sample(seeds, labels), expected)
        assert torch.get_num_threads() == threads


def test_on_a_processor_several_passes_run_side_by_side(monkeypatch: pytest.MonkeyPatch) -> None:
    generator, together = GanGenerator(lively_network(), SPEC, NAMES), threading.Barrier(2, timeout=60)
    render = generator.render

    def meeting(z: torch.Tensor, labels: torch.Tensor | None) -> torch.Tensor:
        together.wait()  # neither of the two passes ends alone
        return render(z, labels)

    monkeypatch.setattr(generator, "render", meeting)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(torch, "set_num_threads", lambda number: None)
    assert len(generator.sample(np.arange(64), np.arange(64) % 3)) == 64


class Refusing(Replayed):
    """Of a network that cannot be recorded."""

    def __call__(self, *_: object) -> torch.Tensor:
        raise torch.AcceleratorError("CUDA error: operation not permitted when stream is capturing\nand more")


def test_a_drawing_that_cannot_be_recorded_runs_plainly(caplog: pytest.LogCaptureFixture) -> None:
    generator = GanGenerator(lively_network(), SPEC, NAMES)
    expected = generator.sample(np.arange(5), np.arange(5) % 3)
    generator.plain_passes, generator._replayed = 0, Refusing()
    assert np.array_equal(generator.sample(np.arange(5), np.arange(5) % 3), expected)
    assert generator.plain_passes == -1
    assert "cannot be recorded (CUDA error: operation not permitted when stream is capturing): it runs" in caplog.text
    again = pickle.loads(pickle.dumps(copy.deepcopy(generator)))
    assert np.array_equal(again.sample(np.arange(5), np.arange(5) % 3), expected)


def test_the_label_changes_the_face_and_truncation_calms_it():
    generator = GanGenerator(lively_network(), SPEC, NAMES)
    seeds = np.arange(16)
    angry, happy = (generator.sample(seeds, np.full(16, label)) for label in (0, 2))
    assert not np.array_equal(angry, happy)
    calm = GanGenerator(lively_network(), SPEC, NAMES, truncation=0.1).sample(seeds, np.zeros(16))
    assert calm.astype(float).std(axis=0).mean() < 0.6 * angry.astype(float).std(axis=0).mean()


def test_a_saved_generator_draws_the_same(gan_folder):
    generator = open_gan(gan_folder, "cpu")
    assert isinstance(generator, Generator)
    expected = GanGenerator(lively_network(), SPEC, NAMES).sample(np.arange(3), np.arange(3))
    assert np.array_equal(generator.sample(np.arange(3), np.arange(3)), expected)
    assert np.array_equal(
        open_generator("dcgan", gan_folder / FILE, "cpu").sample(np.arange(3), np.arange(3)), expected
    )
    card = json.loads((gan_folder / "card.json").read_text())
    assert (card["digest"], tuple(card["class_names"]), card["spec"]["size"]) == (generator.digest, NAMES, 48)


def test_opening_leaves_the_callers_random_numbers_alone(gan_folder):
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    open_gan(gan_folder, "cpu")
    assert torch.equal(torch.rand(2), expected)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (None, "needs one per seed"),
        ([0, 1], "needs one per seed"),
        ([0, 1, 3], "Label 3.*0..2"),
        ([0, -1, 1], "Label -1"),
    ],
)
def test_labels_that_do_not_fit_are_one_line(labels, message):
    generator = GanGenerator(lively_network(), SPEC, NAMES)
    with pytest.raises(GanferError, match=message):
        generator.sample(np.arange(3), None if labels is None else np.array(labels))


def test_files_that_are_no_generator_are_one_line(tmp_path, gan_folder):
    with pytest.raises(GanferError, match="no such generator.*ganfer train gan"):
        open_gan(tmp_path / "nowhere", "cpu")
    whole = (gan_folder / FILE).read_bytes()
    for content, message in [
        (b"not safetensors at all", "damaged"),
        (whole[: len(whole) // 2], "damaged"),
        (whole[:-400] + bytes(400), "do not match their digest"),
    ]:
        (tmp_path / "bad.safetensors").write_bytes(content)
        with pytest.raises(GanferError, match=message):
            open_gan(tmp_path / "bad.safetensors", "cpu")
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(GanferError, match="not a generator of ganfer"):
        open_gan(tmp_path / "other.safetensors", "cpu")
    with pytest.raises(GanferError, match="No generator 'dcgam'.*'dcgan'"):
        open_generator("dcgam", gan_folder)


# --- a batch on disk ------------------------------------------------------------------------------------------------

QUOTA = Quota({"angry": 5, "happy": 30}, dict.fromkeys(NAMES, 30))


def test_a_batch_says_how_it_was_made(workspace, data, gan, make_config):
    result = generate(workspace, make_config(seed=7), gan, data, QUOTA)
    folder = result.path
    assert result.figures["per_class"] == {"angry": 5, "happy": 30}
    with (folder / "metadata.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0])[:2] == ["file_name", "asked"]
    assert [row["asked"] for row in rows] == ["angry"] * 5 + ["happy"] * 30
    assert len({row["seed"] for row in rows}) == 35
    generator = open_gan(gan.path, "cpu")
    for row in rows[::6]:
        path = folder / row["file_name"]
        facts = read_facts(path)
        assert is_synthetic(path)
        assert (facts["class"], facts["seed"], facts["generator"]) == (row["asked"], row["seed"], gan.digest)
        assert np.array_equal(redraw(path, generator)[0], pixels_of(path))
    assert pixels_of(folder / "contact.png").shape[1] > 400
    assert "already" in str(generate(workspace, make_config(seed=7), gan, data, QUOTA))
    assert workspace.latest("synthetic", data=data.digest, gan=gan.digest).path == folder
    assert generate(workspace, make_config(seed=8), gan, data, QUOTA).path != folder


def test_redraw_refuses_what_it_cannot_draw(workspace, data, gan, make_config, tmp_path):
    folder = generate(workspace, make_config(), gan, data, QUOTA).path
    path = next((folder / "images").iterdir())
    with pytest.raises(DataError, match="truncation 0.0, not 0.5"):
        redraw(path, open_gan(gan.path, "cpu", truncation=0.5))
    torch.manual_seed(1)
    other = GanGenerator(build_generator(SPEC), SPEC, NAMES, digest="f" * 64)
    with pytest.raises(DataError, match="not ffffffffffff"):
        redraw(path, other)
    Image.new("L", (48, 48)).save(tmp_path / "photo.png")
    with pytest.raises(DataError, match="does not say"):
        redraw(tmp_path / "photo.png", other)


def test_an_unconditional_generator_leaves_the_class_open(workspace, data, make_config):
    spec = NetworkSpec("dcgan", 32, 3, 0, latent_dim=8, base_channels=4)
    run = workspace.run("gans", "plain", {})
    with run.work("train gan"):
        run.finish(digest=save_generator(run.path, build_generator(spec).state_dict(), spec, None, {}), figures={})
    folder = generate(workspace, make_config(), run, data, QUOTA).path
    names = sorted(path.name for path in (folder / "images").iterdir())
    assert len(names) == 35
    assert names[0] == "face-0000000.png"
    assert read_facts(folder / "images" / names[0])["class"] == ""
    assert pixels_of(folder / "images" / names[0]).shape == (32, 32, 3)


def test_a_class_the_generator_does_not_know_is_one_line(workspace, data, gan, make_config):
    with pytest.raises(GanferError, match="has no class 'contempt'"):
        generate(workspace, make_config(), gan, data, Quota({"contempt": 2}, {}))


def test_counts_come_from_the_real_training_images(workspace, make_config):
    images = tiny_set({"angry": 20, "fear": 10})
    images.split[:5], images.source[5:8] = "val", "synthetic"
    data = store(workspace, images)
    assert plan_counts(data, make_config(), balance=True).counts == {"fear": 2}
    assert plan_counts(data, make_config(generate__n=6)).counts == {"angry": 3, "fear": 3}


@pytest.fixture
def uninterrupted(tmp_path, data, gan, make_config):
    """The files of the same batch, drawn elsewhere without interruption."""
    from ganfer.workspace import Workspace

    return files_of(generate(Workspace(tmp_path / "elsewhere"), make_config(), gan, data, QUOTA).path)


def test_a_full_disk_leaves_whole_files_only_and_the_same_command_goes_on(
    workspace, data, gan, make_config, uninterrupted, monkeypatch
):
    monkeypatch.setattr(generation, "_CHUNK", 8)
    written = []

    def full(path, image, facts):
        if len(written) >= 10:
            path.with_name(f".{path.name}.tmp").write_bytes(b"half")
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        written.append(path)
        write_png(path, image, facts)

    with monkeypatch.context() as patch:
        patch.setattr(generation, "write_png", full)
        with pytest.raises(OSError, match="No space left"):
            generate(workspace, make_config(), gan, data, QUOTA)
    (run,) = workspace.runs("synthetic")
    names = sorted(path.name for path in (run.path / "images").iterdir())
    assert names == sorted(path.name for path in written)
    assert not run.complete
    result = generate(workspace, make_config(), gan, data, QUOTA)
    assert result.figures["resumed_with"] == 10
    assert files_of(result.path) == uninterrupted


def test_a_file_cut_short_by_a_power_cut_is_drawn_again(workspace, data, gan, make_config, uninterrupted, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(generation, "write_csv", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            generate(workspace, make_config(), gan, data, QUOTA)
    (run,) = workspace.runs("synthetic")
    short, empty, gone = sorted((run.path / "images").iterdir())[:3]
    short.write_bytes(short.read_bytes()[:-5])
    empty.write_bytes(b"")
    gone.unlink()
    result = generate(workspace, make_config(), gan, data, QUOTA)
    assert result.figures["resumed_with"] == 32
    assert files_of(result.path) == uninterrupted


CHILD = """
import json, sys, time, torch
torch.set_num_threads(1)
import ganfer.generate.draw as generation
from ganfer.config import load_config
from ganfer.workspace import Workspace
write = generation.write_png
def slowly(*given):
    time.sleep(0.05)
    write(*given)
generation.write_png, generation._CHUNK = slowly, 8
workspace = Workspace(sys.argv[1])
quota = generation.Quota({"angry": 5, "happy": 30}, {})
config = load_config(None, json.loads(sys.argv[2]))
generation.generate(workspace, config, workspace.latest("gans"), workspace.active_data, quota)
"""


def test_kill_9_and_the_same_command_again(workspace, data, gan, make_config, uninterrupted, child_environment):
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(workspace.root), json.dumps(TINY)],
        env=child_environment, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    deadline = time.monotonic() + 100
    while len(list(workspace.root.glob("synthetic/*/images/*.png"))) < 4:
        assert child.poll() is None, child.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.005)
    child.send_signal(signal.SIGKILL)
    child.communicate()
    result = generate(workspace, load_config(None, TINY), gan, data, QUOTA)
    assert 4 <= result.figures["resumed_with"] < 35
    assert files_of(result.path) == uninterrupted

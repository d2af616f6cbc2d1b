"""A wrong word is said before data is drawn or anything is trained: every command in an empty folder, in a second or
two; and the common options stand before the command as well as behind it."""

import errno
import os
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner

from classifiers.errors import ClassifierError
from ganfer.cli.main import _file_system_line, cli
from ganfer.config import load_config
from ganfer.errors import GanferError
from ganfer.tune.space import load_space
from ganfer.tune.study import _missing_driver

WRONG = {
    "label nowhere": "nowhere is not a folder",
    "label --classifier nowhere": "no finished classifiers",
    "label --set classifier.model=nope": "no model 'nope'",
    "evaluate nowhere": "nowhere is not a folder",
    "evaluate --thresholds nope=0.5": "names 'nope'",
    "explain nowhere.png": "nowhere.png is not a file",
    "explain empty.png": "is empty",
    "explain full.png --class nope": "class 'nope'",
    "export out.txt": "no name for an ONNX file",
    "quality --inception nowhere.pt": "--inception nowhere.pt is no file",
    "quality nobatch": "nobatch",
    "generate --class nope=5": "the class 'nope'",
    "generate --gan nope": "nope",
    "train classifier --model nope": "no model 'nope'",
    "train classifier --set classifier.pretrained=nowhere.pt": "nowhere.pt' is neither a file nor",
    "train classifier --from nowhere": "nowhere' is neither a file nor a classifier's folder",
    "retrain --pretrained nowhere": "retrain.pretrained = 'nowhere' is no classifier of ganfer's",
    "retrain --arms nope": "nope",
    "retrain --set classifier.model=nope": "no model 'nope'",
    "crossval --set classifier.model=nope": "no model 'nope'",
    "tune --search nope=1": "classifier.nope",
    "serve --certificate nowhere.pem": "--certificate nowhere.pem is no file",
    "serve --detector-model nowhere.onnx": "--detector-model nowhere.onnx is no file",
    "serve --detector-model junk.bin": "is no YuNet model",
    "serve --certificate junk.bin": "Give PEM files",
    "serve --key junk.bin": "--key without --certificate",
    "serve --token short": "token is not valid",
    "serve --host nowhere.invalid": "--host nowhere.invalid",
    "serve --host 203.0.113.9": "203.0.113.9, port 8501",
    "serve --port TAKEN": "port TAKEN: Address already in use",
    "serve --dry-run --port TAKEN": "port TAKEN: Address already in use",
    "serve --dry-run --host nowhere.invalid": "--host nowhere.invalid",
    "quality --inception junk.bin": "its SHA-256 is",
    "quality --lpips junk.bin": "junk.bin",
    "train gan --set gan.precision=fp16": "fp16 needs a CUDA GPU",
    "train gan --set gan.augment=nope": "gan.augment names 'nope'",
    "train gan --set data.size=50": "50×50",
    "train classifier --set classifier.pretrained=junk.bin": "junk.bin: can't be read as weights",
    "generate --set gan.augment=nope": "gan.augment names 'nope'",
    "generate --steer --class happy=2 --set steering.judge=nope": "no model 'nope'",
    "generate --steer --class happy=2 --set steering.layers=x": "steering.layers 'x'",
    "generate --class happy=2 --n 5": "goes with none of --n",
    "generate --class happy=0": "Every count given is 0",
    "generate --to 20": "every class has 20 real images or more",
    "generate --to 99999999999": "takes about",
    "generate --from-faces happy --to 20": "every class has 20 real images or more",
    "generate --from-faces nope --class sad=3": "the data has no class 'nope'",
    "generate --from-faces happy --class happy=3": "both a class to start from and one to fill",
    "generate --from-faces disgust --class happy=30": "there is no majority",
    "generate --from-faces happy --class sad=300000": "at most 4 times",
    "generate --seeds 0-3": "--seeds draws from a generator without classes",
    "generate --n 4 --mix-seeds 1-5": "--mix-seeds .* is of a StyleGAN2 network",
    "generate --n 4 --mix-layers 3-": "--mix-layers .* is of a StyleGAN2 network",
    "generate --n 4 --network ffhq-256": "--network .* is of a StyleGAN2 network",
    "generate --n 4 --truncation-psi 0.5": "--truncation-psi .* is of a StyleGAN2 network",
    "generate --n 4 --network-class 3": "--network-class .* is of a StyleGAN2 network",
    "generate --n 4 --network-classes a,b": "--network-classes .* is of a StyleGAN2 network",
    "generate --n 4 --face-crop detect": "--face-crop .* is of a StyleGAN2 network",
    "generate --n 4 --set stylegan.noise=random": "stylegan.noise is of a StyleGAN2 network",
    "generate --source stylegan2 --network ffhq-256 --gan x": "--gan names a GAN of the workspace",
    "generate --source stylegan2 --network ffhq-256 --truncation 1": "--truncation is of ganfer's own GANs",
    "generate --source stylegan2 --network ffhq-256 --mix-layers 3-": "--mix-layers without --mix-seeds",
    "generate --source stylegan2 --network ffhq-256 --detector-model x": "for --face-crop detect alone",
    "generate --source stylegan2 --network ffhq-256 --steer --class sad=2 --mix-seeds 1": "latents of their own",
    "generate --source stylegan2 --network ffhq-256 --seeds 5000000000 --dry-run": "above 4294967295",
    "generate --source stylegan2 --network cifar10 --network-classes a,b --class sad=2 --dry-run": "no class 'sad'",
    "generate --seed 4294967296": "at most 2000000000",
    "train gan --number 2 --seed 9223372036854775807": "at most 2000000000",
    "train gan --pool": "no data yet that a pool",
    "generate --set gan.pool=true": "no data yet that a pool",
    "retrain --batches 3": "there is no batch for the active data",
    "retrain --keep ensemble --seeds 1": "one seed",
    "retrain --batches 0": "there is no batch for the active data",
    "data add junk --rename a=b --rename A=c": "--rename gives a twice",
    "evaluate junk": "holds no usable image of",
    "export full.png/model.onnx": "is a file",
    "export there.onnx": "exists already",
    "export other.onnx": "is none of ganfer's",
    "retrain --batches nope": "'nope'",
    "tune --storage nonsense://x": "cannot be used",
    "tune --storage sqlite:///nowhere/x.db": "there is no folder",
    "tune --storage mysql://u@h/db": "needs the driver MySQLdb",
    "data thin --class nope=5": "class 'nope'",
    "data audit junk --out full.png/x": "--out full.png/x: full.png is a file",
    "data audit junk --out full.png/x --dry-run": "full.png is a file",
    "review --export full.png/x.csv": "--export full.png/x.csv: full.png is a file",
    "predict nowhere.png": "does not exist",
    "predict full.png --out full.png": "is a file",
    "predict full.png --log nowhere/full.png/../../full.png": "one of the files",
    "predict full.png --detector-model nowhere.onnx": "nowhere.onnx is no file",
    "timeline nowhere.csv": "nowhere.csv is not there",
    "timeline full.png --out full.png": "is a file",
}


@pytest.mark.parametrize("line", sorted(WRONG))
def test_a_wrong_word_is_said_before_any_work(line: str) -> None:
    from PIL import Image

    Path("empty.png").touch()
    Path("there.onnx").touch()
    Path("other.json").touch()
    Path("junk.bin").write_bytes(b"nothing" * 100)
    Path("junk").mkdir()
    Image.new("L", (48, 48)).save("full.png")
    Image.new("L", (48, 48)).save("junk/face.png")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        words = line.replace("TAKEN", port).split()
        with pytest.raises((GanferError, ClassifierError), match=WRONG[line].replace("TAKEN", port)) as failure:
            CliRunner().invoke(cli, [*words, "-w", "work", "--device", "cpu"], catch_exceptions=False)
    assert "\n" not in str(failure.value)
    assert not Path("work").exists()


DEVICES = ("data audit", "train gan", "train classifier", "generate", "label", "quality", "retrain", "demo", "evaluate",
           "crossval", "tune", "explain full.png", "export", "predict full.png", "serve")  # fmt: skip


@pytest.mark.parametrize("line", DEVICES)
def test_a_device_that_is_not_there_is_said_before_any_work(line: str) -> None:
    from PIL import Image

    Image.new("L", (48, 48)).save("full.png")
    with pytest.raises(GanferError, match="--device mps"):
        CliRunner().invoke(cli, [*line.split(), "-w", "work", "--device", "mps"], catch_exceptions=False)
    assert not Path("work").exists()


@pytest.mark.parametrize(
    "line",
    ["-w there status", "--workspace=there status", "-wthere status", "status -w there", "-w here status -w there"],
)
def test_common_options_stand_on_either_side(line: str) -> None:
    assert "workspace there" in CliRunner().invoke(cli, line.split(), catch_exceptions=False).output


def test_common_options_reach_the_command_of_a_group() -> None:
    for line in ("--dry-run -w there data stats", "data --dry-run -w there stats", "data stats -w there --dry-run"):
        said = CliRunner().invoke(cli, line.split(), catch_exceptions=False)
        assert "nothing was done" in said.output, line
    assert "Usage" in CliRunner().invoke(cli, ["-w", "there", "--help"], catch_exceptions=False).output
    assert CliRunner().invoke(cli, ["--nonsense", "status"]).exit_code == 2


@pytest.mark.parametrize("name", ["ENAMETOOLONG", "EEXIST", "ENOTDIR", "EISDIR", "ENOENT", "EACCES", "ENOSPC", "ELOOP"])
def test_a_file_systems_failures_are_a_line_that_names_the_file(name: str) -> None:
    number = getattr(errno, name)
    line = _file_system_line(OSError(number, os.strerror(number), "some/file"))
    assert line is not None
    assert "some/file" in line
    assert "\n" not in line


def test_an_input_that_may_not_be_read_is_not_the_workspaces_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.png").touch()
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    line = _file_system_line(PermissionError(errno.EACCES, "denied", str(tmp_path / "a.png")))
    assert line is not None
    assert "chmod u+r" in line
    output = _file_system_line(PermissionError(errno.EACCES, "denied", str(tmp_path / "new")))
    assert output is not None
    assert "--out DIR" in output


def test_none_is_a_word_where_the_setting_is_text() -> None:
    base = load_config().classifier
    space = load_space("default", ["augment=none,light", "dropout=none,0.2", "pretrained=none"], base)
    assert space.to_json()["search"]["augment"] == {"values": ("none", "light")}
    assert space.to_json()["search"]["dropout"] == {"values": (None, 0.2)}
    assert space.to_json()["search"]["pretrained"] == {"values": ("none",)}


def test_a_databases_driver_is_named_as_the_failed_import_names_it() -> None:
    outer = ImportError("Failed to import DB access module.")
    assert _missing_driver(outer, "postgresql://u@h/db") == "psycopg2"
    assert _missing_driver(outer, "postgresql+psycopg://u@h/db") == "psycopg"
    outer.__cause__ = ModuleNotFoundError("No module named 'MySQLdb'", name="MySQLdb")
    assert _missing_driver(outer, "mysql://u@h/db") == "MySQLdb"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("generate --class happy=3 --class Happy=4", "--class gives happy twice"),
        ("data thin --class happy=3 --class happy=4", "--class gives happy twice"),
        ("data add full.png --column image=a --column image=b", "--column gives image twice"),
    ],
)
def test_what_is_given_twice_is_not_half_taken(line: str, said: str) -> None:
    Path("full.png").touch()
    outcome = CliRunner().invoke(cli, [*line.split(), "-w", "work"])
    assert outcome.exit_code == 2
    assert said in outcome.output
    assert not Path("work").exists()

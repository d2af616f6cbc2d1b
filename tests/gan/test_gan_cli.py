"""`ganfer train gan` and `ganfer generate`: what reaches the pipeline, what the user sees."""

import json

import pytest
from click.testing import CliRunner
from gan_tiny import NAMES, TINY, store, tiny_set

from ganfer.cli.main import cli
from ganfer.errors import GanferError
from ganfer.workspace import Workspace

SETTINGS = [part for name, value in TINY.items() for part in ("--set", f"{name}={value}")]


@pytest.fixture
def run(workspace: Workspace, data):
    """Runs a command in the tiny workspace; returns its output."""

    def command(*arguments: str) -> str:
        result = CliRunner().invoke(cli, [*arguments, "-w", str(workspace.root), *SETTINGS], standalone_mode=False)
        if result.exception:
            raise result.exception
        return result.stdout

    return command


def test_train_then_generate_then_look(run, workspace):
    trained = json.loads(run("train", "gan", "--steps", "2", "--json"))
    assert trained["steps"] == 2
    made = json.loads(run("generate", "--class", "fear=3", "--class", "Happy=2", "--json"))
    assert made["per_class"] == {"fear": 3, "happy": 2}
    assert made["gan"] == workspace.latest("gans").name
    assert len(list((workspace.root / "synthetic").glob("*/images/*.png"))) == 5
    assert "already" in run("generate", "--class", "happy=2", "--class", "fear=3")
    named = json.loads(run("generate", "--n", "4", "--gan", made["gan"][:7], "--json"))
    assert named["per_class"] == {"angry": 2, "fear": 1, "happy": 1}


def test_unconditional_is_the_classic_one_and_keeps_what_was_set(run):
    trained = json.loads(run("train", "gan", "--unconditional", "--steps", "1", "--augment", "translation", "--json"))
    card = _card(trained["path"])
    assert card["class_names"] is None
    settings = card["config"]
    assert (settings["regulariser"], settings["batch_size"], settings["augment"]) == ("none", 8, "translation")


def _card(path: str) -> dict:
    with open(f"{path}/card.json", encoding="utf-8") as file:
        return json.load(file)


def test_dry_runs_show_the_plan_and_make_nothing(run, workspace):
    plan = run("train", "gan", "--dry-run")
    assert "78 real images (12 held back" in plan
    assert "12 steps of 8 images" in plan
    plan = run("generate", "--balance", "--to", "32", "--dry-run")
    assert "train the dcgan" in plan
    assert [line.split()[1:] for line in plan.splitlines() if line.strip().startswith("fear")] == [["30", "2", "32"]]
    assert not (workspace.root / "gans").exists()


def test_a_dry_run_without_data_says_what_would_be_made(tmp_path):
    result = CliRunner().invoke(cli, ["train", "gan", "--dry-run", "-w", str(tmp_path / "empty")])
    assert result.exit_code == 0
    assert "draw 5,700 training faces" in result.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--source", "stylegan2"], "needs a network.*ffhq-256"),
        (["--source", "stylegan3"], "No generator .stylegan3.*stylegan2"),
        (["--source", "foo"], "No generator 'foo'. Known: gan, stylegan2"),
        (["--class", "feer=3"], "the class 'feer'.*'fear'"),
        (["--n", "3", "--class", "fear=3"], "goes with none of"),
        (["--to", "30"], "Nothing to draw"),
    ],
)
def test_what_cannot_be_drawn_is_one_line_before_anything_is_trained(run, workspace, arguments, message):
    with pytest.raises(GanferError, match=message):
        run("generate", *arguments)
    assert not (workspace.root / "gans").exists()


def test_the_size_is_checked_before_training(tmp_path):
    workspace = Workspace(tmp_path / "odd")
    store(workspace, tiny_set(dict.fromkeys(NAMES, 4), size=20))
    result = CliRunner().invoke(cli, ["train", "gan", "-w", str(workspace.root), *SETTINGS])
    assert isinstance(result.exception, GanferError)
    assert "--size" in str(result.exception)

"""Records of the earlier projects' trainings: merged without loss, whole ones before shortened ones, in the page."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
WHOLE = {
    "figures": {"test accuracy": 0.5, "test accuracy interval": [0.4, 0.6]},
    "seconds": 1800.0, "shortened": {}, "seed": 3, "machine": "a machine",
}  # fmt: skip
SHORTENED = {**WHOLE, "seconds": 36.0, "shortened": {"classifier.steps": 200}}


@pytest.fixture(scope="module")
def records() -> ModuleType:
    spec = importlib.util.spec_from_file_location("recipe_records", ROOT / "benchmarks" / "recipe_records.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


class Recipe:
    theirs, bars = "", {"test accuracy": 0.65}

    def __init__(self, config: str) -> None:
        self.config = config


def written(path: Path, **results: Any) -> Path:
    path.write_text(json.dumps(results))
    return path


def test_a_whole_training_takes_the_place_of_a_shortened_one(records: ModuleType, tmp_path: Path) -> None:
    written(tmp_path / "recipes.json", a=WHOLE)
    written(tmp_path / "recipes_short.json", a=SHORTENED, b=SHORTENED)
    lines = records.table(records.rows([Recipe("a"), Recipe("b"), Recipe("c")], tmp_path))
    assert lines[2] == "| `a` | – | test accuracy 65% | test accuracy 50.0% [40.0, 60.0] | 0.5 | 3 | a machine |"
    assert "*(shortened: steps 200)* | 0.01 | 3 |" in lines[3]
    assert lines[4].endswith("| not run yet | – | – | – |")


def test_files_are_merged_and_nothing_is_replaced_unasked(records: ModuleType, tmp_path: Path) -> None:
    out = written(tmp_path / "out.json", a=WHOLE)
    better = {**WHOLE, "seed": 4}
    one, two = written(tmp_path / "1.json", a=better, b=WHOLE), written(tmp_path / "2.json", c=WHOLE, b=WHOLE)
    said = records.merge([one, two], out, known={"a", "b", "c"})
    assert [line.split(",")[0].split(";")[0] for line in said] == [
        "a: another record is there already and stays", "b: added", "c: added", "b: recorded already",
    ]  # fmt: skip
    assert json.loads(out.read_text()) == {"a": WHOLE, "b": WHOLE, "c": WHOLE}
    records.merge([one], out, known={"a", "b"}, again=True)
    assert json.loads(out.read_text())["a"] == better


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is no JSON"),
        ("[]", "holds no object"),
        ('{"a": {"figures": {}}}', "a is no record of a training"),
        (json.dumps({"x": WHOLE}), "there is no recipe x"),
        (json.dumps({"b": WHOLE, "a": SHORTENED}), "a is shortened; only whole trainings"),
    ],
)
def test_what_cannot_be_merged_changes_nothing(records: ModuleType, tmp_path: Path, text: str, words: str) -> None:
    out, wrong = written(tmp_path / "out.json", a=WHOLE), tmp_path / "wrong.json"
    wrong.write_text(text)
    before = out.read_bytes()
    with pytest.raises(SystemExit, match=words):
        records.merge([wrong], out, known={"a", "b"})
    with pytest.raises(SystemExit, match="is not there"):
        records.merge([tmp_path / "absent.json"], out, known={"a"})
    assert out.read_bytes() == before


def test_a_row_that_was_not_run_whole_says_how_long_that_takes(records: ModuleType, tmp_path: Path) -> None:
    recipes = [Recipe(name) for name in "abc"]
    written(tmp_path / records.SHORT, a=SHORTENED)
    written(tmp_path / records.FULL, c=WHOLE)
    written(tmp_path / records.COST, **{name: {"hours": 41.26} for name in "abc"})
    short, absent, whole = records.table(records.rows(recipes, tmp_path))[2:]
    assert "; the whole takes about 41 hours by its measured pace)*" in short
    assert "| not run: the whole takes about 41 hours by its measured pace |" in absent
    assert "takes about" not in whole


def test_an_ensemble_stands_beside_the_first_seed(records: ModuleType, tmp_path: Path) -> None:
    three = {"test accuracy": 0.6, "test accuracy interval": [0.5, 0.7]}
    written(tmp_path / records.FULL, a={**WHOLE, "tta": "flip", "ensemble": {"seeds": 3, "flip": three}})
    (row,) = records.table(records.rows([Recipe("a")], tmp_path))[2:]
    assert "| test accuracy 50.0% [40.0, 60.0]; 3 seeds together test accuracy 60.0% [50.0, 70.0] |" in row


def test_a_training_that_was_stopped_is_no_result(records: ModuleType, tmp_path: Path) -> None:
    stopped = {"step": 1500, "val accuracy": 0.5, "seconds": 1800, "seed": 4}
    written(tmp_path / records.COST, a={"hours": 1.5, "steps": 3000, "machine": "a GPU", "stopped": stopped})
    (row,) = records.table(records.rows([Recipe("a")], tmp_path))[2:]
    assert "| stopped after 1,500 of 3,000 steps at val accuracy 50.0%: the whole takes about 1.5 hours" in row
    assert row.endswith("| 0.5 | 4 | a GPU |")


def test_the_page_holds_what_is_recorded(records: ModuleType, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n\n{records._HEAD}\n|---|\n| old |\n\nafter\n")
    records.write_table(page, ["| config | new |", "|---|"])
    assert page.read_text() == "before\n\n| config | new |\n|---|\n\nafter\n"
    recorded = json.loads((ROOT / "benchmarks" / "results" / "recipes.json").read_text())
    text = (ROOT / "docs" / "earlier-projects.md").read_text()
    for name, record in recorded.items():
        row = next(line for line in text.splitlines() if line.startswith(f"| `{name}` |"))
        assert records._in_words(record["figures"]) in row, "python benchmarks/recipes.py --docs"
        assert "shortened" not in row

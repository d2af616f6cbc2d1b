"""The files of a report: what is written, what is refused, and that nothing is lost."""

import csv
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from examples import results

from ganfer.errors import GanferError
from ganfer.report import ReportError, rewrite, terminal_summary, write_report
from ganfer.workspace import Run


def test_writes_page_results_and_table(tmp_path: Path) -> None:
    value = results(2, 7)
    page = write_report(tmp_path / "run", value)
    assert page == tmp_path / "run" / "index.html"
    assert sorted(path.name for path in page.parent.iterdir()) == ["index.html", "per_class.csv", "results.json"]
    assert json.loads((page.parent / "results.json").read_text()) == value


def test_table_per_class(tmp_path: Path) -> None:
    value = results(3, 4)
    value["arms"][1]["per_class"]["fear"]["recall"] = {"mean": None, "low": None, "high": None}
    value["arms"][1]["per_class"]["angry"]["recall"] = {"mean": 0.5, "low": 0.4, "high": 0.6}
    with (write_report(tmp_path, value).parent / "per_class.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["arm"], row["class"]) for row in rows] == [
        (arm["name"], cls) for arm in value["arms"] for cls in value["data"]["class_names"]
    ]
    angry = rows[4]
    assert [angry[k] for k in ("train_images", "synthetic_images", "test_images")] == ["7215", "3220", "467"]
    assert [float(angry[k]) for k in ("recall", "recall_low", "recall_high")] == [0.5, 0.4, 0.6]
    assert rows[6]["class"] == "fear"
    assert rows[6]["recall"] == ""


def test_numpy_values_and_nan_are_taken(tmp_path: Path) -> None:
    value = results(2, 3)
    value["arms"][0]["metrics"]["accuracy"]["mean"] = math.nan
    value["arms"][0]["confusion"] = np.array(value["arms"][0]["confusion"])
    value["comparisons"][0]["change"] = np.float32(0.25)
    write_report(tmp_path, value)
    stored = json.loads((tmp_path / "results.json").read_text())
    assert stored["arms"][0]["metrics"]["accuracy"]["mean"] is None
    assert stored["arms"][0]["confusion"] == value["arms"][0]["confusion"].tolist()
    assert stored["comparisons"][0]["change"] == 0.25


def test_results_are_safe_when_the_page_cannot_be_made(tmp_path: Path) -> None:
    value = results(2, 3)
    value["verdict"]["word"] = "perhaps"
    with pytest.raises(ReportError):
        write_report(tmp_path, value)
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]


def set_at(*path: Any, to: Any) -> Callable[[dict[str, Any]], None]:
    def change(value: Any) -> None:
        for key in path[:-1]:
            value = value[key]
        value[path[-1]] = to

    return change


WRONG = {
    "verdict.word is 'perhaps'": set_at("verdict", "word", to="perhaps"),
    "verdict.sentence is None": set_at("verdict", "sentence", to=None),
    "verdict.arm is 'nobody'": set_at("verdict", "arm", to="nobody"),
    "data.class_names is ['a', 'a']": set_at("data", "class_names", to=["a", "a"]),
    "arms is []": set_at("arms", to=[]),
    "arms is 3": set_at("arms", to=3),
    "arms[1].metrics.accuracy.mean is '0.5'": set_at("arms", 1, "metrics", "accuracy", "mean", to="0.5"),
    "arms[0].confusion is [[1, 2]]": set_at("arms", 0, "confusion", to=[[1, 2]]),
    "arms[0].confusion[0][0] is -1": set_at("arms", 0, "confusion", 0, 0, to=-1),
    "arms[0].train_counts is 'joy'": set_at("arms", 0, "train_counts", to={"joy": 3}),
    "arms[1].synthetic_counts is": set_at("arms", 1, "synthetic_counts", to={"angry": 10**6}),
    "arms[0].steps is True": set_at("arms", 0, "steps", to=True),
    "comparisons[0].arm is 'nobody'": set_at("comparisons", 0, "arm", to="nobody"),
    "comparisons[0].metric is 'auc'": set_at("comparisons", 0, "metric", to="auc"),
    "comparisons[0].metric is 'joy'": set_at("comparisons", 0, "metric", to="recall:joy"),
    "comparisons[0].word is 'meh'": set_at("comparisons", 0, "word", to="meh"),
    "faces.angry.real[0].png is '\"><b>'": set_at("faces", "angry", "real", 0, "png", to='"><b>'),
    "labelling.before.counts.angry is 1.5": set_at("labelling", "before", "counts", "angry", to=1.5),
    "screen is 'all'": set_at("screen", to="all"),
    "run.times[0].seconds is None": set_at("run", "times", 0, "seconds", to=None),
    "settings.seeds is 5": set_at("settings", "seeds", to=5),
    "format 2": set_at("format", to=2),
}


@pytest.mark.parametrize("place", WRONG)
def test_a_wrong_value_is_named_with_its_place(place: str) -> None:
    value = results(2, 3)
    WRONG[place](value)
    with pytest.raises(ReportError) as error:
        terminal_summary(value)
    message = str(error.value).replace("a key of arms[0].train_counts", "arms[0].train_counts")
    message = message.replace("arms[0].train_counts.joy", "arms[0].train_counts")
    assert place in message
    assert "\n" not in message
    assert error.value.remedy


def test_rewrites_the_page_and_leaves_the_results(tmp_path: Path) -> None:
    run = Run(tmp_path / "reports" / "retrain-1")
    page = write_report(run.path, results(2, 3))
    html, stored = page.read_bytes(), (run.path / "results.json").read_bytes()
    page.unlink()
    (run.path / "per_class.csv").unlink()
    result = rewrite(run)
    assert page.read_bytes() == html
    assert (run.path / "results.json").read_bytes() == stored
    assert (run.path / "per_class.csv").is_file()
    assert result.path == run.path
    assert result.figures["page"] == str(page)
    assert result.figures["verdict"]["word"] == "helps"
    assert str(page) in result.lines[-1]
    json.dumps(result.to_json())


@pytest.mark.parametrize("damage", [None, "", "{", "[]", "null", '{"format": 1}', b"\xff\xfe", '{"format": 9}'])
def test_damaged_results_are_one_line_and_the_old_page_stays(tmp_path: Path, damage: str | bytes | None) -> None:
    run = Run(tmp_path / "reports" / "retrain-1")
    html = write_report(run.path, results(2, 3)).read_bytes()
    file = run.path / "results.json"
    if damage is None:
        file.unlink()
    else:
        file.write_bytes(damage if isinstance(damage, bytes) else damage.encode())
    with pytest.raises(GanferError) as error:
        rewrite(run)
    assert "results.json" in str(error.value)
    assert "\n" not in str(error.value)
    assert error.value.remedy
    assert (run.path / "index.html").read_bytes() == html


def test_terminal_summary_says_what_the_page_says() -> None:
    value = results(2, 7)
    value["arms"][0]["metrics"]["accuracy"] = {"mean": 0.6, "low": 0.55, "high": 0.65}
    value["arms"][0]["per_class"]["disgust"]["recall"]["mean"] = 0.321
    value["arms"][1]["per_class"]["disgust"]["recall"]["mean"] = 0.444
    recall = next(c for c in value["comparisons"] if c["metric"] == "recall:disgust")
    recall.update(change=0.123, low=-0.01, high=0.256, word="cannot tell")
    lines = terminal_summary(value)
    assert lines[0] == f"HELPS: {value['verdict']['sentence']}"
    original = next(line for line in lines if line.startswith("Original "))
    assert "60.0 [55.0, 65.0]" in original
    disgust = next(line for line in lines if line.startswith("disgust"))
    assert disgust.split() == ["disgust", "436", "7,215", "32.1", "44.4", "+12.3", "[−1.0,", "+25.6]", "cannot", "tell"]


def test_terminal_summary_survives_odd_names_and_gaps() -> None:
    value = results(2, 2, ["\x1b[31m" + "y" * 80, "b"])
    for arm in value["arms"]:
        del arm["per_class"], arm["train_counts"]
    value["comparisons"] = []
    text = "\n".join(terminal_summary(value))
    assert "\x1b" not in text
    assert "y" * 30 not in text
    assert "–" in text

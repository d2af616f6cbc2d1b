"""The sections on what validation chose, the tests and the groups; and the numbers behind their drawings."""

import re
from pathlib import Path
from typing import Any

import pytest
from examples import results

from ganfer.page import svg
from ganfer.page.blocks import Stat
from ganfer.report import ReportError, write_report


def section(tmp_path: Path, value: dict[str, Any], name: str) -> str:
    html = write_report(tmp_path, value).read_text(encoding="utf-8")
    return html.split(f'<section id="{name}"')[1].split("</section>")[0]


def test_the_stopping_point_is_said_and_shown(tmp_path: Path) -> None:
    value = results(2, 3)
    found = section(tmp_path, value, "tuning")
    assert "0.5 synthetic faces per real image (1,000) is where more stop bringing more" in found
    assert "The best weight is 0.25." in found
    assert found.count('class="mark second circle"') == 2  # one chosen point in each curve
    assert found.count('class="mark second hollow"') == 4 + 2
    assert "0.5 (chosen)" in found
    value["tuning"]["ratios"] = []
    assert "synthetic faces per real image" not in section(tmp_path, value, "tuning")


def test_the_smallest_change_that_could_have_been_shown(tmp_path: Path) -> None:
    value = results(2, 3)
    rows = [c for c in value["comparisons"] if c["metric"] == "recall:disgust"]
    rows[0].update(detectable=0.0912, detectable_80=0.1304)
    found = section(tmp_path, value, "evidence")
    row = next(row for row in found.split("<tr") if "Recall of disgust" in row)
    assert "56 test images" in row
    assert re.findall(r"<bdi>([\d.]+)</bdi>", row) == ["9.1", "13.0"]
    accuracy = next(c for c in value["comparisons"] if c["metric"] == "balanced_accuracy")
    assert f"{accuracy['p']:.3f}" in found or "&lt; 0.001" in found
    assert "210 / 188" in found


def test_without_tests_there_is_no_such_section(tmp_path: Path) -> None:
    value = results(2, 3)
    for comparison in value["comparisons"]:
        for key in ("p", "p_holm", "detectable", "detectable_80", "mcnemar"):
            comparison.pop(key, None)
    assert '<section id="evidence"' not in write_report(tmp_path, value).read_text(encoding="utf-8")


def test_groups_too_small_are_counted_only(tmp_path: Path) -> None:
    found = section(tmp_path, results(2, 3), "groups")
    rows = [row for row in found.split("<tr") if "<bdi>child</bdi>" in row]
    assert len(rows) == 2  # by each metric
    assert all("12 test images" in row and row.count("<bdi>–</bdi>") == 3 for row in rows)
    assert "whisker" not in rows[0]


def test_what_was_chosen_on_validation_is_said(tmp_path: Path) -> None:
    found = section(tmp_path, results(10, 3), "arms")
    assert "Oversampling is best on validation, of those that rebalance Class weights." in found
    assert "Validation, %" in found
    value = results(10, 3)
    value["selection"]["best_without"] = "original"  # plain training can be the best of them
    found = section(tmp_path, value, "arms")
    assert "Original is best on validation, of those that rebalance Class weights." in found
    assert "Oversampling is best" not in found
    value = results(2, 3)
    del value["selection"]
    assert "alidation" not in section(tmp_path, value, "arms")


def test_the_check_of_the_data_is_counted(tmp_path: Path) -> None:
    found = section(tmp_path, results(2, 3), "data")
    row = next(row for row in found.split("<tr") if "training images that are also in the test" in row)
    assert "<bdi>37</bdi>" in row


def test_a_curve_puts_higher_values_higher() -> None:
    drawn = str(svg.curve([("0", Stat(0.5, 0.4, 0.6), False), ("1 & 2", Stat(0.7, None, None), True)], "x", "said"))
    heights = [float(y) for y in re.findall(r"translate\([\d.]+ ([\d.]+)\)", drawn)]
    assert heights[1] < heights[0]
    assert drawn.count("whisker") == 1
    assert "1 &amp; 2" in drawn
    assert 'aria-label="said"' in drawn


WRONG = {
    "selection.best_cheap is 'nobody'": ("selection", "best_cheap", "nobody"),
    "tuning.ratios is 3": ("tuning", "ratios", 3),
    "groups.age is 'x'": ("groups", "age", "x"),
}


@pytest.mark.parametrize("message", WRONG)
def test_wrong_values_are_named_by_their_place(tmp_path: Path, message: str) -> None:
    value = results(2, 3)
    part, key, wrong = WRONG[message]
    value[part][key] = wrong
    with pytest.raises(ReportError, match=re.escape(message)):
        write_report(tmp_path, value)

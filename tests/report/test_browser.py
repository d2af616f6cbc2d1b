"""The page in a real browser: as narrow as a phone, without a word on the console."""

from pathlib import Path

import pytest
from browser import CHROMIUM, laid_out
from examples import results

from ganfer.report import write_report


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium, which is not installed")
def test_fits_a_phone_and_a_desktop_without_console_errors(tmp_path: Path) -> None:
    many = results(6, 8)
    many["arms"][1]["title"] = "T" * 70
    many["data"]["notes"].append("n" * 200)
    pages = [
        write_report(tmp_path / "two", results(2, 7)),
        write_report(tmp_path / "many", many),
        write_report(tmp_path / "odd", results(2, 4, ["x" * 90, "<b>", "غاضب", "d"])),
    ]
    layouts = laid_out(pages, tmp_path)
    assert [layout for layout in layouts if layout.needs > layout.width or layout.sections < 11] == []

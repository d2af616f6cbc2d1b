"""The notebooks run from top to bottom, and are stored with what they showed."""

import json
from pathlib import Path

import nbformat
import pytest
from documented import ROOT
from nbclient import NotebookClient

NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))


def cells(notebook: nbformat.NotebookNode) -> list[nbformat.NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_shows_what_it_did(path: Path, tmp_path: Path) -> None:
    notebook = nbformat.read(path, as_version=4)
    stored = [
        [output.output_type for output in cell.outputs if output.get("name") != "stderr"] for cell in cells(notebook)
    ]
    NotebookClient(
        notebook, timeout=150, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    for cell, kinds in zip(cells(notebook), stored, strict=True):
        now = [output.output_type for output in cell.outputs if output.get("name") != "stderr"]
        assert list(dict.fromkeys(now)) == list(dict.fromkeys(kinds)), cell.source


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_stored_as_run_on_no_ones_machine(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    runs = [cell["execution_count"] for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    assert runs == list(range(1, len(runs) + 1))
    assert not any(place in text for place in ("/tmp/", "/home/", "/root/", "/Users/"))

"""The layering holds, and the command line stays light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from ganfer.cli.main import COMMANDS

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("ganfer", "classifiers", "stylegan_bridge")


def imported(path: Path) -> set[str]:
    """Top-level dotted names that a file imports, wherever in the file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def roots(path: Path) -> set[str]:
    return {name.split(".")[0] for name in imported(path)}


@pytest.mark.parametrize(
    ("package", "others"),
    [("classifiers", {"ganfer", "stylegan_bridge"}), ("stylegan_bridge", {"ganfer", "classifiers"})],
)
def test_the_libraries_stand_alone(package: str, others: set[str]) -> None:
    files = list((ROOT / package).rglob("*.py"))
    assert files
    wrong = {str(file.relative_to(ROOT)): roots(file) & others for file in files if roots(file) & others}
    assert wrong == {}


def test_only_the_command_line_imports_click() -> None:
    wrong = [
        str(file.relative_to(ROOT))
        for package in PACKAGES
        for file in (ROOT / package).rglob("*.py")
        if "click" in roots(file) and not file.is_relative_to(ROOT / "ganfer" / "cli")
    ]
    assert wrong == []


def test_nothing_below_imports_the_command_line_or_the_pipeline() -> None:
    upper = {"ganfer.cli", "ganfer.pipeline", "ganfer.steps"}
    allowed = {
        ROOT / "ganfer" / "pipeline.py",
        ROOT / "ganfer" / "steps.py",
        ROOT / "ganfer" / "__init__.py",
        ROOT / "ganfer" / "__main__.py",
    }
    wrong = []
    for file in (ROOT / "ganfer").rglob("*.py"):
        if file in allowed or file.is_relative_to(ROOT / "ganfer" / "cli"):
            continue
        if any(name == layer or name.startswith(layer + ".") for name in imported(file) for layer in upper):
            wrong.append(str(file.relative_to(ROOT)))
    assert wrong == []


def heavy_modules_after(statement: str) -> list[str]:
    heavy = ("torch", "torchvision", "matplotlib", "sklearn")
    code = f"import sys; {statement}; print([m for m in {heavy!r} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return list(ast.literal_eval(out.stdout.strip().splitlines()[-1]))


@pytest.mark.parametrize(
    "package", [*PACKAGES, "ganfer.config", "ganfer.pipeline", "ganfer.cli.main", "ganfer.workspace"]
)
def test_importing_loads_nothing_heavy(package: str) -> None:
    assert heavy_modules_after(f"import {package}") == []


def test_every_help_works_without_torch() -> None:
    commands = [[], *[[name] for name in COMMANDS]]
    code = f"""
import sys
from click.testing import CliRunner
from ganfer.cli.main import cli
for args in {commands!r}:
    result = CliRunner().invoke(cli, [*args, "--help"])
    assert result.exit_code == 0, (args, result.output, result.exception)
    assert "Usage: " in result.output, args
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)

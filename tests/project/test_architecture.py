"""The layering holds, and the command line stays light."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from ganfer.cli.main import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
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


#: The rooms of `ganfer/`, lowest first: a room imports from lower lines and from itself only.
LAYERS = (
    ("errors", "version"),
    ("runtime",),
    ("config", "results"),
    ("workspace",),
    ("tracking", "cards"),
    ("data", "page", "statistics"),
    ("metrics", "classifier", "report"),
    ("gan", "live", "tune"),
    ("generate", "serve"),
    ("label",),
    ("review",),
    ("quality", "experiment", "share"),
    ("needs", "status"),
    ("pipeline",),
    ("cli",),
)


def modules(package: str) -> dict[str, Path]:
    """Dotted names of a package's modules and their files."""
    found = {}
    for file in (ROOT / package).rglob("*.py"):
        name = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        found[name] = file
    return found


def arrows(package: str) -> dict[str, set[str]]:
    """Which modules of the package every module imports; `from a import b` is an arrow to `a.b` where that is one."""
    files = modules(package)
    found: dict[str, set[str]] = {}
    for module, file in files.items():
        found[module] = set()
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                found[module] |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                inner = [f"{node.module}.{alias.name}" for alias in node.names]
                found[module] |= {name if name in files else node.module for name in inner}
        found[module] = (found[module] & files.keys()) - {module}
    return found


def test_rooms_import_downwards_only() -> None:
    height = {room: place for place, rooms in enumerate(LAYERS) for room in rooms}
    free = {"ganfer", "ganfer.__main__"}  # the entrances, which open every room
    rooms = {module.split(".")[1] for module in modules("ganfer") if module not in free}
    assert rooms == set(height)
    wrong = []
    for module, others in arrows("ganfer").items():
        for other in others - {"ganfer"} if module not in free else ():
            here, there = module.split(".")[1], other.split(".")[1]
            if here != there and height[there] >= height[here]:
                wrong.append(f"{module} imports {other}")
    assert sorted(wrong) == []


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_imports_itself_by_way_of_others(package: str) -> None:
    left = arrows(package)
    while True:
        ends = {module for module, others in left.items() if not others & left.keys()}
        if not ends:
            break
        left = {module: others for module, others in left.items() if module not in ends}
    assert sorted(left) == []  # what is left are the circles and what imports them


@pytest.mark.parametrize("package", PACKAGES)
def test_every_folder_says_what_is_in_it(package: str) -> None:
    folders = {file.parent for file in modules(package).values()}
    texts = {folder: ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or "" for folder in folders}
    assert [str(folder.relative_to(ROOT)) for folder, text in sorted(texts.items()) if len(text) < 60] == []


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


ELSEWHERE = {"ganfer", "compact", "retrain"}  # what these texts name besides their own files


@pytest.mark.parametrize("package", PACKAGES)
def test_what_a_folder_says_is_in_it_is_there(package: str) -> None:
    wrong = []
    for name, file in modules(package).items():
        if file.name != "__init__.py":
            continue
        text = ast.get_docstring(ast.parse(file.read_text())) or ""
        inside = {path.stem for path in file.parent.iterdir()} | set(dir(importlib.import_module(name))) | ELSEWHERE
        wrong += [f"{name}: `{word}`" for word in re.findall(r"`([a-z][a-z_0-9]+)`", text) if word not in inside]
    assert wrong == []


@pytest.mark.parametrize("package", PACKAGES)
def test_what_is_in_a_folder_is_named_in_what_it_says(package: str) -> None:
    wrong = []
    for folder in {file.parent for file in modules(package).values()}:
        text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text())) or ""
        inside = {path.stem for path in folder.glob("*.py")} | {
            path.parent.name for path in folder.glob("*/__init__.py")
        }
        named = {*re.findall(r"`([a-z][a-z_0-9]+)`", text), "__init__", "__main__"}
        wrong += [f"{folder.relative_to(ROOT)}: {name}" for name in inside - named]
    assert sorted(wrong) == []


def test_no_two_test_files_share_a_name() -> None:
    names = [file.name for file in (ROOT / "tests").rglob("*.py") if file.name != "conftest.py"]
    assert sorted({name for name in names if names.count(name) > 1}) == []  # pytest imports them by their names alone

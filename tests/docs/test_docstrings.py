"""Public functions show one line of use, which their signatures allow."""

import ast
import inspect
import re
from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest

import classifiers
import stylegan_bridge

HOMES = (
    "ganfer.metrics.fid", "ganfer.metrics.kid", "ganfer.metrics.precision_recall", "ganfer.metrics.density_coverage",
    "ganfer.metrics.diversity", "ganfer.statistics.significance", "ganfer.config.load", "ganfer.gan.generator",
)  # fmt: skip
SHOWN = {"fid", "kid", "precision_recall", "density_coverage", "diversity", "relative_entropy_to_uniform"}
SHOWN |= {"mcnemar", "holm", "detectable", "fewest_images", "load_config", "open_generator"}


def public_functions() -> list[Callable[..., Any]]:
    found = [getattr(package, name) for package in (classifiers, stylegan_bridge) for name in package.__all__]
    found += [
        getattr(import_module(home), name)
        for home in HOMES
        for name in sorted(SHOWN)
        if hasattr(import_module(home), name)
    ]
    return [each for each in found if inspect.isfunction(each)]


@pytest.mark.parametrize("function", public_functions(), ids=lambda function: function.__name__)
def test_a_public_function_shows_one_line_of_use(function: Callable[..., Any]) -> None:
    (example,) = re.findall(r"^Example: `(.+)`\.$", inspect.getdoc(function) or "", re.MULTILINE)
    calls = [node for node in ast.walk(ast.parse(example)) if isinstance(node, ast.Call)]
    (mine,) = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == function.__name__]
    keywords = {keyword.arg: keyword.value for keyword in mine.keywords if keyword.arg}
    inspect.signature(function).bind(*mine.args, **keywords)  # a wrong name or number of arguments raises


def test_every_function_is_looked_at() -> None:
    assert {function.__name__ for function in public_functions()} >= SHOWN | {"train", "steer", "create_model"}


def test_every_forward_states_its_shapes() -> None:
    root = import_module("documented").ROOT
    files = [
        file
        for folder in ("classifiers/models", "ganfer/gan", "stylegan_bridge")
        for file in (root / folder).rglob("*.py")
    ]
    forwards = [
        (file.name, node.lineno, ast.get_docstring(node) or "")
        for file in files
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef) and node.name == "forward"
    ]
    assert len(forwards) > 15
    assert [where for *where, text in forwards if "(N" not in text or "->" not in text] == []

"""The pages about classifiers in a real browser: as narrow as a phone, without a word on the console."""

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import CHROMIUM, laid_out
from evaluation_tiny import small_config
from pages import checked_text
from tiny import striped

from ganfer.classifier.crossval_page import crossval_page
from ganfer.classifier.evaluate_page import evaluation_page
from ganfer.classifier.explain_page import explanation_page
from ganfer.data.provenance import as_pillow
from ganfer.pipeline import Project
from ganfer.tune.page import tuning_page

HOSTILE = {"angry": '<script>alert("x")</script>', "happy": "x" * 80, "sad": "غاضب"}


def tuned() -> dict[str, Any]:
    """Results of a search, invented."""
    search = {
        "lr": {"low": 1e-4, "high": 1e-2, "log": True, "step": None, "whole": False},
        "augment": {"values": ["light", "strong"]},
        "a_setting_with_a_rather_long_name": {"low": 0.0, "high": 1.0, "log": False, "step": 0.1, "whole": False},
    }
    figures = {"balanced_accuracy": 0.5, "accuracy": 0.6, "macro_f1": 0.5, "nll": 1.1, "ece": 0.1, "seconds": 70.0}
    trials = [
        {
            "number": i,
            "state": "complete" if i % 3 else "stopped early",
            "value": 0.4 + 0.01 * i if i % 3 else None,
            "params": {"lr": 0.001 * (i + 1), "augment": "light", "a_setting_with_a_rather_long_name": None},
            "figures": figures if i % 3 else {},
            "last": {"part": 3, "value": 0.31},
            "problem": "<b>the loss is no longer finite" if i == 6 else "",
        }
        for i in range(50)
    ]
    best = {"number": 49, "value": 0.89, "params": trials[49]["params"], "config": {"lr": 0.05}, "figures": figures}
    return {
        "title": "compact on <faces>, search space default",
        "metric": "balanced_accuracy",
        "lower_is_better": False,
        "best": best,
        "counts": {"complete": 33, "stopped_early": 16, "impossible": 1, "interrupted": 0},
        "trials": trials,
        "importance": {"lr": 0.7, "augment": 0.3},
        "space": {"name": "default", "search": search},
        "settings": {"sampler": "tpe", "pruning": True, "seed": 0, "study": "ganfer-default-1234"},
        "run": {"command": "ganfer tune " + "--search lr=1e-4..1e-2:log " * 8, "machine": "m"},
    }


def renamed(value: Any) -> Any:
    """The same results with class names that a page must survive."""
    text = json.dumps(value)
    for name, hostile in HOSTILE.items():
        text = text.replace(json.dumps(name), json.dumps(hostile))
    return json.loads(text)


@pytest.fixture
def pages(work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    monkeypatch.setattr("ganfer.classifier.files._plots", lambda *_: None)
    monkeypatch.setattr("ganfer.classifier.crossval.plot_confusion", lambda *_: None)
    monkeypatch.setattr("ganfer.classifier.explain.plot_explanation", lambda *_: None)
    settings = {"crossval__folds": 2, "crossval__workers": 1, "classifier__epochs": 1}
    full = {"evaluate__stress": True, "evaluate__thresholds": "auto:0.5"}
    evaluated = Project(work, small_config(**full)).evaluate()
    folded = Project(work, small_config(**settings)).crossval()
    as_pillow(striped(np.array([1]), 7)[0]).save(tmp_path / "a face with a long name.png")
    explained = Project(work, small_config()).explain([tmp_path / "a face with a long name.png"])
    results = [json.loads((each.path / "results.json").read_text()) for each in (evaluated, folded, explained)]
    several = copy.deepcopy(results[0])
    several["classifiers"] *= 2
    several["curves"] *= 2
    lower = tuned() | {"metric": "nll", "lower_is_better": True, "importance": {}}
    return {
        "evaluation": evaluation_page(renamed(results[0])),
        "ensemble": evaluation_page(several),
        "crossval": crossval_page(renamed(results[1])),
        "explanation": explanation_page(renamed(results[2])),
        "tuning": tuning_page(tuned()),
        "log loss": tuning_page(lower),
    }


def test_pages_are_sound_and_fit_a_phone_and_a_desktop(pages: dict[str, str], tmp_path: Path) -> None:
    for name, page in pages.items():
        assert "NaN" not in checked_text(page), name
        assert "<script>alert" not in page
    if CHROMIUM is None:
        pytest.skip("the rest needs Chromium, which is not installed")
    paths = []
    for name, page in pages.items():
        paths.append(tmp_path / f"{name}.html")
        paths[-1].write_text(page, encoding="utf-8")
    layouts = laid_out(paths, tmp_path)
    assert [layout for layout in layouts if layout.needs > layout.width or layout.sections < 1] == []

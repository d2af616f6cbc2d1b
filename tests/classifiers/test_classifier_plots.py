"""Plots are made whole, show the figures they were given, and the training writes its curves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from bars_data import NAMES, bars, quick
from PIL import Image

from classifiers import evaluate, plots, train


def picture(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        image.load()
        return np.asarray(image.convert("RGB"))


def test_a_training_leaves_its_curves(tmp_path: Path) -> None:
    train(quick(epochs=2, tensorboard=True), bars(24), bars(12), NAMES, tmp_path, device="cpu")
    assert picture(tmp_path / "curves.png").shape[1] > 600
    events = list((tmp_path / "tensorboard").glob("events.*"))
    assert len(events) == 1
    assert events[0].stat().st_size > 300


def test_confusion_shows_counts_and_shares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.axes import Axes

    texts: list[str] = []
    real = Axes.text
    monkeypatch.setattr(Axes, "text", lambda self, x, y, s, **k: (texts.append(s), real(self, x, y, s, **k))[1])
    p = np.eye(3)[[0, 0, 1, 2]] * 0.7 + 0.1
    plots.plot_confusion(evaluate(p, np.array([0, 1, 1, 2]), NAMES), tmp_path / "c.png")
    assert texts == ["1", "0", "0", "1", "1", "0", "0", "0", "1", "100", "0", "0", "50", "50", "0", "0", "0", "100"]
    assert picture(tmp_path / "c.png").std() > 0


def test_predictions_show_the_surest_mistakes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from matplotlib.axes import Axes

    titles: list[str] = []
    real = Axes.set_title
    monkeypatch.setattr(Axes, "set_title", lambda self, s, **k: (titles.append(s), real(self, s, **k))[1])
    p = np.array([[0.9, 0.05, 0.05], [0.6, 0.2, 0.2], [0.8, 0.1, 0.1], [0.1, 0.8, 0.1]])
    plots.plot_predictions(bars(4).images, p, np.array([0, 1, 1, 1]), NAMES, tmp_path / "p.png", columns=2)
    assert sorted(titles[:2]) == ["flat 90%", "steep 80%"]
    assert titles[2:] == ["flat 80%\nis steep", "flat 60%\nis steep"]
    assert picture(tmp_path / "p.png").std() > 0


def test_names_of_any_letters_are_no_formulas(tmp_path: Path) -> None:
    names = ("$\\x$ and $_$", "快乐", "{x")
    p = np.eye(3)[[0, 0, 1, 2]] * 0.7 + 0.1
    labels = np.array([0, 1, 1, 2])
    plots.plot_confusion(evaluate(p, labels, names), tmp_path / "c.png")
    plots.plot_predictions(bars(4).images, p, labels, names, tmp_path / "p.png", columns=2)
    assert picture(tmp_path / "c.png").std() > 0
    assert picture(tmp_path / "p.png").std() > 0


def test_reliability(tmp_path: Path) -> None:
    p = np.random.default_rng(0).dirichlet(np.ones(3), 200)
    plots.plot_reliability(p, p.argmax(1), tmp_path / "r.png")
    assert picture(tmp_path / "r.png").shape == (540, 540, 3)


def test_the_report_is_scikit_learns() -> None:
    from sklearn.metrics import classification_report

    rng = np.random.default_rng(1)
    labels, p = rng.integers(0, 3, 60), rng.dirichlet(np.ones(3), 60)
    expected = classification_report(labels, p.argmax(1), target_names=NAMES, digits=3)
    assert evaluate(p, labels, NAMES).report() == expected

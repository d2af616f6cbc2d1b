"""What an experiment leaves: a recommendation, its classifier, what the faces were worth, and what must be said."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import add_batch, add_set, fast_config, tiny_set

from classifiers import load_classifier
from ganfer.classifier.catalogue import find, together
from ganfer.data.imageset import read_set
from ganfer.experiment.ceiling import Rise, _worth, _worth_words, held_back, is_thinned
from ganfer.experiment.fitted import fit_biases
from ganfer.experiment.unfinished import still_rising, unfinished, words
from ganfer.pipeline import Project
from ganfer.statistics.luck import Part
from ganfer.statistics.verdict import Estimate
from ganfer.workspace import Run, Workspace

ANY_FACE = {  # the screen has tests of its own
    "label__min_confidence": "0", "label__manifold": 0.0, "label__copies": False, "label__diverse": False,
    "label__require_match": False,
}  # fmt: skip


@pytest.fixture(scope="module")
def thinned(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """An experiment with a ceiling on data that was thinned; every seed kept."""
    workspace = Workspace(tmp_path_factory.mktemp("thinned"))
    add_set(workspace, tiny_set((40, 60, 30)))
    config = fast_config(
        retrain__arms="original,oversample,fitted-biases,synthetic,ceiling", retrain__keep="ensemble",
        classifier__epochs=2, **ANY_FACE,
    )  # fmt: skip
    project = Project(workspace, config)
    project.thin(counts={"sad": 6})
    data = workspace.active_data
    assert data is not None
    add_batch(workspace, data, np.repeat([2, 0], [40, 10]))
    project.retrain()
    return project


def results_of(project: Project) -> tuple[Path, dict[str, Any]]:
    result = project.retrain()
    assert result.path is not None
    return Path(str(result.path)), dict(result.figures)


def test_the_oracle_trains_on_what_thinning_took_away(thinned: Project) -> None:
    data = thinned.workspace.active_data
    assert data is not None
    assert is_thinned(data)
    assert held_back(data, read_set(data.path)).counts() == {"angry": 0, "happy": 0, "sad": 24}
    _, results = results_of(thinned)
    arms = {arm["name"]: arm for arm in results["arms"]}
    assert list(arms) == ["original", "oversample", "fitted-biases", "synthetic", "oracle"]
    kept = results["screen"]["kept"]["sad"]
    assert arms["oracle"]["train_counts"]["sad"] == 6 + min(kept, 24) > 6  # as many as faces, as far as they reach
    assert arms["oracle"]["steps"] == arms["original"]["steps"]


def test_the_report_says_what_faces_were_worth_and_what_real_ones_would_bring(thinned: Project) -> None:
    path, results = results_of(thinned)
    exchange = results["exchange"]
    assert exchange["by"] == "oracle"
    assert exchange["real"] == 6
    said = " ".join(exchange["sentences"])
    assert "Even perfect faces would bring at most" in said
    assert "200 more real images of sad (beside 6) would bring about" in said
    assert f"our {exchange['faces']} faces" in said
    page = (path / "index.html").read_text()
    assert "Even perfect faces" in page
    assert results["recommendation"]["sentence"][:20] in page


def test_the_recommended_classifier_is_kept_with_its_biases(thinned: Project) -> None:
    path, results = results_of(thinned)
    folders = results["classifiers"]
    assert folders["before"] == "trainings/original-0"
    assert folders["after"].startswith("trainings/synthetic-")
    assert folders["best"] == "best"
    assert len(folders["ensemble"]) == 2
    every = [folders["before"], folders["after"], folders["best"], *folders["ensemble"]]
    every += [folder for arm in results["arms"] for folder in arm["folders"]]
    for folder in every:
        assert (path / folder / "model.safetensors").is_file(), folder
    best = load_classifier(path / "best", "cpu")
    assert best.card["arm"] == results["recommendation"]["arm"]
    source = path / "trainings" / f"{arm_folder(results, best.card['arm'])}-{best.card['seed']}"
    data = thinned.workspace.active_data
    assert data is not None
    val = read_set(data.path).of("val").labelled()
    plain = load_classifier(source, "cpu").probabilities(val.images)
    assert best.probabilities(val.images) == pytest.approx(fit_biases(val.labels, plain)(plain), abs=2e-3)


def test_an_ensemble_is_measured_together_and_one_of_it_is_said_to_be_one(
    thinned: Project, capsys: pytest.CaptureFixture[str]
) -> None:
    _, results = results_of(thinned)
    both = together(thinned.workspace, ["best"])
    assert [each.file.parent.name for each in both] == [Path(each).name for each in results["classifiers"]["ensemble"]]
    assert len({each.name for each in both}) == 2
    evaluated = thinned.evaluate(classifiers=["best"])
    assert evaluated.path is not None
    assert len(Run(evaluated.path).record["key"]["inputs"]["classifiers"]) == 2
    assert find(thinned.workspace, "best").file.parent.name == "best"
    assert "kept best as an ensemble of 2; the one" in capsys.readouterr().err


def arm_folder(results: dict[str, Any], name: str) -> str:
    return next(str(arm["folder"]) for arm in results["arms"] if arm["name"] == name)


def test_two_seeds_are_said_to_be_worth_little_and_looks_are_counted(thinned: Project) -> None:
    _, results = results_of(thinned)
    assert "Two seeds are worth little" in results["verdict"]["beside"]
    assert not any("was used by" in note for note in results["data"]["notes"])

    def notes_with(**changes: Any) -> list[str]:
        settings = replace(thinned.config.retrain, **changes)
        project = Project(thinned.workspace, replace(thinned.config, retrain=settings))
        return list(project.retrain().figures["data"]["notes"])

    assert not any("was used by" in note or "looked at" in note for note in notes_with(keep="single")), "the same look"
    notes = notes_with(seeds=3)
    assert any(note.startswith("This test split was used by 1 experiment of this workspace before") for note in notes)
    assert any("The same comparison was looked at 1 time before, with other seeds" in note for note in notes)


def test_notes_are_printed_in_the_terminal_too(thinned: Project) -> None:
    result = thinned.retrain()
    printed = "\n".join(result.lines)
    for note in result.figures["data"]["notes"]:
        assert note in printed
    assert result.figures["recommendation"]["sentence"] in printed


def test_where_nothing_was_thinned_a_learning_curve_tells(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    data = add_set(workspace, tiny_set((40, 60, 8)))
    add_batch(workspace, data, np.repeat([2, 0], [20, 4]))
    config = fast_config(
        retrain__arms="original,oversample,synthetic,ceiling", retrain__keep="distilled", classifier__epochs=1,
        **ANY_FACE,
    )  # fmt: skip
    path, results = results_of(Project(workspace, config))
    assert [arm["name"] for arm in results["arms"]][-2:] == ["half", "quarter"]
    assert results["exchange"]["by"] == "learning curve"
    assert load_classifier(path / "best", "cpu").card["arm"] == results["recommendation"]["arm"]
    assert "the weights are those of one net distilled from them" in (path / "best" / "README.md").read_text()
    assert len(list(path.glob("trainings/*-distilled-0"))) == 1
    assert not list(path.glob("trainings/*-distilled-0/test.npz"))  # it never saw the test


# --- parts ------------------------------------------------------------------------------------------------------------


def known(mean: float, error: float) -> Estimate:
    return Estimate(mean, mean - 1.96 * error, mean + 1.96 * error, (), error, parts=(Part(error**2, float("inf")),))


def test_what_faces_were_worth_by_hand() -> None:
    found = _worth(known(0.02, 1e-4), Rise(known(0.04, 1e-4), 2.0), 100, shared=0.0)
    assert found["mean"] == pytest.approx(100, rel=0.01)  # a doubling brings 0.02
    assert found["low"] == pytest.approx(100, rel=0.05)
    wide = _worth(known(0.02, 0.01), Rise(known(0.04, 0.01), 2.0), 100, shared=0.0)
    assert wide["low"] is not None
    assert wide["low"] < 10
    assert wide["high"] is None or wide["high"] > 300
    few = replace(known(0.02, 0.002), freedom=2.0)  # three seeds of two arms
    step = Rise(known(0.04, 1e-4), 2.0)
    ends = [_worth(gain, step, 100, shared=0.0) for gain in (known(0.02, 0.002), few)]
    assert (ends[1]["high"] or 0) - 100 > 2 * ((ends[0]["high"] or 0) - 100)  # Student's t, as everywhere else
    nothing = _worth(known(0.02, 0.01), Rise(known(0.0, 0.01), 2.0), 100, shared=0.0)
    assert nothing == {"mean": None, "low": None, "high": None}


def test_no_figure_is_promised_beyond_a_hundred_percent() -> None:
    rise = Rise(known(0.2, 0.05), 1.0, room=0.45)  # of a class that is recognised in 55%
    assert rise.over(1.0).mean == pytest.approx(0.2)
    assert (rise.over(5.1).mean, rise.over(5.1).high) == (0.45, 0.45)
    assert rise.over(2.0).low == pytest.approx(2 * (0.2 - 1.96 * 0.05))
    perfect = Rise(known(0.2, 0.01), 1.0, room=0.0)
    assert _worth(known(0.02, 0.01), perfect, 100, shared=0.0)["mean"] == pytest.approx(100 * (2**0.1 - 1))


def test_what_is_not_known_and_what_is_very_much_are_told_apart() -> None:
    rise = Rise(known(0.01, 0.001), 1.0)
    worth = _worth(known(0.2, 0.001), rise, 100, shared=0.0)
    assert worth == {"mean": None, "low": None, "high": None}  # twenty doublings: no number is meant
    assert _worth_words(50, worth, known(0.2, 0.001), rise).startswith(
        "Your 50 faces were worth very many [very many, "
    )
    step = Estimate(0.01, 0.001, 0.03, (), 0.01)  # a step that may be nothing: no limit, and no number below 0
    assert _worth(known(0.01, 0.001), Rise(step, 1.0), 100, shared=0.0)["high"] is None
    unclear = Rise(known(0.0, 0.01), 1.0)
    nothing = _worth(known(0.02, 0.01), unclear, 100, shared=0.0)
    assert "is not known" in _worth_words(50, nothing, known(0.02, 0.01), unclear)


def test_trainings_that_still_improved_are_named() -> None:
    rising = [[0.4, 0.45, 0.5, 0.55, 0.6], [0.41, 0.46, 0.5, 0.56, 0.61]]
    level = [[0.4, 0.55, 0.6, 0.601, 0.6], [0.41, 0.56, 0.6, 0.6, 0.602]]
    noisy = [[0.5, 0.6, 0.5, 0.52, 0.56], [0.5, 0.6, 0.6, 0.58, 0.55]]
    assert still_rising(rising)
    assert not still_rising(level)
    assert not still_rising(noisy)
    assert still_rising(rising[:1])
    assert not still_rising([[0.5]])
    assert not still_rising([])
    assert unfinished({"Original": rising, "Real + synthetic": level, "none": [()]}) == ["Original"]
    assert words(["Original"]).startswith("Not finished: Original still improved on validation")
    assert words([]) == ""

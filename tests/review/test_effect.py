"""What people's decisions change: the faces that train, the experiment's key, what the report says."""

from pathlib import Path

import numpy as np
import pytest
from tiny import NAMES, fast_config
from walls import labelled_workspace

from ganfer.data.imageset import read_set
from ganfer.errors import DataError
from ganfer.experiment.faces import kept_faces
from ganfer.generate.batch import read_batch
from ganfer.label.labels import KEPT, newest_labels, read_labels
from ganfer.pipeline import Project
from ganfer.review.decisions import decisions_digest, log_of
from ganfer.review.effect import REJECTED, decided, decisions_input, people_notes, people_said
from ganfer.status import next_step
from ganfer.workspace import Run, Workspace


def faces_of(workspace: Workspace, batch: Run) -> tuple[list[str], np.ndarray]:
    """Names and classes of the faces that would train."""
    labels = newest_labels(batch)
    assert labels is not None
    data = workspace.active_data
    assert data is not None
    found = kept_faces(batch, labels, read_set(data.path), soft_labels=True)
    assert found.soft_labels is not None
    return [str(name).partition("/")[2] for name in found.ids], found.labels


def test_a_persons_decision_outweighs_the_screens(tmp_path: Path) -> None:
    workspace, batch = labelled_workspace(tmp_path / "work", 30)
    run = newest_labels(batch)
    assert run is not None
    labels, names = read_labels(run, NAMES), read_batch(batch).file_names
    before, _ = faces_of(workspace, batch)
    assert decided(labels, batch) is labels
    assert decisions_input(batch) == {}
    assert people_said(batch, run, NAMES) == {}
    other = (int(labels.predicted[2]) + 1) % 3
    log = log_of(batch.path)
    log.reject([names[0]], "ada")  # the screen had kept it
    log.keep({names[1]: NAMES[labels.predicted[1]]}, "ada")  # the screen had rejected it
    log.keep({names[2]: NAMES[other]}, "ben")  # another class
    log.keep({names[4]: NAMES[labels.predicted[4]]}, "ben")  # as it was
    after = decided(labels, batch)
    assert after.reason[[0, 1, 2]].tolist() == [REJECTED, KEPT, KEPT]
    assert after.probabilities[2].tolist() == np.eye(3)[other].tolist()
    assert np.array_equal(after.probabilities[1], labels.probabilities[1])
    used, classes = faces_of(workspace, batch)
    assert set(before) - set(used) == {names[0]}
    assert set(used) - set(before) == {names[1]}
    assert classes[used.index(names[2])] == other
    said = people_said(batch, run, NAMES)
    counts = {name: said["review"][name] for name in ("decided", "added", "removed", "relabelled", "confirmed")}
    assert counts == {"decided": 4, "added": 1, "removed": 1, "relabelled": 1, "confirmed": 1}
    assert said["review"]["added_by_reason"] == {str(labels.reason[1]): 1}
    assert said["review"]["reviewers"] == {"ada": 2, "ben": 2}
    assert "ada (2), ben (2)" in people_notes(said)[0]


def test_the_key_changes_with_decisions_and_comes_back_without(tmp_path: Path) -> None:
    _, batch = labelled_workspace(tmp_path / "work", 6)
    log = log_of(batch.path)
    log.reject([read_batch(batch).file_names[0]], "ada")
    assert len(decisions_input(batch)["decisions"]) == 64
    log.undo("ada")
    assert decisions_input(batch) == {}


def test_a_decision_on_what_is_not_there_is_named(tmp_path: Path) -> None:
    workspace, batch = labelled_workspace(tmp_path / "work", 6)
    log = log_of(batch.path)
    log.keep({read_batch(batch).file_names[0]: "contempt"}, "ada")
    with pytest.raises(DataError, match="'contempt'; the classes are angry, happy, sad"):
        faces_of(workspace, batch)
    log.undo("ada")
    log.reject(["images/none.png"], "ada")
    with pytest.raises(DataError, match=r"decides on 'images/none.png', which is not there"):
        faces_of(workspace, batch)


def test_two_people_are_compared_on_what_both_decided(tmp_path: Path) -> None:
    _, batch = labelled_workspace(tmp_path / "work", 20)
    run, names, log = newest_labels(batch), read_batch(batch).file_names, log_of(batch.path)
    assert run is not None
    log.keep(dict.fromkeys(names[:10], "happy"), "ada")
    log.keep(dict.fromkeys(names[:8], "happy"), "ben")
    log.reject(names[8:12], "ben")
    (pair,) = people_said(batch, run, NAMES)["review"]["agreement"]
    assert (pair["reviewers"], pair["n"], pair["agreement"]) == (["ada", "ben"], 10, pytest.approx(0.8))


def test_an_experiment_goes_by_decisions_and_says_so(tmp_path: Path) -> None:
    workspace, batch = labelled_workspace(tmp_path / "work", 60)
    names = read_batch(batch).file_names
    log_of(batch.path).reject(names[:4], "ada")
    settings = {"retrain__arms": "original,synthetic", "retrain__seeds": 1, "classifier__epochs": 1}
    config = fast_config(**settings, device="cpu")
    result = Project(workspace, config).retrain()
    assert result.figures["review"]["removed"] == 2  # the screen keeps every other face
    assert any("A person decided on 4 of the faces (ada (4))" in note for note in result.figures["data"]["notes"])
    (arm,) = [arm for arm in result.figures["arms"] if arm["name"] == "synthetic"]
    assert sum(arm["synthetic_counts"].values()) == 28
    assert workspace.runs("reports")[0].record["key"]["inputs"]["decisions"] == decisions_digest(batch.path)
    assert "index.html" in next_step(workspace)
    log_of(batch.path).reject(names[4:6], "ada")
    assert next_step(workspace) == "ganfer retrain"

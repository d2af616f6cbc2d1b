"""Doubtful labels: by hand, in a set with planted mistakes, in somebody else's splits and predictions."""

import dataclasses
import unicodedata
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny import NAMES, add_set, fast_config, striped, tiny_set
from walls import review_server

from ganfer.data.imageset import ImageSet, read_set
from ganfer.errors import DataError, GanferError
from ganfer.pipeline import Project
from ganfer.review.audit import doubted_rows
from ganfer.review.decisions import log_of
from ganfer.workspace import Workspace

pytest.importorskip("cleanlab", reason="needs cleanlab (extra clean)")

from ganfer.review.confident import doubted_labels

WRONG = 12  # training images whose label the test changed


def test_confident_learning_by_hand() -> None:
    # thresholds: mean of p_0 over label 0 = (0.9 + 0.8 + 0.7 + 0.1) / 4 = 0.625, of p_1 over label 1 = 0.8. Above them:
    # three images of 0 count as 0, the fourth (p_1 = 0.9) as 1; of label 1 those with 0.9 and 0.8 count as 1.
    labels = np.array([0, 0, 0, 0, 1, 1, 1])
    first = np.array([0.9, 0.8, 0.7, 0.1, 0.1, 0.2, 0.3])
    found = doubted_labels(labels, np.stack([first, 1 - first], axis=1))
    assert (found.index.tolist(), found.suggested.tolist()) == ([3], [1])
    assert found.confidence == pytest.approx([0.1])
    # confident joint [[3, 1], [0, 2]], its rows brought to the labels' counts 4 and 3, over 7
    assert found.joint == pytest.approx(np.array([[3, 1], [0, 3]]) / 7)


def test_classes_without_an_image_take_no_part() -> None:
    labels = np.array([0, 0, 0, 2, 2, 2])
    rows = np.array([[0.8, 0.1, 0.1]] * 2 + [[0.1, 0.1, 0.8]] * 4)
    found = doubted_labels(labels, rows)
    assert (found.index.tolist(), found.suggested.tolist()) == ([2], [2])
    alone = doubted_labels(np.zeros(3, np.int64), rows[:3])
    assert (len(alone.index), alone.joint[0, 0]) == (0, 1)


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, ImageSet, np.ndarray]:
    """A project whose set has planted mistakes, audited; the set as it was right, and where the mistakes are."""
    right = tiny_set((60, 60, 60), 12, 12)
    right = dataclasses.replace(right, images=striped(right.labels, seed=7, noise=30))
    train = np.flatnonzero(right.split == "train")
    wrong = np.random.default_rng(0).choice(train, WRONG, replace=False)
    labels = right.labels.copy()
    labels[wrong] = (labels[wrong] + 1) % 3
    workspace = Workspace(tmp_path_factory.mktemp("audited") / "work")
    add_set(workspace, dataclasses.replace(right, labels=labels))
    project = Project(workspace, fast_config(audit__folds=3, classifier__epochs=6, crossval__workers=1))
    project.audit()
    return project, right, wrong


def test_planted_mistakes_are_found_first(audited: tuple[Project, ImageSet, np.ndarray]) -> None:
    project, right, wrong = audited
    data = project.workspace.active_data
    assert data is not None
    rows = doubted_rows(data)
    place = {name: i for i, name in enumerate(right.ids.tolist())}
    found = [place[row["id"]] for row in rows]
    assert len(set(found) & set(wrong)) >= WRONG - 1
    assert len(set(found[:WRONG]) & set(wrong)) >= WRONG - 2
    assert not any(right.split[i] == "test" for i in found)
    named = [
        row["suggested"] == NAMES[right.labels[place[row["id"]]]] for row in rows if place[row["id"]] in set(wrong)
    ]
    assert np.mean(named) > 0.9
    confidences = [float(row["confidence"]) for row in rows]
    assert confidences == sorted(confidences)
    again = project.audit()  # nothing is trained twice
    assert again.figures["doubted"] == len(rows)
    assert (data.path / "audit" / "sheet.png").is_file()


def test_a_person_decides_and_a_new_set_comes_of_it(audited: tuple[Project, ImageSet, np.ndarray]) -> None:
    import httpx

    project, _, _ = audited
    workspace, data = project.workspace, project.workspace.active_data
    assert data is not None
    before, rows = read_set(data.path), doubted_rows(data)
    with pytest.raises(DataError, match="Nobody's decision changes anything"):
        project.audit(apply="decided")
    with review_server(workspace, "ada").background() as listening, httpx.Client(base_url=listening.url) as client:
        wall = f"/api/wall/labels/{data.name}"
        assert client.get(wall).json()["count"] == len(rows)
        for body in (
            {"faces": [0], "do": "label", "label": rows[0]["suggested"]},
            {"faces": [1], "do": "reject"},
            {"faces": [2], "do": "keep"},
        ):
            assert client.post(f"{wall}/decide", json=body).status_code == 200
    result = project.audit(apply="decided")
    made, ids = read_set(result.path), before.ids.tolist()  # type: ignore[arg-type]
    assert workspace.active_data is not None
    assert workspace.active_data.name == result.figures["data"]
    assert set(ids) - set(made.ids.tolist()) == {rows[1]["id"]}
    changed = {
        name: NAMES[label]
        for name, label in zip(made.ids.tolist(), made.labels, strict=True)
        if before.labels[ids.index(name)] != label
    }
    assert changed == {rows[0]["id"]: rows[0]["suggested"]}
    test = [split == "test" for split in made.split]
    assert made.ids[test].tolist() == before.ids[before.split == "test"].tolist()
    assert np.array_equal(made.labels[test], before.labels[before.split == "test"])
    workspace.activate_data(data)
    everything = read_set(project.audit(apply="all").path)  # type: ignore[arg-type]
    gone = set(ids) - set(everything.ids.tolist())
    undecided = {row["id"] for row in rows[3:] if row["split"] == "train"}
    assert gone == {rows[1]["id"], *undecided}
    workspace.activate_data(data)
    log_of(data.path).reject([str(before.ids[before.split == "test"][0])], "ada")
    with pytest.raises(DataError, match="a test image"):
        project.audit(apply="decided")
    log_of(data.path).undo("ada")


def folder_of(root: Path) -> Path:
    """Somebody else's folder: copies, mirrored and turned copies of test images among the augmented training images."""
    from ganfer.review.elsewhere import _turn

    rng = np.random.default_rng(3)
    faces = rng.integers(0, 256, (24, 1, 12, 12)).astype(np.uint8)
    faces = np.repeat(np.repeat(faces, 4, axis=2), 4, axis=3)
    parts = {
        "train/angry": [*faces[:6], faces[16], faces[17][:, :, ::-1]],
        "train/happy": [*faces[6:12], *_turn(faces[18:20], 8)],
        "test/angry": faces[12:20],
        "test/happy": faces[20:24],
    }
    for name, images in parts.items():
        (root / name).mkdir(parents=True)
        for k, image in enumerate(images):
            Image.fromarray(np.ascontiguousarray(image[0])).save(root / name / f"{k}.png")
    return root


def test_copies_of_test_images_are_found_in_somebody_elses_folder(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "theirs")
    project = Project(tmp_path / "work", fast_config())
    result = project.audit(folder, out=tmp_path / "out")
    figures = result.figures["splits"]
    assert figures["leaks"]["by_splits"]["train-test"] == 2  # the equal one and the mirrored one
    assert figures["turned_copies"] == 2
    table = (tmp_path / "out" / "leaks.csv").read_text()
    assert "turned +8 degrees" in table or "turned -8 degrees" in table
    assert not (tmp_path / "work" / "data").exists()  # nothing enters the workspace


def test_somebody_elses_predictions(tmp_path: Path) -> None:
    table = tmp_path / "predictions.csv"
    rows = ["a,happy,0.9,0.1"] * 5 + ["odd,happy,0.05,0.95"] + ["b,sad,0.1,0.9"] * 5
    table.write_text("\n".join(["id,label,p_happy,p_sad", *rows]) + "\n")
    project = Project(tmp_path / "work")
    result = project.audit(predictions=table)
    assert result.figures["labels"]["doubted"] == 1
    assert any("odd" in line for line in result.lines)
    for row in ("c,glad,0.5,0.5", "c,sad,x,0.5", "c,sad,nan,0.5", "c,sad,0,0"):
        table.write_text("\n".join(["id,label,p_happy,p_sad", *rows, row]) + "\n")
        with pytest.raises(DataError, match="row 13"):
            project.audit(predictions=table)
    table.write_text("id,label\na,happy\n")
    with pytest.raises(DataError, match="a column p_CLASS per class"):
        project.audit(predictions=table)
    with pytest.raises(GanferError, match="--apply changes the active set"):
        project.audit(predictions=table, apply="all")


def test_predictions_as_a_spreadsheet_and_other_programs_write_them(tmp_path: Path) -> None:
    file = tmp_path / "predictions.csv"
    rows = ["a,happy,0.9,0.1"] * 5 + ["odd,happy,0.05,0.95"] + ["b,müde,0.1,0.9"] * 5
    plain = "\n".join(["id,label,p_happy,p_müde", *rows]) + "\n"
    comma = plain.replace(",", ";").replace("0.", "0,")
    for text, encoding in (
        (plain, "utf-8-sig"), (comma, "utf-8"), (plain.replace(",", " , "), "utf-16"),
        (plain.replace("p_happy", "P_Happy").replace("label", "True"), "utf-8"),
        (unicodedata.normalize("NFD", plain[:30]) + plain[30:], "utf-8"),
        (plain.replace("0.9,0.1", "90,10"), "utf-8"),
    ):  # fmt: skip
        file.write_bytes(text.encode(encoding))
        assert Project(tmp_path / "work").audit(predictions=file).figures["labels"]["doubted"] == 1, text
    file.write_text(plain.replace("0.9,0.1", "0.9,0.9"))
    lines = Project(tmp_path / "work").audit(predictions=file).lines
    assert any("5 rows the probabilities do not add up to 1" in line for line in lines)
    for text, said in (
        (plain.replace("p_müde", "p_happy"), "two columns 'p_happy'"),
        (plain.replace("p_müde", "p_Happy"), "two columns of one class"),
        (plain + "c,angry,0.5,0.5\n", "no column p_angry"),
        (plain + "c,happy\n", "row 13: '' is no probability"),
        (plain.replace("label,", "label,true,").replace("happy,0", "happy,sad,0"), "label and true name different"),
    ):
        file.write_text(text)
        with pytest.raises(DataError, match=said):
            Project(tmp_path / "work").audit(predictions=file)
    file.write_bytes(plain.encode("latin-1"))
    with pytest.raises(DataError, match="Save it again as UTF-8"):
        Project(tmp_path / "work").audit(predictions=file)


def test_classes_of_a_table_keep_to_their_line(tmp_path: Path) -> None:
    file = tmp_path / "predictions.csv"
    rows = ['a,"s\nad",0.9,0.1'] * 5 + ['odd,"s\nad",0.05,0.95'] + ["b,happy,0.1,0.9"] * 5
    file.write_text("\n".join(['id,label,"p_s\nad",p_happy', *rows]) + "\n")
    assert not any("\n" in line for line in Project(tmp_path / "work").audit(predictions=file).lines)


@pytest.mark.parametrize(("train", "test"), [("Trainingsdaten", "Testdaten"), ("data/train", "data/test")])
def test_somebody_elses_splits_are_those_of_their_folders(train: str, test: str, tmp_path: Path) -> None:
    theirs = folder_of(tmp_path / "theirs")
    for name, split in ((train, "train"), (test, "test")):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (theirs / split).rename(tmp_path / "set" / name)
    figures = Project(tmp_path / "work", fast_config()).audit(tmp_path / "set").figures["splits"]
    assert figures["splits"] == {"train": 16, "val": 0, "test": 12}
    assert figures["leaks"]["by_splits"]["train-test"] == 2


def test_a_folder_without_splits_leaks_nothing(tmp_path: Path) -> None:
    theirs = folder_of(tmp_path / "theirs")
    result = Project(tmp_path / "work", fast_config()).audit(theirs / "train")
    assert result.figures["splits"]["splits"] == {"train": 16, "val": 0, "test": 0}
    assert any("names no splits" in line for line in result.lines)

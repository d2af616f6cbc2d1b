"""Cards: what the Hub and Croissant's own checks read, with nothing in them that acts or is private."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from reading_croissant import check, records
from tiny import add_batch, add_set, fast_config, tiny_set

from ganfer.cards.croissant import croissant
from ganfer.cards.dataset import dataset_card
from ganfer.cards.facts import DatasetFacts
from ganfer.cards.markdown import code, front_matter, plain, public
from ganfer.cards.model import Measure, ModelFacts, model_card
from ganfer.classifier import starter
from ganfer.classifier.model_card import starter_facts
from ganfer.pipeline import Project
from ganfer.workspace import Workspace

yaml = pytest.importorskip("yaml", reason="needs PyYAML, which the docs' tools bring")
HOSTILE = "[x](http://evil)<script>alert(1)</script>`rm`\x1b[2J\u202e|\n---\nlicense: mit"


def front_of(card: str) -> dict[str, Any]:
    assert card.startswith("---\n")
    found = yaml.safe_load(card.split("---\n")[1])
    assert isinstance(found, dict)
    return found


def facts(**more: Any) -> DatasetFacts:
    given: dict[str, Any] = {
        "name": "batch-1", "title": "Synthetic faces", "counts": {"train": {"happy": 3, "sad": 4}}, "size": 48,
        "channels": 1, "form": "parquet", "files": {"train": "data/*.parquet"}, "synthetic": 7,
        "made": (("drawn by", "resgan-1"),), "columns": {"image": "", "label": "", "seed": "the seed"},
    }  # fmt: skip
    return DatasetFacts(**given | more)


def test_a_data_set_says_what_is_in_it_and_what_it_is_not_for():
    card = dataset_card(facts())
    front = front_of(card)
    assert front["license"] == "unknown"
    assert front["tags"] == ["facial-expression-recognition", "ganfer", "synthetic"]
    assert front["size_categories"] == ["n<1K"]
    assert front["configs"] == [
        {"config_name": "default", "data_files": [{"split": "train", "path": "data/*.parquet"}]}
    ]
    for word in (
        "7 synthetic face images",
        "| happy | 3 |",
        "resgan-1",
        "Art. 50\\(2\\)",
        "Art. 5\\(1\\)\\(f\\)",
        "trainedAlgorithmicMedia",
    ):
        assert word.replace("\\", "") in card.replace("\\", ""), word
    real = dataset_card(facts(synthetic=0, form="png", files={"train": "images/*.png"}))
    assert "synthetic" not in front_of(real)["tags"]
    assert "configs" not in front_of(real)
    assert "personal data" in real


def test_text_from_elsewhere_does_nothing():
    card = dataset_card(
        facts(title=HOSTILE, counts={"train": {HOSTILE: 7}}, made=((HOSTILE, HOSTILE),), notes=(HOSTILE,))
    )
    assert front_of(card)["license"] == "unknown"
    body = card.split("---\n", 2)[2]
    shown = re.sub(r"(?<![\\`])(`+)(?!`).*?(?<!`)\1(?!`)", "", body)  # what is no code
    assert "<script>" not in shown
    assert not re.search(r"(?<!\\)\]\(", shown)  # no link
    assert "\x1b" not in card
    assert "\u202e" not in card
    assert "\nlicense: mit" not in card
    assert plain("a*b_c|d") == r"a\*b\_c\|d"
    assert code("a`b") == "`` a`b ``"
    odd = front_matter({"a": "x: y # z\u2028", "b": ["- c"], "d": {"e f": None}})
    assert front_of(odd) == {
        "a": "x: y # z\\u2028",
        "b": ["- c"],
        "d": {"e f": None},
    }


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("/home/me/secret/faces.tar", "faces.tar"),
        ("made of /home/me/faces/ and C:\\Users\\me\\x.png.", "made of ... and x.png."),
        ("a/b of train/val at 1/2", "a/b of train/val at 1/2"),
        ("http://host/path/x", "http://host/path/x"),
    ],
)
def test_folders_of_this_machine_stay_here(text, shown):
    assert public(text) == shown


def test_a_model_has_results_with_intervals():
    card = model_card(
        ModelFacts(
            name="compact-1", task="image-classification", summary="Reads faces.", class_names=["happy", "sad"],
            data="/home/me/faces",
            counts={"happy": 3},
            results=[Measure("accuracy", "accuracy", 0.5, 0.4, 0.6), Measure("f1", "macro F1", 0.45)],
            use=("import x",), made=(("seed", 0),),
        )
    )  # fmt: skip
    front = front_of(card)
    (result,) = front["model-index"][0]["results"]
    assert result["dataset"] == {"type": "image", "name": "faces", "split": "validation"}
    assert result["metrics"][0] == {
        "type": "accuracy", "name": "accuracy", "value": 0.5,
        "args": {"confidence_level": 0.95, "low": 0.4, "high": 0.6},
    }  # fmt: skip
    assert "args" not in result["metrics"][1]
    assert "/home" not in card
    assert "0.4000 to 0.6000" in card


def test_the_hub_reads_them(monkeypatch):
    hub = pytest.importorskip("huggingface_hub", reason="needs huggingface_hub (it comes with timm)")
    found = hub.DatasetCard(dataset_card(facts()))
    assert found.data.license == "unknown"
    model = ModelFacts(
        "m", "image-classification", "s", ["a"], "d", {}, [Measure("accuracy", "accuracy", 0.5, 0.4, 0.6)], (), ()
    )
    (result,) = hub.ModelCard(model_card(model)).data.eval_results
    assert (result.metric_type, result.metric_value, result.metric_args["low"]) == ("accuracy", 0.5, 0.4)


DESCRIBED: list[tuple[str, dict[str, Any]]] = [
    ("parquet", {}),
    ("png", {"columns": {}}),
    ("png", {"columns": {"file_name": "the image"}}),
    ("png", {"counts": {"train": {"": 7}}}),
    ("webdataset", {}),
    ("webdataset", {"counts": {"train": {"": 7}}}),
]
SHARDS = {"train": [("shards/faces-000000.tar", "0" * 64), ("shards/faces-000001.tar", "1" * 64)]}


@pytest.mark.parametrize(("form", "more"), DESCRIBED)
def test_croissant_names_images_and_their_classes(form, more):
    """A class that was asked of no image is no field; what is referred to is there."""
    document = croissant(facts(form=form, **more), SHARDS)
    check(document)
    (train,) = [each for each in document["recordSet"] if each["@id"] == "train"]
    fields = {field["name"] for field in train["field"]}
    assert "image" in fields
    assert ("label" in fields) == ("counts" not in more)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("form", "more"), DESCRIBED)
def test_croissant_is_valid(form, more, tmp_path):
    mlcroissant = pytest.importorskip("mlcroissant", reason="needs mlcroissant")
    file = tmp_path / "croissant.json"
    file.write_text(json.dumps(croissant(facts(form=form, **more), SHARDS)))
    found = mlcroissant.Dataset(jsonld=str(file))
    assert not found.metadata.ctx.issues.errors
    assert found.metadata.name == "batch-1"


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A classifier, an experiment and a batch made elsewhere."""
    root = tmp_path_factory.mktemp("story")
    workspace = Workspace(root / "home" / "me" / "work")
    data = add_set(workspace, tiny_set((24, 24, 12)))
    add_batch(workspace, data, np.repeat([2, 0], (20, 6)))
    few = {"classifier__epochs": 2, "retrain__arms": "original,synthetic", "label__min_confidence": "0"}
    few |= {"label__manifold": 0.0, "label__copies": False, "label__diverse": False, "label__require_match": False}
    project = Project(workspace, fast_config(**few))
    project.label()
    return project


def test_every_classifier_has_a_card(story: Project):
    run = story.needs.classifier()
    front = front_of((run.path / "README.md").read_text())
    assert front["library_name"] == "ganfer"
    metrics = {each["type"]: each for each in front["model-index"][0]["results"][0]["metrics"]}
    assert metrics["accuracy"]["value"] == pytest.approx(run.figures["validation"]["accuracy"], abs=1e-6)
    assert set(metrics) == {"accuracy", "balanced_accuracy", "f1"}
    result = story.retrain()
    card = (result.path / "best" / "README.md").read_text()
    told = front_of(card)["model-index"][0]["results"][0]
    assert told["dataset"]["split"] == "test"
    rows = {row["name"]: row["metrics"] for row in result.figures["equal_shares"]["arms"]}
    fitted = rows[result.figures["recommendation"]["arm"]]  # the classifier's biases are fitted: so are its figures
    values = {each["type"]: each["value"] for each in told["metrics"]}
    assert values == {name: pytest.approx(fitted[name]["mean"], abs=1e-6) for name in ("accuracy", "balanced_accuracy")}
    assert "the seed that is best on validation" in card
    assert str(story.workspace.root) not in card


def test_the_starters_card_is_that_of_its_figures():
    found = model_card(starter_facts(starter.card()))
    assert starter.FILE.with_name("README.md").read_text(encoding="utf-8") == found
    front = front_of(found)
    assert front["license"] == "mit"
    (result,) = front["model-index"][0]["results"]
    assert result["metrics"][0]["value"] == starter.card()["figures"]["accuracy"]


def test_a_folder_from_elsewhere_has_cards(story: Project, tmp_path: Path):
    from PIL import Image

    (tmp_path / "made" / "sad").mkdir(parents=True)
    for i in range(4):
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (16, 16), np.uint8)).save(
            tmp_path / "made" / "sad" / f"{i}.png"
        )
    story.label(tmp_path / "made")
    batch = story.workspace.latest("synthetic")
    card = (batch.path / "README.md").read_text()
    assert "4 synthetic face images" in card
    assert str(tmp_path) not in card
    found = json.loads((batch.path / "croissant.json").read_text())
    assert found["conformsTo"] == "http://mlcommons.org/croissant/1.0"
    assert str(tmp_path) not in json.dumps(found)
    assert [row["label"] for row in records(batch.path, "train")] == ["sad"] * 4

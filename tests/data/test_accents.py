"""Names that look the same and are written in two ways: composed (é), or as a Mac writes them, the accent apart."""

import unicodedata
from collections import Counter
from pathlib import Path

import pytest
from making_sources import folder, png

from ganfer.config import load_config
from ganfer.data.imageset import ImageSet, read_set
from ganfer.data.ingest import add
from ganfer.data.names import class_named
from ganfer.data.sources.words import split_word
from ganfer.workspace import Workspace


def apart(name: str) -> str:
    return unicodedata.normalize("NFD", name)


def added(tmp_path: Path, files: dict[str, bytes], **options: object) -> ImageSet:
    config = load_config(overrides={"data.size": 16})
    result = add(Workspace(tmp_path / "work"), config, folder(tmp_path / "set", files), **options)  # type: ignore[arg-type]
    assert result.path is not None
    return read_set(result.path)


def test_a_class_written_in_both_ways_is_one(tmp_path: Path) -> None:
    files = {f"train/{name}/{i}.png": png(100 * k + i) for k, name in enumerate(("müde", "froh")) for i in range(10)}
    files |= {f"test/{apart('Müde')}/{i}.png": png(500 + i) for i in range(5)}
    images = added(tmp_path, files, renames={apart("froh"): apart("fröhlich")})
    assert images.class_names == ("fröhlich", "müde")
    of_test = images.split == "test"
    assert (images.labels[of_test] == 1).sum() == 5


def test_a_table_names_files_whose_accents_are_apart(tmp_path: Path) -> None:
    rows = "".join(
        f"é{i}.png,{('angry', 'happy')[i % 2]},{('José', apart('José'))[i // 2 % 2]}{i // 4}\n" for i in range(24)
    )
    files = {"metadata.csv": f"file_name,label,subject\n{rows}".encode()}
    images = added(tmp_path, files | {apart(f"é{i}.png"): png(i) for i in range(24)})
    assert len(images) == 24
    assert set(Counter(images.group.tolist()).values()) == {4}  # one person, whichever way the name is written


def test_both_ways_in_one_folder_are_two_files(tmp_path: Path) -> None:
    names = [name for i in range(6) for name in (f"é{i}.png", apart(f"é{i}.png"))]
    rows = "".join(f"{name},{('angry', 'happy')[k % 2]}\n" for k, name in enumerate(names))
    files = {"metadata.csv": f"file_name,label\n{rows}".encode()}
    images = added(tmp_path, files | {name: png(k) for k, name in enumerate(names)})
    assert images.counts() == {"angry": 6, "happy": 6}


def test_a_set_from_before_keeps_its_class(tmp_path: Path) -> None:
    assert class_named("MÜDE", ("müde",)) == "müde"
    assert class_named(apart("Müde"), ("müde",)) == "müde"
    assert class_named(apart("Müde"), (apart("müde"),)) == apart("müde")


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("Trainingsdaten", "train"), ("Testdaten", "test"), ("Validierung", "val"), ("validación", "val"),
        ("entrenamiento", "train"), ("prueba", "test"), ("entraînement", "train"), ("données_test", "test"),
        ("训练集", "train"), ("测试集", "test"), ("验证", "val"), ("обучающая_выборка", "train"), ("тест", "test"),
        ("テスト", "test"), ("훈련", "train"), ("müde", ""), ("daten", ""), ("prueba_feliz", ""),
    ],
)  # fmt: skip
@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_splits_have_names_in_other_languages(name: str, split: str, form: str) -> None:
    assert split_word(unicodedata.normalize(form, name)) == split  # type: ignore[arg-type]

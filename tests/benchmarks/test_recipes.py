"""benchmarks/recipes.py trains a recipe with several seeds and measures the first and all of them together."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_several_seeds_are_an_ensemble_beside_the_first(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import recipes

    rng = np.random.default_rng(0)
    for split, number in (("train", 16), ("test", 6)):
        for k, name in enumerate(("angry", "fear", "happy")):
            for i in range(number):
                path = tmp_path / "faces" / split / name / f"{i}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray((rng.integers(0, 90, (48, 48)) + 60 * k).astype(np.uint8)).save(path)
    tiny = {"device": "cpu", "classifier.model": "compact-small", "classifier.steps": 3, "classifier.batch_size": 16,
            "classifier.tensorboard": False, "classifier.progressive": 0.0}  # fmt: skip
    recipe, source = recipes.BY_NAME["fer2013-compact"], {"fer": tmp_path / "faces"}
    one = recipes.run(recipe, source, tmp_path / "work", short=False, also=tiny)
    answers = tmp_path / "answers"
    three = recipes.run(recipe, source, tmp_path / "work", short=False, also=tiny, seeds=3, answers=answers)
    assert three["figures"] == one["figures"]
    assert set(one["flip"]) == {f"{split} accuracy{more}" for split in ("val", "test") for more in ("", " interval")}
    assert "ensemble" not in one
    assert three["ensemble"]["seeds"] == 3
    assert set(three["ensemble"]) == {"seeds", "seconds", "ten-crop", "flip"}
    assert three["ensemble"]["seconds"] > three["seconds"]
    assert 0 <= three["ensemble"]["ten-crop"]["test accuracy"] <= 1

    import recipes_together

    said = {f"{seed}": recipes_together.read(answers / f"fer2013-compact-{seed}.npz") for seed in range(3)}
    record = recipes_together.together(said)
    assert set(record) == {"ten-crop", "flip"}
    assert record["flip"]["0"]["val"] == (one["flip"]["val accuracy"], one["flip"]["val accuracy interval"])
    together = record["ten-crop"]["together"]["test"]
    assert together == (three["ensemble"]["ten-crop"]["test accuracy"],
                        three["ensemble"]["ten-crop"]["test accuracy interval"])  # fmt: skip

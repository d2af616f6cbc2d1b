"""Networks trained by several recipes, or on several machines, as an ensemble: the mean of their probabilities.

    python benchmarks/recipes.py --answers FOLDER ... NAME      keeps FOLDER/NAME-SEED.npz
    python benchmarks/recipes_together.py FOLDER/NAME-SEED.npz ...

Prints and records (benchmarks/results/recipes_together.json) the accuracy of each and of all together, with Wilson's
95% interval, on validation and on the test split, for every way of test-time augmentation that all of them have.
Which networks belong together is chosen before the test split is read: they are the ones that are named.
"""

import argparse
import json
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from recipe_records import RESULTS, wilson


def main() -> None:
    """Measure the named networks together and record it under their names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, default=RESULTS / "recipes_together.json")
    options = parser.parse_args()
    record = together({file.stem: read(file) for file in options.files})
    results = json.loads(options.out.read_text()) if options.out.is_file() else {}
    results[" + ".join(file.stem for file in options.files)] = record
    options.out.write_text(json.dumps(results, indent=1) + "\n")
    for way, by_network in record.items():
        for name, figures in by_network.items():
            print(f"{way}, {name}: {', '.join(f'{split} {100 * value[0]:.1f}%' for split, value in figures.items())}")


def read(file: Path) -> dict[str, np.ndarray]:
    """What a network says, as recipes.py keeps it. SystemExit for a file that is not there or is something else."""
    try:
        with file.open("rb") as stream, np.load(stream) as found:
            said = dict(found)
    except (OSError, ValueError, BadZipFile) as error:
        raise SystemExit(f"{file} cannot be read ({error}); recipes.py --answers writes such files") from None
    if missing := {f"{split} labels" for split in ("val", "test")} - set(said):
        raise SystemExit(f"{file} has no {', '.join(sorted(missing))}; recipes.py --answers writes such files")
    return said


def together(said: dict[str, dict[str, np.ndarray]]) -> dict[str, Any]:
    """By way and network, `together` last: (accuracy, interval) per split. SystemExit where the images differ."""
    first, *others = said.values()
    for split in ("val", "test"):
        labels = first[f"{split} labels"]
        if not all(np.array_equal(labels, other[f"{split} labels"]) for other in others):
            raise SystemExit(f"the networks were measured on different {split} images")
    ways = [key.removeprefix("test ") for key in first if key.startswith("test ") and key != "test labels"]
    record: dict[str, Any] = {}
    for way in ways:
        if not all(f"test {way}" in other for other in others):
            continue
        record[way] = {name: _figures(way, [found]) for name, found in said.items()}
        record[way]["together"] = _figures(way, list(said.values()))
    return record


def _figures(way: str, said: list[dict[str, np.ndarray]]) -> dict[str, tuple[float, tuple[float, float]]]:
    """The accuracy of the mean probabilities, and its interval, on both splits."""
    figures = {}
    for split in ("val", "test"):
        mean = np.mean([found[f"{split} {way}"].astype(np.float64) for found in said], axis=0)
        labels = said[0][f"{split} labels"]
        accuracy = float((mean.argmax(1) == labels).mean())
        figures[split] = accuracy, wilson(accuracy, len(labels))
    return figures


if __name__ == "__main__":
    main()

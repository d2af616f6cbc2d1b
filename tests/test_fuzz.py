"""Every reader of what strangers send, against damage and against what was built to get past it; `benchmarks/fuzz.py`
does the same for longer."""

import time
from pathlib import Path

import pytest
from fuzzing import NAMES, Reader, constructed, damaged, readers, watched

ROUNDS = 120
READERS = {reader.name: reader for reader in readers()}
SECONDS = 5.0  # of processor time for one file of some kilobytes, with others at work on the machine


@pytest.mark.parametrize("name", READERS)
def test_damage_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    reader = READERS[name]
    for seed in reader.seeds:
        outcome = Reader(name, [], reader.read, reader.refuses, imports=True).one(seed, tmp_path)
        assert outcome == "read" or (name == "classifiers" and seed is not reader.seeds[0])
    outcomes = []
    for number in range(ROUNDS):
        content = damaged(reader.seeds, number)
        began = time.process_time()
        outcomes.append(reader.one(content, tmp_path))
        assert time.process_time() - began < SECONDS, f"damage {number}"
    assert "refused" in outcomes or not reader.refuses


def test_nothing_built_on_purpose_runs(tmp_path: Path) -> None:
    files = constructed()
    assert len(files) > 7 * len(NAMES)
    for reader in (READERS["StyleGAN2 networks"], READERS["tensors, the bridge's reader"]):
        for name, content in files.items():
            assert reader.one(content, tmp_path) == "refused", name


def test_the_watch_sees_what_runs() -> None:
    """The check itself: code that runs while it watches is found."""
    import pickle

    class Evil:
        def __reduce__(self) -> tuple:  # type: ignore[type-arg]
            return eval, ("1",)

    content = pickle.dumps(Evil())
    with pytest.raises(AssertionError, match="pickle.find_class|compile|exec"), watched():
        pickle.loads(content)

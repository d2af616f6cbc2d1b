"""The models in memory: exchanged under way, kept when the newer one is bad."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
from serving import config, faces, source_of, write_model

from ganfer.classifier.catalogue import ServedModel
from ganfer.serve.errors import Refused
from ganfer.serve.metrics import Metrics
from ganfer.serve.store import ModelStore


def test_who_holds_a_version_may_finish_with_it(tmp_path: Path) -> None:
    file = write_model(tmp_path)
    images = list(faces(2))

    async def story() -> None:
        store = ModelStore(lambda: [source_of("m", file)], config(), Metrics(), device="cpu")
        with pytest.raises(Refused, match="No model is loaded"):
            store.get()
        await store.start()
        with store.get("m") as old:
            before = await old.probabilities(images)
            write_model(tmp_path, seed=3)
            await store.refresh()
            new = store.get("m")
            assert new is not old
            for _ in range(20):
                await asyncio.sleep(0)  # the old version could go now
            np.testing.assert_array_equal(await old.probabilities(images), before)
            assert not np.allclose(await new.probabilities(images), before)
        await store.close()
        with pytest.raises(Refused, match="stopping"):
            await old.probabilities(images)

    asyncio.run(story())


def test_a_bad_newer_version_is_tried_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = write_model(tmp_path)

    async def story() -> None:
        found = [source_of("m", file)]

        def find() -> list[ServedModel]:
            return found

        metrics = Metrics()
        store = ModelStore(find, config(), metrics, device="cpu")
        await store.start()
        kept = store.get("m")
        file.write_bytes(b"half a model")
        found[:] = [source_of("m", file)]
        for _ in range(3):
            await store.refresh()
        assert store.get("m") is kept
        assert metrics.registry.get_sample_value("ganfer_model_loads_total", {"model": "m", "outcome": "failed"}) == 1
        write_model(tmp_path, seed=4)
        found[:] = [source_of("m", file)]
        await store.refresh()
        assert store.get("m") is not kept
        await store.close()

    asyncio.run(story())
    told = capsys.readouterr().err
    assert told.count("the newer version is not served") == 1
    assert "m: now version" in told

"""The models being served: loaded from safetensors, replaced when a newer one is finished, closed when unused."""

import asyncio
import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from classifiers import ClassifierError, Predictor
from ganfer.classifier.catalogue import ServedModel
from ganfer.config import ServeConfig
from ganfer.errors import GanferError
from ganfer.runtime.console import say
from ganfer.runtime.text import one_line
from ganfer.serve.backend import open_predictor, warm
from ganfer.serve.batching import Batcher
from ganfer.serve.errors import Refused
from ganfer.serve.metrics import Metrics

Image = np.ndarray
"""One face as a model takes it: (C, S, S) uint8."""


def _reason(error: Exception) -> str:
    """One line: an expected failure says all by itself, of others the kind helps."""
    expected = isinstance(error, GanferError | ClassifierError | OSError)
    return str(error) if expected else f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


class Served:
    """One version of a model, ready. batcher: (C, S, S) uint8 in, (K,) float32 calibrated probabilities out.

    To be used as a context (`with store.get(...) as served`): a version that is replaced meanwhile lives on until then.
    """

    def __init__(self, source: ServedModel, predictor: Predictor, batcher: Batcher[Image, np.ndarray]) -> None:
        self.source, self.predictor, self.batcher = source, predictor, batcher
        self._users = 0
        self._unused = asyncio.Event()
        self._unused.set()

    def __enter__(self) -> "Served":
        self._users += 1
        self._unused.clear()
        return self

    def __exit__(self, *failure: object) -> None:
        self._users -= 1
        if not self._users:
            self._unused.set()

    async def retire(self) -> None:
        """Close once nobody uses it any more."""
        await self._unused.wait()
        await self.batcher.close()

    @property
    def name(self) -> str:
        return self.source.name

    @property
    def version(self) -> str:
        """As the protocols write it: a whole number in decimal digits."""
        return str(self.source.version)

    @property
    def class_names(self) -> list[str]:
        return [one_line(name) for name in self.predictor.class_names]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, S, S) of one image."""
        return self.predictor.channels, self.predictor.size, self.predictor.size

    async def probabilities(self, images: Sequence[Image]) -> np.ndarray:
        """Calibrated probabilities, float32 (N, K), computed together with other callers' images."""
        rows = await self.batcher.submit(images)
        return np.stack(rows) if rows else np.zeros((0, len(self.class_names)), np.float32)


class ModelStore:
    """Models by name. `find` says what there is to serve; it is asked again every `reload_seconds`."""

    def __init__(
        self,
        find: Callable[[], list[ServedModel]],
        config: ServeConfig,
        metrics: Metrics,
        *,
        device: str = "auto",
        arriving: Callable[[], int] = lambda: 0,
    ) -> None:
        self._find, self._config, self._metrics, self._device = find, config, metrics, device
        self._arriving = arriving
        self._models: dict[str, Served] = {}
        self._failed: dict[str, ServedModel] = {}
        self._trouble = ""  # of the last look, said once
        self._loader = ThreadPoolExecutor(1, thread_name_prefix="load")
        self._watcher: asyncio.Task[None] | None = None
        self._retiring: set[asyncio.Task[None]] = set()

    @property
    def ready(self) -> bool:
        """Whether a model can be asked."""
        return bool(self._models)

    @property
    def models(self) -> list[Served]:
        """What is served, in the order it was asked for."""
        return list(self._models.values())

    def get(self, name: str | None = None, version: str | None = None) -> Served:
        """A model by name (None: the first). Refused (404) when there is none, or not in that version."""
        if not self._models:
            raise Refused(503, "No model is loaded yet.", retry_after=1)
        if name is None:
            return next(iter(self._models.values()))
        served = self._models.get(name)
        if served is None:
            raise Refused(404, f"No model {name[:80]!r}. Served: {', '.join(self._models)}.")
        if version is not None and version != served.version:
            raise Refused(404, f"No version {version[:20]!r} of {name}. Served: {served.version}.")
        return served

    async def start(self) -> None:
        """Load everything, then watch. GanferError or ClassifierError when a model cannot be loaded."""
        for source in self._find():
            await self._load(source)
        if self._config.reload_seconds:
            self._watcher = asyncio.get_running_loop().create_task(self._watch())

    async def refresh(self) -> None:
        """Look once for newer models. One that cannot be loaded is reported; the old one stays."""
        loop = asyncio.get_running_loop()
        try:
            found = await loop.run_in_executor(self._loader, self._find)
        except Exception as error:  # a workspace being changed, or a stranger's file in it; the next look will tell
            if self._trouble != (reason := _reason(error)):
                self._trouble = reason
                say(f"looking for newer models: {reason}")
            return
        self._trouble = ""
        for source in found:
            served = self._models.get(source.name)
            if (served is None or served.source != source) and self._failed.get(source.name) != source:
                try:
                    await self._load(source)
                except Exception as error:  # whatever is wrong with that file, the others are still watched
                    self._failed[source.name] = source
                    self._metrics.reloads.labels(source.name, "failed").inc()
                    say(f"{source.name}: the newer version is not served: {_reason(error)}")
                else:
                    self._failed.pop(source.name, None)

    async def close(self) -> None:
        """Stop watching; finish what every model still has to do."""
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)
        await asyncio.gather(*(served.retire() for served in self.models), *self._retiring)
        self._loader.shutdown(wait=True)

    def nudge(self) -> None:
        """Tell all models that a request which was on its way has arrived or ended."""
        for served in self._models.values():
            served.batcher.nudge()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._config.reload_seconds)
            await self.refresh()

    async def _load(self, source: ServedModel) -> None:
        """Load a version beside the old one, exchange them, let the old one finish its work."""
        loop = asyncio.get_running_loop()
        load = functools.partial(open_predictor, source.file, self._config.backend, self._device)
        predictor = await loop.run_in_executor(self._loader, load)
        served = Served(source, predictor, self._batcher(source.name, predictor))
        await served.batcher.prepare(functools.partial(warm, predictor))
        served.batcher.start()
        old = self._models.get(source.name)
        self._models[source.name] = served
        self._metrics.queued.labels(source.name).set_function(lambda: served.batcher.queued)
        self._metrics.model.labels(source.name, served.version, self._config.backend).set(1)
        self._metrics.reloads.labels(source.name, "loaded").inc()
        if old is not None:
            say(f"{source.name}: now version {served.version} ({source.note})")
            if old.version != served.version:
                self._metrics.model.remove(source.name, old.version, self._config.backend)
            task = loop.create_task(old.retire())
            self._retiring.add(task)
            task.add_done_callback(self._retiring.discard)

    def _batcher(self, name: str, predictor: Predictor) -> Batcher[Image, np.ndarray]:
        config, metrics = self._config, self._metrics
        items, seconds = metrics.batch_items.labels(name), metrics.batch_seconds.labels(name)
        images = metrics.images.labels(name)

        def observe(count: int, took: float) -> None:
            items.observe(count)
            seconds.observe(took)
            images.inc(count)

        def compute(batch: list[Image]) -> list[np.ndarray]:
            return list(predictor.probabilities(np.stack(batch), batch_size=config.batch))

        return Batcher(
            compute,
            max_batch=config.batch,
            max_wait=config.batch_wait_ms / 1000,
            max_queued=config.queue,
            arriving=self._arriving,
            observe=observe,
            name=name,
        )

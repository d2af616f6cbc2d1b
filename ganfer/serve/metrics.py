"""What the server counts, for Prometheus. One registry per server; no label takes its values from requests."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

CONTENT_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_ITEMS = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The server's counters, gauges and histograms."""

    def __init__(self) -> None:
        registry = CollectorRegistry()
        self.registry = registry
        ProcessCollector(registry=registry)  # memory, CPU seconds, open files
        self.requests = Counter(
            "ganfer_requests", "Requests answered.", ("route", "method", "status"), registry=registry
        )
        self.seconds = Histogram(
            "ganfer_request_seconds", "Seconds per request.", ("route",), buckets=_SECONDS, registry=registry
        )
        self.rejected = Counter(
            "ganfer_rejected", "Requests refused by a limit: busy, size, timeout.", ("reason",), registry=registry
        )
        self.images = Counter("ganfer_images", "Face images classified.", ("model",), registry=registry)
        self.faces = Counter("ganfer_faces", "Faces found in pictures.", registry=registry)
        self.batch_items = Histogram(
            "ganfer_batch_images", "Images per forward pass.", ("model",), buckets=_ITEMS, registry=registry
        )
        self.batch_seconds = Histogram(
            "ganfer_batch_seconds", "Seconds per forward pass.", ("model",), buckets=_SECONDS, registry=registry
        )
        self.queued = Gauge(
            "ganfer_queue_images", "Images that wait for a forward pass.", ("model",), registry=registry
        )
        self.in_flight = Gauge("ganfer_requests_in_flight", "Requests being worked on.", registry=registry)
        self.body_bytes = Gauge("ganfer_body_bytes", "Bytes of request bodies held in memory.", registry=registry)
        self.model = Gauge(
            "ganfer_model_info", "1 for every model served.", ("model", "version", "backend"), registry=registry
        )
        self.reloads = Counter(
            "ganfer_model_loads", "Times a model was loaded, or could not be.", ("model", "outcome"), registry=registry
        )

    def text(self) -> bytes:
        """Everything, in Prometheus' text format."""
        return generate_latest(self.registry)

    def totals(self) -> dict[str, int]:
        """Requests answered and images classified since the start."""
        return {"requests": _total(self.requests), "images": _total(self.images)}


def _total(counter: Counter) -> int:
    return int(sum(s.value for metric in counter.collect() for s in metric.samples if s.name.endswith("_total")))

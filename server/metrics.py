"""Prometheus metrics. Recorded on the event loop only, a few bound counters a request."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_ROWS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256, 512)
_MODEL = ("model", "version")


class Metrics:
    """All metrics of one server, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        registry = self.registry
        self.requests = Counter(
            "rushlight_requests", "Inference requests answered, by HTTP status", (*_MODEL, "code"), registry=registry
        )
        self.request_seconds = Histogram(
            "rushlight_request_seconds", "Seconds from head to answer", _MODEL, buckets=_SECONDS, registry=registry
        )
        self.queue_seconds = Histogram(
            "rushlight_queue_seconds", "Seconds from queue to batch", _MODEL, buckets=_SECONDS, registry=registry
        )
        self.compute_seconds = Histogram(
            "rushlight_compute_seconds", "Seconds a batch runs", _MODEL, buckets=_SECONDS, registry=registry
        )
        self.batch_size = Histogram("rushlight_batch_size", "Rows of a batch", _MODEL, buckets=_ROWS, registry=registry)
        self.queue_depth = Gauge(
            "rushlight_queue_depth",
            "Pieces of requests that wait for a batch",
            _MODEL,
            registry=registry,
        )
        self.inflight = Gauge(
            "rushlight_inflight_requests",
            "Inference requests between head and answer",
            registry=registry,
        )
        self.inflight_bytes = Gauge(
            "rushlight_inflight_bytes",
            "Bytes of request bodies in memory",
            registry=registry,
        )

    def of_model(self, model: str, version: str) -> ModelMetrics:
        """Counters bound to one version of a model."""
        return ModelMetrics(self, model, version)


class ModelMetrics:
    """The metrics of one version of a model."""

    def __init__(self, metrics: Metrics, model: str, version: str) -> None:
        self._labels = (model, version)
        self._requests = metrics.requests
        self._codes: dict[int, Counter] = {}
        self.request_seconds = metrics.request_seconds.labels(model, version)
        self.queue_seconds = metrics.queue_seconds.labels(model, version)
        self.compute_seconds = metrics.compute_seconds.labels(model, version)
        self.batch_size = metrics.batch_size.labels(model, version)
        self.queue_depth = metrics.queue_depth.labels(model, version)

    def answered(self, code: int, seconds: float) -> None:
        """Count one answer and its latency."""
        counter = self._codes.get(code)
        if counter is None:
            counter = self._codes[code] = self._requests.labels(*self._labels, str(code))
        counter.inc()
        self.request_seconds.observe(seconds)

"""Prometheus metrics, with labels from closed lists: names of models that are served, routes, reasons."""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_MODEL = ("model", "version")
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
CONTENT_TYPE = CONTENT_TYPE_LATEST


class Metrics:
    """The metrics of one server, in a registry of its own.

    Attributes:
        requests: by route and status of HTTP.
        rejects: by reason.
        seconds: whole requests, by route.
        queue: wait of a request's images for their forward pass, by model.
        compute: a forward pass, by model.
        batch: images per forward pass, by model.
        images: answered, by model.
        depth: images that wait, by model.
        ready: 1 where the server is ready.
    """

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self.requests = Counter("residua_requests", "Requests", ("route", "status"), registry=registry)
        self.rejects = Counter("residua_rejects", "Requests refused", ("reason",), registry=registry)
        self.seconds = Histogram(
            "residua_request_seconds", "Whole requests", ("route",), buckets=_SECONDS, registry=registry
        )
        self.queue = Histogram(
            "residua_queue_seconds", "Wait for a forward pass", _MODEL, buckets=_SECONDS, registry=registry
        )
        self.compute = Histogram(
            "residua_compute_seconds", "Forward passes", _MODEL, buckets=_SECONDS, registry=registry
        )
        self.batch = Histogram(
            "residua_batch_images", "Images per forward pass", _MODEL, buckets=_SIZES, registry=registry
        )
        self.images = Counter("residua_images", "Images answered", _MODEL, registry=registry)
        self.depth = Gauge("residua_queue_images", "Images that wait", _MODEL, registry=registry)
        self.ready = Gauge("residua_ready", "1 where the server is ready", registry=registry)

    def answered(self, route: str, status: int, seconds: float, reason: str) -> None:
        """Count a request; `reason` is that of a refusal, "" for none."""
        self.requests.labels(route, str(status)).inc()
        self.seconds.labels(route).observe(seconds)
        if reason:
            self.rejects.labels(reason).inc()

    def forget(self, name: str, version: str) -> None:
        """Drop the series of a model that is no longer served."""
        for metric in (self.queue, self.compute, self.batch, self.images, self.depth):
            try:
                metric.remove(name, version)
            except KeyError:  # It never had one.
                continue

    def text(self) -> bytes:
        """Return the exposition format of Prometheus."""
        return generate_latest(self._registry)

"""What a model's requests took: the protocol's statistics, and the same numbers for Prometheus."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from residua.serving.metrics import Metrics


@dataclass
class Duration:
    """How often something was done, and how long all of it took.

    Attributes:
        count: times.
        nanoseconds: altogether.
    """

    count: int = 0
    nanoseconds: int = 0

    def add(self, seconds: float, count: int = 1) -> None:
        """Add `count` times that took `seconds` together."""
        self.count += count
        self.nanoseconds += round(seconds * 1e9)

    def to_dict(self) -> dict[str, int]:
        """Return the form of the protocol."""
        return {"count": self.count, "ns": self.nanoseconds}


class Statistics:
    """The statistics of one model and version; also the observer of its batcher.

    Args:
        metrics: counts the same for all models.
        name: of the model, a label.
        version: of the model, a label.
    """

    def __init__(self, metrics: Metrics, name: str, version: str) -> None:
        self._metrics, self._labels = metrics, (name, version)
        self.last_inference = 0
        self.images = 0
        self.success, self.fail, self.queue = Duration(), Duration(), Duration()
        self.decode, self.compute, self.encode = Duration(), Duration(), Duration()
        self._batches: Counter[int] = Counter()
        self._batch_times: dict[int, Duration] = {}

    def batch(self, images: int, seconds: float) -> None:
        """Count a forward pass."""
        self.compute.add(seconds, images)
        self._batches[images] += 1
        self._batch_times.setdefault(images, Duration()).add(seconds)
        self._metrics.compute.labels(*self._labels).observe(seconds)
        self._metrics.batch.labels(*self._labels).observe(images)

    def waited(self, images: int, seconds: float) -> None:
        """Count the time that images waited for their pass."""
        self.queue.add(seconds * images, images)
        self._metrics.queue.labels(*self._labels).observe(seconds)

    def depth(self, images: int) -> None:
        """Show how many images wait."""
        self._metrics.depth.labels(*self._labels).set(images)

    def answered(self, images: int, seconds: float) -> None:
        """Count a request that was answered."""
        self.last_inference = time.time_ns() // 1_000_000
        self.images += images
        self.success.add(seconds)
        self._metrics.images.labels(*self._labels).inc(images)

    def decoded(self, images: int, seconds: float) -> None:
        """Count images that were decoded."""
        self.decode.add(seconds, images)

    def encoded(self, seconds: float) -> None:
        """Count an answer that was written."""
        self.encode.add(seconds)

    def failed(self, seconds: float) -> None:
        """Count a request that was refused after its model was known."""
        self.fail.add(seconds)

    def to_dict(self) -> dict[str, Any]:
        """Return an entry of `model_stats` of the protocol's statistics extension."""
        name, version = self._labels
        return {
            "name": name,
            "version": version,
            "last_inference": self.last_inference,
            "inference_count": self.images,
            "execution_count": sum(self._batches.values()),
            "inference_stats": {
                "success": self.success.to_dict(),
                "fail": self.fail.to_dict(),
                "queue": self.queue.to_dict(),
                "compute_input": self.decode.to_dict(),
                "compute_infer": self.compute.to_dict(),
                "compute_output": self.encode.to_dict(),
            },
            "batch_stats": [
                {"batch_size": size, "compute_infer": self._batch_times[size].to_dict()}
                for size in sorted(self._batches)
            ],
        }

"""A model that is served: a run behind an engine and a batcher, with its description."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from residua._base.errors import InputError
from residua.inference.stream import Predictor
from residua.serving.batcher import Batcher, Floats, Images
from residua.serving.settings import Settings
from residua.serving.statistics import Statistics
from residua.serving.wire.request import IMAGE, LOGITS, OUTPUTS, PROBABILITIES, TENSOR, Signature
from residua.weights.open import load

WANTED_ACCURACY = "0.95"
"""Which of a calibrated run's thresholds decides that an answer is "unknown"."""


class ModelVersion:
    """One version of a model.

    Attributes:
        name: in the address.
        version: in the address, a number as text.
        source: where the run was loaded from.
        predictor: the run and its engine.
        statistics: of its requests.
        failed: why it cannot answer, "" where it can.
    """

    def __init__(self, name: str, version: str, source: Path | str, predictor: Predictor, settings: Settings) -> None:
        self.name, self.version, self.source, self.predictor = name, version, source, predictor
        self.failed = ""
        self._settings = settings
        self._users = 0
        self.statistics: Statistics
        self.batcher: Batcher

    @classmethod
    def open(cls, name: str, version: str, source: Path | str, settings: Settings) -> ModelVersion:
        """Load the run, open its engine and compute one batch; takes seconds, so not on the event loop.

        Raises:
            InputError: no run there, or one that cannot be served.
        """
        run = load(source)
        predictor = Predictor.open(run, device=settings.device, engine=settings.engine, precision=settings.precision)
        opened = cls(name, version, source, predictor, settings)
        side = run.preprocess_spec.size
        # A compiled program is made for the largest batch; others need no more than to be woken.
        images = settings.max_batch if settings.engine == "compiled" else 1
        logits = opened.compute([np.zeros((images, 3, *side), np.float32)])
        if not np.isfinite(logits).all():
            raise InputError(f"{source} gives logits that are NaN or infinite", "finite logits", "Train it again")
        return opened

    def start(self, statistics: Statistics, broken: Any) -> None:
        """Begin to take images; on the event loop."""
        self.statistics = statistics
        self.batcher = Batcher(
            self.compute,
            max_batch=self._settings.max_batch,
            most_waiting=self._settings.queue,
            observer=statistics,
            broken=broken,
        )

    @contextlib.contextmanager
    def in_use(self) -> Iterator[ModelVersion]:
        """Keep the version open while a request uses it."""
        self._users += 1
        try:
            yield self
        finally:
            self._users -= 1

    async def close(self) -> None:
        """Wait for the requests that use it, then stop."""
        while self._users:
            await asyncio.sleep(0.01)
        await self.batcher.close()

    @property
    def signature(self) -> Signature:
        """What it takes and gives."""
        run = self.predictor.run
        return Signature(*run.preprocess_spec.size, len(run.classes))

    @property
    def threshold(self) -> float | None:
        """The probability below which an answer is "unknown"; None where the run has none."""
        thresholds = (self.predictor.run.calibration or {}).get("thresholds") or {}
        value = thresholds.get(WANTED_ACCURACY)
        return float(value) if isinstance(value, int | float) else None

    def compute(self, parts: Sequence[Images]) -> Floats:
        """Return the logits (B, K) of the images of several requests, in order."""
        groups: list[torch.Tensor] = []
        pixels: list[Any] = []
        for part in [*parts, np.zeros((0, 3, 1, 1), np.float32)]:
            if isinstance(part, np.ndarray):
                # Encoded images before it, of however many requests, went into one stack.
                groups += [self.predictor.logits(pixels)] if pixels else []
                pixels = []
                if len(part):
                    # A copy: bytes of a request are read-only, which torch's tensors cannot be.
                    groups.append(self.predictor.engine(torch.from_numpy(np.array(part))))
            else:
                pixels += part
        return torch.cat([each.to("cpu", torch.float32) for each in groups]).numpy()

    def probabilities(self, logits: Floats) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Return softmax at the run's temperature, as `predict` computes it: (B, K) -> (B, K) float64."""
        values = torch.from_numpy(logits).to(torch.float64) / self.predictor.run.temperature
        return values.softmax(dim=1).numpy()

    def outputs(self, logits: Floats) -> dict[str, Floats]:
        """Return all outputs of the protocol by name."""
        return {LOGITS: logits, PROBABILITIES: self.probabilities(logits).astype(np.float32)}

    def metadata(self, versions: Sequence[str]) -> dict[str, Any]:
        """Return the protocol's description of the model."""
        signature = self.signature
        return {
            "name": self.name,
            "versions": list(versions),
            "platform": f"residua_{self.predictor.engine.name}",
            "inputs": [
                {"name": IMAGE, "datatype": "BYTES", "shape": [-1]},
                {"name": TENSOR, "datatype": "FP32", "shape": [-1, 3, signature.height, signature.width]},
            ],
            "outputs": [{"name": name, "datatype": "FP32", "shape": [-1, signature.classes]} for name in OUTPUTS],
        }

    def config(self) -> dict[str, Any]:
        """Return the model configuration extension's document."""
        signature, batch = self.signature, self._settings.max_batch
        outputs = [{"name": name, "data_type": "TYPE_FP32", "dims": [signature.classes]} for name in OUTPUTS]
        return {
            "name": self.name,
            "platform": f"residua_{self.predictor.engine.name}",
            "max_batch_size": batch,
            "input": [
                {"name": IMAGE, "data_type": "TYPE_STRING", "dims": [1], "optional": True},
                {
                    "name": TENSOR,
                    "data_type": "TYPE_FP32",
                    "dims": [3, signature.height, signature.width],
                    "optional": True,
                },
            ],
            "output": outputs,
            "dynamic_batching": {"max_queue_delay_microseconds": 0},
            "parameters": {"labels": {"string_value": "\n".join(self.predictor.run.classes)}},
        }

    def about(self) -> dict[str, Any]:
        """Return what people want to know of it: network, classes, how good it is."""
        run = self.predictor.run
        top1, images = run.metrics.get("top1"), run.metrics.get("count")
        return {
            "name": self.name,
            "version": self.version,
            "network": run.spec.name,
            "classes": len(run.classes),
            "input": list(run.preprocess_spec.size),
            "top1": top1 if isinstance(top1, int | float) else None,
            "count": images if isinstance(images, int) else None,
            "split": str(run.metrics.get("split") or ""),
            "data": str(run.data.get("given") or ""),
            "calibrated": run.calibration is not None,
            "threshold": self.threshold,
            "engine": self.predictor.engine.name,
            "precision": self.predictor.engine.precision,
        }

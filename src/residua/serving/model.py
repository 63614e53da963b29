"""A model that is served: a network behind a batcher, with its description."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import numpy as np

from residua._base.errors import InputError, ResiduaError
from residua.data.decode import Pixels
from residua.serving.batcher import Batcher
from residua.serving.networks.export_folder import is_export
from residua.serving.networks.network import Computation, Description, Floats, Network, Picture, Source
from residua.serving.networks.open import open_network
from residua.serving.refusal import Refusal
from residua.serving.settings import Settings
from residua.serving.statistics import Statistics
from residua.serving.wire.request import IMAGE, LOGITS, OUTPUTS, PROBABILITIES, TENSOR, Signature


class ModelVersion:
    """One version of a model.

    Attributes:
        name: in the address.
        version: in the address, a number as text.
        source: where it was loaded from.
        network: what computes its logits.
        statistics: of its requests.
        failed: why it cannot answer, "" where it can.
    """

    def __init__(self, name: str, version: str, source: Source, network: Network, settings: Settings) -> None:
        self.name, self.version, self.source, self.network = name, version, source, network
        self.failed = ""
        self._settings = settings
        self._users = 0
        self.statistics: Statistics
        self.batcher: Batcher
        self._hung: Callable[[], None]

    @classmethod
    def open(cls, name: str, version: str, source: Source, settings: Settings) -> ModelVersion:
        """Open the network and compute one batch; takes seconds, so not on the event loop.

        Raises:
            InputError: no run there, or one that cannot be served.
        """
        computing = Computation(settings.engine, settings.precision, settings.device)
        try:
            opened = cls(name, version, source, open_network(source, computing), settings)
            opened._warm_up()
        except (ResiduaError, OSError, MemoryError):
            raise
        except Exception as error:
            if not is_export(Path(source)):
                raise
            # An export may be a stranger's: what its runtime raises is about its files.
            raise InputError(
                f"{source}, whose graph does not run as its certificate states ({type(error).__name__}: {error})"[:500],
                "an export as it was written",
                "Export the run again",
            ) from error
        return opened

    def _warm_up(self) -> None:
        side, settings = self.description.preprocess.size, self._settings
        # A compiled program is made for the largest batch; others need no more than to be woken.
        images = settings.max_batch if settings.engine == "compiled" else 1
        logits = self.network.logits([np.zeros((images, 3, *side), np.float32)])
        if self.description.engine == "openvino" and settings.max_batch > 1:
            # OpenVINO opens its form for several images when they come first: no request should wait for that.
            self.network.logits([np.zeros((2, 3, *side), np.float32)])
        if not np.isfinite(logits).all():
            raise InputError(f"{self.source} gives logits that are NaN or infinite", "finite logits", "Train it again")

    def start(self, statistics: Statistics, broken: Callable[[], None], hung: Callable[[], None]) -> None:
        """Begin to take images; on the event loop."""
        self.statistics, self._hung = statistics, hung
        self.batcher = Batcher(
            self.network.logits,
            max_batch=self._settings.max_batch,
            most_waiting=self._settings.queue,
            observer=statistics,
            broken=broken,
            hung=hung,
            stall=self._settings.stall,
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
        """Wait for the requests that use it, then stop and let go of the network."""
        while self._users:
            await asyncio.sleep(0.01)
        await self.batcher.close()
        del self.batcher, self.network

    @property
    def description(self) -> Description:
        """What its network is."""
        return self.network.description

    @property
    def signature(self) -> Signature:
        """What it takes and gives."""
        return Signature(*self.description.preprocess.size, len(self.description.classes))

    async def explained(self, threads: Executor, image: Pixels, target: int) -> Picture:
        """Return the evidence for class `target` in an image as the network sees it; computed in one of `threads`.

        Raises:
            Refusal: the run cannot be explained any more.
        """
        loop = asyncio.get_running_loop()

        def give_up() -> None:
            with contextlib.suppress(RuntimeError):  # The loop may have ended meanwhile.
                loop.call_soon_threadsafe(self._hung)

        def compute() -> Picture:
            # Timed from here on, not while it waits for its thread; and whether or not the client still waits.
            watchdog = threading.Timer(self._settings.stall, give_up)
            watchdog.daemon = True
            watchdog.start()
            try:
                return self.network.explained(image, target)
            finally:
                watchdog.cancel()

        try:
            return await loop.run_in_executor(threads, compute)
        except ResiduaError as error:
            raise Refusal(503, f"no explanation: {error}", "not_ready") from None

    def outputs(self, logits: Floats) -> dict[str, Floats]:
        """Return all outputs of the protocol by name."""
        return {LOGITS: logits, PROBABILITIES: self.network.probabilities(logits).astype(np.float32)}

    @property
    def _thresholds(self) -> dict[str, float]:
        """The thresholds of several labels an image, by label."""
        return dict(zip(self.description.classes, self.description.label_thresholds or (), strict=True))

    def metadata(self, versions: Sequence[str]) -> dict[str, Any]:
        """Return the protocol's description of the model."""
        signature = self.signature
        return {
            "name": self.name,
            "versions": list(versions),
            "platform": f"residua_{self.description.engine}",
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
            "platform": f"residua_{self.description.engine}",
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
            "parameters": {"labels": {"string_value": "\n".join(self.description.classes)}},
        }

    def about(self) -> dict[str, Any]:
        """Return what people want to know of it: network, classes, how good it is."""
        stated = self.description
        return {
            "name": self.name,
            "version": self.version,
            "network": stated.network,
            "classes": len(stated.classes),
            "input": list(stated.preprocess.size),
            "top1": stated.top1,
            "count": stated.count,
            "split": stated.split,
            "data": stated.data,
            "calibrated": stated.calibrated,
            "threshold": stated.threshold,
            "rejection": None if stated.rejection is None else stated.rejection.to_json(whole=False),
            "engine": stated.engine,
            "precision": stated.precision,
            "explains": stated.explains,
            **({} if stated.label_thresholds is None else {"label_thresholds": self._thresholds}),
        }

"""What all endpoints share: models, limits, decoding threads; and the one way from images to logits."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from residua.data.decode import BadImage, Pixels, decode, size_of
from residua.data.decode.workers import default_workers
from residua.data.preprocess.resize import read_uint8
from residua.serving.metrics import Metrics
from residua.serving.model import ModelVersion
from residua.serving.models import Catalogue, Models
from residua.serving.networks.network import Floats
from residua.serving.refusal import Refusal
from residua.serving.settings import Settings
from residua.serving.wire.body import Bodies, ClientGone, Receive
from residua.serving.wire.request import InferRequest
from residua.specs.preprocess import PreprocessSpec

T = TypeVar("T")


class Service:
    """A server's state.

    Attributes:
        settings: how it is set up.
        metrics: its numbers.
        bodies: the memory of requests.
        models: what it serves; made once the event loop runs.
        draining: whether it was asked to stop.
        fatal: why the process must end, "" where it need not.
        hung: whether a forward pass does not return.
        explaining: the one thread that computes explanations.
        explanations: how many wait for it or are computed.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.bodies = Bodies(settings.limits)
        self.models: Catalogue
        self.draining = False
        self.fatal = ""
        self.hung = False
        self.explanations = 0
        self.explaining = ThreadPoolExecutor(1, "residua-explain")
        self._decoding = ThreadPoolExecutor(default_workers(), "residua-decode")

    async def start(self, opened: Sequence[ModelVersion]) -> None:
        """Begin to serve; on the event loop."""
        self.models = models = Models(self.settings, self.metrics, self._give_up)
        models.put(opened)

    async def close(self) -> None:
        """Stop models and threads."""
        await self.models.close()
        for pool in (self.explaining, self._decoding):
            pool.shutdown(wait=False, cancel_futures=True)

    @property
    def ready(self) -> bool:
        """Whether everything that should serve can serve now."""
        return not self.draining and not self.fatal and self.models.ready

    async def metrics_text(self) -> bytes:
        """Return the metrics for Prometheus."""
        self.metrics.ready.set(int(self.ready))
        return self.metrics.text()

    def deadline(self, timeout: float | None = None) -> float:
        """Return when a request that is complete now must be answered, in the time of `time.monotonic`."""
        return time.monotonic() + min(self.settings.timeout, timeout or self.settings.timeout)

    async def infer(self, version: ModelVersion, request: InferRequest, deadline: float) -> Floats:
        """Return the logits of a request.

        Raises:
            Refusal: a full queue, an image that cannot be decoded, a deadline that passed, an engine that failed.
        """
        version.batcher.admit(request.count, deadline)
        try:
            images: Any = request.tensor
            if images is None:
                decoded = await self.decode(request.images, version)
                if bad := [(at, each) for at, each in enumerate(decoded) if isinstance(each, BadImage)]:
                    at, error = bad[0]
                    raise Refusal(400, f"image {at}: {error.reason}", "bad_image")
                images = decoded
        except BaseException:
            version.batcher.leave(request.count)
            raise
        return await version.batcher.submit(images, deadline)

    async def decode(self, images: Sequence[bytes], version: ModelVersion) -> list[Pixels | BadImage]:
        """Return encoded images as the network sees them, or what is wrong with each; in threads of their own."""
        start = time.perf_counter()
        spec = version.description.preprocess
        loop = asyncio.get_running_loop()
        limit = self.settings.limits.pixels
        work = [loop.run_in_executor(self._decoding, _decoded, image, spec, limit) for image in images]
        try:
            decoded = await asyncio.gather(*work)
        finally:
            for each in work:
                each.cancel()
        version.statistics.decoded(len(images), time.perf_counter() - start)
        return decoded

    def _give_up(self, reason: str, hung: bool) -> None:
        self.fatal, self.hung = reason, hung


def _decoded(image: bytes, spec: PreprocessSpec, pixels: int) -> Pixels | BadImage:
    try:
        height, width = size_of(image)
        if height * width > pixels:
            return BadImage("the image", f"{width} × {height} pixels; at most {pixels} are decoded")
        return read_uint8(lambda: decode(image), spec)
    except BadImage as error:
        return error
    except MemoryError:
        return BadImage("the image", "needs more memory than is available")


async def unless_gone(receive: Receive, work: Coroutine[Any, Any, T]) -> T:
    """Return what `work` returns; cancel it when the client leaves.

    Args:
        receive: of a request whose body was read.
        work: what the client waits for.

    Raises:
        ClientGone: it left first.
    """
    task = asyncio.ensure_future(work)
    watch = asyncio.ensure_future(_gone(receive))
    try:
        await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        raise ClientGone
    finally:
        watch.cancel()
        if not task.done():
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass

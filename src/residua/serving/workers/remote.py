"""The models of the engine process as a worker sees them: described here, computed there."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path
from typing import Any

import numpy as np

from residua.data.decode import Pixels
from residua.serving.model import ModelVersion
from residua.serving.models import Catalogue
from residua.serving.networks.network import Description, Doubles, Floats, Images, Picture, shares
from residua.serving.refusal import Reason, Refusal
from residua.serving.settings import Settings
from residua.serving.workers.channel import Channel, Closed, Message

_AGAIN_SECONDS = 0.1
_SPARE_SECONDS = 1.0


class Connection:
    """The connection to the engine process, made again whenever it breaks.

    Attributes:
        is_open: whether the engine process answers.
    """

    def __init__(self) -> None:
        self.is_open = False
        self.channel: Channel | None = None

    async def ask(self, head: dict[str, Any], body: bytes | memoryview = b"") -> Message:
        """Ask the engine process.

        Raises:
            Refusal: it refuses, or has gone.
        """
        if self.channel is None or not self.is_open:
            raise _gone()
        try:
            return await self.channel.ask(head, body)
        except Closed:
            raise _gone() from None

    def tell(self, head: dict[str, Any]) -> None:
        """Tell the engine process; what nobody hears is lost."""
        if self.channel is not None:
            self.channel.tell(head)


class RemoteBatcher:
    """As a `Batcher`: the queue is that of the engine process, and here only what is being decoded is counted.

    Attributes:
        waiting: images that were admitted and are not on their way.
    """

    def __init__(self, connection: Connection, token: int, most_waiting: int) -> None:
        self.waiting = 0
        self._connection, self._token, self._most_waiting = connection, token, most_waiting

    def admit(self, images: int, deadline: float) -> None:
        """Count images in, before they are decoded.

        Raises:
            Refusal: too many are.
        """
        if self.waiting + images > self._most_waiting:
            raise _busy(self.waiting)
        self.waiting += images

    def check_open(self) -> None:
        """Refuse early, before a body is read.

        Raises:
            Refusal: too many images are being decoded, or the engine process has gone.
        """
        if not self._connection.is_open:
            raise _gone()
        if self.waiting >= self._most_waiting:
            raise _busy(self.waiting)

    def leave(self, images: int) -> None:
        """Count out images."""
        self.waiting -= images

    async def submit(self, images: Images, deadline: float) -> Floats:
        """Return the logits (N, K) of images that were admitted.

        Raises:
            Refusal: as `Batcher.submit`, and where the engine process has gone.
        """
        self.leave(len(images))
        values = images if isinstance(images, np.ndarray) else np.stack(images)
        head = {"do": "infer", "token": self._token, "deadline": deadline, "shape": values.shape}
        head["type"] = values.dtype.name
        try:
            # The engine process refuses in time by itself, unless it hangs.
            async with asyncio.timeout(max(0.0, deadline - time.monotonic()) + _SPARE_SECONDS):
                answer = await self._connection.ask(head, np.ascontiguousarray(values).data.cast("B"))
        except TimeoutError:
            raise Refusal(504, "the engine does not answer", "deadline") from None
        return np.frombuffer(answer.body, np.float32).reshape(answer.head["shape"])

    async def close(self) -> None:
        """Do nothing: the queue is the engine process's."""


class RemoteStatistics:
    """As `Statistics`: what this worker counts is added to what all count."""

    def __init__(self, connection: Connection, token: int) -> None:
        self._connection, self._token = connection, token

    def answered(self, images: int, seconds: float) -> None:
        """Count a request that was answered."""
        self._count("answered", images, seconds)

    def decoded(self, images: int, seconds: float) -> None:
        """Count images that were decoded."""
        self._count("decoded", images, seconds)

    def encoded(self, seconds: float) -> None:
        """Count an answer that was written."""
        self._count("encoded", seconds)

    def failed(self, seconds: float) -> None:
        """Count a request that was refused after its model was known."""
        self._count("failed", seconds)

    def _count(self, what: str, *values: float) -> None:
        self._connection.tell({"do": "count", "token": self._token, "what": what, "values": values})


class RemoteNetwork:
    """The description of a network that another process computes."""

    def __init__(self, description: Description) -> None:
        self.description = description

    def logits(self, parts: Sequence[Images]) -> Floats:
        """Raise: only the engine process computes."""
        raise NotImplementedError

    def probabilities(self, logits: Floats) -> Doubles:
        """See `Network`; without torch, some units in the last place from the doubles of `predict`."""
        return shares(logits, self.description)

    def explained(self, image: Pixels, target: int) -> Picture:
        """Raise: only the engine process explains."""
        raise NotImplementedError


class RemoteVersion(ModelVersion):
    """A version of a model of the engine process.

    Attributes:
        token: its name between the processes.
    """

    def __init__(
        self, name: str, version: str, token: int, stated: dict[str, Any], settings: Settings, connection: Connection
    ) -> None:
        super().__init__(name, version, "", RemoteNetwork(Description.from_json(stated)), settings)
        self.token, self._connection = token, connection
        self.batcher = RemoteBatcher(connection, token, settings.queue)  # type: ignore[assignment]
        self.statistics = RemoteStatistics(connection, token)  # type: ignore[assignment]

    @property
    def is_used(self) -> bool:
        """Whether a request uses it."""
        return self._users > 0

    async def explained(self, threads: Executor, image: Pixels, target: int) -> Picture:
        """See `ModelVersion`."""
        head = {"do": "explain", "token": self.token, "target": target, "shape": image.shape}
        answer = await self._connection.ask(head, np.ascontiguousarray(image).tobytes())
        picture: Picture = answer.head["picture"]
        return picture


class RemoteModels(Catalogue):
    """See `Catalogue`: the engine process states what is served, and opens and closes it.

    Args:
        settings: of the server.
        path: the socket of the engine process.
    """

    def __init__(self, settings: Settings, path: Path) -> None:
        super().__init__()
        self._settings, self._path = settings, path
        self._connection = Connection()
        self._known: dict[int, RemoteVersion] = {}
        self._first = asyncio.Event()
        self._background: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Connect, and return when the models are known."""
        self._keep(self._stay_connected())
        await self._first.wait()

    @property
    def ready(self) -> bool:
        """Whether everything that is served can answer now."""
        return self._connection.is_open and super().ready

    def get(self, name: str, version: str | None = None) -> ModelVersion:
        """See `Catalogue`.

        Raises:
            Refusal: no such model or version, or the engine process has gone.
        """
        if not self._connection.is_open:
            raise _gone()
        return super().get(name, version)

    async def stats(self, versions: Sequence[ModelVersion]) -> list[dict[str, Any]]:
        """See `Catalogue`; of all workers together."""
        tokens = [each.token for each in versions if isinstance(each, RemoteVersion)]
        answer = await self._connection.ask({"do": "stats", "tokens": tokens})
        stats: list[dict[str, Any]] = answer.head["stats"]
        return stats

    async def index(self) -> list[dict[str, str]]:
        """See `Catalogue`."""
        index: list[dict[str, str]] = (await self._connection.ask({"do": "index"})).head["index"]
        return index

    async def load(self, name: str) -> None:
        """See `Catalogue`; when it returns, every worker serves the new versions."""
        await self._connection.ask({"do": "load", "name": name})

    async def unload(self, name: str) -> None:
        """See `Catalogue`; when it returns, no worker serves it."""
        await self._connection.ask({"do": "unload", "name": name})

    async def metrics_text(self, ready: bool) -> bytes:
        """Return the metrics of all workers."""
        return (await self._connection.ask({"do": "metrics", "ready": ready})).body

    def count_request(self, *values: Any) -> None:
        """Count a request in the metrics of all workers."""
        self._connection.tell({"do": "request", "values": values})

    async def close(self) -> None:
        """Stop."""
        for task in self._background:
            task.cancel()

    async def _stay_connected(self) -> None:
        while True:
            with contextlib.suppress(OSError):
                reader, writer = await asyncio.open_unix_connection(self._path)
                channel = self._connection.channel = Channel(reader, writer, self._handle)
                await channel.run()
            self._connection.is_open = False
            self._connection.channel = None
            self._known.clear()
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _handle(self, message: Message) -> None:
        assert message.head["do"] == "catalogue"
        fresh: dict[int, RemoteVersion] = {}
        models: dict[str, dict[str, ModelVersion]] = {}
        for name, number, token, stated, failed in message.head["models"]:
            version = self._known.get(token) or RemoteVersion(
                name, number, token, stated, self._settings, self._connection
            )
            version.failed = failed
            fresh[token] = version
            models.setdefault(name, {})[number] = version
        gone = [version for token, version in self._known.items() if token not in fresh]
        self._known, self._models = fresh, models
        self._connection.is_open = True
        self._first.set()
        if gone:
            self._keep(self._release(gone))

    async def _release(self, versions: Sequence[RemoteVersion]) -> None:
        """State that versions are done with, when no request uses them."""
        while any(version.is_used for version in versions):
            await asyncio.sleep(0.01)
        self._connection.tell({"do": "released", "tokens": [version.token for version in versions]})

    def _keep(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


class RemoteMetrics:
    """As `Metrics`: requests are counted where those of all workers are."""

    def __init__(self, models: RemoteModels) -> None:
        self._models = models

    def answered(self, route: str, status: int, seconds: float, reason: Reason | str) -> None:
        """Count a request."""
        self._models.count_request(route, status, seconds, reason)


def _gone() -> Refusal:
    return Refusal(503, "the engine is being started again", "not_ready", {"Retry-After": "1"})


def _busy(waiting: int) -> Refusal:
    return Refusal(503, f"{waiting} images are being decoded; more may not", "queue_full", {"Retry-After": "1"})

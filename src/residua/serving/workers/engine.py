"""The engine process: holds every model once, and computes for all workers."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np

from residua._base.errors import Damaged, InputError, ResiduaError
from residua._base.files import atomic_path
from residua._base.json_file import read_json
from residua.serving.logs import log, start_logs
from residua.serving.model import ModelVersion
from residua.serving.models import Models
from residua.serving.networks.network import Images
from residua.serving.networks.sources import Sources
from residua.serving.refusal import Refusal
from residua.serving.service import Service
from residua.serving.settings import Settings
from residua.serving.workers.channel import Channel, Closed, Message
from residua.serving.workers.handover import Handover, end_with_parent, receive, report_alive

_ACKNOWLEDGE_SECONDS = 5.0
_LOOK_SECONDS = 0.005
_COUNTED = frozenset({"answered", "failed", "decoded", "encoded"})
"""What workers count of a model's requests: methods of `Statistics`."""


class Engine:
    """The models of all workers.

    Args:
        settings: of the server.
        path: the socket to listen on.
        sources: the models that the command names, by name and version.
    """

    def __init__(self, settings: Settings, path: Path, sources: Sources) -> None:
        self._service, self._socket, self._sources = Service(settings), path, sources
        self._workers: dict[Channel, dict[int, contextlib.ExitStack]] = {}
        self._tokens: dict[ModelVersion, int] = {}
        # Never those of an engine process before: workers may still hold them.
        self._numbers = itertools.count(time.time_ns())
        self._operations: dict[str, Callable[[Message, Channel], Awaitable[Message | None]]] = {
            "infer": self._infer,
            "explain": self._explain,
            "stats": self._stats,
            "index": self._index,
            "load": self._load,
            "unload": self._unload,
            "metrics": self._metrics,
            "count": self._count,
            "request": self._request,
            "released": self._released,
        }

    async def serve(self, opened: list[ModelVersion]) -> None:
        """Serve workers that connect, until the process is ended."""
        service = self._service
        models = Models(service.settings, service.metrics, self._give_up, self._publish, self._sources)
        self._models = service.models = models
        models.put(opened)
        server = await asyncio.start_unix_server(self._connected, self._socket)
        async with server:
            await server.serve_forever()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def handle(message: Message) -> Message | None:
            return await self._operations[message.head["do"]](message, channel)

        channel = Channel(reader, writer, handle)
        self._workers[channel] = {}
        running = asyncio.create_task(channel.run())
        try:
            with contextlib.suppress(Closed):
                await channel.ask(self._catalogue(channel))
            await running
        finally:
            for lease in self._workers.pop(channel).values():
                lease.close()

    async def _publish(self) -> None:
        """Tell all workers what is served now, and wait until they have taken it in."""
        with atomic_path(_served(self._socket)) as beside:
            beside.write_text(json.dumps(self._models.sources()), encoding="utf-8")
        asked = [asyncio.create_task(channel.ask(self._catalogue(channel))) for channel in self._workers]
        if asked:
            # A worker that is stuck must not hold up the others: it learns of it when it goes on.
            done, _ = await asyncio.wait(asked, timeout=_ACKNOWLEDGE_SECONDS)
            for task in done:
                task.exception()

    def _catalogue(self, channel: Channel) -> dict[str, Any]:
        """Return what is served; the worker uses each version until it states that it has done with it."""
        leases = self._workers[channel]
        entries = []
        for version in self._service.models.all():
            token = self._tokens.setdefault(version, next(self._numbers))
            if token not in leases:
                leases[token] = contextlib.ExitStack()
                leases[token].enter_context(version.in_use())
            stated = version.description.to_json()
            entries.append([version.name, version.version, token, stated, version.failed])
        served = {entry[2] for entry in entries}
        self._tokens = {
            version: token
            for version, token in self._tokens.items()
            if token in served or any(token in each for each in self._workers.values())
        }
        return {"do": "catalogue", "models": entries}

    def _version(self, message: Message) -> ModelVersion:
        token = message.head["token"]
        for version, number in self._tokens.items():
            if number == token:
                return version
        raise Refusal(503, "the model is no longer served", "not_ready", {"Retry-After": "1"})

    async def _infer(self, message: Message, channel: Channel) -> Message:
        version, head = self._version(message), message.head
        values = np.frombuffer(message.body, head["type"]).reshape(head["shape"])
        images: Images = values if head["type"] == "float32" else list(values)
        version.batcher.admit(len(values), head["deadline"])
        logits = await version.batcher.submit(images, head["deadline"])
        return Message({"shape": logits.shape}, np.ascontiguousarray(logits).tobytes())

    async def _explain(self, message: Message, channel: Channel) -> Message:
        image = np.frombuffer(message.body, np.uint8).reshape(message.head["shape"])
        version = self._version(message)
        return Message({"picture": await version.explained(self._service.explaining, image, message.head["target"])})

    async def _stats(self, message: Message, channel: Channel) -> Message:
        wanted = set(message.head["tokens"])
        return Message({"stats": [v.statistics.to_dict() for v, token in self._tokens.items() if token in wanted]})

    async def _index(self, message: Message, channel: Channel) -> Message:
        return Message({"index": await self._service.models.index()})

    async def _load(self, message: Message, channel: Channel) -> None:
        await self._service.models.load(message.head["name"])

    async def _unload(self, message: Message, channel: Channel) -> None:
        await self._service.models.unload(message.head["name"])

    async def _metrics(self, message: Message, channel: Channel) -> Message:
        self._service.metrics.ready.set(int(message.head["ready"]))
        return Message({}, self._service.metrics.text())

    async def _count(self, message: Message, channel: Channel) -> None:
        what = message.head["what"]
        if what in _COUNTED:
            with contextlib.suppress(Refusal):
                getattr(self._version(message).statistics, what)(*message.head["values"])

    async def _request(self, message: Message, channel: Channel) -> None:
        self._service.metrics.answered(*message.head["values"])

    async def _released(self, message: Message, channel: Channel) -> None:
        for token in message.head["tokens"]:
            if lease := self._workers[channel].pop(token, None):
                lease.close()

    def _give_up(self, reason: str, hung: bool) -> None:
        log("fatal", reason=reason)
        sys.stderr.flush()
        # Workers see the connection close, and whoever watches starts this process again.
        os._exit(1)


def main(handover: Handover) -> int:
    """Open the models, state which or why not, and compute until the parent goes."""
    start_logs()
    try:
        opened = _opened_first(handover)
    except InputError as error:
        handover.report({"refusal": [error.given, error.wanted, error.remedy]})
        return error.exit_code

    async def serve() -> None:
        end_with_parent(lambda: os._exit(0))
        serving = asyncio.create_task(Engine(handover.settings, handover.socket, handover.sources).serve(opened))
        while not handover.socket.exists() and not serving.done():
            await asyncio.sleep(_LOOK_SECONDS)
        if not serving.done():
            handover.report({"models": [[each.name, each.version] for each in opened]})
        await asyncio.wait((serving, asyncio.create_task(report_alive(handover))), return_when=asyncio.FIRST_COMPLETED)
        await serving

    try:
        asyncio.run(serve())
    except OSError as error:
        wanted, remedy = "a folder for temporary files with a short path", "Set TMPDIR to one, such as /tmp"
        handover.report({"refusal": [f"{handover.socket}, where no socket can be made ({error})", wanted, remedy]})
        return 2
    return 0


def _opened_first(handover: Handover) -> list[ModelVersion]:
    """Open the command's models, or where an engine process before served others by then, those.

    Of the latter, those that the command does not name and that cannot be opened are left out.
    """
    try:
        served: Sources = read_json(_served(handover.socket), dict[str, dict[str, str]])
    except Damaged:
        return _opened(handover.sources, handover.settings)
    opened: list[ModelVersion] = []
    for name, versions in served.items():
        try:
            opened += _opened({name: versions}, handover.settings)
        except ResiduaError as error:
            if name in handover.sources:
                raise
            log("not_loaded_again", model=name, reason=str(error))
    return opened


def _opened(sources: Sources, settings: Settings) -> list[ModelVersion]:
    return [
        ModelVersion.open(name, version, source, settings)
        for name, versions in sources.items()
        for version, source in versions.items()
    ]


def _served(path: Path) -> Path:
    return path.with_name("served.json")


if __name__ == "__main__":
    sys.exit(main(receive()))

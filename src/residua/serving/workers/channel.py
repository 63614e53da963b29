"""Messages between a worker and the engine process over a socket of the system: JSON, and bytes behind it."""

from __future__ import annotations

import asyncio
import itertools
import json
import struct
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from residua.serving.refusal import Refusal

_HEAD = struct.Struct("<IQ")
_LARGEST = 1 << 32


@dataclass(frozen=True)
class Message:
    """One message.

    Attributes:
        head: values of JSON.
        body: bytes behind them.
    """

    head: dict[str, Any]
    body: bytes = b""


Handler = Callable[[Message], Awaitable[Message | None]]
"""Answers a message; None for one that wants no answer."""


class Closed(Exception):
    """The other side has gone."""


class Channel:
    """One connection, both sides of which ask and answer.

    Args:
        reader: of the connection.
        writer: of the connection.
        handler: answers what the other side asks; a `Refusal` of it is raised there.
    """

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, handler: Handler) -> None:
        self._reader, self._writer, self._handler = reader, writer, handler
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Message]] = {}
        self._working: dict[int, asyncio.Task[None]] = {}
        self._closed = False

    async def ask(self, head: dict[str, Any], body: bytes | memoryview = b"") -> Message:
        """Send a message and return the answer; a cancelled caller cancels the work on the other side.

        Raises:
            Refusal: the other side refuses.
            Closed: it has gone.
        """
        number = next(self._numbers)
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            self._send(head | {"ask": number}, body)
            await self._drain()
            return await answer
        except asyncio.CancelledError:
            if not self._closed:
                self._send({"cancel": number})
            raise
        finally:
            self._waiting.pop(number, None)

    def tell(self, head: dict[str, Any]) -> None:
        """Send a message that wants no answer; nothing happens where the other side has gone."""
        if not self._closed:
            self._send(head)

    async def run(self) -> None:
        """Take messages until the other side goes."""
        try:
            while True:
                await self._take(await self._read())
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._closed = True
            for answer in self._waiting.values():
                if not answer.done():
                    answer.set_exception(Closed())
            for task in self._working.values():
                task.cancel()
            self._writer.close()

    async def _take(self, message: Message) -> None:
        head = message.head
        if "answer" in head:
            answer = self._waiting.get(head["answer"])
            if answer is not None and not answer.done():
                if "refusal" in head:
                    answer.set_exception(Refusal(*head["refusal"]))
                else:
                    answer.set_result(message)
        elif "cancel" in head:
            if task := self._working.get(head["cancel"]):
                task.cancel()
        elif "ask" in head:
            number = head["ask"]
            task = self._working[number] = asyncio.create_task(self._work(number, message))
            task.add_done_callback(lambda done: self._working.pop(number, None))
        else:
            await self._handler(message)

    async def _work(self, number: int, message: Message) -> None:
        try:
            result = await self._handler(message) or Message({})
        except Refusal as refusal:
            result = Message({"refusal": [refusal.status, refusal.message, refusal.reason, refusal.headers]})
        except Exception as error:
            result = Message({"refusal": [500, f"the engine process failed: {type(error).__name__}", "fault", {}]})
        if not self._closed:
            self._send(result.head | {"answer": number}, result.body)
            await self._drain()

    def _send(self, head: dict[str, Any], body: bytes | memoryview = b"") -> None:
        if self._closed:
            raise Closed
        text = json.dumps(head).encode()
        self._writer.write(_HEAD.pack(len(text), len(body)) + text)
        if len(body):
            self._writer.write(body)

    async def _drain(self) -> None:
        try:
            await self._writer.drain()
        except ConnectionError:
            raise Closed from None

    async def _read(self) -> Message:
        lengths = _HEAD.unpack(await self._reader.readexactly(_HEAD.size))
        if sum(lengths) > _LARGEST:
            raise ConnectionError
        head = json.loads(await self._reader.readexactly(lengths[0]))
        return Message(head, await self._reader.readexactly(lengths[1]) if lengths[1] else b"")

"""Bodies of requests: bounded in bytes, in time and in what they unpack to; all together bounded in memory."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from residua.serving.refusal import Refusal
from residua.serving.settings import Limits

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]

_PIECE = 1 << 20
_RETRY = {"Retry-After": "1"}


class ClientGone(Exception):
    """The client closed the connection before it was answered."""


class Bodies:
    """The memory of all bodies that are held at a time.

    Attributes:
        held: bytes counted now.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.held = 0

    def take(self, size: int) -> None:
        """Count `size` more bytes.

        Raises:
            Refusal: that many are not free.
        """
        if self.held + size > self.limits.bodies_bytes:
            raise Refusal(503, "the bodies of other requests fill the memory set aside", "queue_full", _RETRY)
        self.held += size

    def give_back(self, size: int) -> None:
        """Count `size` fewer bytes."""
        self.held -= size


class Body:
    """One body, counted while it is held: `async with`.

    Attributes:
        content: all of it, unpacked.
        ended: whether the client has sent all of it.
    """

    def __init__(self, bodies: Bodies, headers: Mapping[str, str], receive: Receive) -> None:
        self.content = b""
        self.ended = False
        self._bodies, self._headers, self._receive = bodies, headers, receive
        self._counted = 0

    async def __aenter__(self) -> Body:
        try:
            await self._read()
        except BaseException:
            self.release()
            raise
        return self

    async def __aexit__(self, *error: object) -> None:
        self.release()

    def release(self) -> None:
        """Let go of the content."""
        self.content = b""
        self._bodies.give_back(self._counted)
        self._counted = 0

    async def _read(self) -> None:
        limits = self._bodies.limits
        stated = self._headers.get("content-length", "")
        if stated.isdigit() and int(stated) > limits.body_bytes:
            raise _too_large(limits)
        encoding = self._headers.get("content-encoding", "identity").strip().lower()
        if encoding not in ("identity", "gzip", "deflate"):
            raise Refusal(415, f"content-encoding {encoding[:40]!r}; gzip and deflate are read", "unsupported")
        try:
            async with asyncio.timeout(limits.body_seconds):
                content = await self._whole(limits)
        except TimeoutError:
            raise Refusal(408, f"the body took longer than {limits.body_seconds:g} s", "slow") from None
        if encoding != "identity":
            # Not on the event loop: 64 MiB take a good part of a second.
            content = await asyncio.to_thread(unpacked, content, limits)
            self._count(len(content))
        self.content = content

    async def _whole(self, limits: Limits) -> bytes:
        pieces: list[bytes] = []
        size = 0
        while not self.ended:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGone
            piece = message.get("body", b"")
            size += len(piece)
            if size > limits.body_bytes:
                raise _too_large(limits)
            self._count(len(piece))
            pieces.append(piece)
            self.ended = not message.get("more_body", False)
        return b"".join(pieces)

    def _count(self, size: int) -> None:
        self._bodies.take(size)
        self._counted += size


def unpacked(content: bytes, limits: Limits) -> bytes:
    """Return what a gzip or zlib stream unpacks to.

    Raises:
        Refusal: damaged, cut off, followed by something, or more than a body may have; found before it is held.
    """
    # 32 + 15: the header of the stream decides between gzip and zlib, as some clients confuse their names.
    stream = zlib.decompressobj(32 + zlib.MAX_WBITS)
    pieces: list[bytes] = []
    size, rest = 0, content
    try:
        while not stream.eof:
            piece = stream.decompress(rest, _PIECE)
            size += len(piece)
            if size > limits.body_bytes:
                raise _too_large(limits, "unpacked ")
            if not piece and not stream.unconsumed_tail and not stream.eof:
                raise Refusal(400, "the compressed body is cut off")
            pieces.append(piece)
            rest = stream.unconsumed_tail
    except zlib.error as error:
        raise Refusal(400, f"the compressed body is damaged ({error})") from None
    if stream.unused_data:
        raise Refusal(400, "something follows the compressed body")
    return b"".join(pieces)


def packed(content: bytes, accept: str) -> tuple[bytes, str]:
    """Return the content as the client accepts it, and the name of its encoding; "" where it stays as it is."""
    names = {each.partition(";")[0].strip().lower(): each for each in accept.split(",")}
    for name, bits in (("gzip", 16 + zlib.MAX_WBITS), ("deflate", zlib.MAX_WBITS)):
        if name in names and "q=0" not in names[name].replace(" ", "").replace("q=0.", ""):
            stream = zlib.compressobj(1, wbits=bits)
            return stream.compress(content) + stream.flush(), name
    return content, ""


def _too_large(limits: Limits, kind: str = "") -> Refusal:
    return Refusal(413, f"the {kind}body is larger than {limits.body_bytes} bytes", "too_large")

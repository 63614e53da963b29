"""HTTP as strangers speak it: time for headers, chunks and connections are bounded; its errors are JSON, too."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

from residua.serving.refusal import error_body
from residua.serving.settings import Limits


class _Connection(h11.Connection):
    """Counts the chunks of a body: each costs as much as a read, however small it is. Counts headers too."""

    def __init__(self, most_header_bytes: int, most_chunks: int) -> None:
        super().__init__(h11.SERVER, most_header_bytes)
        self._most_header_bytes = most_header_bytes
        self._most_chunks = most_chunks
        self._chunks = 0

    def next_event(self) -> Any:
        event = super().next_event()
        if isinstance(event, h11.Request):
            self._chunks = 0
            self._check_headers(event)
        elif isinstance(event, h11.Data) and event.chunk_start:
            self._chunks += 1
            if self._chunks > self._most_chunks:
                raise h11.RemoteProtocolError(f"a body of more than {self._most_chunks} chunks", error_status_hint=413)
        return event

    def _check_headers(self, request: h11.Request) -> None:
        # h11 bounds headers that are not complete yet; those that come at once can be longer.
        size = len(request.target) + sum(len(name) + len(value) + 4 for name, value in request.headers)
        if size > self._most_header_bytes:
            raise h11.RemoteProtocolError(f"headers of {size} bytes", error_status_hint=431)
        # Two lengths for one body: whoever stands between may have read the other (RFC 9112, section 6.1).
        if {b"content-length", b"transfer-encoding"} <= {name for name, _ in request.headers}:
            raise h11.RemoteProtocolError("Content-Length beside Transfer-Encoding", error_status_hint=400)


class StrictProtocol(H11Protocol):
    """One connection; `limits` is set on a subclass, since the HTTP server makes the instances."""

    limits = Limits()

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.conn = _Connection(64 << 10, self.limits.chunks)
        self._header_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin; one connection too many is refused."""
        super().connection_made(transport)
        # asyncio does so for sockets that it made itself; else the kernel keeps a body of an answer back until the
        # client has acknowledged the headers, which kept connections do 40 ms late.
        transport.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if len(self.connections) > self.limits.connections:
            self._refuse(503, "too many connections")
            return
        self._expect_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on; the headers of a request have a time in which to come, however they trickle."""
        if self._header_timer is None and self.conn.their_state is h11.IDLE:
            self._expect_headers()
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop_timer()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP, or more of it than is read; `handle_events` calls it with the error under way."""
        error = sys.exc_info()[1]
        hint = error.error_status_hint if isinstance(error, h11.RemoteProtocolError) else 400
        self._refuse(hint, f"{msg} {error}" if error else msg)

    def _expect_headers(self) -> None:
        self._header_timer = self.loop.call_later(self.limits.header_seconds, self._too_slow)

    def _stop_timer(self) -> None:
        if self._header_timer is not None:
            self._header_timer.cancel()
            self._header_timer = None

    def _too_slow(self) -> None:
        self._header_timer = None
        self._refuse(408, f"the headers took longer than {self.limits.header_seconds:g} s")

    def _refuse(self, status: int, message: str) -> None:
        if self.cycle is not None:
            # Whoever waits for the rest of this body learns that it does not come.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.transport.is_closing():
            return
        body = error_body(message[:300])
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        headers.append((b"connection", b"close"))
        # Where a response has begun, nothing can be said any more.
        with contextlib.suppress(h11.LocalProtocolError):
            events = (
                h11.Response(status_code=status, headers=headers, reason=STATUS_PHRASES.get(status, b"")),
                h11.Data(data=body),
                h11.EndOfMessage(),
            )
            for event in events:
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

"""Requests of a judge: each alone on its connection, under one deadline, its answer kept as it came."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import threading
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any
from urllib.parse import urlsplit

from residua._base.errors import InputError
from residua._base.public import public_address
from residua.specs.fields import Span, checked

_MOST_BYTES = 32 << 20  # of an answer, packed or not: a million values as JSON take 20 MB
_MOST_SECONDS = 86400.0
_EXCERPT = 100


@dataclass(frozen=True)
class Answer:
    """An answer of a server.

    Attributes:
        status: of HTTP; 0 where none came.
        headers: by lower-case name.
        body: as it came, decompressed.
        fault: why none came, "" where one did.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    fault: str = ""

    @property
    def json(self) -> Any:
        """The body as JSON, None where it is none."""
        return self._parsed[0]

    @property
    def json_fault(self) -> str:
        """Why the body is no JSON, "" where it is."""
        return self._parsed[1]

    @property
    def _parsed(self) -> tuple[Any, str]:
        try:
            return json.loads(self.body), ""
        except RecursionError:
            return None, "the body is JSON that is nested too deeply"
        except ValueError:
            return None, "the body is no JSON"

    @property
    def excerpt(self) -> str:
        """The status and the beginning of the body, on one line."""
        text = " ".join(self.body[:400].decode("utf-8", "replace").split())
        short = text if len(text) <= _EXCERPT else f"{text[:_EXCERPT]}…"
        return self.fault or f"{self.status} {short}".strip()


class Judge:
    """Sends requests to one server and remembers the last exchange.

    Args:
        url: of the server, without /v2.
        token: a bearer token, or None.
        timeout: from the beginning of a request to the end of its answer, seconds.

    Attributes:
        sent: the last request in words.
        got: the last answer.

    Raises:
        InputError: no address of HTTP, or one with /v2; a time that is none.
    """

    def __init__(self, url: str, token: str | None = None, timeout: float = 10.0) -> None:
        parts = urlsplit(url if "//" in url else f"http://{url}")
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.scheme not in ("http", "https") or not parts.hostname or port == -1:
            raise InputError(f"url={shown(url)!r}", "http://HOST:PORT", "For example http://127.0.0.1:8000")
        if "v2" in parts.path.split("/"):
            server = shown(url).partition("/v2")[0]
            raise InputError(f"url={shown(url)!r}", "the address of the server, without /v2", f"Use {server}")
        self._kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._host, self._port, self._base = parts.hostname, port, parts.path.rstrip("/")
        self._token = token
        self._timeout = checked("timeout", timeout, Annotated[float, Span(0, _MOST_SECONDS, above=True)])
        self.sent, self.got = "", Answer(0)

    def get(self, path: str) -> Answer:
        """Send GET."""
        return self.send("GET", path)

    def post(self, path: str, document: Any = None, **headers: str) -> Answer:
        """Send POST with JSON."""
        return self.send("POST", path, json.dumps(document).encode() if document is not None else b"", headers)

    def send(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
        """Send a request; what goes wrong on the way is an answer with a `fault`.

        The deadline holds for all of it: names, connection, headers and body, however they arrive.
        """
        connection = self._kind(self._host, self._port, timeout=self._timeout)
        sent = {"Content-Type": "application/json"} if body else {}
        sent |= {name.replace("_", "-"): value for name, value in (headers or {}).items()}
        sent |= {"Authorization": f"Bearer {self._token}"} if self._token else {}
        shown = body[:_EXCERPT].decode("utf-8", "replace")
        self.sent = f"{method} /{path}" + (f" {shown}{'…' if len(body) > _EXCERPT else ''}" if body else "")
        answers: list[Answer] = []

        def exchange() -> None:
            answers.append(_exchanged(connection, method, f"{self._base}/{path}", body, sent))

        # A timeout of the socket would begin again with every byte.
        thread = threading.Thread(target=exchange, daemon=True)
        thread.start()
        thread.join(self._timeout)
        late = Answer(0, fault=f"no whole answer within {self._timeout:g} seconds")
        self.got = next(iter(answers), late)
        _hang_up(connection)
        return self.got


class _TooLong(Exception):
    """An answer of more bytes than any requirement needs."""


def _exchanged(
    connection: http.client.HTTPConnection, method: str, target: str, body: bytes, headers: Mapping[str, str]
) -> Answer:
    try:
        connection.request(method, target, body, headers)
        response = connection.getresponse()
        names = {name.lower(): value for name, value in response.getheaders()}
        content = response.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise _TooLong
        return Answer(response.status, names, _decompressed(content, names.get("content-encoding", "")))
    except _TooLong:
        return Answer(0, fault=f"an answer of more than {_MOST_BYTES >> 20} MiB")
    except Exception as error:  # whatever a stranger's bytes make of the parsers
        return Answer(0, fault=f"no answer: {type(error).__name__} {error}".strip())
    finally:
        connection.close()


def _hang_up(connection: http.client.HTTPConnection) -> None:
    """End an exchange that is still under way: closing alone would leave its thread waiting."""
    if connection.sock is not None:
        with contextlib.suppress(OSError):
            connection.sock.shutdown(socket.SHUT_RDWR)


def _decompressed(body: bytes, encoding: str) -> bytes:
    if encoding not in ("gzip", "deflate"):
        return body
    stream = zlib.decompressobj(zlib.MAX_WBITS + (16 if encoding == "gzip" else 0))
    content = stream.decompress(body, _MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise _TooLong
    if not stream.eof:
        raise EOFError("the compressed body is cut off")
    return content


def shown(url: str) -> str:
    """Return a server's address without user, password and query, which reports and errors do not repeat."""
    return public_address(url) if "//" in url else public_address(f"http://{url}").removeprefix("http://")

"""Requests of a judge: each alone on its connection, timed, its answer kept as it came."""

from __future__ import annotations

import gzip
import http.client
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from residua._base.errors import InputError
from residua._base.public import public_address

_MOST_BYTES = 256 << 20
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
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None

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
        timeout: of one request, seconds.

    Attributes:
        sent: the last request in words.
        got: the last answer.

    Raises:
        InputError: no address of HTTP.
    """

    def __init__(self, url: str, token: str | None = None, timeout: float = 10.0) -> None:
        parts = urlsplit(url if "//" in url else f"http://{url}")
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.scheme not in ("http", "https") or not parts.hostname or port == -1:
            raise InputError(f"url={shown(url)!r}", "http://HOST:PORT", "For example http://127.0.0.1:8000")
        self._kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
        self._host, self._port, self._base = parts.hostname, port, parts.path.rstrip("/")
        self._token, self._timeout = token, timeout
        self.sent, self.got = "", Answer(0)

    def get(self, path: str) -> Answer:
        """Send GET."""
        return self.send("GET", path)

    def post(self, path: str, document: Any = None, **headers: str) -> Answer:
        """Send POST with JSON."""
        return self.send("POST", path, json.dumps(document).encode() if document is not None else b"", headers)

    def send(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
        """Send a request; what goes wrong on the way is an answer with a `fault`."""
        connection = self._kind(self._host, self._port, timeout=self._timeout)
        sent = {"Content-Type": "application/json"} if body else {}
        sent |= {name.replace("_", "-"): value for name, value in (headers or {}).items()}
        sent |= {"Authorization": f"Bearer {self._token}"} if self._token else {}
        shown = body[:_EXCERPT].decode("utf-8", "replace")
        self.sent = f"{method} /{path}" + (f" {shown}{'…' if len(body) > _EXCERPT else ''}" if body else "")
        try:
            connection.request(method, f"{self._base}/{path}", body, sent)
            response = connection.getresponse()
            names = {name.lower(): value for name, value in response.getheaders()}
            content = _decompressed(response.read(_MOST_BYTES), names.get("content-encoding", ""))
            self.got = Answer(response.status, names, content)
        except (OSError, http.client.HTTPException, zlib.error, EOFError, ValueError) as error:
            self.got = Answer(0, fault=f"no answer: {type(error).__name__} {error}".strip())
        finally:
            connection.close()
        return self.got


def _decompressed(body: bytes, encoding: str) -> bytes:
    if encoding == "gzip":
        return gzip.decompress(body)
    return zlib.decompress(body) if encoding == "deflate" else body


def shown(url: str) -> str:
    """Return a server's address without user, password and query, which reports and errors do not repeat."""
    return public_address(url) if "//" in url else public_address(f"http://{url}").removeprefix("http://")

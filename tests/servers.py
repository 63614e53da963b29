"""A web server on 127.0.0.1 that misbehaves as told: breaks off, lies, refuses, redirects, changes its files."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Asked:
    """One request.

    Attributes:
        method: "GET" or "HEAD".
        path: with its query.
        headers: by lower-case name.
    """

    method: str
    path: str
    headers: dict[str, str]

    @property
    def range(self) -> str | None:
        """The range asked for."""
        return self.headers.get("range")


@dataclass
class Behaviour:
    """What the server does.

    Attributes:
        files: contents by path.
        headers: of a path's answers, in place of the proper ones.
        redirects: where a path sends one to.
        statuses: the next answers' error codes, 0 for a proper answer; then proper answers.
        retry_after: sent with every error code, when not empty.
        error_headers: sent with every error code.
        breaks: how many bytes the next answers send before they break off; then whole answers.
        drips: how long each byte of the next answers takes, seconds; then whole answers.
        lies: added to the Content-Length of every answer.
        says_length: whether it announces a length at all.
        honours_ranges: else it always sends everything.
        tags: whether it sends an ETag, and heeds If-Range.
        token: what a request must bear, when not empty.
        before: called with the number of each request, from 1.
        asked: the requests so far.
    """

    files: dict[str, bytes] = field(default_factory=dict)
    headers: dict[str, dict[str, str]] = field(default_factory=dict)
    redirects: dict[str, str] = field(default_factory=dict)
    statuses: list[int] = field(default_factory=list)
    retry_after: str = ""
    error_headers: dict[str, str] = field(default_factory=dict)
    breaks: list[int] = field(default_factory=list)
    drips: list[float] = field(default_factory=list)
    lies: int = 0
    says_length: bool = True
    honours_ranges: bool = True
    tags: bool = False
    token: str = ""
    before: Callable[[int], None] = lambda number: None
    asked: list[Asked] = field(default_factory=list)
    address: str = ""

    @property
    def ranges(self) -> list[str | None]:
        """The ranges of the GET requests."""
        return [each.range for each in self.asked if each.method == "GET"]


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Any
    protocol_version = "HTTP/1.0"

    def do_GET(self) -> None:
        told: Behaviour = self.server.told
        headers = {name.lower(): value for name, value in self.headers.items()}
        told.asked.append(Asked(self.command, self.path, headers))
        told.before(len(told.asked))
        path = self.path.split("?")[0]
        status = told.statuses.pop(0) if told.statuses else 0
        if told.token and headers.get("authorization") != f"Bearer {told.token}":
            status = 401
        if status or (path not in told.files and path not in told.redirects):
            later = {"Retry-After": told.retry_after} if told.retry_after else {}
            self._answer(status or 404, {**later, **told.error_headers})
            return
        extra = told.headers.get(path, {})
        if path in told.redirects:
            self._answer(302, {"Location": told.redirects[path], **extra})
            return
        content = told.files[path]
        tag = f'"{hashlib.md5(content).hexdigest()}"'
        start = 0
        if "range" in headers and told.honours_ranges:
            start = int(headers["range"].removeprefix("bytes=").removesuffix("-"))
            if told.tags and headers.get("if-range", tag) != tag:
                start = 0
            elif start >= len(content):
                self._answer(416, {"Content-Range": f"bytes */{len(content)}"})
                return
        body = content[start:]
        answer = {}
        if start:
            answer["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        if told.tags:
            answer["ETag"] = tag
        if told.says_length:
            answer["Content-Length"] = str(len(body) + told.lies)
        self._answer(206 if start else 200, {**answer, **extra})
        if self.command == "GET":
            with contextlib.suppress(ConnectionError):  # a client that has had enough
                if told.drips:
                    pause = told.drips.pop(0)
                    while body:
                        self.wfile.write(body[:1])
                        body = body[1:]
                        threading.Event().wait(pause)
                self.wfile.write(body[: told.breaks.pop(0)] if told.breaks else body)

    do_HEAD = do_GET

    def _answer(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


@contextlib.contextmanager
def serving(**behaviour: Any) -> Iterator[Behaviour]:
    """Yield the behaviour of a running server, with its `address`, http://127.0.0.1:PORT."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.daemon_threads = True
        told = Behaviour(**behaviour)
        told.address = f"http://127.0.0.1:{server.server_address[1]}"
        server.told = told  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield told
        finally:
            server.shutdown()
            thread.join()

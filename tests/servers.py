"""A web server on 127.0.0.1 that breaks off, lies, refuses, redirects or changes its files, as its test demands."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Request:
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
        announces_length: whether it announces a length at all.
        honours_ranges: else it always sends everything.
        tags: whether it sends an ETag, and respects If-Range.
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
    announces_length: bool = True
    honours_ranges: bool = True
    tags: bool = False
    token: str = ""
    before: Callable[[int], None] = lambda number: None
    asked: list[Request] = field(default_factory=list)
    address: str = ""

    @property
    def ranges(self) -> list[str | None]:
        """The ranges of the GET requests."""
        return [each.range for each in self.asked if each.method == "GET"]


class _Handler(http.server.BaseHTTPRequestHandler):
    server: Any
    protocol_version = "HTTP/1.0"

    def do_GET(self) -> None:
        behaviour: Behaviour = self.server.behaviour
        headers = {name.lower(): value for name, value in self.headers.items()}
        behaviour.asked.append(Request(self.command, self.path, headers))
        behaviour.before(len(behaviour.asked))
        path = self.path.split("?")[0]
        status = behaviour.statuses.pop(0) if behaviour.statuses else 0
        if behaviour.token and headers.get("authorization") != f"Bearer {behaviour.token}":
            status = 401
        if status or (path not in behaviour.files and path not in behaviour.redirects):
            later = {"Retry-After": behaviour.retry_after} if behaviour.retry_after else {}
            self._answer(status or 404, {**later, **behaviour.error_headers})
            return
        extra = behaviour.headers.get(path, {})
        if path in behaviour.redirects:
            self._answer(302, {"Location": behaviour.redirects[path], **extra})
            return
        content = behaviour.files[path]
        tag = f'"{hashlib.md5(content).hexdigest()}"'
        start = 0
        if "range" in headers and behaviour.honours_ranges:
            start = int(headers["range"].removeprefix("bytes=").removesuffix("-"))
            if behaviour.tags and headers.get("if-range", tag) != tag:
                start = 0
            elif start >= len(content):
                self._answer(416, {"Content-Range": f"bytes */{len(content)}"})
                return
        body = content[start:]
        answer = {}
        if start:
            answer["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        if behaviour.tags:
            answer["ETag"] = tag
        if behaviour.announces_length:
            answer["Content-Length"] = str(len(body) + behaviour.lies)
        self._answer(206 if start else 200, {**answer, **extra})
        if self.command == "GET":
            with contextlib.suppress(ConnectionError):  # a client that has had enough
                if behaviour.drips:
                    pause = behaviour.drips.pop(0)
                    while body:
                        self.wfile.write(body[:1])
                        body = body[1:]
                        threading.Event().wait(pause)
                self.wfile.write(body[: behaviour.breaks.pop(0)] if behaviour.breaks else body)

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
        wanted = Behaviour(**behaviour)
        wanted.address = f"http://127.0.0.1:{server.server_address[1]}"
        server.behaviour = wanted  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield wanted
        finally:
            server.shutdown()
            thread.join()

"""How a server is set up: limits and defaults, each stated once."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from residua._base.errors import InputError, at_least_one
from residua.data.decode import MAX_PIXELS
from residua.specs.fields import Span, checked

LOOPBACK = ("127.0.0.1", "::1", "localhost")


@dataclass(frozen=True)
class Limits:
    """What a client may send.

    Attributes:
        body_bytes: of one body, before and after decompression.
        bodies_bytes: of all bodies that are held at a time.
        json_bytes: of the JSON part of a request.
        json_depth: brackets within brackets.
        images: of one request.
        pixels: of one image, from its header, before it is decoded.
        header_seconds: from the first byte of a request, or the connection, to the end of its headers.
        body_seconds: to send the body.
        chunks: of a chunked body.
        connections: at a time.
    """

    body_bytes: int = 64 << 20
    bodies_bytes: int = 512 << 20
    json_bytes: int = 16 << 20
    json_depth: int = 16
    images: int = 256
    pixels: int = MAX_PIXELS
    header_seconds: float = 10.0
    body_seconds: float = 30.0
    chunks: int = 16_384
    connections: int = 1024

    def __post_init__(self) -> None:
        at_least_one(max_body=self.body_bytes, max_images=self.images, max_pixels=self.pixels)


@dataclass(frozen=True)
class Settings:
    """How a server is set up.

    Attributes:
        host: the address to listen on.
        port: 0 takes a free one.
        engine: what computes the logits.
        precision: the number format that it computes in.
        device: "cpu", "cuda", …; None for the GPU where there is one.
        max_batch: images per forward pass at most.
        queue: images that may wait per model; more are refused with 503.
        timeout: of a request from its last byte to its answer, seconds; a request may ask for less.
        drain: how long requests may take to end after SIGTERM, seconds.
        grace: how long a server that was sent SIGTERM goes on to accept requests while "ready" is 503, seconds.
        stall: seconds of one forward pass after which its engine counts as hung, and the process ends.
        workers: processes that read requests and decode; with more than one, another process computes for all.
        token: the bearer token of all but health and the page; None for none.
        origins: of other sites whose pages may call; none by default.
        repository: a folder of runs that clients may load and unload by name; None for none.
        limits: what a client may send.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    engine: str = "eager"
    precision: str = "fp32"
    device: str | None = None
    max_batch: int = 16
    queue: int = 256
    timeout: float = 30.0
    drain: float = 30.0
    grace: float = 1.0
    stall: float = 120.0
    workers: int = 1
    token: str | None = field(default=None, repr=False)
    origins: tuple[str, ...] = ()
    repository: Path | None = None
    limits: Limits = Limits()

    def __post_init__(self) -> None:
        at_least_one(max_batch=self.max_batch, queue=self.queue, workers=self.workers)
        for origin in self.origins:
            _check_origin(origin)
        checked("port", self.port, Annotated[int, Span(0, 65535)], "Leave it out for 8000")
        for name in ("timeout", "drain", "grace", "stall"):
            wanted = Annotated[float, Span(0, 86_400, above=name in ("timeout", "stall"))]
            checked(name, getattr(self, name), wanted, "Leave it out for the default; it is in seconds")
        if self.repository is not None and not self.repository.is_dir():
            raise InputError(f"repository={str(self.repository)!r}", "a folder of run folders", "Check the path")
        if self.token is not None and (not self.token.isascii() or not self.token.isprintable() or not self.token):
            raise InputError("a token with other than printable ASCII characters", "one word", "Choose another")

    @property
    def is_local(self) -> bool:
        """Whether only this machine can connect."""
        return self.host in LOOPBACK

    @property
    def most_images(self) -> int:
        """The most images of one request."""
        return min(self.limits.images, self.queue)


def _check_origin(origin: str) -> None:
    """Refuse what no browser sends as the origin of a page; "*" stands for all."""
    try:
        site = urlsplit(origin)
        plain = f"{site.scheme}://{site.netloc}" == origin and "@" not in site.netloc
        fits = plain and site.scheme in ("http", "https") and bool(site.hostname) and site.port != 0
    except ValueError:
        fits = False
    if not fits and origin != "*":
        raise InputError(
            f"origin={origin!r}", "scheme, host and, if it is not the usual one, port", "Such as https://example.org"
        )

"""The gate in front of all endpoints: who may call, which errors are shown, what is counted and logged."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import SplitResult, urlsplit

from residua.serving.logs import LOGGER, log
from residua.serving.refusal import Refusal, error_body
from residua.serving.service import Service
from residua.serving.wire.body import ClientGone, Receive

Scope = MutableMapping[str, Any]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

OPEN = ("/v2/health/live", "/v2/health/ready", "/", "/page.css", "/page.js", "/openapi.json")
"""Paths that need no token: probes, and a page without secrets that asks for one."""
_LINGER_SECONDS = 2.0
_LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
_SAFE_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
)
_ALLOW_HEADERS = b"authorization, content-type, inference-header-content-length"


class Gate:
    """ASGI middleware: checks the caller, turns every error into JSON, counts and logs."""

    def __init__(self, app: App, service: Service) -> None:
        self.app, self.service = app, service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send, self._cors(_headers(scope)))
        start = time.perf_counter()
        reason = ""
        try:
            await self._answer(exchange)
        except ClientGone:
            reason = "gone"
        except Refusal as refusal:
            reason = refusal.reason
            await exchange.refuse(refusal)
        except asyncio.CancelledError:
            # The time to drain is over: this request is cut.
            await exchange.refuse(Refusal(503, "the server is stopping", "draining"))
            raise
        except Exception:
            reason = "fault"
            LOGGER.exception("fault")
            await exchange.refuse(Refusal(500, "a fault of the server; its log has the details", "fault"))
        finally:
            self._count(exchange, time.perf_counter() - start, reason)

    async def _answer(self, exchange: _Exchange) -> None:
        headers = _headers(exchange.scope)
        self._check_host(headers)
        origin = self._cors(headers)
        if exchange.scope["method"] == "OPTIONS" and origin:
            await exchange.preflight()
            return
        self._check_origin(headers, origin)
        self._check_token(exchange.scope, headers)
        await self.app(exchange.scope, exchange.receive, exchange.send)

    def _cors(self, headers: dict[str, str]) -> str:
        """Return the origin of another site's page that may call, "" for none."""
        origin = headers.get("origin", "")
        allowed = self.service.settings.origins
        return origin if origin and (origin in allowed or "*" in allowed) else ""

    def _check_host(self, headers: dict[str, str]) -> None:
        # A page of another site may point its own name at 127.0.0.1: the browser then takes us for that site.
        if self.service.settings.is_local and "host" in headers:
            name = _address(f"//{headers['host']}").hostname or ""
            # A proxy on this machine passes on the name of its own site.
            sites = {urlsplit(origin).hostname for origin in self.service.settings.origins}
            if name not in _LOCAL_NAMES and name not in sites:
                raise Refusal(403, f"host {name[:80]!r}; this server answers to localhost alone", "unauthorised")

    def _check_origin(self, headers: dict[str, str], allowed: str) -> None:
        origin = headers.get("origin", "")
        if origin and not allowed and _address(origin).netloc != headers.get("host", ""):
            raise Refusal(403, "a page of another site may not call this server", "unauthorised")

    def _check_token(self, scope: Scope, headers: dict[str, str]) -> None:
        token = self.service.settings.token
        if token is None or scope["path"] in OPEN:
            return
        kind, _, sent = headers.get("authorization", "").partition(" ")
        # Always compared, and in constant time: how long it takes shows nothing of the token.
        same = hmac.compare_digest(sent.strip().encode("latin-1", "replace"), token.encode())
        if kind.lower() != "bearer" or not same:
            challenge = {"WWW-Authenticate": "Bearer"}
            raise Refusal(401, "a bearer token is wanted", "unauthorised", challenge)

    def _count(self, exchange: _Exchange, seconds: float, reason: str) -> None:
        route = exchange.scope.get("residua.route", "none")
        status = exchange.status or 499
        reason = reason or exchange.scope.get("residua.reason", "")
        self.service.metrics.answered(route, status, seconds, reason)
        fields = {"model": exchange.scope.get("residua.model"), "images": exchange.scope.get("residua.images")}
        shown = {name: value for name, value in fields.items() if value is not None}
        log(
            "request",
            method=exchange.scope["method"],
            path=exchange.scope["path"],
            route=route,
            status=status,
            milliseconds=round(1000 * seconds, 2),
            **shown,
            **({"reason": reason} if reason else {}),
        )


def _address(text: str) -> SplitResult:
    try:
        return urlsplit(text)
    except ValueError:
        raise Refusal(400, f"{text[:80]!r} in a header is no address") from None


class _Exchange:
    """One request and its response, watched."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, origin: str) -> None:
        self.scope, self._receive, self._send, self._origin = scope, receive, send, origin
        self.status = 0
        headers = _headers(scope)
        self._read_all = headers.get("content-length", "0") == "0" and "transfer-encoding" not in headers

    async def receive(self) -> MutableMapping[str, Any]:
        message = await self._receive()
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            self._read_all = True
        return message

    async def send(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            names = {name for name, _ in message["headers"]}
            extra = [each for each in _SAFE_HEADERS if each[0] not in names]
            if self._origin:
                extra += [(b"access-control-allow-origin", self._origin.encode("latin-1")), (b"vary", b"origin")]
                extra += [(b"access-control-expose-headers", b"inference-header-content-length, retry-after")]
            message = {**message, "headers": [*message["headers"], *extra]}
        await self._send(message)

    async def preflight(self) -> None:
        headers = [(b"access-control-allow-methods", b"GET, POST"), (b"access-control-allow-headers", _ALLOW_HEADERS)]
        headers += [(b"access-control-max-age", b"600"), (b"content-length", b"0")]
        await self.send({"type": "http.response.start", "status": 204, "headers": headers})
        await self.send({"type": "http.response.body", "body": b""})

    async def refuse(self, refusal: Refusal) -> None:
        """Send an error, unless a response has begun."""
        if self.status:
            return
        body = error_body(refusal.message)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        headers += [(name.lower().encode(), value.encode("latin-1")) for name, value in refusal.headers.items()]
        headers += [] if self._read_all else [(b"connection", b"close")]
        await self.send({"type": "http.response.start", "status": refusal.status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body, "more_body": True})
        # A client that is still sending would meet a reset connection instead of its answer.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_SECONDS):
                while not self._read_all:
                    await self.receive()
        await self._send({"type": "http.response.body", "body": b""})


def _headers(scope: Scope) -> dict[str, str]:
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}

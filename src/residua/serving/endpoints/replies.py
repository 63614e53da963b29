"""Responses of endpoints, compressed where the client accepts it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from residua.serving.service import Service
from residua.serving.wire.body import packed

_SMALLEST = 512


def service_of(request: Request) -> Service:
    """Return the server's state."""
    service = request.app.state.service
    assert isinstance(service, Service)
    return service


def reply(document: Any, status: int = 200) -> Response:
    """Return a JSON document."""
    return Response(json.dumps(document, allow_nan=False), status, media_type="application/json")


async def packed_reply(request: Request, body: bytes, headers: dict[str, str]) -> Response:
    """Return a body that is worth compressing, as the client accepts it; a small one as it is."""
    accept = request.headers.get("accept-encoding", "")
    encoding = ""
    if len(body) >= _SMALLEST and accept:
        body, encoding = await asyncio.to_thread(packed, body, accept)
    if encoding:
        headers = {**headers, "content-encoding": encoding, "vary": "accept-encoding"}
    return Response(body, headers=headers)

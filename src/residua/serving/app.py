"""The ASGI application: routes to endpoints, behind the gate."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from residua.serving.endpoints import describe, infer, people, repository
from residua.serving.gate import Gate
from residua.serving.model import ModelVersion
from residua.serving.page.page import page
from residua.serving.refusal import Refusal
from residua.serving.service import Service

Endpoint = Callable[[Request], Awaitable[Response]]

_MODEL, _VERSION = "/v2/models/{model}", "/v2/models/{model}/versions/{version}"
ROUTES: tuple[tuple[str, str, Endpoint], ...] = (
    ("GET", "/v2", describe.server),
    ("GET", "/v2/", describe.server),
    ("GET", "/v2/health/live", describe.live),
    ("GET", "/v2/health/ready", describe.ready),
    ("GET", "/v2/models/stats", describe.stats),
    *(
        (method, base + path, endpoint)
        for base in (_MODEL, _VERSION)
        for method, path, endpoint in (
            ("GET", "", describe.model),
            ("GET", "/ready", describe.model_ready),
            ("GET", "/config", describe.config),
            ("GET", "/stats", describe.stats),
            ("POST", "/infer", infer.infer),
        )
    ),
    ("POST", "/v2/repository/index", repository.index),
    ("POST", "/v2/repository/models/{model}/load", repository.load),
    ("POST", "/v2/repository/models/{model}/unload", repository.unload),
    ("POST", "/predict", people.predict),
    ("GET", "/about", describe.about),
    ("GET", "/metrics", describe.metrics),
    ("GET", "/openapi.json", describe.openapi),
    *(("GET", path, page) for path in ("/", "/page.css", "/page.js")),
)
"""Method, path and endpoint; the description at /openapi.json is held against it by a test."""


def build_app(service: Service, opened: Sequence[ModelVersion]) -> Starlette:
    """Return the application.

    Args:
        service: the state; it starts and ends with the application's lifespan.
        opened: the models that it serves from the first request on.
    """

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await service.start(opened)
        yield
        await service.close()

    app = Starlette(
        routes=[Route(path, _counted(path, endpoint), methods=[method]) for method, path, endpoint in ROUTES],
        middleware=[Middleware(Gate, service=service)],
        exception_handlers={HTTPException: _http_error},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    app.state.service = service
    return app


def _counted(path: str, endpoint: Endpoint) -> Endpoint:
    async def answer(request: Request) -> Response:
        request.scope["residua.route"] = path
        return await endpoint(request)

    return answer


async def _http_error(request: Request, error: Exception) -> Response:
    """Turn the framework's own errors into ours: no route, or another method."""
    assert isinstance(error, HTTPException)
    text = {404: "there is no such address", 405: f"{request.method} is not answered here"}
    headers: dict[str, Any] = dict(error.headers or {})
    raise Refusal(error.status_code, text.get(error.status_code, str(error.detail)), "unknown", headers)

"""The repository extension: names of local runs only; nothing that a client uploads is ever opened."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from residua.serving.endpoints.replies import reply, service_of
from residua.serving.refusal import Refusal
from residua.serving.service import Service
from residua.serving.wire.body import Body
from residua.serving.wire.json_text import parse_json


async def index(request: Request) -> Response:
    """Return the models of the server and of the repository, with their states."""
    service = _service(request)
    document = await _document(request, service)
    only_ready = document.get("ready", False)
    if not isinstance(only_ready, bool):
        raise Refusal(400, "ready: true or false is wanted")
    entries = await service.models.index()
    return reply([each for each in entries if each["state"] == "READY" or not only_ready])


async def load(request: Request) -> Response:
    """Open a model of the repository, or open it again."""
    service = _service(request)
    parameters = (await _document(request, service)).get("parameters", {})
    if not isinstance(parameters, dict):
        raise Refusal(400, "parameters: an object is wanted")
    # They would let a client bring its own model, and with it its own code.
    refused = [name for name in parameters if name == "config" or str(name).startswith("file:")]
    if refused:
        raise Refusal(
            400, f"parameter {str(refused[0])[:40]!r} is refused: models are loaded by name alone", "unsupported"
        )
    await service.models.load(request.path_params["model"])
    return reply({})


async def unload(request: Request) -> Response:
    """Stop serving a model; its requests are answered first."""
    service = _service(request)
    await _document(request, service)
    await service.models.unload(request.path_params["model"])
    return reply({})


def _service(request: Request) -> Service:
    service = service_of(request)
    if service.settings.repository is None:
        raise Refusal(404, "this server has no repository; it was started with runs alone", "unsupported")
    return service


async def _document(request: Request, service: Service) -> dict[str, Any]:
    """Return the request's JSON; clients send an empty body for none."""
    async with Body(service.bodies, request.headers, request.receive) as body:
        return parse_json(body.content, service.settings.limits) if body.content.strip() else {}

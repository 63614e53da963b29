"""Health, metadata, configuration, statistics: what the server states about itself."""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from residua._version import __version__
from residua.serving.endpoints.replies import reply, service_of
from residua.serving.metrics import CONTENT_TYPE
from residua.serving.model import ModelVersion
from residua.serving.openapi import description
from residua.serving.service import Service


def model_of(request: Request) -> ModelVersion:
    """Return the model that the address names.

    Raises:
        Refusal: there is none.
    """
    parameters = request.path_params
    version = service_of(request).models.get(parameters["model"], parameters.get("version"))
    request.scope["residua.model"] = version.name
    return version


def extensions(service: Service) -> list[str]:
    """Return the protocol's extensions that are there."""
    names = ["binary_tensor_data", "classification", "model_configuration", "statistics", "schedule_policy"]
    return names + (["model_repository"] if service.settings.repository is not None else [])


async def server(request: Request) -> Response:
    """Return the server's metadata."""
    return reply({"name": "residua", "version": __version__, "extensions": extensions(service_of(request))})


async def live(request: Request) -> Response:
    """Return whether the process answers; both fields, since the judges disagree on which."""
    return reply({"live": True, "ready": service_of(request).ready})


async def ready(request: Request) -> Response:
    """Return whether everything that should serve can serve now, 503 where not."""
    is_ready = service_of(request).ready
    return reply({"live": True, "ready": is_ready}, 200 if is_ready else 503)


async def model(request: Request) -> Response:
    """Return a model's metadata."""
    version = model_of(request)
    return reply(version.metadata(service_of(request).models.versions(version.name)))


async def model_ready(request: Request) -> Response:
    """Return whether a model can answer, 503 where not."""
    version = model_of(request)
    is_ready = not version.failed and not service_of(request).draining
    return reply({"name": version.name, "ready": is_ready}, 200 if is_ready else 503)


async def config(request: Request) -> Response:
    """Return a model's configuration."""
    return reply(model_of(request).config())


async def stats(request: Request) -> Response:
    """Return the statistics of a model's versions, of one version, or of all models."""
    models = service_of(request).models
    parameters = request.path_params
    if "model" not in parameters:
        chosen = models.all()
    elif "version" in parameters:
        chosen = [model_of(request)]
    else:
        name = model_of(request).name
        chosen = [models.get(name, number) for number in models.versions(name)]
    return reply({"model_stats": await models.stats(chosen)})


async def metrics(request: Request) -> Response:
    """Return the metrics for Prometheus."""
    return Response(await service_of(request).metrics_text(), headers={"content-type": CONTENT_TYPE})


async def about(request: Request) -> Response:
    """Return what people want to know of each model."""
    service = service_of(request)
    limits = service.settings.limits
    document: dict[str, Any] = {"server": {"name": "residua", "version": __version__}}
    document["models"] = [each.about() for each in service.models.all()]
    document["limits"] = {"body_bytes": limits.body_bytes, "images": service.settings.most_images}
    return reply(document)


async def openapi(request: Request) -> Response:
    """Return the description of all endpoints."""
    return reply(description(service_of(request).settings))

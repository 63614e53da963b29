"""The same application as a deployment of Ray Serve: replicas on many machines, behind Ray's own proxy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.applications import Starlette

from residua._base.errors import AnswerNo
from residua._base.packages import package
from residua.serving.app import build_app
from residua.serving.model import ModelVersion
from residua.serving.networks.network import Source
from residua.serving.service import Service
from residua.serving.settings import Settings

_services: list[Service] = []
"""Those of this process, a replica: its health is theirs."""


class Unhealthy(AnswerNo):
    """A replica that cannot answer any more; Ray starts another in its place."""


class Replica:
    """One copy of the server; Ray hands it the requests."""

    def check_health(self) -> None:
        """Raise `Unhealthy` where a model broke for good."""
        for service in _services:
            if service.fatal:
                raise Unhealthy(service.fatal)


def deployment(sources: Mapping[str, Mapping[str, Source]], settings: Settings | None = None, **options: Any) -> Any:
    """Return the application for `ray.serve.run`: everything that `residua serve` answers, in each replica.

    Ray's proxy listens, and limits connections and headers. All else is as `settings` state: with the host 127.0.0.1,
    requests for other names than this machine's are refused, so give the host of the proxy.

    Args:
        sources: where the models lie, by name and version; every machine needs to reach them there.
        settings: how each replica is set up; None for the defaults.
        options: of `ray.serve.deployment`, such as `num_replicas` or `autoscaling_config`.

    Raises:
        InputError: the extra `ray` is not installed.
    """
    serve = package("ray.serve", "ray")
    settings = Settings() if settings is None else settings

    def application() -> Starlette:
        return replica_app(sources, settings)

    return serve.deployment(serve.ingress(application)(Replica), **({"name": "residua"} | options)).bind()


def replica_app(sources: Mapping[str, Mapping[str, Source]], settings: Settings) -> Starlette:
    """Open the models in this process, and return the application that answers with them."""
    opened = [
        ModelVersion.open(name, version, source, settings)
        for name, versions in sources.items()
        for version, source in versions.items()
    ]
    service = Service(settings)
    _services.append(service)
    return build_app(service, opened)

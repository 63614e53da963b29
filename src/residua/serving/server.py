"""The process: open the runs, listen, serve, drain."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import FrameType

import uvicorn

from residua._base.errors import InputError
from residua.serving.app import build_app
from residua.serving.logs import log, start_logs
from residua.serving.model import ModelVersion
from residua.serving.networks.sources import Sources
from residua.serving.protocol import StrictProtocol
from residua.serving.service import Service
from residua.serving.settings import Settings
from residua.serving.workers.supervisor import Supervisor

_KEEP_ALIVE_SECONDS = 75  # longer than the 60 of common proxies, so that they close first


@dataclass(frozen=True)
class Listener:
    """A server that listens.

    Attributes:
        url: its address.
        models: name and version of each model.
        warning: what the user should know, "" for nothing.
    """

    url: str
    models: tuple[tuple[str, str], ...]
    warning: str


def serve(sources: Sources, settings: Settings, announce: Callable[[Listener], None] = lambda listening: None) -> int:
    """Serve runs until SIGTERM or Ctrl-C; return the exit code.

    Args:
        sources: where the runs lie, by name and version.
        settings: how the server is set up.
        announce: called once, when requests are answered.

    Returns:
        0 where every request was answered before the end; 1 where the time to drain passed or a model broke for good.

    Raises:
        InputError: no run and no repository; a run that cannot be loaded; a port that is taken.
    """
    if not any(sources.values()) and settings.repository is None:
        raise InputError("no run", "run folders, or a repository of them", "For example: residua serve runs/a")
    with contextlib.closing(listen(settings)) as listener:
        if settings.workers > 1:
            supervisor = Supervisor(sources, settings, listener)
            return supervisor.run(lambda models: announce(_listening(listener, models, settings)))
        opened = [
            ModelVersion.open(name, version, source, settings)
            for name, versions in sources.items()
            for version, source in versions.items()
        ]
        models = [(each.name, each.version) for each in opened]
        start_logs()
        service = Service(settings)
        server = HttpServer(service, opened, lambda: announce(_listening(listener, models, settings)))
        code = server.answer(listener)
    if service.hung or service.models.is_opening:
        # Python would wait for the thread that computes, for ever, and for one that opens a model, past the drain.
        logging.shutdown()
        os._exit(code)
    return code


def listen(settings: Settings) -> socket.socket:
    """Return a socket that listens where the settings state.

    Raises:
        InputError: no such address, or a port that is taken.
    """
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family, backlog=1024)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"host={settings.host!r} and port={settings.port}, where no server can listen ({reason})",
            "an address of this machine and a free port",
            "Use port=0 for any free one",
        ) from None


def _listening(listener: socket.socket, models: Sequence[tuple[str, str]], settings: Settings) -> Listener:
    host, port = listener.getsockname()[:2]
    address = ipaddress.ip_address(host)
    shown = f"[{host}]" if address.version == 6 else host
    warning = ""
    if not address.is_loopback and settings.token is None:
        warning = (
            f"Everybody who reaches {host}:{port} can use this server: it has no token. "
            "Give it one with token_file=…, or leave host out for this machine alone."
        )
    return Listener(f"http://{shown}:{port}", tuple(models), warning)


class HttpServer(uvicorn.Server):
    """uvicorn, but that "ready" is 503 before the listener closes, and that a signal ends in an exit code.

    Attributes:
        exit_code: 0, or 1 where requests were cut off or a model broke.
    """

    def __init__(self, service: Service, opened: Sequence[ModelVersion], announce: Callable[[], None]) -> None:
        settings = service.settings
        protocol = type("_Protocol", (StrictProtocol,), {"limits": settings.limits})
        config = uvicorn.Config(
            build_app(service, opened),
            http=protocol,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=max(1, round(settings.drain)),
        )
        super().__init__(config)
        self.exit_code = 0
        self._service, self._announce = service, announce
        self._exit_at = float("inf")

    def answer(self, listener: socket.socket) -> int:
        """Answer requests until `stop` is called or a signal comes; return the exit code."""
        asyncio.run(self.serve(sockets=[listener]))
        return self.exit_code

    def stop(self, grace: float = 0.0) -> None:
        """Begin to drain: "ready" is 503 from now on, and after `grace` seconds no new connection is accepted."""
        self._service.draining = True
        self._exit_at = min(self._exit_at, time.monotonic() + grace)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to listen, and tell the caller."""
        await super().startup(sockets)
        self._announce()

    async def on_tick(self, counter: int) -> bool:
        """Look ten times a second whether the time to stop has come."""
        if self._service.fatal:
            log("fatal", reason=self._service.fatal)
            self.exit_code = 1
            return True
        return await super().on_tick(counter) or time.monotonic() >= self._exit_at

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Let requests end, within the time to drain."""
        self._service.draining = True
        start = time.monotonic()
        await super().shutdown(sockets)
        if time.monotonic() - start >= max(1, round(self._service.settings.drain)):
            self.exit_code = 1
        log("stopped", exit_code=self.exit_code)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle SIGTERM and Ctrl-C while the server runs."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain; a second Ctrl-C breaks off."""
        if self._service.draining and sig == signal.SIGINT:
            self.force_exit = self.should_exit = True
            self.exit_code = 1
        # A balancer needs a moment to see that it should send nobody here any more; a person needs none.
        self.stop(self._service.settings.grace if sig == signal.SIGTERM else 0.0)

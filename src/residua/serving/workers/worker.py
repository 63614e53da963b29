"""A worker process: speaks HTTP and decodes; the engine process computes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from collections.abc import Sequence

from residua.serving.logs import log, start_logs
from residua.serving.model import ModelVersion
from residua.serving.server import HttpServer
from residua.serving.service import Service
from residua.serving.workers.channel import Closed
from residua.serving.workers.handover import Handover, end_with_parent, receive, report_alive
from residua.serving.workers.remote import RemoteMetrics, RemoteModels


class WorkerService(Service):
    """A server's state whose models are those of the engine process."""

    def __init__(self, handover: Handover) -> None:
        super().__init__(handover.settings)
        self._remote = self.models = RemoteModels(handover.settings, handover.socket)
        self.metrics = RemoteMetrics(self._remote)  # type: ignore[assignment]

    async def start(self, opened: Sequence[ModelVersion]) -> None:
        """Connect to the engine process; return when it has stated its models."""
        await self._remote.start()

    async def metrics_text(self) -> bytes:
        """Return the metrics of all processes."""
        return await self._remote.metrics_text(self.ready)


class FairListener(socket.socket):
    """Accepts one connection per turn of the event loop: else the first worker to wake would take all that wait."""

    _took = False

    def accept(self) -> tuple[socket.socket, object]:
        """Take a connection, or raise BlockingIOError as if none waited, by turns."""
        self._took = not self._took
        if not self._took:
            raise BlockingIOError
        try:
            return super().accept()
        except OSError:
            self._took = False
            raise


def main(handover: Handover) -> int:
    """Answer requests until the supervisor or its end stops this process; return the exit code."""
    start_logs()
    service = WorkerService(handover)
    server = HttpServer(service, [], lambda: handover.report({"ready": os.getpid()}))
    with FairListener(fileno=handover.listener) as listener:

        async def serve() -> None:
            end_with_parent(server.stop)
            alive = asyncio.create_task(report_alive(handover))
            with contextlib.suppress(Closed):
                await server.serve(sockets=[listener])
            alive.cancel()

        asyncio.run(serve())
    log("worker_stopped", exit_code=server.exit_code)
    return server.exit_code


if __name__ == "__main__":
    sys.exit(main(receive()))

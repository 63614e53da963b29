"""A server on a free port of 127.0.0.1, in a thread of the test."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np

from residua.serving.model import ModelVersion
from residua.serving.networks.sources import Sources
from residua.serving.server import HttpServer, listen
from residua.serving.service import Service
from residua.serving.settings import Settings


@dataclass
class Running:
    """A server that runs.

    Attributes:
        service: its state.
        server: to stop it.
        port: of 127.0.0.1.
        http: a client.
    """

    service: Service
    server: HttpServer
    port: int
    http: httpx.Client = field(repr=False)

    def infer(self, document: Any = None, model: str = "a", **options: Any) -> httpx.Response:
        """Send an inference request."""
        if document is not None:
            options["json"] = document
        return self.http.post(f"/v2/models/{model}/infer", **options)

    def raw(self, content: bytes, seconds: float = 10.0, *, end: bool = False) -> bytes:
        """Send bytes and return all that comes until the server closes, or `seconds` pass."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=seconds) as connection:
            with contextlib.suppress(ConnectionError):
                connection.sendall(content)
            if end:
                connection.shutdown(socket.SHUT_WR)
            received = b""
            with contextlib.suppress(TimeoutError, ConnectionError):
                while piece := connection.recv(65536):
                    received += piece
            return received


@contextlib.contextmanager
def running(sources: Sources, **settings: Any) -> Iterator[Running]:
    """Serve runs while the block runs."""
    setup = Settings(port=0, **settings)
    service = Service(setup)
    opened = [ModelVersion.open(name, v, path, setup) for name, vs in sources.items() for v, path in vs.items()]
    answers = threading.Event()
    server = HttpServer(service, opened, answers.set)
    listener = listen(setup)
    port = listener.getsockname()[1]
    thread = threading.Thread(target=server.answer, args=(listener,))
    thread.start()
    try:
        assert answers.wait(30)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as http:
            yield Running(service, server, port, http)
    finally:
        server.stop()
        thread.join(30)
        listener.close()
    assert not thread.is_alive()


def image_input(*images: str) -> dict[str, Any]:
    """Return the JSON of a request of images in base64."""
    return {"inputs": [{"name": "image", "shape": [len(images)], "datatype": "BYTES", "data": list(images)}]}


def tensor_input(values: np.ndarray, **edits: Any) -> dict[str, Any]:
    """Return the JSON of a request of prepared images."""
    entry = {"name": "tensor", "shape": list(values.shape), "datatype": "FP32", "data": values.ravel().tolist()}
    return {"inputs": [entry | edits]}

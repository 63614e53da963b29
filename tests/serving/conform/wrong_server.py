"""A server that breaks the protocol in ways that are known."""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

FAULTS = {
    "GET v2/health/ready answers 200 where all models are ready",
    "Server metadata has name, version and extensions",
    "Model metadata has name, platform, inputs, outputs with datatypes and shapes",
    "An unknown model's metadata is refused with an error object",
    "An unknown model is not ready",
    "Inference of an unknown model is refused with an error object",
    "A valid request is answered with model_name and outputs that fill their shapes",
    "The id of a request is echoed",
    "Only the outputs that were asked for come",
    "A shape other than the model's is refused",
    "Negative sides of a shape are refused",
    "A request without inputs is refused",
}
"""Some of the requirements that it breaks."""


class _Wrong(http.server.BaseHTTPRequestHandler):
    """Takes every model for its own, ignores what it is sent, and states a shape that its data does not fill."""

    def _answer(self, document: Any, status: int = 200) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        documents: dict[str, Any] = {
            "/v2": {"name": "wrong", "extensions": "statistics"},
            "/v2/health/ready": {"ready": False},
            "/v2/models/stats": {"model_stats": [{"name": "m"}]},
        }
        wrong_tensor = {"name": "x", "datatype": "FLOAT", "shape": [-1, 2]}
        metadata = {"name": "m", "platform": "x", "inputs": [wrong_tensor], "outputs": []}
        self._answer(documents.get(self.path, metadata), 503 if self.path.endswith("health/ready") else 200)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        outputs = [{"name": name, "datatype": "FP32", "shape": [1, 3], "data": [1.0]} for name in "ab"]
        self._answer({"model_name": "m", "outputs": outputs})

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        """Stay silent."""


@contextlib.contextmanager
def wrong_server() -> Iterator[str]:
    """Yield the address of the server."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Wrong) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()

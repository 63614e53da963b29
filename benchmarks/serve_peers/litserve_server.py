"""LitServe with its own batching."""

from __future__ import annotations

import base64
import os
from typing import Any

import litserve
from common import MOST, WAIT_SECONDS, answers, network, tensor


class Api(litserve.LitAPI):
    """Images as base64 in JSON, as LitServe's examples have them."""

    def setup(self, device: str) -> None:
        """Load the network."""
        self.model = network()

    def decode_request(self, request: dict[str, str], **options: Any) -> Any:
        """Decode an image."""
        return tensor(base64.b64decode(request["image"]))

    def batch(self, inputs: list[Any]) -> list[Any]:
        """Keep the images of a batch as a list."""
        return list(inputs)

    def unbatch(self, output: list[Any]) -> list[Any]:
        """Return the answers one by one."""
        return output

    def predict(self, x: Any, **options: Any) -> Any:
        """Answer a batch."""
        return answers(self.model, x)

    def encode_response(self, output: Any, **options: Any) -> Any:
        """Return an answer as it is."""
        return output


if __name__ == "__main__":
    api = Api(max_batch_size=MOST, batch_timeout=WAIT_SECONDS)
    server = litserve.LitServer(api, accelerator="cpu", workers_per_device=1, timeout=60)
    server.run(host="127.0.0.1", port=int(os.environ["PORT"]), generate_client_file=False, log_level="warning")

"""The one error of the server: every endpoint and the protocol itself turn it into JSON."""

from __future__ import annotations

import json
from typing import Literal

Reason = Literal[
    "malformed",
    "too_large",
    "bad_image",
    "unknown",
    "queue_full",
    "deadline",
    "draining",
    "unauthorised",
    "unsupported",
    "not_ready",
    "slow",
    "gone",
    "fault",
]
"""Why a request is refused; the metrics count by it, so the list is closed."""


class Refusal(Exception):
    """A request that is not answered.

    Args:
        status: of HTTP.
        message: for the client; no content of images.
        reason: for the metrics.
        headers: further headers of the response.
    """

    def __init__(
        self, status: int, message: str, reason: Reason = "malformed", headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.reason, self.headers = status, message, reason, headers or {}

    def body(self) -> bytes:
        """Return the JSON document that all clients of the protocol read: `{"error": …}`."""
        return error_body(self.message)


def error_body(message: str) -> bytes:
    """Return `{"error": message}`, in ASCII."""
    return json.dumps({"error": message}).encode()

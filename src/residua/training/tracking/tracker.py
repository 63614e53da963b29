"""The protocol of a tracker: four methods that a run calls, and what it gives them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Literal, Protocol

Config = Mapping[str, Any]
"""What a run is, as JSON values: `id` stays when it is resumed, and `resumed` is whether it was."""
Numbers = Mapping[str, float]
"""Measurements by name: a line of the history, or what the report measured."""
Status = Literal["finished", "stopped", "failed"]

METHODS = ("start", "log", "image", "finish")


class Tracker(Protocol):
    """Something that follows a run.

    All calls come from one background thread, in the order of the run. The first exception is
    shown as a warning, and the call is repeated later. Training goes on in any case, and waits for no method.
    """

    def start(self, config: Config) -> None:
        """Begin, or continue the run of `config["id"]`."""

    def log(self, step: int, numbers: Numbers) -> None:
        """Take numbers that were measured after `step` optimizer steps."""

    def image(self, step: int, name: str, png: bytes) -> None:
        """Take a picture, the content of a PNG file."""

    def finish(self, status: Status) -> None:
        """End. After "stopped" the run may be resumed, and then `start` is called again."""


def flat(config: Config, prefix: str = "") -> dict[str, str | int | float | bool]:
    """Return nested values under names with dots, such as `recipe.epochs`; lists as JSON, None left out."""
    values: dict[str, str | int | float | bool] = {}
    for key, value in config.items():
        if isinstance(value, Mapping):
            values |= flat(value, f"{prefix}{key}.")
        elif isinstance(value, str | int | float):
            values[f"{prefix}{key}"] = value
        elif value is not None:
            values[f"{prefix}{key}"] = json.dumps(value)
    return values
